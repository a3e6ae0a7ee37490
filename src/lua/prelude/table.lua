-- `table`, with those functions in Lua that would hold a worker in C: here a hook fires, and a comparison may wait.
local core = ...
local error, type, select, math_type, tointeger = error, type, select, math.type, math.tointeger
local getmetatable, tonumber = getmetatable, tonumber
local host = core.host
local fields = { pack = core.basic.table.pack }

local function check(value, at, name)
  if type(value) ~= "table" then
    local got = value == nil and "no value" or type(value)
    error("bad argument #" .. at .. " to '" .. name .. "' (table expected, got " .. got .. ")", 3)
  end
end

local function whole(value, at, name)
  if math_type(value) == "integer" then return value end
  local number = tointeger(tonumber(value))
  if not number then
    error("bad argument #" .. at .. " to '" .. name .. "' (number expected, got " .. type(value) .. ")", 3)
  end
  return number
end

function fields.insert(list, ...)
  check(list, 1, "insert")
  local count = select("#", ...)
  local next_place = #list + 1
  if count == 1 then
    list[next_place] = (...)
    return
  end
  if count ~= 2 then error("wrong number of arguments to 'insert'", 2) end
  local at, value = ...
  at = whole(at, 2, "insert")
  if at < 1 or at > next_place then error("bad argument #2 to 'insert' (position out of bounds)", 2) end
  for place = next_place, at + 1, -1 do list[place] = list[place - 1] end
  list[at] = value
end

function fields.remove(list, at)
  check(list, 1, "remove")
  local size = #list
  if at == nil then
    if size == 0 then return nil end
    at = size
  else
    at = whole(at, 2, "remove")
    if size + 1 ~= at and (at < 1 or at > size + 1) and not (size == 0 and at == 0) then
      error("bad argument #2 to 'remove' (position out of bounds)", 2)
    end
  end
  local removed = list[at]
  for place = at, size - 1 do list[place] = list[place + 1] end
  if at <= size then list[size] = nil else list[at] = nil end
  return removed
end

function fields.move(from, first, last, to, target)
  check(from, 1, "move")
  first, last, to = whole(first, 2, "move"), whole(last, 3, "move"), whole(to, 4, "move")
  if target == nil then target = from else check(target, 5, "move") end
  if last < first then return target end
  if to > last or to <= first or target ~= from then
    for at = 0, last - first do target[to + at] = from[first + at] end
  else
    for at = last - first, 0, -1 do target[to + at] = from[first + at] end
  end
  return target
end

-- In pieces, each of which C joins: what is joined in one go is bounded.
local PIECE = 4096
local join = core.basic.table.concat
function fields.concat(list, separator, first, last)
  check(list, 1, "concat")
  separator = separator == nil and "" or separator
  if type(separator) ~= "string" then separator = core.tostring(separator) end
  first = first == nil and 1 or whole(first, 3, "concat")
  last = last == nil and #list or whole(last, 4, "concat")
  if last - first < PIECE and getmetatable(list) == nil then
    for at = first, last do
      local kind = type(list[at])
      if kind ~= "string" and kind ~= "number" then
        error("invalid value (at index " .. at .. ") in table for 'concat'", 2)
      end
    end
    return join(list, separator, first, last)
  end
  local pieces, piece, size = {}, {}, 0
  for at = first, last do
    local value = list[at]
    local kind = type(value)
    if kind ~= "string" and kind ~= "number" then
      error("invalid value (at index " .. at .. ") in table for 'concat'", 2)
    end
    size = size + 1
    piece[size] = value
    if size == PIECE then
      pieces[#pieces + 1] = join(piece, separator, 1, size)
      size = 0
    end
  end
  if size > 0 then pieces[#pieces + 1] = join(piece, separator, 1, size) end
  -- Few enough to be joined at once, unless there are more than 16 million parts.
  return join(pieces, separator)
end

-- At most so many results of one call: what Lua's stack takes, and C fills it in one go.
local RESULTS_MAX = 100000
local spread = core.basic.table.unpack
function core.unpack_list(list, first, last)
  first = first == nil and 1 or whole(first, 2, "unpack")
  last = last == nil and #list or whole(last, 3, "unpack")
  if last - first >= RESULTS_MAX then error("too many results to unpack", 2) end
  if type(list) == "table" and getmetatable(list) ~= nil then
    local copy = {}
    for at = first, last do copy[at] = list[at] end
    list = copy
  end
  return spread(list, first, last)
end
fields.unpack = core.unpack

-- A merge sort: it needs half as much memory again, and whatever a comparison answers it ends.
local function ascending(left, right) return left < right end
function fields.sort(list, before)
  check(list, 1, "sort")
  if before ~= nil and type(before) ~= "function" then
    error("bad argument #2 to 'sort' (function expected, got " .. type(before) .. ")", 2)
  end
  before = before or ascending
  local size = #list
  -- Short runs by insertion, then pairs of runs into the other table and back.
  local RUN = 8
  for from = 1, size, RUN do
    local to = from + RUN - 1
    if to > size then to = size end
    for at = from + 1, to do
      local value, place = list[at], at
      while place > from and before(value, list[place - 1]) do
        list[place] = list[place - 1]
        place = place - 1
      end
      list[place] = value
    end
  end
  local source, target = list, {}
  local width = RUN
  while width < size do
    for from = 1, size, 2 * width do
      local middle, to = from + width, from + 2 * width - 1
      if middle > size + 1 then middle = size + 1 end
      if to > size then to = size end
      local left, right = from, middle
      for at = from, to do
        if left < middle and (right > to or not before(source[right], source[left])) then
          target[at] = source[left]
          left = left + 1
        else
          target[at] = source[right]
          right = right + 1
        end
      end
    end
    source, target = target, source
    width = 2 * width
  end
  if source ~= list then
    for at = 1, size do list[at] = source[at] end
  end
end

return fields
