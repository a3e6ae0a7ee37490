-- Two coroutines that are resumed from outside, each with what the other one yielded.
return {
  ask = function(count)
    local sum = 0
    for at = 1, count do
      sum = sum + coroutine.yield(at)
    end
    return sum
  end,
  answer = function(value)
    while true do
      value = coroutine.yield(value + 1)
    end
  end,
}
