-- The parts of `process` that wait on channels, and spawners.
local core, fields, parts = ...
local settle, channel, after, forget = core.settle, core.channel, core.after, core.forget
local error, type, next, select = error, type, next, select

-- The starts, each with what it does beside starting.
local ways = {
  spawn = {},
  spawn_monitored = { monitor = true },
  spawn_linked = { link = true },
  spawn_linked_monitored = { monitor = true, link = true },
}
for called, way in next, ways do
  way.called = called
  fields[called] = function(...) return settle(parts.start(way, ...)) end
end

local alone = { called = "exec" }
function fields.exec(...) return settle(parts.exec(alone, ...)) end

-- Spawners: settings that many starts share. Every `with_` makes another one.
local Spawner = {}
local with, plain = core.manner(Spawner, "spawner")

local OPTIONS = { name = "string", trap_links = "boolean" }

function Spawner:with_options(options)
  if type(options) ~= "table" then error("bad argument #1 to 'with_options' (table expected)", 2) end
  for key, value in next, options do
    local kind = OPTIONS[key]
    if not kind then error("option " .. core.tostring(key) .. " is not supported", 2) end
    if type(value) ~= kind then error("option " .. key .. " must be a " .. kind, 2) end
  end
  return with(self, options)
end

function Spawner:with_name(name)
  if type(name) ~= "string" then error("bad argument #1 to 'with_name' (string expected)", 2) end
  return with(self, { name = name })
end

function Spawner:with_message(topic, ...)
  if type(topic) ~= "string" then error("bad argument #1 to 'with_message' (string expected)", 2) end
  local messages = {}
  for at, message in next, self.settings.messages or {} do messages[at] = message end
  messages[#messages + 1] = { topic = topic, payloads = { ... }, count = select("#", ...) }
  return with(self, { messages = messages })
end

for called, way in next, ways do
  Spawner[called] = function(self, ...)
    return settle(parts.start(with(self, way).settings, ...))
  end
end
function Spawner:exec(...)
  return settle(parts.exec(with(self, alone).settings, ...))
end

function fields.with_options(options) return plain:with_options(options) end
function fields.with_context(values) return plain:with_context(values) end

-- Goes on as another script, or as the same one again. It does not return but for a policy that denies it.
function fields.upgrade(id, ...) return settle(parts.upgrade(id, ...)) end

-- What comes in.
local inbox, events
function fields.inbox()
  inbox = inbox or channel.port(parts.inbox)
  return inbox
end

function fields.events()
  events = events or channel.port(parts.events)
  return events
end

function fields.listen(topic, options)
  local number, problem = settle(parts.listen(topic, options))
  if not number then return nil, problem end
  return channel.port(number)
end

function fields.unlisten(listener)
  if not channel.is_channel(listener) or not listener.port or listener == inbox or listener == events then
    error("bad argument #1 to 'unlisten' (a channel of `process.listen` expected)", 2)
  end
  settle(parts.unlisten(listener.port))
  channel.close_port(listener)
  return true
end

-- The next event, or nothing when the time is over before.
function fields.receive(timeout)
  local from = fields.events()
  if timeout == nil then return (from:receive()) end
  local fired, id = after(timeout)
  local done = channel.select({ from:case_receive(), fired:case_receive() })
  if done.channel == from then
    forget(id)
    return done.value
  end
  return nil
end
