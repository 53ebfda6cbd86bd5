-- Appends entries <fence>-<first_seq>, <fence>-<first_seq + 1>, ... to one generation's stream, each at most once.
-- first_seq 0 is the start entry and opens the log for this fence; without entries it only asks what is held.
--
-- KEYS[1]  the stream
-- ARGV     fence, first_seq, abandon_after_seconds, close_ttl_seconds (-1: leave open), then type and body per entry
-- Returns  {0, last seq held} OK | {1, higher fence} FENCED | {2, last seq held} GAP | {3, 0} NOLOG

local key = KEYS[1]
local fence, first_seq = tonumber(ARGV[1]), tonumber(ARGV[2])
local abandon_after, close_ttl = tonumber(ARGV[3]), tonumber(ARGV[4])

local held = -1
local top = redis.call('XREVRANGE', key, '+', '-', 'COUNT', 1)[1]
if top then
    local top_fence, top_seq = string.match(top[1], '^(%d+)-(%d+)$')
    top_fence = tonumber(top_fence)
    if top_fence > fence then
        return {1, top_fence}
    elseif top_fence == fence then
        held = tonumber(top_seq)
    end
end
if held < 0 and first_seq > 0 then
    return {3, 0}
elseif first_seq > held + 1 then
    return {2, held}
end

local added = false
for index = 5 + 2 * (held + 1 - first_seq), #ARGV, 2 do
    held = held + 1
    redis.call('XADD', key, ARGV[1] .. '-' .. string.format('%.0f', held), 't', ARGV[index], 'd', ARGV[index + 1])
    added = true
end

if close_ttl >= 0 then
    redis.call('EXPIRE', key, close_ttl)
elseif added and redis.call('TTL', key) < abandon_after then
    -- Set to the double and renewed below the single: the promise holds without a write per append. Entries that were
    -- held before do not renew: a late repetition must not bring a closed log back to its long life.
    redis.call('EXPIRE', key, 2 * abandon_after)
end
return {0, held}
