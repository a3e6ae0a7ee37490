-- `string`, without what makes bytecode, and with the arithmetic of texts done where a hook fires.
local core, globals = ...
local fields = {}
for name, value in next, globals.string do fields[name] = value end
fields.dump = nil

local meta = getmetatable("")
meta.__index = fields
meta.__metatable = false
globals.string = core.seal("string", fields)
