-- ARGV: scopes and their limits. Replies with the counters of each scope.
local now = clock_ms()
expire_leases(int(now))
local warm, epoch, _, list = take_scopes(now)
local missing = missing_of(list, now)
if not warm then return {'COLD', '1', unpack(missing or {})} end
if missing then return {'COLD', '0', unpack(missing)} end
local reply = {'PEEK', epoch, redis.call('EXISTS', DIRTY)}
for index, scope in ipairs(list) do reply[index + 3] = pack(scope[4]) end
return reply
