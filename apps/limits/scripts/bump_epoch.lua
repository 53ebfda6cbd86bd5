-- Epochs follow the clock, so that one given out after a loss is later than any given out before it.
local epoch = math.max(tonumber(redis.call('HGET', STATE, 'epoch') or '0') + 1, clock_ms())
redis.call('HSET', STATE, 'epoch', int(epoch))
return int(epoch)
