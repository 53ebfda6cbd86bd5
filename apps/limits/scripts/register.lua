-- ARGV: lease ms, calls admitted less than a minute ago, number of calls, then id, amount, tokens, note and scopes each.
-- Holds them whatever the limits say.
local now = clock_ms()
local lease_ms = tonumber(take())
local fresh = {}
for _, id in ipairs(take_list()) do fresh[id] = true end
local registered = {}
expire_leases(int(now))

-- The minute's buckets were lost with the call, and no rebuild can read of it: only its caller knows.
local function debit(call, scopes)
  change(split(scopes), function(counters)
    counters[REQUESTS] = counters[REQUESTS] + MINUTE
    counters[TOKENS] = counters[TOKENS] + tonumber(call.tokens) * MINUTE
    if counters[REQUESTS_AT] == 0 then counters[REQUESTS_AT] = now end
    if counters[TOKENS_AT] == 0 then counters[TOKENS_AT] = now end
  end)
  redis.call('PEXPIRE', STATE, STATE_KEEP_MS)
end

for _ = 1, tonumber(take()) do
  local call, scopes = take_call(), take()
  if not redis.call('ZSCORE', OPEN, call.id) and not redis.call('ZSCORE', SETTLED, call.id) then
    -- One whose lease has only run out is in the buckets still.
    if fresh[call.id] and redis.call('HEXISTS', LAPSED, call.id) == 0 then debit(call, scopes) end
    hold(call, scopes, now + lease_ms)
    registered[#registered + 1] = call.id
  end
end
return registered
