-- ARGV after the rules: the epoch and version seen last, dice, then reports of four each: deployment, kind, value, extra.
-- Replies with epoch, version, time, and deployment and circuit of each that changed since.
local seen_epoch, seen_version, dice = take(), tonumber(take()), tonumber(take())

-- A mean moves towards `mean` as it would with `count` single values.
local function moved(held, mean, count)
  if not held then return mean end
  return held + (mean - held) * (1 - 0.8 ^ count)
end

local apply = {
  ok = function(circuit, count) for _ = 1, tonumber(count) do took(circuit, 'ok', dice) end end,
  failed = function(circuit, count) for _ = 1, tonumber(count) do took(circuit, 'failed', dice) end end,
  failure = function(circuit, code) circuit.failure, circuit.failed_ms = code, now end,
  probed = function(circuit, token, verdict) probed(circuit, token, verdict, dice) end,
  checked = function(circuit, token, verdict) checked(circuit, token, verdict, dice) end,
  renew = function(circuit, token)
    if circuit.probe == token then circuit.probe_until_ms = now + rules.lease_ms end
  end,
  first_token = function(circuit, mean, count)
    circuit.first_token_seconds = moved(circuit.first_token_seconds, tonumber(mean), tonumber(count))
  end,
  pace = function(circuit, mean, count)
    circuit.tokens_per_second = moved(circuit.tokens_per_second, tonumber(mean), tonumber(count))
  end,
  teach = function(circuit, left_ms, openings)
    circuit.open, circuit.openings, circuit.opened_ms = true, tonumber(openings), now
    circuit.until_ms = now + tonumber(left_ms)
  end,
}

local loaded, known = {}, {}
while position < #ARGV do
  local id, kind, value, extra = take(), take(), take(), take()
  if not loaded[id] then loaded[id], known[id] = load(id) end
  -- A memory is worth something only where the fleet has none.
  if kind ~= 'teach' or not known[id] then apply[kind](loaded[id], value, extra) end
end
local epoch_now = epoch()
for id, circuit in pairs(loaded) do store(id, circuit) end
if next(loaded) then
  local oldest = redis.call('ZRANGE', CHANGED, 0, 0)[1]
  if oldest and now - (load(oldest).at_ms or 0) > FORGET_MS then
    redis.call('HDEL', CIRCUITS, oldest)
    redis.call('ZREM', CHANGED, oldest)
  end
end
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, KEEP_MS) end

local from = seen_epoch == epoch_now and '(' .. int(seen_version) or '-inf'
local reply = {epoch_now, redis.call('HGET', META, 'version') or '0', int(now)}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', CHANGED, from, '+inf')) do
  reply[#reply + 1] = id
  reply[#reply + 1] = redis.call('HGET', CIRCUITS, id) or '{}'
end
return reply
