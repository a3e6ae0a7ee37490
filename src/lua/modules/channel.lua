-- Channels: queues between the coroutines of one process. What is in them is the script's and counts as its memory.
--
-- A port is a channel that others fill, the mailbox of the process: it has no buffer of its own, and a value leaves the
-- mailbox only when somebody is there to take it.
local core, fields = ...
local host, park, unpark, running = core.host, core.park, core.unpark, core.running
local error, type, setmetatable, math_type = error, type, setmetatable, math.type
-- Those of C: what the prelude has instead of them may be stopped half way.
local ipairs, insert, remove = core.ipairs, core.insert, core.remove

local Channel = {}
local Case = {}
local channel_meta = { __index = Channel, __metatable = false, __name = "channel" }
local case_meta = { __index = Case, __metatable = false, __name = "case" }

local function is_channel(value)
  return type(value) == "table" and value.receivers ~= nil and value.senders ~= nil
end

local function new(capacity, port)
  return setmetatable({
    capacity = capacity, port = port, first = 1, last = 0, buffer = {}, receivers = {}, senders = {}, closed = false,
  }, channel_meta)
end

function fields.new(capacity)
  capacity = capacity or 0
  if math_type(capacity) ~= "integer" or capacity < 0 then
    error("bad argument #1 to 'new' (a whole number that is not negative expected)", 2)
  end
  return new(capacity)
end

-- Who waits for a channel has a place in its queue. Whoever waits for that one alone is the place itself; a select has one in the
-- queue of each of its channels, and leaves all of them when one is served.
local function leave(place)
  for at, other in ipairs(place.queue) do
    if other == place then return remove(place.queue, at) end
  end
end

-- Serves the first one of a queue.
local function serve(queue, channel, value, ok)
  local waiter = queue[1].of
  if waiter then
    for _, place in ipairs(waiter.places) do leave(place) end
  else
    waiter = remove(queue, 1)
  end
  waiter.channel, waiter.value, waiter.ok, waiter.served = channel, value, ok, true
  unpark(waiter.thread)
end

-- Takes what is there: whether there was something, the value, and false for a channel that is closed and empty.
local function take(channel)
  if channel.first <= channel.last then
    local value = channel.buffer[channel.first]
    channel.buffer[channel.first] = nil
    channel.first = channel.first + 1
    local place = channel.senders[1]
    if place then
      channel.last = channel.last + 1
      channel.buffer[channel.last] = place.value
      serve(channel.senders, channel, nil, true)
    end
    return true, value, true
  end
  local place = channel.senders[1]
  if place then
    local value = place.value
    serve(channel.senders, channel, nil, true)
    return true, value, true
  end
  if channel.closed then return true, nil, false end
  if channel.port then
    local got, value = host.take(channel.port)
    if got then return true, value, true end
  end
  return false
end

-- Leaves a value there if somebody takes it or there is room.
local function give(channel, value)
  if channel.receivers[1] then
    serve(channel.receivers, channel, value, true)
    return true
  end
  if channel.last - channel.first + 1 < channel.capacity then
    channel.last = channel.last + 1
    channel.buffer[channel.last] = value
    return true
  end
  return false
end

-- With whose turn it is: those that something comes in for are served one after the other.
local ports, turn = {}, 0

local function wait(queue, channel, place)
  insert(queue, place)
  if channel.port then host.watch() end
end

local function served(waiter)
  repeat park() until waiter.served
  return waiter
end

function Channel:receive()
  local got, value, ok = take(self)
  if got then return value, ok end
  local waiter = { thread = running(), value = nil, ok = false, served = false, channel = self }
  wait(self.receivers, self, waiter)
  served(waiter)
  return waiter.value, waiter.ok
end

function Channel:send(value)
  if self.port then error("this channel is filled by the runtime and can't be sent to", 2) end
  if self.closed then error("attempt to send to a closed channel", 2) end
  if give(self, value) then return true end
  local waiter = { thread = running(), value = value, ok = false, served = false, channel = self }
  wait(self.senders, self, waiter)
  served(waiter)
  if not waiter.ok then error("attempt to send to a closed channel", 2) end
  return true
end

function Channel:close()
  if self.closed then return end
  self.closed = true
  while self.receivers[1] do serve(self.receivers, self, nil, false) end
  while self.senders[1] do serve(self.senders, self, nil, false) end
end

function Channel:case_receive()
  return setmetatable({ channel = self, receives = true }, case_meta)
end

function Channel:case_send(value)
  return setmetatable({ channel = self, value = value }, case_meta)
end

-- Tries a case: what a select answers with if it could be done now.
local function try(case)
  local channel = case.channel
  if case.receives then
    local got, value, ok = take(channel)
    return got and { channel = channel, value = value, ok = ok }
  end
  if channel.closed then error("attempt to send to a closed channel", 0) end
  return give(channel, case.value) and { channel = channel, ok = true }
end

function fields.select(cases)
  if type(cases) ~= "table" then
    error("bad argument #1 to 'select' (a table of cases expected, got " .. type(cases) .. ")", 2)
  end
  for at, case in ipairs(cases) do
    if type(case) ~= "table" or not is_channel(case.channel) then
      error("bad argument #1 to 'select' (case " .. at .. " is no `ch:case_receive()` or `ch:case_send(v)`)", 2)
    end
  end
  for _, case in ipairs(cases) do
    local done = try(case)
    if done then return done end
  end
  if cases.default then return { default = true, ok = true } end
  local waiter = { thread = running(), places = {} }
  for at, case in ipairs(cases) do
    local channel = case.channel
    local queue = case.receives and channel.receivers or channel.senders
    local place = { of = waiter, queue = queue, value = case.value }
    waiter.places[at] = place
    wait(queue, channel, place)
  end
  served(waiter)
  return { channel = waiter.channel, value = waiter.value, ok = waiter.ok }
end

-- For modules.
core.channel = { new = new, give = give, is_channel = is_channel, select = fields.select }

-- A channel that is filled from this port of the host.
function core.channel.port(number)
  local channel = new(0, number)
  insert(ports, channel)
  return channel
end

function core.channel.close_port(channel)
  for at, other in ipairs(ports) do
    if other == channel then
      remove(ports, at)
      break
    end
  end
  channel:close()
end

-- Hands one thing that has come in to whoever waits for it; how many still wait, and whether there was one.
function core.pump()
  local waiting, count, handed = 0, #ports, false
  for step = 1, count do
    local at = (turn + step - 1) % count + 1
    local channel = ports[at]
    if not handed and channel.receivers[1] then
      local got, value = host.take(channel.port)
      if got then
        give(channel, value)
        handed, turn = true, at
      end
    end
    waiting = waiting + #channel.receivers
  end
  return waiting, handed
end
