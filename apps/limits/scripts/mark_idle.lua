-- KEYS: 1 busy tenants (zset: tenant -> when it was said). ARGV: tenant, when.
local tenant, seen = take(), take()
if redis.call('ZSCORE', KEYS[1], tenant) ~= seen then return 0 end
return redis.call('ZREM', KEYS[1], tenant)
