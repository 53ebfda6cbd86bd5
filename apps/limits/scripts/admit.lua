-- ARGV: epoch or '', lease ms, limits, calls (n, then id, amount, tokens and note each).
local now = clock_ms()
local epoch, lease_ms = tonumber(take()), tonumber(take())
local limits = take_limits()
expire_leases(now)
local period = periods(now)
local warm, current, missing = read_state(limits, period, now)
current = tonumber(current or '')
if epoch and current and epoch < current then return {'STALE', int(current)} end
if not warm then return {'COLD', '1', unpack(missing)} end
if #missing > 0 then return {'COLD', '0', unpack(missing)} end
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
local dirty = int(redis.call('EXISTS', DIRTY))
if #fresh == 0 then return tell({'ADMITTED', '1', dirty}, allowances(limits)) end

local function needed_of(kind)
  if kind == 'requests_per_minute' or kind == 'parallel_calls' then return #fresh end
  return string.sub(kind, 1, 6) == 'budget' and asked or asked_tokens
end

-- How long until a limit could let the set pass, in ms; -1: never.
local function wait_ms(row, limit)
  local kind, most, needed = row[1], row[3], needed_of(row[1])
  if needed > most then return -1 end
  if kind == 'parallel_calls' then return 1000 end
  if kind == 'requests_per_minute' or kind == 'tokens_per_minute' then
    local used = kind == 'requests_per_minute' and limit.requests_used or limit.tokens_used
    return math.ceil((needed * MINUTE - (most * MINUTE - used)) / most)
  end
  -- Open calls may settle for less than they hold; what is spent comes back with the next period only.
  if needed <= most - row[4] then return 1000 end
  return (string.sub(kind, -3) == 'day' and period.day_ends or period.month_ends) - now
end

local by_scope = {}
for _, limit in ipairs(limits) do by_scope[limit.scope] = limit end
local worst, worst_ms
for _, row in ipairs(allowances(limits)) do
  if needed_of(row[1]) > row[6] then
    local ms = wait_ms(row, by_scope[row[2]])
    if not worst or (worst_ms >= 0 and (ms < 0 or ms > worst_ms)) then worst, worst_ms = row, ms end
  end
end
if worst then
  return {'REFUSED', worst[1], worst[2], int(worst_ms), int(math.max(0, worst[6])), int(worst[3])}
end

local scopes, buckets = {}, {'HSET', STATE}
local function set(field, value)
  buckets[#buckets + 1] = field
  buckets[#buckets + 1] = value
end
for index, limit in ipairs(limits) do
  local scope = limit.scope
  scopes[index] = scope
  if limit.requests_per_minute then
    limit.requests_used = limit.requests_used + #fresh * MINUTE
    set('bu:' .. scope, int(limit.requests_used))
    set('bt:' .. scope, int(now))
  end
  if limit.tokens_per_minute then
    limit.tokens_used = limit.tokens_used + asked_tokens * MINUTE
    set('tb:' .. scope, int(limit.tokens_used) .. ' ' .. int(now) .. ' ' .. int(limit.tokens_per_minute))
  end
  limit.open, limit.held = limit.open + #fresh, limit.held + asked
  limit.held_tokens = limit.held_tokens + asked_tokens
end
if #buckets > 2 then redis.call(unpack(buckets)) end
for _, call in ipairs(fresh) do hold(call, scopes, now + lease_ms) end
return tell({'ADMITTED', '0', dirty}, allowances(limits))
