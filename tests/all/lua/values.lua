-- Tests of values: each calls functions of a guest that hand back what they get.
local tests = {}

local function shown(value)
  if type(value) ~= "table" then return type(value) == "string" and string.format("%q", value) or tostring(value) end
  local parts = {}
  for key, item in pairs(value) do parts[#parts + 1] = "[" .. shown(key) .. "]=" .. shown(item) end
  table.sort(parts)
  return "{" .. table.concat(parts, ", ") .. "}"
end

-- What the guest hands back.
local function call(entry, value)
  local answer, problem =
    process.exec("app:" .. entry, "app:processes", value, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
  if problem then return nil, tostring(problem) end
  assert(answer[2] == 0)
  return answer[1]
end

local function check(entry, value, expected)
  local found, problem = call(entry, value)
  if problem or not same(found, expected) then
    error(entry .. " of " .. shown(value) .. ": " .. shown(found) .. " " .. tostring(problem), 2)
  end
end

-- The same value comes back in both forms.
local function both(entry, value)
  check(entry, value, value)
  check(entry .. ".named", value, value)
end

-- A value, Wippy's form of it, and the named form; each of them is accepted as well.
local function forms(entry, value, wippy, named)
  for _, given in ipairs({ value, wippy, named }) do
    check(entry, given, wippy)
    check(entry .. ".named", given, named)
  end
end

function tests.forms()
  forms("bytes", "\0a\255", { 0, 97, 255 }, "\0a\255")
  forms("bytes", {}, {}, "")
  forms("character", "ä", 228, "ä")
  forms("color", "blue", 2, "blue")
  forms("access", { "exec", "read" }, 5, { "read", "exec" })
  forms("shape", "square", { square = true }, "square")
  both("shape", { circle = 2.5 })
  both("shape", { maybe = 7 })
  both("shape", "maybe")
  forms("bare", "ok", { ok = true }, "ok")
  forms("bare", "err", { err = true }, "err")
  both("outcome", { ok = 7 })
  both("outcome", { err = "no" })
  both("outcome", "ok")
  forms("items", { { id = 1, tags = { "green", 0 } } }, { { id = 1, tags = { 1, 0 } } },
    { { id = 1, tags = { "green", "red" } } })
  forms("nested", 7, 7, { some = 7 })
  check("nested", { none = true }, nil)
  check("nested.named", { none = true }, { none = true })
  both("record", { ["top-left"] = 1, name = "a" })
end

function tests.events()
  local numbers = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 }
  for entry, expected in pairs({ ["app:bytes"] = { 97, 98 }, ["app:bytes.named"] = "ab" }) do
    local pid = assert(process.spawn_monitored(entry, "app:processes", "ab", table.unpack(numbers)))
    local event = process.events():receive()
    assert(event.from == pid and event.kind == "pid.exit" and event.type == "EXIT")
    assert(same(event.value, { expected, 0 }), shown(event.value))
    assert(same(event.result.value, { expected, 0 }) and event.result.error == nil)
  end
end

function tests.numbers()
  for _, number in ipairs({ math.maxinteger, math.mininteger, (1 << 53) + 1, -(1 << 53) - 1, 0, -1 }) do
    both("signed", number)
    both("numbers", { number, number })
    if number >= 0 then both("unsigned", number) end
  end
  check("signed", 2.0 ^ 62, 1 << 62)
  -- What a script can say of it is a float, which is a number of 64 bits; what comes back is beyond its whole numbers.
  for _, entry in ipairs({ "unsigned", "unsigned.named" }) do
    local found, problem = call(entry, 2.0 ^ 63)
    assert(found == nil and problem:find("at `[1]`: 9223372036854775808 is beyond the whole numbers of Lua", 1, true), problem)
  end
  both("small", { -128, 255, -32768, 65535, -2147483648, 4294967295 })
  check("small", { 1.0, 2.0, 3.0, 4.0, 5.0, 6.0 }, { 1, 2, 3, 4, 5, 6 })
  for _, number in ipairs({ 0 / 0, 1 / 0, -1 / 0, 0.5, -0.0 }) do
    both("double", number)
    both("single", number)
  end
  assert(1 / call("double", -0.0) == -1 / 0)
  check("double", 3, 3.0)
  check("double", "nan", 0 / 0)
  check("single", 0.1, string.unpack("<f", string.pack("<f", 0.1)))
  for text, code in pairs({ ["\0"] = 0, a = 97, ["€"] = 0x20AC, ["\u{10FFFF}"] = 0x10FFFF }) do
    forms("character", text, code, text)
  end
end

function tests.accepted()
  for _, access in ipairs({ "write", 2, 2.0, { "write" }, { write = true, read = false } }) do
    check("access.named", access, { "write" })
  end
  for _, none in ipairs({ 0, {} }) do check("access.named", none, {}) end
  for _, color in ipairs({ "green", 1, 1.0 }) do check("color.named", color, "green") end
  for _, shape in ipairs({ "square", { square = true } }) do check("shape.named", shape, "square") end
  for _, bytes in ipairs({ "az", { 97, 122 }, { 97.0, 122.0 } }) do check("bytes.named", bytes, "az") end
end

function tests.refused()
  for _, case in ipairs({
    { "signed", 2.0 ^ 63, "argument 1: 9.223372036854776e+18 does not fit s64" },
    { "unsigned", -1, "argument 1: -1 does not fit u64" },
    { "unsigned", 2.0 ^ 64, "argument 1: 1.8446744073709552e+19 does not fit u64" },
    { "signed", 0.5, "argument 1: 0.5 is not a whole number" },
    { "numbers", { 1, 2, 3.5 }, "argument 1[2]: 3.5 is not a whole number" },
    { "small", { 1, 256, 1, 1, 1, 1 }, "argument 1[1]: 256 does not fit u8" },
    { "bytes", { 1, 2, 256 }, "argument 1[2]: 256 does not fit u8" },
    { "items", { { id = 1, tags = {} }, { id = 2, tags = { "red", "gren" } } }, "argument 1[1].tags[1]: unknown case `gren`" },
    { "color", 3, "argument 1: 3 is no case number, expected 0 to 2" },
    { "access", 8, "argument 1: 8 is no set of flags, expected 0 to 7" },
    { "access", "wite", "argument 1: unknown flag `wite`, did you mean `write`" },
    { "shape", { circle = "round" }, "argument 1.circle: expected `f64`" },
    { "shape", {}, "expected a map with one key" },
    { "record", { topleft = 1 }, "argument 1: unknown field `topleft`, did you mean `top-left`" },
    { "character", 0xD800, "argument 1: 55296 does not fit char" },
    { "text", "\255", "argument 1: expected text, found bytes that are not utf-8 at byte 0" },
  }) do
    local entry, value, expected = table.unpack(case)
    local found, problem = call(entry, value)
    assert(found == nil and problem:find(expected, 1, true), entry .. ": " .. tostring(problem))
  end
end

function tests.gaps()
  both("gaps", { nil, 2, nil, nil, 5 })
  both("gaps", {})
  both("numbers", {})
  both("record", {})
  both("record", { name = "a" })
  both("pair", { 1 })
  both("pair", { 1, 2 })
  local found, problem = call("numbers", { 1, nil, 3 })
  assert(found == nil and problem:find("argument 1[1]: expected `s64`, found nothing", 1, true), problem)
end

function tests.deep()
  local function nest(levels)
    local value = 1
    for _ = 1, levels do value = { value } end
    return value
  end
  -- As deep as a payload may be; the guest then says that it wants something else.
  local found, problem = call("numbers", nest(128))
  assert(found == nil and problem:find("argument 1[0]: expected `s64`", 1, true), problem)
  local found, problem = call("numbers", nest(129))
  assert(found == nil and problem:find("tables nest deeper than 128, or one contains itself", 1, true), problem)
  local cycle = {}
  cycle[1] = cycle
  local found, problem = call("numbers", cycle)
  assert(found == nil and problem:find("or one contains itself", 1, true), problem)
end

return {
  main = function(test) tests[test]() end,
}
