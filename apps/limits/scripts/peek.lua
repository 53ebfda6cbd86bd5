-- ARGV: limits.
local now = clock_ms()
local limits = take_limits()
expire_leases(now)
local warm, epoch, missing = read_state(limits, periods(now), now)
if not warm then return {'COLD', '1', unpack(missing)} end
if #missing > 0 then return {'COLD', '0', unpack(missing)} end
return tell({'PEEK', epoch, int(redis.call('EXISTS', DIRTY))}, allowances(limits))
