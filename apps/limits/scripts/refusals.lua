-- Replies with the minute it is, and how often the tenant was refused: places in time, and counts.
return {math.floor(clock_ms() / 60000), redis.call('HGETALL', REFUSED)}
