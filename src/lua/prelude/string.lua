-- `string`, with those functions that could hold a worker done in slices, and without what makes bytecode. Callbacks and
-- metamethods are called from here and not from C, where nothing could be preempted.
local core = ...
local host, settle = core.host, core.settle
local basic = core.basic.string
local error, type, select, tonumber, tostring = error, type, select, tonumber, core.tostring
local byte_find, sub, tointeger, getmetatable = basic.find, basic.sub, math.tointeger, getmetatable
-- Those of the prelude.
local tables = core.need("table")
local concat, unpack = tables.concat, tables.unpack

local fields = {}
for name, value in next, basic do fields[name] = value end
fields.dump = nil

local function text(value, at, name)
  local kind = type(value)
  if kind == "string" then return value end
  if kind == "number" then return tostring(value) end
  local got = value == nil and "no value" or kind
  error("bad argument #" .. at .. " to '" .. name .. "' (string expected, got " .. got .. ")", 3)
end

local function whole(value, at, name)
  local number = tointeger(tonumber(value))
  if number then return number end
  error("bad argument #" .. at .. " to '" .. name .. "' (number expected, got " .. type(value) .. ")", 3)
end

-- Where a search begins, counted from zero.
local function start(subject, from, name)
  if from == nil then return 0 end
  from = whole(from, 3, name)
  if from > 0 then return from - 1 end
  if from == 0 then return 0 end
  from = #subject + from
  return from < 0 and 0 or from
end

-- Without letters that mean something in a pattern it is one already.
local function is_plain(pattern)
  return byte_find(pattern, "[%^%$%*%+%?%.%(%)%[%]%%%-]") == nil
end

function fields.find(subject, pattern, from, plain)
  subject, pattern = text(subject, 1, "find"), text(pattern, 2, "find")
  local first = start(subject, from, "find")
  if first > #subject then return nil end
  if plain or is_plain(pattern) then return host.find_plain(subject, pattern, first) end
  return settle(host.find(subject, pattern, first))
end

fields["match"] = function(subject, pattern, from)
  subject, pattern = text(subject, 1, "match"), text(pattern, 2, "match")
  local first = start(subject, from, "match")
  if first > #subject then return nil end
  return settle(host.match(subject, pattern, first))
end

function fields.gmatch(subject, pattern)
  subject, pattern = text(subject, 1, "gmatch"), text(pattern, 2, "gmatch")
  local search = host.search(pattern, false)
  return function() return settle(host.search_next(search, subject, pattern)) end
end

-- What a function or a table says instead of a match.
local function instead(replacement, is_table, ...)
  if is_table then return replacement[(...)] end
  return replacement(...)
end

local function replaced(pieces, search, replacement, is_table, subject, done, from, to, ...)
  if from == nil then return nil end
  local value = instead(replacement, is_table, ...)
  if not value then
    value = sub(subject, from, to)
  elseif type(value) ~= "string" and type(value) ~= "number" then
    error("invalid replacement value (a " .. type(value) .. ")", 0)
  end
  pieces[#pieces + 1] = sub(subject, done + 1, from - 1)
  pieces[#pieces + 1] = value
  return to
end

function fields.gsub(subject, pattern, replacement, most)
  subject, pattern = text(subject, 1, "gsub"), text(pattern, 2, "gsub")
  local kind = type(replacement)
  most = most ~= nil and whole(most, 4, "gsub") or nil
  if kind == "string" or kind == "number" then
    return settle(host.replace(subject, pattern, tostring(replacement), most))
  end
  if kind ~= "function" and kind ~= "table" then
    local got = replacement == nil and "no value" or kind
    error("bad argument #3 to 'gsub' (string/function/table expected, got " .. got .. ")", 2)
  end
  local search = host.search(pattern, true)
  local pieces, done, count = {}, 0, 0
  while most == nil or count < most do
    local to = replaced(
      pieces, search, replacement, kind == "table", subject, done, settle(host.search_next(search, subject, pattern))
    )
    if to == nil then break end
    done, count = to, count + 1
  end
  pieces[#pieces + 1] = sub(subject, done + 1)
  return concat(pieces), count
end

-- By doubling: copies in one go, and memory is asked for before the work is done.
local SMALL = 4096
function fields.rep(unit, count, separator)
  unit, count = text(unit, 1, "rep"), whole(count, 2, "rep")
  separator = separator ~= nil and text(separator, 3, "rep") or ""
  if count < 1 then return "" end
  local size = #unit + #separator
  if size == 0 then return "" end
  if count <= SMALL // size then return basic.rep(unit, count, separator) end
  if count > host.memory_left() // size then error("not enough memory", 0) end
  local result, block, left = "", unit .. separator, count - 1
  while left > 0 do
    if left & 1 == 1 then result = result .. block end
    left = left >> 1
    if left > 0 then block = block .. block end
  end
  return result .. unit
end

-- Objects are made texts here, where `__tostring` is called by the VM.
function fields.format(form, ...)
  local values, count = { ... }, select("#", ...)
  for at = 1, count do
    local kind = type(values[at])
    if kind == "table" or kind == "userdata" then values[at] = tostring(values[at]) end
  end
  return basic.format(form, unpack(values, 1, count))
end

-- Letter by letter, so long texts are done in pieces.
local PIECE = 65536
for _, name in next, { "lower", "upper" } do
  local convert = basic[name]
  fields[name] = function(subject)
    subject = text(subject, 1, name)
    if #subject <= PIECE then return convert(subject) end
    local pieces = {}
    for from = 1, #subject, PIECE do pieces[#pieces + 1] = convert(sub(subject, from, from + PIECE - 1)) end
    return concat(pieces)
  end
end
function fields.reverse(subject)
  subject = text(subject, 1, "reverse")
  if #subject <= PIECE then return basic.reverse(subject) end
  local pieces = {}
  for to = #subject, 1, -PIECE do
    local from = to - PIECE + 1
    pieces[#pieces + 1] = basic.reverse(sub(subject, from < 1 and 1 or from, to))
  end
  return concat(pieces)
end

core.string_meta.__index = fields
return fields
