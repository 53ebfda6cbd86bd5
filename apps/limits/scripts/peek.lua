-- ARGV: limits.
local now = clock_ms()
local limits = take_limits()
expire_leases(now)
local period = periods(now)
local missing = missing_counters(limits, period)
if redis.call('HEXISTS', STATE, 'warm') == 0 then return {'COLD', '1', unpack(missing)} end
if #missing > 0 then return {'COLD', '0', unpack(missing)} end
local reply = {'PEEK', redis.call('HGET', STATE, 'epoch'), int(redis.call('EXISTS', DIRTY))}
return tell(reply, allowances(limits, period, now))
