-- The life of one idempotency key: claimed, said piece by piece, kept or freed. Time is Redis's own.
-- KEYS: 1 entry (hash: print, owner, state, head, large), 2 said (list of compressed pieces), 3 index of the tenant's keys
-- (zset: member -> ms at which it ends), 4 sizes (hash: member -> bytes, and their total), 5 the tenant's limits (epoch).
-- ARGV: 1 what to do, 2 member, 3 owner, 4 ms of the lease, 5 ms an answer is kept, then by what is to be done.
local ENTRY, SAID, INDEX, SIZES, LIMITS = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local what, member, owner = ARGV[1], ARGV[2], ARGV[3]
local lease_ms, keep_ms = tonumber(ARGV[4]), tonumber(ARGV[5])
-- At once, so that no claim takes long.
local CLEANED = 100

local function clock_ms()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

local function uncount(one)
  local bytes = redis.call('HGET', SIZES, one)
  if bytes then
    redis.call('HDEL', SIZES, one)
    redis.call('HINCRBY', SIZES, 'total', '-' .. bytes)
  end
end

local function forget(one)
  uncount(one)
  redis.call('ZREM', INDEX, one)
end

local function lengthen(ms)
  redis.call('PEXPIRE', ENTRY, ms)
  redis.call('PEXPIRE', SAID, ms)
  redis.call('ZADD', INDEX, string.format('%.0f', clock_ms() + ms), member)
  redis.call('PEXPIRE', INDEX, 2 * keep_ms)
  redis.call('PEXPIRE', SIZES, 2 * keep_ms)
end

-- 6 print, 7 most keys of the tenant.
local function claim()
  local found = redis.call('HMGET', ENTRY, 'print', 'state', 'owner', 'head')
  local epoch = redis.call('HGET', LIMITS, 'epoch') or '0'
  if found[1] then
    if found[1] ~= ARGV[6] then return {'OTHER', epoch} end
    if found[3] == owner then return {'NEW', epoch} end
    if found[2] == 'kept' then return {'KEPT', epoch, found[4], redis.call('LRANGE', SAID, 0, -1)} end
    if found[2] == 'unkept' then return {'UNKEPT', epoch} end
    return {'RUNNING', epoch, found[3]}
  end
  local now = clock_ms()
  for _, over in ipairs(redis.call('ZRANGEBYSCORE', INDEX, '-inf', string.format('%.0f', now), 'LIMIT', 0, CLEANED)) do
    forget(over)
  end
  forget(member)
  redis.call('DEL', SAID)
  if redis.call('ZCARD', INDEX) >= tonumber(ARGV[7]) then
    local first = redis.call('ZRANGE', INDEX, 0, 0, 'WITHSCORES')
    return {'FULL', epoch, string.format('%.0f', tonumber(first[2]) - now)}
  end
  redis.call('HSET', ENTRY, 'print', ARGV[6], 'owner', owner, 'state', 'running')
  lengthen(lease_ms)
  return {'NEW', epoch}
end

-- 6 place of the first piece, 7 most bytes of the tenant, 8 '1' where the answer is too large already, 9 '1' where it
-- ends here, 10 head or '', then the pieces.
local function say()
  local found = redis.call('HMGET', ENTRY, 'owner', 'large', 'state')
  if not found[1] then return {'GONE'} end
  if found[1] ~= owner then return {'LOST'} end
  -- One that was overtaken on the way by the last: what is kept is not to end with its lease.
  if found[3] ~= 'running' and ARGV[9] ~= '1' then return {found[2] and 'LARGE' or 'OK'} end
  local large = found[2] or ARGV[8] == '1'
  if not large then
    local first, held, added = tonumber(ARGV[6]), redis.call('LLEN', SAID), 0
    if held < first then
      redis.call('DEL', ENTRY)
      return {'GONE'}
    end
    for index = 11, #ARGV do
      if first + index - 11 >= held then
        redis.call('RPUSH', SAID, ARGV[index])
        added = added + #ARGV[index]
      end
    end
    redis.call('HINCRBY', SIZES, member, added)
    large = redis.call('HINCRBY', SIZES, 'total', added) > tonumber(ARGV[7])
  end
  if large then
    redis.call('DEL', SAID)
    uncount(member)
    redis.call('HSET', ENTRY, 'large', '1')
  end
  if ARGV[10] ~= '' then redis.call('HSET', ENTRY, 'head', ARGV[10]) end
  if ARGV[9] == '1' then
    redis.call('HSET', ENTRY, 'state', large and 'unkept' or 'kept')
    lengthen(keep_ms)
  else
    lengthen(lease_ms)
  end
  return {large and 'LARGE' or 'OK'}
end

-- 6 how many pieces are known. Whoever follows one owner never goes on with another's words.
local function follow()
  local found = redis.call('HMGET', ENTRY, 'owner', 'state', 'head', 'large')
  if found[1] ~= owner then return {'GONE'} end
  if found[4] then return {'UNKEPT'} end
  return {found[2] == 'kept' and 'KEPT' or 'RUNNING', found[3] or '', redis.call('LRANGE', SAID, ARGV[6], -1)}
end

local function free()
  if redis.call('HGET', ENTRY, 'owner') ~= owner then return {'LOST'} end
  redis.call('DEL', ENTRY, SAID)
  forget(member)
  return {'OK'}
end

-- Whoever still answers under the key finds another owner, and keeps nothing.
local function erase()
  redis.call('DEL', SAID)
  forget(member)
  if redis.call('HGET', ENTRY, 'state') == 'running' then
    redis.call('HSET', ENTRY, 'owner', '')
    redis.call('HDEL', ENTRY, 'head')
  else
    redis.call('DEL', ENTRY)
  end
  return {'OK'}
end

return ({claim = claim, say = say, follow = follow, free = free, erase = erase})[what]()
