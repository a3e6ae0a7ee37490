-- What starts and calls bring beside their arguments: settings that many of them may share. Every `with_` makes another
-- object, and none is changed.
local core = ...
local error, type, next, setmetatable = error, type, next, setmetatable

-- Gives a class the settings that starts and calls have in common: how to make an object with changes, and one without any.
function core.manner(class, name)
  local meta = { __index = class, __metatable = false, __name = name }

  local function with(object, changes)
    local settings = {}
    for key, value in next, object.settings do settings[key] = value end
    for key, value in next, changes do settings[key] = value end
    return setmetatable({ settings = settings }, meta)
  end

  -- What the process can look up with `ctx`, and everybody that it starts.
  function class:with_context(values)
    if type(values) ~= "table" then error("bad argument #1 to 'with_context' (table expected)", 2) end
    local context = {}
    for key, value in next, self.settings.context or {} do context[key] = value end
    for key, value in next, values do
      if type(key) ~= "string" then error("the keys of a context are texts", 2) end
      context[key] = value
    end
    return with(self, { context = context })
  end

  -- Whom the process acts as; whether that may be is asked when it is to begin.
  function class:with_actor(actor)
    if type(actor) ~= "userdata" then error("bad argument #1 to 'with_actor' (actor expected)", 2) end
    return with(self, { actor = actor })
  end

  function class:with_scope(scope)
    if type(scope) ~= "userdata" then error("bad argument #1 to 'with_scope' (scope expected)", 2) end
    return with(self, { scope = scope })
  end

  return with, setmetatable({ settings = {} }, meta)
end
