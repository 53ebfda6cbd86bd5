-- ARGV: token.
if redis.call('GET', REBUILD) == take() then redis.call('DEL', REBUILD, LATE) end
return {'ABANDONED'}
