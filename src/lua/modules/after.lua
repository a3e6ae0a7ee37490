-- Timers, for all modules.
local core, start = ...
local settle, channel = core.settle, core.channel

-- Calls `action` when a time is over; the number by which `core.forget` stops it.
function core.begin(duration, action)
  return core.when(settle(start(duration)), action)
end

-- A channel that gets a value when a time is over, and that number.
function core.after(duration)
  local fired = channel.new(1)
  return fired, core.begin(duration, function() channel.give(fired, true) end)
end
