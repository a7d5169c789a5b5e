-- What the matcher's scripts share; it is put before each of them. KEYS[1] is the prefix of the VO's keys.
--
-- class      hash: class -> {slots, asked, type, group, owner, priority, tier} as msgpack
-- at         hash: slot -> class
-- q:CLASS    list: the class's jobs, the next one first
-- in:CHUNK   bits: the jobs of a chunk of 65536 numbers that wait; entries of lists without a bit are dead
-- chunks     set: the chunks that there are
-- live       bits over slots: the class has jobs
-- order      sorted set: slot with jobs -> how soon the class's first job is; larger is sooner
-- h:BIT      bits over slots: that bit of it, so that the soonest of many is found without reading each
-- members    hash: ring and entity -> how many of its classes have jobs; passes: the pass of who has none now
-- leases     sorted set: jobs taken and not confirmed, by the time at which they return
local P = KEYS[1]
local call = redis.call
local CHUNK = 65536
-- 31 bits are the job's number, turned round; above them are four of its priority.
local NUMBERS = 2147483648
local floor = math.floor
local MOST_DEAD = 5000

local function number(job)
  return string.format('%.0f', job)
end

local function waits(job)
  local id = tonumber(job)
  return call('GETBIT', P .. 'in:' .. floor(id / CHUNK), id % CHUNK) == 1
end

-- Whether it was set before.
local function set_waits(job, bit)
  local id = tonumber(job)
  return call('SETBIT', P .. 'in:' .. floor(id / CHUNK), id % CHUNK, bit) == 1
end

-- How many of a matching delay's jobs may start now.
local function bucket(rule, now)
  local text = call('HGET', P .. 'bucket', rule[1] .. '\n' .. rule[2] .. '=' .. rule[3])
  local had = text and cmsgpack.unpack(text) or {rule[5], now}
  return math.min(rule[5], had[1] + (now - had[2]) / rule[4])
end

local function class_info(class)
  local text = call('HGET', P .. 'class', class)
  return text and cmsgpack.unpack(text)
end

-- How soon a job is, in two parts: its priority, and its number turned round.
local function soonness(priority, job)
  return 5 + priority, NUMBERS - 1 - tonumber(job)
end

local function write_bits(slot, new, old, first)
  local changed = bit.bxor(new, old)
  local place = 0
  while changed ~= 0 do
    if bit.band(changed, 1) == 1 then
      call('SETBIT', P .. 'h:' .. first + place, slot, bit.band(bit.rshift(new, place), 1))
    end
    changed = bit.rshift(changed, 1)
    place = place + 1
  end
end

-- A slot's first job is now `head` instead of `old`; either may be none.
local function set_head(slot, priority, head, old)
  local high, low, old_high, old_low = 0, 0, 0, 0
  if old then old_high, old_low = soonness(priority, old) end
  if head then
    high, low = soonness(priority, head)
    call('ZADD', P .. 'order', high * NUMBERS + low, slot)
  else
    call('ZREM', P .. 'order', slot)
  end
  write_bits(slot, low, old_low, 0)
  if high ~= old_high then write_bits(slot, high, old_high, 31) end
end

-- The rings in which a class's jobs wait for their turn, and as what.
local function entities(info)
  local of_tier = 'ring\n' .. info.tier
  return {{'ring', info.tier}, {of_tier, info.group}, {of_tier .. '\n' .. info.group, info.owner}}
end

-- A class has jobs again. Whoever had none takes his turn with the others: what he did not use is not made up.
local function enter(info)
  for _, one in ipairs(entities(info)) do
    local ring, name = one[1], one[2]
    local field = ring .. '\n\n' .. name
    call('HINCRBY', P .. 'members', field, 1)
    local had = tonumber(call('HGET', P .. 'passes', field) or 0)
    local turn = tonumber(call('HGET', P .. 'turns', ring) or 0)
    call('HDEL', P .. 'passes', field)
    call('ZADD', P .. ring, 'GT', math.max(had, turn), name)
  end
end

-- A class has no jobs any more; whoever has none in any class leaves the ring.
local function leave(info)
  for _, one in ipairs(entities(info)) do
    local field = one[1] .. '\n\n' .. one[2]
    if call('HINCRBY', P .. 'members', field, -1) <= 0 then
      call('HDEL', P .. 'members', field)
      -- Or whoever sends one job at a time would have each of them go first.
      call('HSET', P .. 'passes', field, call('ZSCORE', P .. one[1], one[2]) or 0)
      call('ZREM', P .. one[1], one[2])
    end
  end
end

-- Drop dead jobs from the front of a class; then bring what is known of its front up to date, which was `old`.
local function settle(class, info, old)
  local list = P .. 'q:' .. class
  local head = call('LINDEX', list, 0)
  -- Each entry is dropped once; the bound keeps one call short, and a match drops the others.
  for _ = 1, MOST_DEAD do
    if not head or waits(head) then break end
    call('LPOP', list)
    head = call('LINDEX', list, 0)
  end
  if head and not old then enter(info) end
  if old and not head then leave(info) end
  for _, slot in ipairs(info.slots) do
    set_head(slot, info.priority, head, old)
    if not head or not old then call('SETBIT', P .. 'live', slot, head and 1 or 0) end
  end
end
