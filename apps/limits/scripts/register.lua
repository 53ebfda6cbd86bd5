-- ARGV: lease ms, number of calls, then id, amount, tokens, note and scopes each. Holds them whatever the limits say.
local now = clock_ms()
local lease_ms = tonumber(take())
local registered = {}
expire_leases(int(now))
for _ = 1, tonumber(take()) do
  local call, scopes = take_call(), take()
  if not redis.call('ZSCORE', OPEN, call.id) and not redis.call('ZSCORE', SETTLED, call.id) then
    hold(call, scopes, now + lease_ms)
    registered[#registered + 1] = call.id
  end
end
return registered
