-- `os`: the time, and what this is.
local core, globals = ...
local from = globals.os
globals.os = core.seal("os", {
  time = from.time, date = from.date, clock = from.clock, difftime = from.difftime, platform = "wippy",
})
