-- Subscriptions: the bus as a channel.
local core, fields, parts = ...
local settle, channel, host = core.settle, core.channel, core.host
local error, type, setmetatable = error, type, setmetatable

local Subscription = {}
local subscription_meta = { __index = Subscription, __metatable = false, __name = "subscription" }

-- A subscription, or why there is none.
local function made(number, problem)
  if not number then return nil, problem end
  return setmetatable({ port = channel.port(number), missed_ever = 0 }, subscription_meta)
end

function fields.subscribe(system, kind)
  if type(system) ~= "string" then
    error("bad argument #1 to 'subscribe' (string expected, got " .. type(system) .. ")", 2)
  end
  if kind ~= nil and type(kind) ~= "string" then
    error("bad argument #2 to 'subscribe' (string expected, got " .. type(kind) .. ")", 2)
  end
  return made(settle(parts.subscribe(system, kind)))
end

function Subscription:channel()
  return self.port
end

-- How many events it was too slow for.
function Subscription:missed()
  if self.port.closed then return self.missed_ever end
  return settle(parts.missed(self.port.port))
end

-- Hears no more; what is there can still be received.
function Subscription:close()
  local port = self.port
  if port.closed then return true end
  self.missed_ever = settle(parts.missed(port.port))
  local got, value = host.take(port.port)
  while got do
    if not channel.give(port, value) then
      port.last = port.last + 1
      port.buffer[port.last] = value
    end
    got, value = host.take(port.port)
  end
  settle(parts.unsubscribe(port.port))
  channel.close_port(port)
  return true
end
