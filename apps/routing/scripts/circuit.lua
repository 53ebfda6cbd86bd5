-- The rules of `circuit.py`, for the whole fleet, in Redis's own time.
-- KEYS: 1 circuits (hash: deployment -> JSON), 2 changed (zset: deployment -> version), 3 meta (hash: epoch, version).
local CIRCUITS, CHANGED, META = KEYS[1], KEYS[2], KEYS[3]
local KEEP_MS = 604800000
local FORGET_MS = 86400000
local BUCKETS = 6
local PAUSE_MS = 1000
local PATIENT_OPENINGS = 16

local position = 0
local function take()
  position = position + 1
  return ARGV[position]
end
local rules = {}
for _, name in ipairs({
  'failures', 'rate_percent', 'rate_calls', 'window_ms', 'open_ms', 'open_max_ms', 'relapse_ms', 'lease_ms'
}) do rules[name] = tonumber(take()) end

local function clock_ms()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
local now = clock_ms()

local function int(number) return string.format('%.0f', number) end

local function load(id)
  local held = redis.call('HGET', CIRCUITS, id)
  if held then return cjson.decode(held), true end
  return {
    open = false, in_a_row = 0, openings = 0, opened_ms = 0, until_ms = 0, closed_ms = 0, probe = '',
    probe_until_ms = 0, probed_ms = 0, unlisted = false, window = {}
  }, false
end

local function epoch()
  local held = redis.call('HGET', META, 'epoch')
  if held then return held end
  local time = redis.call('TIME')
  redis.call('HSET', META, 'epoch', time[1] .. '.' .. time[2])
  return time[1] .. '.' .. time[2]
end

local function store(id, circuit)
  circuit.at_ms = now
  redis.call('HSET', CIRCUITS, id, cjson.encode(circuit))
  redis.call('ZADD', CHANGED, redis.call('HINCRBY', META, 'version', 1), id)
end

local function open(circuit, dice)
  circuit.openings = math.min(circuit.openings + 1, PATIENT_OPENINGS)
  local duration = math.min(rules.open_ms * 2 ^ (circuit.openings - 1), rules.open_max_ms)
  circuit.open, circuit.opened_ms = true, now
  circuit.until_ms = now + math.floor(duration * (1500 + dice) / 2000)
  circuit.in_a_row, circuit.window = 0, {}
end

local function close(circuit)
  circuit.open, circuit.closed_ms, circuit.in_a_row, circuit.window = false, now, 0, {}
  circuit.unlisted = false
end

local function took(circuit, verdict, dice)
  if circuit.open or verdict == 'none' then return end
  local number = math.floor(now / math.max(1, math.floor(rules.window_ms / BUCKETS)))
  local field = int(number)
  local counted = circuit.window[field] or {0, 0}
  local failed = verdict == 'failed'
  circuit.window[field] = {counted[1] + 1, counted[2] + (failed and 1 or 0)}
  circuit.in_a_row = failed and circuit.in_a_row + 1 or 0
  if not failed then return end
  local calls, failures, kept = 0, 0, {}
  for bucket, pair in pairs(circuit.window) do
    if tonumber(bucket) > number - BUCKETS then
      kept[bucket] = pair
      calls, failures = calls + pair[1], failures + pair[2]
    end
  end
  circuit.window = kept
  local often = calls >= rules.rate_calls and failures * 100 >= calls * rules.rate_percent
  if circuit.in_a_row >= rules.failures or often then
    if now - circuit.closed_ms >= rules.relapse_ms then circuit.openings = 0 end
    circuit.unlisted = false
    open(circuit, dice)
  end
end

local function ask(circuit, token, asker)
  if not circuit.open then return 'closed' end
  if circuit.probe ~= '' and circuit.probe_until_ms > now then return 'refused' end
  local rested = now - math.max(circuit.opened_ms, circuit.probed_ms) >= PAUSE_MS
  local admitted = now >= circuit.until_ms or (asker == 'lone' and rested)
  if asker == 'check' then admitted = rested end
  if not admitted then return 'refused' end
  circuit.probe, circuit.probe_until_ms = token, now + rules.lease_ms
  return 'granted'
end

local function give_back(circuit, token)
  if not circuit.open or circuit.probe ~= token then return false end
  circuit.probe, circuit.probe_until_ms, circuit.probed_ms = '', 0, now
  return true
end

local function probed(circuit, token, verdict, dice)
  if not give_back(circuit, token) then
    took(circuit, verdict, dice)
  elseif verdict == 'ok' then
    close(circuit)
  elseif verdict == 'failed' then
    open(circuit, dice)
  end
end

local function checked(circuit, token, verdict, dice)
  if not give_back(circuit, token) then return end
  if verdict == 'ok' and circuit.unlisted then
    close(circuit)
  elseif verdict == 'failed' then
    circuit.unlisted = true
    if now >= circuit.until_ms and circuit.openings < PATIENT_OPENINGS then open(circuit, dice) end
  end
end
