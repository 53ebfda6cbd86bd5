-- Room in a pool that takes so many calls at once, and the line before it, in Redis's own time.
-- KEYS: 1 held (zset: token -> end of its lease), 2 line (zset: token -> when it came),
--       3 waiting (zset: token -> until when it counts as waiting).
-- ARGV: operation, places, line's length, lease in ms, tokens.
local HELD, LINE, WAITING = KEYS[1], KEYS[2], KEYS[3]
local operation, places, length, lease_ms = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local token = ARGV[5]
local KEEP_SECONDS = 3600

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

redis.call('ZREMRANGEBYSCORE', HELD, '-inf', now)
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', WAITING, '-inf', now)) do
  redis.call('ZREM', WAITING, gone)
  redis.call('ZREM', LINE, gone)
end

local function keep()
  for _, key in ipairs(KEYS) do redis.call('EXPIRE', key, KEEP_SECONDS) end
end

if operation == 'leave' then
  redis.call('ZREM', HELD, token)
  redis.call('ZREM', LINE, token)
  redis.call('ZREM', WAITING, token)
  return 'left'
end

if operation == 'renew' then
  -- A lease that has run out is taken again even over the limit: that call is being made.
  for index = 5, #ARGV do redis.call('ZADD', HELD, now + lease_ms, ARGV[index]) end
  keep()
  return 'held'
end

local free = places - redis.call('ZCARD', HELD)
local rank = redis.call('ZRANK', LINE, token)
local before = rank or redis.call('ZCARD', LINE)
if before < free then
  redis.call('ZADD', HELD, now + lease_ms, token)
  redis.call('ZREM', LINE, token)
  redis.call('ZREM', WAITING, token)
  keep()
  return 'held'
end
if not rank then
  if before >= length then return 'full' end
  redis.call('ZADD', LINE, now, token)
end
redis.call('ZADD', WAITING, now + lease_ms, token)
keep()
return 'waiting'
