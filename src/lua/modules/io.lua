-- The parts of `io` that put texts together.
local core, fields = ...
local host, settle, tostring = core.host, core.settle, core.tostring
local select = select
local out, err = fields.write, fields.ewrite
fields.ewrite = nil

local function texts(...)
  local parts = { ... }
  for at = 1, select("#", ...) do parts[at] = tostring(parts[at]) end
  return parts
end

function fields.write(...)
  return settle(out(host.concat(texts(...), "")))
end

function fields.print(...)
  return settle(out(host.concat(texts(...), "\t") .. "\n"))
end

function fields.eprint(...)
  return settle(err(host.concat(texts(...), "\t") .. "\n"))
end
