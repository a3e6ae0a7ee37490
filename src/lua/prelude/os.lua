-- `os`: the time, and what this is.
local core = ...
local from = core.basic.os
local error, type, next = error, type, next

local PARTS = { "year", "month", "day", "hour", "min", "sec", "isdst" }

-- The parts are read here: they may come from a function of the script, which C would not let be preempted.
local function time(parts)
  if parts == nil then return from.time() end
  if type(parts) ~= "table" then
    error("bad argument #1 to 'time' (table expected, got " .. type(parts) .. ")", 2)
  end
  local copy = {}
  for _, part in next, PARTS do copy[part] = parts[part] end
  local seconds = from.time(copy)
  for part, value in next, copy do parts[part] = value end
  return seconds
end

return {
  time = time, date = from.date, clock = from.clock, difftime = from.difftime, platform = "wippy",
}
