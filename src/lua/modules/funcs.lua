-- Functions: calls that are waited for, and calls that go on meanwhile.
local core, fields, parts = ...
local settle, when, forget, channel = core.settle, core.when, core.forget, core.channel
local error, type, next, setmetatable = error, type, next, setmetatable

-- A call that goes on. Its channel gets one payload, and is closed behind it; at once when there is an error instead.
local Future = {}
local future_meta = { __index = Future, __metatable = false, __name = "future" }

local function begin(settings, ...)
  local id, refused = settle(parts.begin(settings, ...))
  if not id then return nil, refused end
  local future = setmetatable({ answers = channel.new(1) }, future_meta)
  future.id = when(id, function(value, problem)
    future.id, future.value, future.problem = nil, value, problem
    if problem == nil then channel.give(future.answers, value) end
    future.answers:close()
  end)
  return future
end

function Future:response() return self.answers end
Future.channel = Future.response

function Future:is_complete() return self.id == nil end

function Future:is_canceled() return self.canceled == true end

-- The payload, or nil and the error; nothing at all as long as there is neither.
function Future:result() return self.value, self.problem end

-- The error, and whether there is one.
function Future:error() return self.problem, self.problem ~= nil end

-- Ends the call; whether it was still going on.
function Future:cancel()
  local id = self.id
  if not id then return false end
  forget(id)
  self.id, self.canceled = nil, true
  self.value, self.problem = settle(parts.canceled())
  self.answers:close()
  return true
end

-- Who calls, with settings that many calls share.
local Executor = {}
local with, plain = core.manner(Executor, "executor")

function Executor:with_options(options)
  if type(options) ~= "table" then error("bad argument #1 to 'with_options' (table expected)", 2) end
  for key in next, options do
    if key ~= "timeout" then error("option " .. core.tostring(key) .. " is not supported", 2) end
  end
  return with(self, { timeout = options.timeout })
end

function Executor:call(...) return settle(parts.call(self.settings, ...)) end
function Executor:async(...) return begin(self.settings, ...) end

function fields.new() return with(plain, {}) end
function fields.call(...) return settle(parts.call(plain.settings, ...)) end
function fields.async(...) return begin(plain.settings, ...) end
