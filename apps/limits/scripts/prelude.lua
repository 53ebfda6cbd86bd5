-- Shared by every script. KEYS: 1 state (hash), 2 open (zset: call -> expiry ms), 3 calls (hash: call -> record),
-- 4 settled (zset: call -> settled ms), 5 rebuild (lock), 6 late (hash), 7 dirty (hash: scope -> version).
-- State fields: warm, epoch, swept, n:<scope> open calls, r:<scope> reserved, s:<scope>|<period> spent,
-- bu:<scope> and bt:<scope> request bucket. Integers pass through %.0f: Lua's own conversion keeps 14 digits only.
local STATE, OPEN, CALLS, SETTLED = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local REBUILD, LATE, DIRTY = KEYS[5], KEYS[6], KEYS[7]
local KEEP_MS = 604800000
local STATE_KEEP_MS = 3456000000
local SETTLED_KEEP_MS = 3600000

local position = 0
local function take()
  position = position + 1
  return ARGV[position]
end
local function take_list()
  local list = {}
  for index = 1, tonumber(take()) do list[index] = take() end
  return list
end

local function int(number) return string.format('%.0f', number) end

local function clock_ms()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

local function days_before(year, month)  -- days from 1970-01-01 to the first of the month
  if month <= 2 then year = year - 1 end
  local era = math.floor(year / 400)
  local year_of_era = year - era * 400
  local shifted = (month + 9) % 12
  local day_of_year = math.floor((153 * shifted + 2) / 5)
  local day_of_era = year_of_era * 365 + math.floor(year_of_era / 4) - math.floor(year_of_era / 100) + day_of_year
  return era * 146097 + day_of_era - 719468
end

-- The day, the month (UTC) and the ms at which each ends.
local function periods(ms)
  local days = math.floor(ms / 86400000)
  local shifted = days + 719468
  local era = math.floor(shifted / 146097)
  local doe = shifted - era * 146097
  local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524) - math.floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
  local mp = math.floor((5 * doy + 2) / 153)
  local day = doy - math.floor((153 * mp + 2) / 5) + 1
  local month = mp < 10 and mp + 3 or mp - 9
  local year = yoe + era * 400
  if month <= 2 then year = year + 1 end
  local next_month = month == 12 and days_before(year + 1, 1) or days_before(year, month + 1)
  return {
    day = string.format('%04d-%02d-%02d', year, month, day),
    month = string.format('%04d-%02d', year, month),
    day_ends = (days + 1) * 86400000,
    month_ends = next_month * 86400000,
  }
end

-- Hold `amount` (decimal text) for a call in each scope until `expiry_ms`.
local function hold(call, amount, scopes, expiry_ms)
  redis.call('ZADD', OPEN, int(expiry_ms), call)
  redis.call('HSET', CALLS, call, amount .. ' ' .. table.concat(scopes, ' '))
  for _, scope in ipairs(scopes) do
    redis.call('HINCRBY', STATE, 'n:' .. scope, 1)
    redis.call('HINCRBY', STATE, 'r:' .. scope, amount)
  end
  redis.call('PEXPIRE', OPEN, KEEP_MS)
  redis.call('PEXPIRE', CALLS, KEEP_MS)
end

