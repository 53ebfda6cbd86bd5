-- ARGV: ms to wait for the caller of a lapsed call, id to read after, most entries. Replies with the number of calls that
-- are open or lapsed, and the entries.
local now = clock_ms()
local grace_ms, after, most = tonumber(take()), take(), take()
expire_leases(int(now))
forget_settled(int(now))
local lapsed = redis.call('HGETALL', LAPSED)
for index = 1, #lapsed, 2 do
  local at, amount, tokens, note = string.match(lapsed[index + 1], '^(%d+) (%d+) (%d+)\n(.*)$')
  if tonumber(at) + grace_ms <= now then
    abandon({id = lapsed[index], amount = amount, tokens = tokens, note = note}, now)
  end
end
local entries = redis.call('XRANGE', SETTLEMENTS, '(' .. after, '+', 'COUNT', most)
return {redis.call('ZCARD', OPEN) + redis.call('HLEN', LAPSED), entries}
