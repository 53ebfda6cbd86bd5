-- A tenant's tokens by the second, over all processes. KEYS[1]: the microsecond at which all that was told would be paid
-- off at the agreed rate. ARGV: tokens told since (fewer than none give back), rate per second, burst in seconds. Replies
-- with the microseconds to wait.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local even = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now) + tonumber(ARGV[1]) / tonumber(ARGV[2]) * 1000000
local ahead = math.max(0, even - now)
redis.call('SET', KEYS[1], string.format('%.0f', even), 'PX', string.format('%.0f', math.ceil(ahead / 1000) + 1000))
return string.format('%.0f', math.max(0, ahead - tonumber(ARGV[3]) * 1000000))
