-- ARGV: call, amount, tokens, day and month or '' each, scopes, records. Replies with whether it was settled before,
-- whether the counters are in doubt, and an id of the stream that its records lie at or before.
local now = clock_ms()
local now_text = int(now)
local call, amount, tokens, day, month = take(), tonumber(take()), tonumber(take()), tonumber(take()), tonumber(take())
local scopes, records = take(), take_list()
expire_leases(now_text)
if redis.call('ZSCORE', SETTLED, call) then
  local last = redis.call('XREVRANGE', SETTLEMENTS, '+', '-', 'COUNT', 1)[1]
  return {'SETTLED', '1', '0', last and last[1] or redis.call('HGET', STATE, 'drained') or '0-0'}
end
if not day then day, month = calendar(now) end
local held, names = note_over(call), split(scopes)
local holding  -- nil: all of them
if held and held.scopes ~= scopes then
  -- It counts where it was held, and where its caller says it would be held by now.
  local told = {}
  for _, name in ipairs(names) do told[name] = true end
  holding = {}
  for _, name in ipairs(split(held.scopes)) do
    holding[name] = true
    if not told[name] then names[#names + 1] = name end
  end
end
change(names, function(counters, name)
  if held and (not holding or holding[name]) then
    give_back(counters, held.amount, held.tokens)
    refill(counters, held.tokens - tokens, now)
  end
  spend(counters, amount, tokens, day, month)
end)
local at = '0-0'
if #records > 0 then
  -- Whoever reads the stream forgets, too.
  remember_settled(call, now + RECORDED_KEEP_MS)
  if not held then redis.call('HDEL', LAPSED, call) end
  for _, record in ipairs(records) do at = redis.call('XADD', SETTLEMENTS, '*', 'r', record) end
else
  forget_settled(now_text)
  remember_settled(call, now + SETTLED_KEEP_MS)
end
-- A rebuild under way may or may not have read this cost; it decides when it installs.
if redis.call('EXISTS', REBUILD) == 1 then
  local parts = {int(amount), int(tokens), int(day), int(month), unpack(names)}
  redis.call('HSET', LATE, call, table.concat(parts, ' '))
  redis.call('PEXPIRE', LATE, SETTLED_KEEP_MS)
end
if not held then
  mark_dirty(names)
  mark_dirty({'*'})  -- and teams and keys that its caller may not know of
end
return {'SETTLED', '0', held and '0' or '1', at}
