-- Each call has an instance of the guest.
return {
  main = function(count)
    local sum = 0
    for at = 1, count do
      sum = sum + assert(funcs.call("app:add", at, 1))
    end
    return sum
  end,
}
