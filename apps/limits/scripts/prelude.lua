-- Shared by every script. KEYS: 1 state (hash), 2 open (zset: call -> expiry ms), 3 calls (hash: call -> what it holds),
-- 4 settled (zset: call -> ms until it is remembered), 5 rebuild (lock), 6 late (hash), 7 dirty (hash: scope -> version),
-- 8 settlements (stream), 9 lapsed (hash: call -> ms at which its lease ended, and what it held), 10 refused (hash: how
-- many calls in a minute or an hour, by limit).
-- State fields: warm, epoch, swept, drained, and c:<scope>, all counters of a scope, packed: what a call touches is read
-- in one command and written in another. What a call holds: amount, tokens, scopes; and after a line break its note.
-- Integers pass through %.0f: Lua's own conversion keeps 14 digits only.
local STATE, OPEN, CALLS, SETTLED = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local REBUILD, LATE, DIRTY = KEYS[5], KEYS[6], KEYS[7]
local SETTLEMENTS, LAPSED, REFUSED = KEYS[8], KEYS[9], KEYS[10]
local KEEP_MS = '604800000'
local STATE_KEEP_MS = '3456000000'
local SETTLED_KEEP_MS = 3600000
-- Calls with records come by the thousand, and their callers name those they still doubt with every renewal.
local RECORDED_KEEP_MS = 120000
-- A bucket counts in 1/60000 of a unit: that makes a refill of k per minute exactly k per ms.
local MINUTE = 60000

-- Counters of a scope, doubles. Open calls, money and tokens they hold; how far the bucket of requests is used, and when
-- that was so (ms, 0: never); the same of tokens, and the rate that the bucket was told; a day (counted from 1970-01-01;
-- -1: unknown), money and tokens spent in it; and of a month (counted from January of the year 0) the same.
local RUNNING, HELD, HELD_TOKENS = 1, 2, 3
local REQUESTS, REQUESTS_AT = 4, 5
local TOKENS, TOKENS_AT, TOKENS_RATE = 6, 7, 8
local DAY, DAY_SPENT, DAY_TOKENS = 9, 10, 11
local MONTH, MONTH_SPENT, MONTH_TOKENS = 12, 13, 14
local PACKED = '<dddddddddddddd'

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

-- Day, month (UTC), and the year, of a time in ms.
local function calendar(ms)
  local days = math.floor(ms / 86400000)
  local shifted = days + 719468
  local era = math.floor(shifted / 146097)
  local doe = shifted - era * 146097
  local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524) - math.floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
  local mp = math.floor((5 * doy + 2) / 153)
  local year = yoe + era * 400
  local month = mp < 10 and mp + 2 or mp - 10  -- from 0
  if month < 2 then year = year + 1 end
  return days, year * 12 + month, doy - math.floor((153 * mp + 2) / 5) + 1
end

local function days_before(month)  -- days from 1970-01-01 to the first of the month
  local year = math.floor(month / 12)
  month = month % 12 + 1
  if month <= 2 then year = year - 1 end
  local era = math.floor(year / 400)
  local year_of_era = year - era * 400
  local shifted = (month + 9) % 12
  local day_of_year = math.floor((153 * shifted + 2) / 5)
  local day_of_era = year_of_era * 365 + math.floor(year_of_era / 4) - math.floor(year_of_era / 100) + day_of_year
  return era * 146097 + day_of_era - 719468
end

-- As counters are named: `YYYY-MM-DD` and `YYYY-MM`.
local function named(ms)
  local _, month, date = calendar(ms)
  local name = string.format('%04d-%02d', math.floor(month / 12), month % 12 + 1)
  return string.format('%s-%02d', name, date), name
end

local function read(packed)
  if packed then return {struct.unpack(PACKED, packed)} end
  return {0, 0, 0, 0, 0, 0, 0, 0, -1, 0, 0, -1, 0, 0}
end

local function pack(counters) return struct.pack(PACKED, unpack(counters)) end

-- Says something else than no counters at all.
local function telling(counters)
  return counters[RUNNING] ~= 0 or counters[REQUESTS_AT] ~= 0 or counters[TOKENS_AT] ~= 0
    or counters[DAY] >= 0 or counters[MONTH] >= 0
end

