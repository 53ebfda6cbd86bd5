-- ARGV: '1' where the calls' ends will never be known, calls. Replies with those that held something. Of a call that was
-- released nothing is recorded; one that is abandoned leaves its note.
local now = clock_ms()
local abandoned = take() == '1'
local released = {}
expire_leases(int(now))
for _, call in ipairs(take_list()) do
  local held = drop(call)
  if held then
    released[#released + 1] = call
    if abandoned then
      if held.note ~= '' then abandon(held, now) end
    else
      change(split(held.scopes), function(counters) refill(counters, held.tokens, now) end)
    end
  end
end
return released
