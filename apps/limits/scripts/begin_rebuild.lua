-- ARGV: token, lock ms, counters asked for. Takes the lock where there is something to rebuild.
local now = clock_ms()
local token, lock_ms = take(), take()
local wanted, seen = {}, {}
local function want(counter)
  if not seen[counter] then
    seen[counter] = true
    wanted[#wanted + 1] = counter
  end
end
expire_leases(int(now))
local day, month = calendar(now)
local day_name, month_name = named(now)
-- Want those of a scope's counters of today and this month that are known, or else those that are not.
local function want_of(name, packed, known, only)
  local counters = read(packed)
  for period, is_known in pairs({[day_name] = counters[DAY] == day, [month_name] = counters[MONTH] == month}) do
    if is_known == known and (not only or only == period) then want(name .. '|' .. period) end
  end
end

local whole = redis.call('HEXISTS', STATE, 'warm') == 0
for _, counter in ipairs(take_list()) do
  local name, period = string.match(counter, '^(.*)|(.-)$')
  want_of(name, redis.call('HGET', STATE, 'c:' .. name), false, period)
end
local needed = whole or #wanted > 0
local dirty = redis.call('HGETALL', DIRTY)
if not needed and #dirty == 0 then return {'CURRENT'} end
if redis.call('EXISTS', REBUILD) == 1 then return {needed and 'LOCKED' or 'CURRENT'} end

for index = 1, #dirty, 2 do
  if dirty[index] == '*' then
    for name, packed in pairs(each_scope()) do
      local level = string.match(name, '^%a+')
      if level == 'team' or level == 'key' then want_of(name, packed, true) end
    end
  else
    want_of(dirty[index], redis.call('HGET', STATE, 'c:' .. dirty[index]), true)
  end
end
redis.call('SET', REBUILD, token, 'PX', lock_ms)
redis.call('DEL', LATE)
local reply = {'WANTED', whole and '1' or '0', int(#dirty / 2)}
for _, part in ipairs(dirty) do reply[#reply + 1] = part end
for _, counter in ipairs(wanted) do reply[#reply + 1] = counter end
return reply