-- Give back what a call holds; returns its scopes, or false if it holds nothing.
local function drop(call)
  local record = redis.call('HGET', CALLS, call)
  redis.call('ZREM', OPEN, call)
  if not record then return false end
  redis.call('HDEL', CALLS, call)
  local amount, scopes = nil, {}
  for part in string.gmatch(record, '%S+') do
    if amount then scopes[#scopes + 1] = part else amount = part end
  end
  local back = amount == '0' and '0' or '-' .. amount  -- Redis refuses -0
  for _, scope in ipairs(scopes) do
    for field, step in pairs({['n:' .. scope] = '-1', ['r:' .. scope] = back}) do
      if redis.call('HINCRBY', STATE, field, step) == 0 then redis.call('HDEL', STATE, field) end
    end
  end
  return scopes
end

local function mark_dirty(scopes)
  for _, scope in ipairs(scopes) do redis.call('HINCRBY', DIRTY, scope, 1) end
  redis.call('PEXPIRE', DIRTY, STATE_KEEP_MS)
end

-- Leases past their time are over. Nobody said what such a call has cost, hence dirty.
local function expire_leases(now)
  for _, call in ipairs(redis.call('ZRANGEBYSCORE', OPEN, '-inf', int(now))) do
    local scopes = drop(call)
    if scopes then mark_dirty(scopes) end
  end
end

-- Add to the counters that exist. A missing one is left missing: its rebuild reads the records.
local function spend(amount, day, month, scopes)
  for _, scope in ipairs(scopes) do
    for _, period in ipairs({day, month}) do
      local field = 's:' .. scope .. '|' .. period
      if redis.call('HEXISTS', STATE, field) == 1 then redis.call('HINCRBY', STATE, field, amount) end
    end
  end
end

local function remember_settled(call, now)
  redis.call('ZREMRANGEBYSCORE', SETTLED, '-inf', int(now - SETTLED_KEEP_MS))
  redis.call('ZADD', SETTLED, int(now), call)
  redis.call('PEXPIRE', SETTLED, SETTLED_KEEP_MS)
end

-- Limits of one scope from ARGV; an empty text means none.
local function take_limits()
  local list = {}
  for index = 1, tonumber(take()) do
    local limit = {scope = take()}
    for _, kind in ipairs({'requests', 'parallel', 'budget_day', 'budget_month'}) do limit[kind] = tonumber(take()) end
    list[index] = limit
  end
  return list
end

local function number_of(field) return tonumber(redis.call('HGET', STATE, field) or '0') end

local function missing_counters(limits, period)
  local missing = {}
  for _, limit in ipairs(limits) do
    for kind, name in pairs({budget_day = period.day, budget_month = period.month}) do
      local counter = limit.scope .. '|' .. name
      if limit[kind] and redis.call('HEXISTS', STATE, 's:' .. counter) == 0 then missing[#missing + 1] = counter end
    end
  end
  return missing
end

-- Requests used, in 1/60000 of a request: that unit makes a refill of k per minute exactly k per ms.
local function bucket_used(limit, now)
  local elapsed = math.max(0, now - number_of('bt:' .. limit.scope))
  return math.max(0, number_of('bu:' .. limit.scope) - elapsed * limit.requests)
end

-- One row per limit: {kind, scope, limit, used, reserved, remaining}, remaining possibly below zero.
local function allowances(limits, period, now)
  local rows = {}
  for _, limit in ipairs(limits) do
    local scope = limit.scope
    if limit.requests then
      local left = math.floor((limit.requests * 60000 - bucket_used(limit, now)) / 60000)
      rows[#rows + 1] = {'requests_per_minute', scope, limit.requests, limit.requests - left, 0, left}
    end
    if limit.parallel then
      local open = number_of('n:' .. scope)
      rows[#rows + 1] = {'parallel_calls', scope, limit.parallel, open, 0, limit.parallel - open}
    end
    for _, budget in ipairs({{'budget_day', period.day}, {'budget_month', period.month}}) do
      local most = limit[budget[1]]
      if most then
        local spent, reserved = number_of('s:' .. scope .. '|' .. budget[2]), number_of('r:' .. scope)
        rows[#rows + 1] = {budget[1], scope, most, spent, reserved, most - spent - reserved}
      end
    end
  end
  return rows
end

local function tell(reply, rows)
  for _, row in ipairs(rows) do
    reply[#reply + 1] = row[1]
    reply[#reply + 1] = row[2]
    for column = 3, 5 do reply[#reply + 1] = int(row[column]) end
    reply[#reply + 1] = int(math.max(0, row[6]))
  end
  return reply
end
