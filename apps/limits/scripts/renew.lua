-- ARGV: lease ms, calls. Replies with those that hold nothing (any more).
local now = clock_ms()
local lease_ms = tonumber(take())
local lost = {}
expire_leases(now)
for _, call in ipairs(take_list()) do
  if redis.call('ZSCORE', OPEN, call) then
    redis.call('ZADD', OPEN, int(now + lease_ms), call)
  else
    lost[#lost + 1] = call
  end
end
redis.call('PEXPIRE', OPEN, KEEP_MS)
redis.call('PEXPIRE', CALLS, KEEP_MS)
return lost
