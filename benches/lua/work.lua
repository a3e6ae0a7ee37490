-- A list of a hundred entries, made into one text.
return {
  main = function(count)
    local lines = {}
    for at = 1, count do
      lines[at] = { name = "entry " .. at, size = at * 2 }
    end
    local text = ""
    for _, line in ipairs(lines) do
      text = text .. line.name:upper() .. "=" .. line.size .. ";"
    end
    return #text
  end,
}
