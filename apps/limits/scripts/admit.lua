-- ARGV: epoch or '', lease ms, limits, calls (n, then id and amount each).
local now = clock_ms()
local epoch, lease_ms = tonumber(take()), tonumber(take())
local limits = take_limits()
local fresh, asked = {}, 0
expire_leases(now)
local current = tonumber(redis.call('HGET', STATE, 'epoch') or '')
if epoch and current and epoch < current then return {'STALE', int(current)} end

local period = periods(now)
local missing = missing_counters(limits, period)
if redis.call('HEXISTS', STATE, 'warm') == 0 then return {'COLD', '1', unpack(missing)} end
if #missing > 0 then return {'COLD', '0', unpack(missing)} end
if epoch and epoch > current then redis.call('HSET', STATE, 'epoch', int(epoch)) end

for _ = 1, tonumber(take()) do
  local call, amount = take(), take()
  if redis.call('ZSCORE', SETTLED, call) then return {'SETTLED', call} end
  if not redis.call('ZSCORE', OPEN, call) then
    fresh[#fresh + 1] = {call, amount}
    asked = asked + tonumber(amount)
  end
end
local dirty = int(redis.call('EXISTS', DIRTY))
if #fresh == 0 then return tell({'ADMITTED', '1', dirty}, allowances(limits, period, now)) end

-- How long until a limit could let the set pass, in ms; -1: never.
local function wait_ms(row, limit)
  if row[1] == 'requests_per_minute' then
    if #fresh > limit.requests then return -1 end
    return math.ceil((#fresh * 60000 - (limit.requests * 60000 - bucket_used(limit, now))) / limit.requests)
  end
  if row[1] == 'parallel_calls' then return #fresh > row[3] and -1 or 1000 end
  if asked > row[3] then return -1 end
  -- Open calls may settle for less than they hold; what is spent comes back with the next period only.
  if asked <= row[3] - row[4] then return 1000 end
  return (row[1] == 'budget_day' and period.day_ends or period.month_ends) - now
end

local by_scope = {}
for _, limit in ipairs(limits) do by_scope[limit.scope] = limit end
local worst, worst_ms
for _, row in ipairs(allowances(limits, period, now)) do
  local needed = string.sub(row[1], 1, 6) == 'budget' and asked or #fresh
  if needed > row[6] then
    local ms = wait_ms(row, by_scope[row[2]])
    if not worst or (worst_ms >= 0 and (ms < 0 or ms > worst_ms)) then worst, worst_ms = row, ms end
  end
end
if worst then
  return {'REFUSED', worst[1], worst[2], int(worst_ms), int(math.max(0, worst[6])), int(worst[3])}
end

local scopes = {}
for index, limit in ipairs(limits) do
  scopes[index] = limit.scope
  if limit.requests then
    local used = bucket_used(limit, now) + #fresh * 60000
    redis.call('HSET', STATE, 'bu:' .. limit.scope, int(used), 'bt:' .. limit.scope, int(now))
  end
end
for _, call in ipairs(fresh) do hold(call[1], call[2], scopes, now + lease_ms) end
return tell({'ADMITTED', '0', dirty}, allowances(limits, period, now))
