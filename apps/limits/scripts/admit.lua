-- ARGV: epoch or '', lease ms, scopes and their limits, calls (n, then id, amount, tokens and note each), and an amount or
-- '': where a budget says no and leaves as much, the caller asks for less at once. Replies with the counters of each scope.
local now = clock_ms()
local now_text = int(now)
local epoch, lease_ms = tonumber(take()), tonumber(take())
expire_leases(now_text)
local warm, current, scopes, list = take_scopes(now)
current = tonumber(current or '')
if epoch and current and epoch < current then return {'STALE', int(current)} end
local missing, month = missing_of(list, now)
if not warm then return {'COLD', '1', unpack(missing or {})} end
if missing then return {'COLD', '0', unpack(missing)} end
if epoch and epoch > current then redis.call('HSET', STATE, 'epoch', int(epoch)) end

local fresh, asked, asked_tokens = {}, 0, 0
for _ = 1, tonumber(take()) do
  local call = take_call()
  if redis.call('ZSCORE', SETTLED, call.id) then return {'SETTLED', call.id} end
  if not redis.call('ZSCORE', OPEN, call.id) then
    fresh[#fresh + 1] = call
    asked = asked + tonumber(call.amount)
    asked_tokens = asked_tokens + tonumber(call.tokens)
  end
end
local enough = tonumber(take())
local count = #fresh
local reply = {'ADMITTED', count == 0 and '1' or '0', redis.call('EXISTS', DIRTY)}
if count == 0 then
  for index, scope in ipairs(list) do reply[index + 3] = pack(scope[4]) end
  return reply
end

local worst, worst_ms
-- A limit with so much left of it says no; it could let the set pass after so long (-1: never).
local function refuse(kind, name, most, left, needed, ms)
  if needed > most then ms = -1 end
  if not worst or (worst_ms >= 0 and (ms < 0 or ms > worst_ms)) then worst, worst_ms = {kind, name, most, left}, ms end
end

local function check_bucket(kind, name, most, used, needed)
  if most < 0 then return end
  local left = math.floor((most * MINUTE - used) / MINUTE)
  if needed > left then
    refuse(kind, name, most, left, needed, math.ceil((needed * MINUTE - (most * MINUTE - used)) / most))
  end
end

-- Open calls may settle for less than they hold; what is spent comes back with the next period only.
local function check_period(kind, name, most, spent, held, needed, ends)
  if most < 0 then return end
  local left = most - spent - held
  if needed > left then refuse(kind, name, most, left, needed, needed <= most - spent and 1000 or ends() - now) end
end

local function day_ends() return (math.floor(now / 86400000) + 1) * 86400000 end
local function month_ends() return days_before(month + 1) * 86400000 end

for _, scope in ipairs(list) do
  local name, most, has = scope[1], scope[3], scope[4]
  check_bucket('requests_per_minute', name, most[1], has[REQUESTS], count)
  if most[2] >= 0 and count > most[2] - has[RUNNING] then
    refuse('parallel_calls', name, most[2], most[2] - has[RUNNING], count, 1000)
  end
  check_bucket('tokens_per_minute', name, most[5], has[TOKENS], asked_tokens)
  check_period('budget_day', name, most[3], has[DAY_SPENT], has[HELD], asked, day_ends)
  check_period('budget_month', name, most[4], has[MONTH_SPENT], has[HELD], asked, month_ends)
  check_period('tokens_per_day', name, most[6], has[DAY_TOKENS], has[HELD_TOKENS], asked_tokens, day_ends)
  check_period('tokens_per_month', name, most[7], has[MONTH_TOKENS], has[HELD_TOKENS], asked_tokens, month_ends)
end
-- Refused calls are counted by minute for an hour, and by hour for a month.
local function count_refused(kind, level)
  local minute = math.floor(now / 60000)
  local hour = math.floor(minute / 60)
  redis.call('HINCRBY', REFUSED, 'm ' .. minute .. ' ' .. kind .. ' ' .. level, count)
  if redis.call('HINCRBY', REFUSED, 'h ' .. hour .. ' ' .. kind .. ' ' .. level, count) > count then return end
  for _, field in ipairs(redis.call('HKEYS', REFUSED)) do
    local unit, place = string.match(field, '^(%a) (%d+)')
    place = tonumber(place)
    if (unit == 'm' and place < minute - 60) or (unit == 'h' and place < hour - 720) then
      redis.call('HDEL', REFUSED, field)
    end
  end
  redis.call('PEXPIRE', REFUSED, STATE_KEEP_MS)
end

if worst then
  local is_budget = worst[1] == 'budget_day' or worst[1] == 'budget_month'
  if not (is_budget and enough and math.max(0, worst[4]) >= enough) then
    count_refused(worst[1], string.match(worst[2], '^%a+'))
  end
  return {'REFUSED', worst[1], worst[2], int(worst_ms), int(math.max(0, worst[4])), int(worst[3])}
end

-- A set of keys that is new, or has been empty, needs an expiry; renewals lengthen it, and now and then a call.
local young = #list == 0 or list[1][4][RUNNING] == 0 or now % 64 == 0
local written = {'HSET', STATE}
for index, scope in ipairs(list) do
  local counters = scope[4]
  counters[RUNNING] = counters[RUNNING] + count
  counters[HELD] = counters[HELD] + asked
  counters[HELD_TOKENS] = counters[HELD_TOKENS] + asked_tokens
  if scope[3][1] >= 0 then counters[REQUESTS] = counters[REQUESTS] + count * MINUTE end
  if scope[3][5] >= 0 then counters[TOKENS] = counters[TOKENS] + asked_tokens * MINUTE end
  local packed = pack(counters)
  reply[index + 3] = packed
  written[index * 2 + 1], written[index * 2 + 2] = scope[2], packed
end
if #list > 0 then redis.call(unpack(written)) end
local expiry_text = int(now + lease_ms)
for _, call in ipairs(fresh) do note_open(call, scopes, expiry_text) end
if young then
  redis.call('PEXPIRE', OPEN, KEEP_MS)
  redis.call('PEXPIRE', CALLS, KEEP_MS)
end
return reply