local function split(scopes)
  local names = {}
  for name in string.gmatch(scopes, '%S+') do names[#names + 1] = name end
  return names
end

-- Read the counters of scopes, let `edit(counters, name)` change each, and write them.
local function change(names, edit)
  if #names == 0 then return end
  local fields = {'HMGET', STATE}
  for index, name in ipairs(names) do fields[index + 2] = 'c:' .. name end
  local known, written = redis.call(unpack(fields)), {'HSET', STATE}
  for index, name in ipairs(names) do
    local counters = read(known[index])
    edit(counters, name)
    if telling(counters) then
      written[#written + 1] = fields[index + 2]
      written[#written + 1] = pack(counters)
    elseif known[index] then
      redis.call('HDEL', STATE, fields[index + 2])
    end
  end
  if #written > 2 then redis.call(unpack(written)) end
end

-- What a bucket that was used to `used` at `at` is used to now, refilled at `rate` per minute.
local function leaked(used, at, rate, now)
  return math.max(0, used - math.max(0, now - at) * rate)
end

-- Tokens that were debited and not used go back into the bucket; a negative number is taken out of it.
local function refill(counters, tokens, now)
  if tokens ~= 0 and counters[TOKENS_AT] ~= 0 then
    local used = leaked(counters[TOKENS], counters[TOKENS_AT], counters[TOKENS_RATE], now)
    counters[TOKENS] = math.max(0, used - tokens * MINUTE)
    counters[TOKENS_AT] = now
  end
end

-- A call that held so much does no more.
local function give_back(counters, amount, tokens)
  counters[RUNNING] = math.max(0, counters[RUNNING] - 1)
  if counters[RUNNING] == 0 then
    counters[HELD], counters[HELD_TOKENS] = 0, 0
  else
    counters[HELD] = math.max(0, counters[HELD] - amount)
    counters[HELD_TOKENS] = math.max(0, counters[HELD_TOKENS] - tokens)
  end
end

-- Add to what is known of that day and month. What is not is left unknown: its rebuild reads the records.
local function spend(counters, amount, tokens, day, month)
  if counters[DAY] == day then
    counters[DAY_SPENT] = counters[DAY_SPENT] + amount
    counters[DAY_TOKENS] = counters[DAY_TOKENS] + tokens
  end
  if counters[MONTH] == month then
    counters[MONTH_SPENT] = counters[MONTH_SPENT] + amount
    counters[MONTH_TOKENS] = counters[MONTH_TOKENS] + tokens
  end
end

-- {id, amount, tokens, note} of a call from ARGV, as decimal texts.
local function take_call()
  return {id = take(), amount = take(), tokens = take(), note = take()}
end

-- Write down what a call holds in `scopes`, separated by spaces. The counters are told elsewhere.
local function note_open(call, scopes, expiry_text)
  redis.call('ZADD', OPEN, expiry_text, call.id)
  local record = call.amount .. ' ' .. call.tokens .. ' ' .. scopes
  if call.note ~= '' then
    record = record .. '\n' .. call.note
    redis.call('HDEL', LAPSED, call.id)
  end
  redis.call('HSET', CALLS, call.id, record)
end

local function read_call(id, record)
  local amount, tokens, scopes, note = string.match(record, '^(%d+) (%d+) ([^\n]*)\n?(.*)$')
  return {id = id, amount = tonumber(amount), tokens = tonumber(tokens), scopes = scopes, note = note}
end

-- A call is over; returns what it held, or false if that was nothing. The counters are told elsewhere.
local function note_over(id)
  local record = redis.call('HGET', CALLS, id)
  redis.call('ZREM', OPEN, id)
  if not record then return false end
  redis.call('HDEL', CALLS, id)
  return read_call(id, record)
end

-- Give back what a call holds; returns what that was, or false if it holds nothing.
local function drop(id)
  local held = note_over(id)
  if held then
    change(split(held.scopes), function(counters) give_back(counters, held.amount, held.tokens) end)
  end
  return held
end

local function mark_dirty(names)
  for _, name in ipairs(names) do redis.call('HINCRBY', DIRTY, name, 1) end
  redis.call('PEXPIRE', DIRTY, STATE_KEEP_MS)
end

-- Leases past their time are over. Nobody said what such a call has cost, hence dirty. One with a note waits in
-- LAPSED for its caller, who may only have been slow, until `abandon` is said for it.
local function expire_leases(now_text)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', OPEN, '-inf', now_text)) do
    local held = drop(id)
    if held then
      mark_dirty(split(held.scopes))
      if held.note ~= '' then
        local told = now_text .. ' ' .. int(held.amount) .. ' ' .. int(held.tokens) .. '\n' .. held.note
        redis.call('HSET', LAPSED, id, told)
      end
    end
  end
end

local function remember_settled(id, until_ms)
  redis.call('ZADD', SETTLED, int(until_ms), id)
  redis.call('PEXPIRE', SETTLED, SETTLED_KEEP_MS)
end

local function forget_settled(now_text)
  redis.call('ZREMRANGEBYSCORE', SETTLED, '-inf', now_text)
end

-- Limits of a scope, as they come packed: -1 where there is none.
local LIMITS = '<ddddddd'
local LIMITS_BYTES = 56

-- Scopes and their limits from ARGV, and what the state says of them by now, in one go. Returns `warm` and `epoch`
-- (false where missing), the scopes as they came, and for each {name, field, limits, counters}.
local function take_scopes(now)
  local scopes, packed = take(), take()
  local fields, list = {'HMGET', STATE, 'warm', 'epoch'}, {}
  for name in string.gmatch(scopes, '%S+') do
    local limits = {struct.unpack(LIMITS, packed, #list * LIMITS_BYTES + 1)}
    local field = 'c:' .. name
    list[#list + 1] = {name, field, limits}
    fields[#fields + 1] = field
  end
  local known = redis.call(unpack(fields))
  for index, scope in ipairs(list) do
    local limits, counters = scope[3], read(known[index + 2])
    if limits[1] >= 0 then
      counters[REQUESTS] = leaked(counters[REQUESTS], counters[REQUESTS_AT], limits[1], now)
      counters[REQUESTS_AT] = now
    end
    if limits[5] >= 0 then
      counters[TOKENS] = leaked(counters[TOKENS], counters[TOKENS_AT], limits[5], now)
      counters[TOKENS_AT], counters[TOKENS_RATE] = now, limits[5]
    end
    scope[4] = counters
  end
  return known[1], known[2], scopes, list
end

-- Of these scopes, the names of the counters that a limit needs and that are not known.
local function missing_of(list, now)
  local day, month = calendar(now)
  local missing
  for _, scope in ipairs(list) do
    local limits, counters = scope[3], scope[4]
    local no_day = (limits[3] >= 0 or limits[6] >= 0) and counters[DAY] ~= day
    local no_month = (limits[4] >= 0 or limits[7] >= 0) and counters[MONTH] ~= month
    if no_day or no_month then
      missing = missing or {}
      local day_name, month_name = named(now)
      if no_day then missing[#missing + 1] = scope[1] .. '|' .. day_name end
      if no_month then missing[#missing + 1] = scope[1] .. '|' .. month_name end
    end
  end
  return missing, month
end
