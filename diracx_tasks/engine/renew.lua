-- Make the leases of a holder last from now on; 0 ms gives them back.
-- KEYS as in admit.lua, without rates; ARGV: owner, lease in ms, then way and count of each key.
-- Answers the numbers of those that are lost: others have them now.
local owner, lease = ARGV[1], tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local lost = {}
for i, key in ipairs(KEYS) do
    local way, count = ARGV[1 + 2 * i], tonumber(ARGV[2 + 2 * i])
    local member = string.sub(way, 1, 1) .. owner
    if lease == 0 then
        redis.call('ZREM', key, member)
    else
        redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
        local ours = redis.call('ZSCORE', key, member)
        local others = redis.call('ZCARD', key) - (ours and 1 or 0)
        local first = redis.call('ZRANGE', key, 0, 0)[1]
        -- A lease that ran out, or that a flush has removed, is still ours when nobody has taken the place.
        local is_free = (way == 'concurrent' and others < count)
            or (way == 'write' and others == 0)
            or (way == 'read' and not (first and string.sub(first, 1, 1) == 'w'))
        local is_taken = redis.call('SISMEMBER', 'diracx:engine:released:' .. key, member) == 1
        if (ours or is_free) and not is_taken then
            redis.call('ZADD', key, now + lease, member)
            local last = redis.call('ZRANGE', key, -1, -1, 'WITHSCORES')[2]
            redis.call('PEXPIREAT', key, math.floor(last))
        else
            lost[#lost + 1] = i
        end
    end
end
return lost
