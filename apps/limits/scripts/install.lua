-- ARGV: token, lease ms, dirty scopes (n, then scope and version each), settled calls (n, then call, amount, tokens, day,
-- month, scopes each), spent (n, then counter, amount and tokens each), whole; and with whole '1': open calls (n, then
-- id, amount, tokens, note, scopes each), requests and tokens of the last minute (n, then scope, requests, tokens each).
local now = clock_ms()
local token, lease_ms = take(), tonumber(take())
if redis.call('GET', REBUILD) ~= token then return {'LOST'} end
expire_leases(now)

for _ = 1, tonumber(take()) do
  local scope, version = take(), take()
  if redis.call('HGET', DIRTY, scope) == version then redis.call('HDEL', DIRTY, scope) end
end

-- What the records have settled is settled here too, so that its own settlement, still on its way, adds nothing.
local recorded = {}
for _ = 1, tonumber(take()) do
  local call, amount, tokens, day, month = take(), take(), take(), take(), take()
  local scopes = take_list()
  recorded[call] = true
  if not redis.call('ZSCORE', SETTLED, call) then
    local held = drop(call)
    if held then
      scopes = held.scopes
      give_back_tokens(scopes, tonumber(held.tokens) - tonumber(tokens), now)
    end
    remember_settled(call, now, SETTLED_KEEP_MS)
    spend(amount, tokens, day, month, scopes)
  end
end

local installed = {}
for _ = 1, tonumber(take()) do
  local counter, amount, tokens = take(), take(), take()
  redis.call('HSET', STATE, 's:' .. counter, amount, 'k:' .. counter, tokens)
  installed[counter] = true
end
-- Settlements that overtook the snapshot are missing from the sums just written.
local late = redis.call('HGETALL', LATE)
for index = 1, #late, 2 do
  if not recorded[late[index]] then
    local parts = {}
    for part in string.gmatch(late[index + 1], '%S+') do parts[#parts + 1] = part end
    for scope = 5, #parts do
      for period = 3, 4 do
        local counter = parts[scope] .. '|' .. parts[period]
        if installed[counter] then
          redis.call('HINCRBY', STATE, 's:' .. counter, parts[1])
          redis.call('HINCRBY', STATE, 'k:' .. counter, parts[2])
        end
      end
    end
  end
end

if take() == '1' then
  for _ = 1, tonumber(take()) do
    local call, scopes = take_call(), take_list()
    if not redis.call('ZSCORE', OPEN, call.id) and not redis.call('ZSCORE', SETTLED, call.id) then
      hold(call, scopes, now + lease_ms)
    end
  end
  for _ = 1, tonumber(take()) do
    local scope, requests, tokens = take(), tonumber(take()), tonumber(take())
    -- The rate of the token bucket is told with the first admission; until then nothing refills it.
    redis.call('HSET', STATE, 'bu:' .. scope, int(requests * MINUTE), 'bt:' .. scope, int(now),
      'tb:' .. scope, int(tokens * MINUTE) .. ' ' .. int(now) .. ' 0')
  end
end

-- Once a day, forget periods that are over.
local period = periods(now)
if redis.call('HGET', STATE, 'swept') ~= period.day then
  for _, field in ipairs(redis.call('HKEYS', STATE)) do
    local name = string.match(field, '^[sk]:.*|(.-)$')
    if name and name < period.day and name ~= period.month then redis.call('HDEL', STATE, field) end
  end
  redis.call('HSET', STATE, 'swept', period.day)
end
redis.call('HSET', STATE, 'warm', int(now))
redis.call('HSETNX', STATE, 'epoch', int(now))
redis.call('PEXPIRE', STATE, STATE_KEEP_MS)
redis.call('DEL', REBUILD, LATE)
return {'INSTALLED'}
