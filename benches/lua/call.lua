-- `add` is a function of the host: it makes an instance of the guest and calls it.
return {
  main = function(count)
    local sum = 0
    for at = 1, count do
      sum = sum + add(at, 1)
    end
    return sum
  end,
}
