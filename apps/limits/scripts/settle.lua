-- ARGV: call, amount, tokens, day and month or '' each, scopes, records. Replies with whether it was settled before,
-- whether the counters are in doubt, and an id of the stream that its records lie at or before.
local now = clock_ms()
local call, amount, tokens, day, month = take(), take(), take(), take(), take()
local scopes, records = take_list(), take_list()
expire_leases(now)
if redis.call('ZSCORE', SETTLED, call) then
  local last = redis.call('XREVRANGE', SETTLEMENTS, '+', '-', 'COUNT', 1)[1]
  return {'SETTLED', '1', '0', last and last[1] or redis.call('HGET', STATE, 'drained') or '0-0'}
end
if day == '' then
  local period = periods(now)
  day, month = period.day, period.month
end
local held = drop(call)
if held then
  give_back_tokens(held.scopes, tonumber(held.tokens) - tonumber(tokens), now)
  -- It counts where it was held, and where its caller says it would be held by now.
  local named = {}
  for _, scope in ipairs(scopes) do named[scope] = true end
  for _, scope in ipairs(held.scopes) do
    if not named[scope] then scopes[#scopes + 1] = scope end
  end
end
remember_settled(call, now, #records > 0 and RECORDED_KEEP_MS or SETTLED_KEEP_MS)
spend(amount, tokens, day, month, scopes)
local at = '0-0'
if #records > 0 then
  redis.call('HDEL', LAPSED, call)
  for _, record in ipairs(records) do at = redis.call('XADD', SETTLEMENTS, '*', 'r', record) end
end
-- A rebuild under way may or may not have read this cost; it decides when it installs.
if redis.call('EXISTS', REBUILD) == 1 then
  local parts = {amount, tokens, day, month, unpack(scopes)}
  redis.call('HSET', LATE, call, table.concat(parts, ' '))
  redis.call('PEXPIRE', LATE, SETTLED_KEEP_MS)
end
if not held then
  mark_dirty(scopes)
  mark_dirty({'*'})  -- and teams and keys that its caller may not know of
end
return {'SETTLED', '0', held and '0' or '1', at}
