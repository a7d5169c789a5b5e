-- Take the soonest jobs that fit a pilot and put them under a lease, in one step.
-- KEYS: classes, leases, ready, seen; ARGV: pilot as JSON, how many, lease in seconds, prefix of the jobs' keys
-- Returns {is the queue made from the database, job, job, ...}
local pilot = cjson.decode(ARGV[1])
local wanted, lease, prefix = tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local now = tonumber(redis.call('TIME')[1])
local function set_of(list)
  local found = {}
  for _, value in ipairs(list or {}) do found[value] = true end
  return found
end
local tags = set_of(pilot.tags)

local function fits(needs)
  if needs.cores > pilot.cores or needs.ram_mb > pilot.ram_mb then return false end
  if #needs.sites > 0 and not set_of(needs.sites)[pilot.site] then return false end
  if set_of(needs.banned_sites)[pilot.site] then return false end
  if type(needs.platform) == 'string' and needs.platform ~= pilot.platform then return false end
  for _, tag in ipairs(needs.tags) do
    if not tags[tag] then return false end
  end
  return true
end

redis.call('HSET', KEYS[4], ARGV[1], now)
local taken = {redis.call('EXISTS', KEYS[3])}
local eligible = {}
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  if fits(cjson.decode(all[i + 1])) then eligible[#eligible + 1] = all[i] end
end
while #taken <= wanted do
  local best, place
  for _, class in ipairs(eligible) do
    local head = redis.call('ZRANGE', prefix .. class, 0, 0, 'WITHSCORES')
    if #head == 0 then
      redis.call('HDEL', KEYS[1], class)
    elseif not place or tonumber(head[2]) < place then
      best, place = class, tonumber(head[2])
    end
  end
  if not best then break end
  local job = redis.call('ZPOPMIN', prefix .. best)[1]
  redis.call('ZADD', KEYS[2], now + lease, job)
  taken[#taken + 1] = job
end
return taken
