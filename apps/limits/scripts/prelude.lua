-- Shared by every script. KEYS: 1 state (hash), 2 open (zset: call -> expiry ms), 3 calls (hash: call -> record),
-- 4 settled (zset: call -> ms until it is remembered), 5 rebuild (lock), 6 late (hash), 7 dirty (hash: scope -> version),
-- 8 settlements (stream), 9 lapsed (hash: call -> ms at which its lease ended, and its record).
-- State fields: warm, epoch, swept, drained, n:<scope> open calls, r:<scope> money and t:<scope> tokens reserved,
-- s:<scope>|<period> money and k:<scope>|<period> tokens spent, bu:<scope> and bt:<scope> request bucket, tb:<scope>
-- token bucket. A call's record: amount, tokens, scopes; and after a line break its note, where it has one.
-- Integers pass through %.0f: Lua's own conversion keeps 14 digits only.
local STATE, OPEN, CALLS, SETTLED = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local REBUILD, LATE, DIRTY = KEYS[5], KEYS[6], KEYS[7]
local SETTLEMENTS, LAPSED = KEYS[8], KEYS[9]
local KEEP_MS = 604800000
local STATE_KEEP_MS = 3456000000
local SETTLED_KEEP_MS = 3600000
-- Calls with records come by the thousand, and their callers name those they still doubt with every renewal.
local RECORDED_KEEP_MS = 120000
-- A bucket counts in 1/60000 of a unit: that makes a refill of k per minute exactly k per ms.
local MINUTE = 60000

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

-- {id, amount, tokens, note} of a call from ARGV, as decimal texts.
local function take_call()
  return {id = take(), amount = take(), tokens = take(), note = take()}
end

local function add(kind, scope, step)
  local field = kind .. scope
  if redis.call('HINCRBY', STATE, field, step) == 0 then redis.call('HDEL', STATE, field) end
end

-- Hold what a call may use in each scope until `expiry_ms`.
local function hold(call, scopes, expiry_ms)
  redis.call('ZADD', OPEN, int(expiry_ms), call.id)
  local record = call.amount .. ' ' .. call.tokens .. ' ' .. table.concat(scopes, ' ')
  if call.note ~= '' then
    record = record .. '\n' .. call.note
    redis.call('HDEL', LAPSED, call.id)
  end
  redis.call('HSET', CALLS, call.id, record)
  for _, scope in ipairs(scopes) do
    redis.call('HINCRBY', STATE, 'n:' .. scope, 1)
    if call.amount ~= '0' then redis.call('HINCRBY', STATE, 'r:' .. scope, call.amount) end
    if call.tokens ~= '0' then redis.call('HINCRBY', STATE, 't:' .. scope, call.tokens) end
  end
  redis.call('PEXPIRE', OPEN, KEEP_MS)
  redis.call('PEXPIRE', CALLS, KEEP_MS)
end

