-- What scripts share that run beside the calls.
local DAY_MS = 86400000

local function take_up(counters, amount, tokens)
  counters[RUNNING] = counters[RUNNING] + 1
  counters[HELD] = counters[HELD] + amount
  counters[HELD_TOKENS] = counters[HELD_TOKENS] + tokens
end

-- Hold what a call may use in `scopes`, separated by spaces, whatever the limits say.
local function hold(call, scopes, expiry_ms)
  note_open(call, scopes, int(expiry_ms))
  local amount, tokens = tonumber(call.amount), tonumber(call.tokens)
  change(split(scopes), function(counters) take_up(counters, amount, tokens) end)
  redis.call('PEXPIRE', OPEN, KEEP_MS)
  redis.call('PEXPIRE', CALLS, KEEP_MS)
end

-- Nobody will ever say what a noted call has cost: its note and what it held go where settlements go.
local function abandon(held, now)
  redis.call('HDEL', LAPSED, held.id)
  remember_settled(held.id, now + SETTLED_KEEP_MS)
  redis.call('XADD', SETTLEMENTS, '*', 'a', held.note, 'c', held.id, 'm', int(held.amount), 'k', int(held.tokens))
end

-- All counters, by scope.
local function each_scope()
  local found, state = {}, redis.call('HGETALL', STATE)
  for index = 1, #state, 2 do
    if string.sub(state[index], 1, 2) == 'c:' then found[string.sub(state[index], 3)] = state[index + 1] end
  end
  return found
end
