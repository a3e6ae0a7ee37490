-- A value goes to another coroutine and comes back.
return {
  main = function(count)
    local there, back = channel.new(), channel.new()
    coroutine.spawn(function()
      for _ = 1, count do
        back:send(there:receive() + 1)
      end
    end)
    local sum = 0
    for at = 1, count do
      there:send(at)
      sum = sum + back:receive()
    end
    return sum
  end,
}
