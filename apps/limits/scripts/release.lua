-- ARGV: calls. Replies with those that held something.
local released = {}
expire_leases(clock_ms())
for _, call in ipairs(take_list()) do
  if drop(call) then released[#released + 1] = call end
end
return released
