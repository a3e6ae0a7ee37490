-- Timers as channels, for all modules.
local core, begin = ...
local settle, channel = core.settle, core.channel

function core.after(duration)
  local fired = channel.new(1)
  local id = settle(begin(duration))
  core.when(id, function() channel.give(fired, true) end)
  return fired, id
end
