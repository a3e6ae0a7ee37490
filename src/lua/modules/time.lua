-- Timers as channels. What they deliver is the time at which they fired; a value that nobody took is not waited for.
local core, fields, invalid = ...
local begin, forget, channel = core.begin, core.forget, core.channel
local setmetatable, now, parse_duration = setmetatable, fields.now, fields.parse_duration

-- A duration that can be waited for, or why it can't.
local function positive(duration, what)
  local span, problem = parse_duration(duration)
  if problem then return nil, problem end
  if span:nanoseconds() <= 0 then return invalid("a " .. what .. " needs a duration above zero") end
  return span
end

function fields.after(duration)
  local span, problem = parse_duration(duration)
  if problem then return nil, problem end
  local fired = channel.new(1)
  begin(span, function() channel.give(fired, now()) end)
  return fired
end

-- A kind of object with a channel that is filled when a time is over, once or again and again.
local function class(name, fires_again)
  local methods = {}
  local meta = { __index = methods, __metatable = false, __name = name }

  local function arm(object, span)
    object.id = begin(span, function()
      object.id = nil
      if fires_again then arm(object, span) end
      channel.give(object.fired, now())
    end)
  end

  fields[name] = function(duration)
    local span, problem = positive(duration, name)
    if problem then return nil, problem end
    local object = setmetatable({ fired = channel.new(1) }, meta)
    arm(object, span)
    return object
  end

  function methods:channel() return self.fired end
  methods.response = methods.channel

  -- Whether it was still to fire.
  function methods:stop()
    local id = self.id
    if not id then return false end
    self.id = nil
    forget(id)
    return true
  end

  return methods, arm
end

local Timer, arm = class("timer", false)
class("ticker", true)

function Timer:reset(duration)
  local span, problem = positive(duration, "timer")
  if problem then return nil, problem end
  local was_running = self:stop()
  arm(self, span)
  return was_running
end
