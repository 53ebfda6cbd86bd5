-- ARGV: lease ms, calls, settled calls. Replies with the id up to which the stream is drained, the number of calls that
-- hold nothing (any more), these, and the settled calls whose settlement is not known (any more).
local END = '18446744073709551615-0'
local now = clock_ms()
local lease_ms = tonumber(take())
local lost, forgotten = {}, {}
expire_leases(int(now))
for _, call in ipairs(take_list()) do
  if redis.call('ZSCORE', OPEN, call) then
    redis.call('ZADD', OPEN, int(now + lease_ms), call)
  else
    lost[#lost + 1] = call
  end
end
for _, call in ipairs(take_list()) do
  if redis.call('ZSCORE', SETTLED, call) then
    redis.call('ZADD', SETTLED, 'GT', int(now + RECORDED_KEEP_MS), call)
  else
    forgotten[#forgotten + 1] = call
  end
end
forget_settled(int(now))
redis.call('PEXPIRE', OPEN, KEEP_MS)
redis.call('PEXPIRE', CALLS, KEEP_MS)
-- An empty stream is drained to its end, whatever was said before a loss.
local drained = redis.call('XLEN', SETTLEMENTS) == 0 and END or redis.call('HGET', STATE, 'drained') or '0-0'
local reply = {drained, int(#lost)}
for _, call in ipairs(lost) do reply[#reply + 1] = call end
for _, call in ipairs(forgotten) do reply[#reply + 1] = call end
return reply
