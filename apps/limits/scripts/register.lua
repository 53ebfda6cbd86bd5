-- ARGV: lease ms, number of calls, then call, amount and scopes each. Holds them whatever the limits say.
local now = clock_ms()
local lease_ms = tonumber(take())
local registered = {}
expire_leases(now)
for _ = 1, tonumber(take()) do
  local call, amount, scopes = take(), take(), take_list()
  if not redis.call('ZSCORE', OPEN, call) and not redis.call('ZSCORE', SETTLED, call) then
    hold(call, amount, scopes, now + lease_ms)
    registered[#registered + 1] = call
  end
end
return registered
