-- ARGV: id. Everything at or before it is written down elsewhere: forget it, and say so to those who kept a copy.
local function parts(id)
  local ms, seq = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(seq)
end
local id = take()
local ms, seq = parts(id)
local known_ms, known_seq = parts(redis.call('HGET', STATE, 'drained') or '0-0')
if ms > known_ms or (ms == known_ms and seq > known_seq) then redis.call('HSET', STATE, 'drained', id) end
return redis.call('XTRIM', SETTLEMENTS, 'MINID', int(ms) .. '-' .. int(seq + 1))
