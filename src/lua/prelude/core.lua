-- What stands between scripts and the host: calls that answer, fail or wait, coroutines that the host's scheduler drives,
-- and the way a script is started. Runs once in every VM, before anything else, and has the functions of the host as `host`.
--
-- A coroutine speaks to its driver by what it yields, and only this file yields. The first value says what is wanted;
-- nothing at all is a hook that preempts.
local host = ...

local VALUES, RAISE, WAIT, PARK, RESUME, YIELD, AGAIN = 0, 1, 2, 3, 4, 5, 6

local create, yield, running = coroutine.create, coroutine.yield, coroutine.running
local pcall, xpcall, error, type, next, select = pcall, xpcall, error, type, next, select
local rawset, rawget, setmetatable, getmetatable = rawset, rawget, setmetatable, getmetatable

-- For parts that no other coroutine may see half done: nothing stops a function of C.
local core = { host = host, ipairs = ipairs, insert = table.insert, remove = table.remove }

-- What became of a call into the host, or of a wait.
local function settle(code, ...)
  if code == VALUES then return ... end
  if code == RAISE then error((...), 2) end
  if code == AGAIN then
    yield(AGAIN)
    return settle(host.go_on(...))
  end
  return settle(yield(code))
end
core.settle = settle

-- A function for scripts from one of the host.
function core.wrap(call)
  return function(...) return settle(call(...)) end
end

-- Waits until somebody says `core.unpark` of this coroutine.
function core.park()
  return settle(yield(PARK))
end
core.unpark = host.unpark
core.running = running

-- Completions of what runs beside the script, by the number that the host gave it.
local completions = {}
function core.when(id, action)
  completions[id] = action
  return id
end
function core.complete(id, ...)
  local action = completions[id]
  completions[id] = nil
  if action then action(...) end
end
function core.forget(id)
  if completions[id] then
    completions[id] = nil
    host.drop_task(id)
  end
end

-- Tables of modules can be read and not written, whatever is tried. What `make` makes is made when it is first read: most
-- scripts use little of what is there.
local sealed = setmetatable({}, { __mode = "k" })
local makers = {}
function core.seal(name, fields, make)
  local proxy, meta = {}, { __metatable = false }
  sealed[proxy] = true
  local function fill(with)
    fields, meta.__index = with, with
    -- For the log of calls.
    if host.named then host.named(name, with) end
    return with
  end
  local function filled() return fields or fill(make(name)) end
  if fields then
    fill(fields)
  else
    makers[name] = filled
    function meta.__index(_, key) return filled()[key] end
  end
  function meta.__newindex(_, key)
    error("module `" .. name .. "` can't be changed: `" .. host.text(key) .. "`", 2)
  end
  function meta.__pairs()
    local from, key, value = filled(), nil, nil
    return function()
      key, value = next(from, key)
      return key, value
    end
  end
  return setmetatable(proxy, meta)
end

function core.lazy(name) return core.seal(name, nil, host.build) end

-- What a module is made of, for another one that needs it.
function core.need(name) return makers[name]() end

-- Hands out what has come in; there is nothing to hand out before there are channels.
function core.pump() return 0, false end
function core.pump_ports() return core.pump() end

-- Coroutines. Each is driven by the host and not by the one that resumes it, so a wait inside of one suspends it and those
-- that wait for it, at any depth, and no C stack lies between them.
local coroutines = {}
function coroutines.create(body)
  if type(body) ~= "function" then
    error("bad argument #1 to 'create' (function expected, got " .. type(body) .. ")", 2)
  end
  -- What it is resumed with comes as an answer, the first time as always.
  return create(function(_, ...) return pcall(body, ...) end)
end

function coroutines.resume(thread, ...)
  if type(thread) ~= "thread" then
    error("bad argument #1 to 'resume' (coroutine expected, got " .. type(thread) .. ")", 2)
  end
  return settle(yield(RESUME, thread, ...))
end

local function unwrap(ok, ...)
  if ok then return ... end
  error((...), 0)
end

function coroutines.wrap(body)
  if type(body) ~= "function" then
    error("bad argument #1 to 'wrap' (function expected, got " .. type(body) .. ")", 2)
  end
  local thread = coroutines.create(body)
  return function(...) return unwrap(settle(yield(RESUME, thread, ...))) end
end

function coroutines.yield(...)
  return settle(yield(YIELD, ...))
end

coroutines.status = core.wrap(host.status)

function coroutines.running()
  return running(), not host.is_nested()
end

function coroutines.isyieldable()
  return host.is_nested()
end

function coroutines.spawn(body, ...)
  if type(body) ~= "function" then
    error("bad argument #1 to 'spawn' (function expected, got " .. type(body) .. ")", 2)
  end
  local thread = create(core.guarded)
  settle(host.spawn_coroutine(thread, body, ...))
  return thread
end

-- The body of a coroutine of the driver's own: `true` and what it returned, or `false` and what it raised.
function core.guarded(body, ...)
  return xpcall(body, host.trace, ...)
end

-- The handler of an `xpcall` runs after the stack is unwound: it may wait and be preempted like everything else, and there
-- is nothing in the sandbox by which it could look at the stack.
local function handled(handler, ok, ...)
  if ok then return true, ... end
  return false, select(2, pcall(handler, ...))
end
local function sandboxed_xpcall(body, handler, ...)
  if type(handler) ~= "function" then
    error("bad argument #2 to 'xpcall' (function expected, got " .. type(handler) .. ")", 2)
  end
  return handled(handler, pcall(body, ...))
