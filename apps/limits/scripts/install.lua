-- ARGV: token, lease ms, dirty scopes (n, then scope and version each), settled calls (n, then call, amount, tokens, day,
-- month, scopes each), spent (n, then scope, day or '', month or '', amount and tokens each), whole; and with whole '1':
-- open calls (n, then id, amount, tokens, note, scopes each), requests and tokens of the last minute (n, then scope,
-- requests, tokens each).
local now = clock_ms()
local token, lease_ms = take(), tonumber(take())
if redis.call('GET', REBUILD) ~= token then return {'LOST'} end
expire_leases(int(now))
local today, this_month = calendar(now)

for _ = 1, tonumber(take()) do
  local scope, version = take(), take()
  if redis.call('HGET', DIRTY, scope) == version then redis.call('HDEL', DIRTY, scope) end
end

-- What the records have settled is settled here too, so that its own settlement, still on its way, adds nothing.
local recorded = {}
for _ = 1, tonumber(take()) do
  local call, amount, tokens = take(), tonumber(take()), tonumber(take())
  local day, month, scopes = tonumber(take()), tonumber(take()), take()
  recorded[call] = true
  if not redis.call('ZSCORE', SETTLED, call) then
    local held = note_over(call)
    if held then scopes = held.scopes end
    remember_settled(call, now + SETTLED_KEEP_MS)
    change(split(scopes), function(counters)
      if held then
        give_back(counters, held.amount, held.tokens)
        refill(counters, held.tokens - tokens, now)
      end
      spend(counters, amount, tokens, day, month)
    end)
  end
end

-- A period that ended while it was being read is of no use any more.
local installed = {}
for _ = 1, tonumber(take()) do
  local name, day, month, amount, tokens = take(), tonumber(take()), tonumber(take()), tonumber(take()), tonumber(take())
  installed[name] = installed[name] or {}
  change({name}, function(counters)
    if day == today then
      counters[DAY], counters[DAY_SPENT], counters[DAY_TOKENS] = day, amount, tokens
      installed[name].day = day
    elseif month == this_month then
      counters[MONTH], counters[MONTH_SPENT], counters[MONTH_TOKENS] = month, amount, tokens
      installed[name].month = month
    end
  end)
end
-- Settlements that overtook the snapshot are missing from the sums just written.
local late = redis.call('HGETALL', LATE)
for index = 1, #late, 2 do
  if not recorded[late[index]] then
    local parts = split(late[index + 1])
    local amount, tokens = tonumber(parts[1]), tonumber(parts[2])
    local day, month = tonumber(parts[3]), tonumber(parts[4])
    for place = 5, #parts do
      local new = installed[parts[place]]
      if new then
        change({parts[place]}, function(counters)
          spend(counters, amount, tokens, new.day and day or -2, new.month and month or -2)
        end)
      end
    end
  end
end

if take() == '1' then
  -- What calls hold is counted anew, from themselves.
  for name in pairs(each_scope()) do
    change({name}, function(counters) counters[RUNNING], counters[HELD], counters[HELD_TOKENS] = 0, 0, 0 end)
  end
  local calls = redis.call('HGETALL', CALLS)
  for index = 1, #calls, 2 do
    local held = read_call(calls[index], calls[index + 1])
    change(split(held.scopes), function(counters) take_up(counters, held.amount, held.tokens) end)
  end
  for _ = 1, tonumber(take()) do
    local call, scopes = take_call(), take()
    if not redis.call('ZSCORE', OPEN, call.id) and not redis.call('ZSCORE', SETTLED, call.id) then
      hold(call, scopes, now + lease_ms)
    end
  end
  for _ = 1, tonumber(take()) do
    local scope, requests, tokens = take(), tonumber(take()), tonumber(take())
    -- What was registered since the loss is in the buckets already, and in no record. The rate of the token bucket is
    -- told with the first admission; until then nothing refills it.
    change({scope}, function(counters)
      counters[REQUESTS], counters[REQUESTS_AT] = counters[REQUESTS] + requests * MINUTE, now
      counters[TOKENS], counters[TOKENS_AT], counters[TOKENS_RATE] = counters[TOKENS] + tokens * MINUTE, now, 0
    end)
  end
end

-- Once a day, forget periods that are over, and scopes of which nothing is left to tell.
if redis.call('HGET', STATE, 'swept') ~= int(today) then
  for name in pairs(each_scope()) do
    change({name}, function(counters)
      if counters[DAY] < today then counters[DAY] = -1 end
      if counters[MONTH] < this_month then counters[MONTH] = -1 end
      -- A bucket is full again within a minute.
      if counters[REQUESTS_AT] < now - DAY_MS then counters[REQUESTS], counters[REQUESTS_AT] = 0, 0 end
      if counters[TOKENS_AT] < now - DAY_MS then counters[TOKENS], counters[TOKENS_AT] = 0, 0 end
    end)
  end
  redis.call('HSET', STATE, 'swept', int(today))
end
redis.call('HSET', STATE, 'warm', int(now))
redis.call('HSETNX', STATE, 'epoch', int(now))
redis.call('PEXPIRE', STATE, STATE_KEEP_MS)
redis.call('DEL', REBUILD, LATE)
return {'INSTALLED'}
