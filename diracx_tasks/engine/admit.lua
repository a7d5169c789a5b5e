-- Give a run all its locks and places at once, or none.
-- KEYS[i]: a sorted set of holders by when their lease ends (rate: of starts by when they were).
-- ARGV: owner, lease in ms, ms during which holders from before a loss of memory come back,
-- then way, count and window in ms of each key.
-- Answers {1, fence} or {0, which, ms until it may be worth asking again}.
local owner, lease, regain = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local since = redis.call('GET', 'diracx:engine:since')
if not since then
    since = now
    redis.call('SET', 'diracx:engine:since', now)
end

local function refusal(key, way, count, window)
    -- The client repeats a call whose answer was lost: what it was given then is still its own.
    if redis.call('ZSCORE', key, way == 'rate' and owner or string.sub(way, 1, 1) .. owner) then return nil end
    if way == 'rate' then
        redis.call('ZREMRANGEBYSCORE', key, '-inf', now - window)
        if redis.call('ZCARD', key) < count then return nil end
        return redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')[2] + window - now + 1
    end
    redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
    if way == 'concurrent' then
        if now - since < regain then return regain - (now - since) end
        return redis.call('ZCARD', key) >= count and 0 or nil
    end
    local first = redis.call('ZRANGE', key, 0, 0)[1]
    if way == 'write' then return first and 0 or nil end
    -- A writer that waits goes first, or readers would keep it waiting for ever.
    if redis.call('EXISTS', 'diracx:engine:writer:' .. key) == 1 then return 0 end
    return first and string.sub(first, 1, 1) == 'w' and 0 or nil
end

for i, key in ipairs(KEYS) do
    local way, count, window = ARGV[1 + 3 * i], tonumber(ARGV[2 + 3 * i]), tonumber(ARGV[3 + 3 * i])
    local wait = refusal(key, way, count, window)
    if wait then
        if way == 'write' then redis.call('SET', 'diracx:engine:writer:' .. key, owner, 'PX', lease) end
        return {0, i, math.floor(wait)}
    end
end
-- Never lower than any before, also when Redis has lost its memory: the clock goes on.
local fence = tonumber(redis.call('GET', 'diracx:engine:fence') or 0)
fence = math.max(fence + 1, time[1] * 1000000 + time[2])
redis.call('SET', 'diracx:engine:fence', string.format('%.0f', fence))
for i, key in ipairs(KEYS) do
    local way, window = ARGV[1 + 3 * i], tonumber(ARGV[3 + 3 * i])
    if way == 'rate' then
        redis.call('ZADD', key, now, owner)
        redis.call('PEXPIRE', key, window)
    else
        redis.call('ZADD', key, now + lease, string.sub(way, 1, 1) .. owner)
        redis.call('PEXPIREAT', key, now + lease)
        if way == 'write' then redis.call('DEL', 'diracx:engine:writer:' .. key) end
    end
end
return {1, string.format('%.0f', fence)}