end

-- A finalizer runs where no hook fires, so objects do not get any: `__gc` is not seen.
local function sandboxed_setmetatable(object, meta)
  local kind = type(object)
  if kind ~= "table" then
    error("bad argument #1 to 'setmetatable' (table expected, got " .. kind .. ")", 2)
  end
  if meta ~= nil and type(meta) ~= "table" then
    error("bad argument #2 to 'setmetatable' (nil or table expected)", 2)
  end
  if getmetatable(object) ~= nil and host.metamethod(object, "__metatable") ~= nil then
    error("cannot change a protected metatable", 2)
  end
  local finalizer = meta and rawget(meta, "__gc")
  if finalizer == nil then return setmetatable(object, meta) end
  rawset(meta, "__gc", nil)
  setmetatable(object, meta)
  rawset(meta, "__gc", finalizer)
  return object
end

local function sandboxed_rawset(object, key, value)
  if sealed[object] then error("a module can't be changed", 2) end
  return rawset(object, key, value)
end

-- Metamethods are called by the VM and not by C, where nothing could be preempted.
local basic_tostring = tostring
local function tostring(value)
  local kind = type(value)
  if kind ~= "table" and kind ~= "userdata" then return basic_tostring(value) end
  local convert = kind == "table" and host.metamethod(value, "__tostring")
  if convert then
    local text = convert(value)
    if type(text) ~= "string" then error("'__tostring' must return a string", 2) end
    return text
  end
  return host.text(value)
end
core.tostring = tostring

local function step(list, at)
  at = at + 1
  local value = list[at]
  if value ~= nil then return at, value end
end
local function ipairs(...)
  if select("#", ...) == 0 then
    error("bad argument #1 to 'ipairs' (table expected, got no value)", 2)
  end
  return step, (...), 0
end

local function print(...)
  local parts = { ... }
  for at = 1, select("#", ...) do parts[at] = tostring(parts[at]) end
  settle(host.print(host.concat(parts, " ")))
end

-- Arithmetic with texts that say a number.
local string_meta = getmetatable("")
local function arithmetic(event, operate)
  string_meta[event] = function(left, right)
    local first, second = tonumber(left), tonumber(right)
    if first and second then return operate(first, second) end
    local other = type(right) == "table" and host.metamethod(right, event)
    if other then return other(left, right) end
    local culprit = first and right or left
    error("attempt to perform arithmetic on a " .. type(culprit) .. " value", 2)
  end
end
arithmetic("__add", function(left, right) return left + right end)
arithmetic("__sub", function(left, right) return left - right end)
arithmetic("__mul", function(left, right) return left * right end)
arithmetic("__div", function(left, right) return left / right end)
arithmetic("__mod", function(left, right) return left % right end)
arithmetic("__pow", function(left, right) return left ^ right end)
arithmetic("__idiv", function(left, right) return left // right end)
arithmetic("__unm", function(left) return -left end)

string_meta.__metatable = false
core.string_meta = string_meta
-- What the prelude has its own functions in place of.
core.basic = { string = string, table = table, os = os }

-- It is a global and in a library that is made later, and the same function in both places.
function core.unpack(...)
  if not core.unpack_list then core.need("table") end
  return core.unpack_list(...)
end

-- The globals of a script, from those of a fresh VM.
function core.sandbox(globals, modules)
  -- The Lua parts of modules run when a script may have put something else into its globals.
  core.clean = {}
  for name, value in next, globals do core.clean[name] = value end
  for _, name in next, {
    "load", "loadstring", "loadfile", "dofile", "collectgarbage", "rawlen", "warn", "io", "debug", "utf8", "package",
  } do
    globals[name] = nil
  end
  globals.xpcall = sandboxed_xpcall
  globals.setmetatable = sandboxed_setmetatable
  globals.rawset = sandboxed_rawset
  globals.tostring = tostring
  globals.ipairs = ipairs
  globals.print = print
  globals.coroutine = core.seal("coroutine", coroutines)
  globals.math = core.seal("math", globals.math)
  for _, name in next, { "table", "string", "os" } do globals[name] = core.lazy(name) end
  string_meta.__index = globals.string
  globals.unpack = core.unpack
  globals.package = core.seal("package", { path = "", cpath = "", loaded = {}, preload = {} })
  globals.require = core.require_of(globals)
  for name, module in next, modules do globals[name] = module end
end

function core.require_of(env)
  return function(name)
    local found = env[name]
    if found == nil then error("module '" .. tostring(name) .. "' not found", 2) end
    return found
  end
end

-- The globals of a library: those of the script, with what it lists itself before them.
function core.library_env(globals, modules)
  local env = setmetatable({}, { __index = globals })
  rawset(env, "require", core.require_of(env))
  for name, module in next, modules do rawset(env, name, module) end
  return env
end

local main

-- Runs the libraries in the order in which they need each other, then the script, and calls its method.
function core.boot(units, method, ...)
  local values = {}
  for at, unit in ipairs(units) do
    for alias, of in next, unit.imports do rawset(unit.env, alias, values[of]) end
    values[at] = unit.chunk()
  end
  local script = values[#units]
  if type(script) ~= "table" then
    error("the script must return a table with the function `" .. method .. "`; it returned " .. type(script), 0)
  end
  main = script[method]
  if type(main) ~= "function" then
    error("the table that the script returns has no function `" .. method .. "`", 0)
  end
  return main(...)
end

-- The method of a script that was booted.
function core.again(...)
  return main(...)
end

return core
