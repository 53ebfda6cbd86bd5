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
expire_leases(now)
local whole = redis.call('HEXISTS', STATE, 'warm') == 0
local asked = take_list()
for _, counter in ipairs(asked) do
  local known = redis.call('HMGET', STATE, 's:' .. counter, 'k:' .. counter)
  if not known[1] or not known[2] then want(counter) end
end
local needed = whole or #wanted > 0
local dirty = redis.call('HGETALL', DIRTY)
if not needed and #dirty == 0 then return {'CURRENT'} end
if redis.call('EXISTS', REBUILD) == 1 then return {needed and 'LOCKED' or 'CURRENT'} end

local period = periods(now)
for index = 1, #dirty, 2 do
  if dirty[index] == '*' then
    for _, field in ipairs(redis.call('HKEYS', STATE)) do
      local counter, name = string.match(field, '^s:(.*|(.-))$')
      local level = counter and string.match(counter, '^%a+')
      if (level == 'team' or level == 'key') and (name == period.day or name == period.month) then want(counter) end
    end
  else
    for _, name in ipairs({period.day, period.month}) do
      local counter = dirty[index] .. '|' .. name
      if redis.call('HEXISTS', STATE, 's:' .. counter) == 1 then want(counter) end
    end
  end
end
redis.call('SET', REBUILD, token, 'PX', lock_ms)
redis.call('DEL', LATE)
local reply = {'WANTED', whole and '1' or '0', int(#dirty / 2)}
for _, part in ipairs(dirty) do reply[#reply + 1] = part end
for _, counter in ipairs(wanted) do reply[#reply + 1] = counter end
return reply
