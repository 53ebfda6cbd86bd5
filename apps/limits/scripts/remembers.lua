-- KEYS: 1 since when this server remembers (ms). Replies with that, and with how long it is ago.
local now = clock_ms()
local since = redis.call('GET', KEYS[1])
if not since then
  since = int(now)
  redis.call('SET', KEYS[1], since)
end
return {since, int(now - tonumber(since))}