local function read_record(id, record)
  local line, note = record, ''
  local break_at = string.find(record, '\n', 1, true)
  if break_at then line, note = string.sub(record, 1, break_at - 1), string.sub(record, break_at + 1) end
  local held = {id = id, tokens = '0', note = note, scopes = {}}
  for part in string.gmatch(line, '%S+') do
    if not held.amount then held.amount = part
    elseif string.find(part, ':', 1, true) then held.scopes[#held.scopes + 1] = part
    else held.tokens = part end
  end
  return held
end

-- Give back what a call holds; returns what that was, or false if it holds nothing.
local function drop(id)
  local record = redis.call('HGET', CALLS, id)
  redis.call('ZREM', OPEN, id)
  if not record then return false end
  redis.call('HDEL', CALLS, id)
  local held = read_record(id, record)
  for _, scope in ipairs(held.scopes) do
    add('n:', scope, '-1')
    if held.amount ~= '0' then add('r:', scope, '-' .. held.amount) end
    if held.tokens ~= '0' then add('t:', scope, '-' .. held.tokens) end
  end
  return held
end

local function mark_dirty(scopes)
  for _, scope in ipairs(scopes) do redis.call('HINCRBY', DIRTY, scope, 1) end
  redis.call('PEXPIRE', DIRTY, STATE_KEEP_MS)
end

-- Leases past their time are over. Nobody said what such a call has cost, hence dirty. One with a note waits in
-- LAPSED for its caller, who may only have been slow, until `abandon` is said for it.
local function expire_leases(now)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', OPEN, '-inf', int(now))) do
    local held = drop(id)
    if held then
      mark_dirty(held.scopes)
      if held.note ~= '' then
        redis.call('HSET', LAPSED, id, int(now) .. ' ' .. held.amount .. ' ' .. held.tokens .. '\n' .. held.note)
      end
    end
  end
end

local function remember_settled(id, now, keep_ms)
  redis.call('ZREMRANGEBYSCORE', SETTLED, '-inf', int(now))
  redis.call('ZADD', SETTLED, int(now + keep_ms), id)
  redis.call('PEXPIRE', SETTLED, SETTLED_KEEP_MS)
end

-- Nobody will ever say what a noted call has cost: its note and what it held go where settlements go.
local function abandon(held, now)
  redis.call('HDEL', LAPSED, held.id)
  remember_settled(held.id, now, SETTLED_KEEP_MS)
  redis.call('XADD', SETTLEMENTS, '*', 'a', held.note, 'c', held.id, 'm', held.amount, 'k', held.tokens)
end

-- Add to the counters that exist. A missing one is left missing: its rebuild reads the records.
local function spend(amount, tokens, day, month, scopes)
  local fields, steps = {}, {}
  for _, scope in ipairs(scopes) do
    for _, period in ipairs({day, month}) do
      for prefix, step in pairs({['s:'] = amount, ['k:'] = tokens}) do
        if step ~= '0' then
          fields[#fields + 1] = prefix .. scope .. '|' .. period
          steps[#steps + 1] = step
        end
      end
    end
  end
  if #fields == 0 then return end
  local known = redis.call('HMGET', STATE, unpack(fields))
  for index, field in ipairs(fields) do
    if known[index] then redis.call('HINCRBY', STATE, field, steps[index]) end
  end
end

-- Limits of scopes from ARGV (n, then the scope, m, and kind and limit m times each).
local function take_limits()
  local list = {}
  for index = 1, tonumber(take()) do
    local limit = {scope = take()}
    for _ = 1, tonumber(take()) do
      local kind = take()
      limit[kind] = tonumber(take())
    end
    list[index] = limit
  end
  return list
end

-- What a bucket that was used to `used` at `at` is used to now, refilled at `rate` per minute.
local function leaked(used, at, rate, now)
  return math.max(0, used - math.max(0, now - at) * rate)
end

-- How far a scope's token bucket is used, refilled at `rate` or else at the one that it was told last; and that one.
local function read_tokens(text, now, rate)
  local used, at, told = string.match(text or '', '^(%d+) (%d+) (%d+)$')
  if not used then return 0, nil end
  return leaked(tonumber(used), tonumber(at), rate or tonumber(told), now), told
end

-- Tokens that were debited and not used go back into the buckets; a negative number is taken out of them.
local function give_back_tokens(scopes, tokens, now)
  if tokens == 0 or #scopes == 0 then return end
  local fields = {}
  for index, scope in ipairs(scopes) do fields[index] = 'tb:' .. scope end
  for index, text in ipairs(redis.call('HMGET', STATE, unpack(fields))) do
    local used, rate = read_tokens(text, now)
    if rate then
      local left = math.max(0, used - tokens * MINUTE)
      redis.call('HSET', STATE, fields[index], int(left) .. ' ' .. int(now) .. ' ' .. rate)
    end
  end
end

local PERIODIC = {
  {'budget_day', 's:', 'day', 'held'}, {'budget_month', 's:', 'month', 'held'},
  {'tokens_per_day', 'k:', 'day', 'held_tokens'}, {'tokens_per_month', 'k:', 'month', 'held_tokens'},
}

-- Read into each limit what the state says of it, in one go. Returns `warm` and `epoch`, false where missing, and the
-- counters that are missing.
local function read_state(limits, period, now)
  local fields, into = {'warm', 'epoch'}, {}
  local function want(limit, name, field)
    fields[#fields + 1] = field
    into[#into + 1] = {limit, name}
  end
  for _, limit in ipairs(limits) do
    local scope = limit.scope
    if limit.requests_per_minute then
      want(limit, 'requests_used', 'bu:' .. scope)
      want(limit, 'requests_at', 'bt:' .. scope)
    end
    if limit.tokens_per_minute then want(limit, 'tokens_used', 'tb:' .. scope) end
    if limit.parallel_calls then want(limit, 'open', 'n:' .. scope) end
    if limit.budget_day or limit.budget_month then want(limit, 'held', 'r:' .. scope) end
    if limit.tokens_per_day or limit.tokens_per_month then want(limit, 'held_tokens', 't:' .. scope) end
    for _, kind in ipairs(PERIODIC) do
      if limit[kind[1]] then want(limit, 'spent_' .. kind[1], kind[2] .. scope .. '|' .. period[kind[3]]) end
    end
  end
  local values = redis.call('HMGET', STATE, unpack(fields))
  for index, place in ipairs(into) do place[1][place[2]] = values[index + 2] end
  local missing = {}
  for _, limit in ipairs(limits) do
    if limit.requests_per_minute then
      local used, at = tonumber(limit.requests_used or '0'), tonumber(limit.requests_at or '0')
      limit.requests_used = leaked(used, at, limit.requests_per_minute, now)
    end
    if limit.tokens_per_minute then
      limit.tokens_used = read_tokens(limit.tokens_used, now, limit.tokens_per_minute)
    end
    for _, name in ipairs({'open', 'held', 'held_tokens'}) do limit[name] = tonumber(limit[name] or '0') end
    for _, kind in ipairs(PERIODIC) do
      local name = 'spent_' .. kind[1]
      if limit[kind[1]] and not limit[name] then missing[#missing + 1] = limit.scope .. '|' .. period[kind[3]] end
      limit[name] = tonumber(limit[name] or '0')
    end
  end
  return values[1], values[2], missing
end

-- One row per limit that `read_state` has read: {kind, scope, limit, used, reserved, remaining}, remaining possibly
-- below zero.
local function allowances(limits)
  local rows = {}
  local function row(kind, limit, used, reserved, left)
    rows[#rows + 1] = {kind, limit.scope, limit[kind], used, reserved, left}
  end
  for _, limit in ipairs(limits) do
    local requests, parallel, tokens = limit.requests_per_minute, limit.parallel_calls, limit.tokens_per_minute
    if requests then
      local left = math.floor((requests * MINUTE - limit.requests_used) / MINUTE)
      row('requests_per_minute', limit, requests - left, 0, left)
    end
    if parallel then row('parallel_calls', limit, limit.open, 0, parallel - limit.open) end
    if tokens then
      local left = math.floor((tokens * MINUTE - limit.tokens_used) / MINUTE)
      row('tokens_per_minute', limit, tokens - left, 0, left)
    end
    for _, kind in ipairs(PERIODIC) do
      local most = limit[kind[1]]
      if most then
        local spent, reserved = limit['spent_' .. kind[1]], limit[kind[4]]
        row(kind[1], limit, spent, reserved, most - spent - reserved)
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
