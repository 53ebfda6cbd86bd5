-- ARGV: call, amount, day and month or '' each, scopes.
local now = clock_ms()
local call, amount, day, month = take(), take(), take(), take()
local scopes = take_list()
expire_leases(now)
if redis.call('ZSCORE', SETTLED, call) then return {'SETTLED', '1', '0'} end
if day == '' then
  local period = periods(now)
  day, month = period.day, period.month
end
local held = drop(call)
remember_settled(call, now)
spend(amount, day, month, scopes)
-- A rebuild under way may or may not have read this cost; it decides when it installs.
if redis.call('EXISTS', REBUILD) == 1 then
  redis.call('HSET', LATE, call, amount .. ' ' .. day .. ' ' .. month .. ' ' .. table.concat(scopes, ' '))
  redis.call('PEXPIRE', LATE, SETTLED_KEEP_MS)
end
if not held then mark_dirty(scopes) end
return {'SETTLED', '0', held and '0' or '1'}
