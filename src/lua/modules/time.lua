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

local Timer = {}
local timer_meta = { __index = Timer, __metatable = false, __name = "timer" }

local function arm(timer, span)
  timer.id = begin(span, function()
    timer.id = nil
    channel.give(timer.fired, now())
  end)
end

function fields.timer(duration)
  local span, problem = positive(duration, "timer")
  if problem then return nil, problem end
  local timer = setmetatable({ fired = channel.new(1) }, timer_meta)
  arm(timer, span)
  return timer
end

function Timer:channel() return self.fired end
Timer.response = Timer.channel

-- Whether it was still to fire.
function Timer:stop()
  local id = self.id
  if not id then return false end
  self.id = nil
  forget(id)
  return true
end

function Timer:reset(duration)
  local span, problem = positive(duration, "timer")
  if problem then return nil, problem end
  local was_running = self:stop()
  arm(self, span)
  return was_running
end

local Ticker = {}
local ticker_meta = { __index = Ticker, __metatable = false, __name = "ticker" }

local function tick(ticker, span)
  ticker.id = begin(span, function()
    tick(ticker, span)
    channel.give(ticker.ticks, now())
  end)
end

function fields.ticker(duration)
  local span, problem = positive(duration, "ticker")
  if problem then return nil, problem end
  local ticker = setmetatable({ ticks = channel.new(1) }, ticker_meta)
  tick(ticker, span)
  return ticker
end

function Ticker:channel() return self.ticks end
Ticker.response = Ticker.channel
Ticker.stop = Timer.stop
