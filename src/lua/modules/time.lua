-- Timers as channels.
local core, fields = ...
local after = core.after

function fields.after(duration)
  return (after(duration))
end
