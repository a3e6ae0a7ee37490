-- A value goes to a coroutine that is resumed with it and comes back by its yield.
return {
  main = function(count)
    local answer = coroutine.wrap(function(value)
      while true do
        value = coroutine.yield(value + 1)
      end
    end)
    local sum = 0
    for at = 1, count do
      sum = sum + answer(at)
    end
    return sum
  end,
}
