-- What the matcher's scripts share; it is put before each of them. KEYS[1] is the prefix of the VO's keys.
--
-- class      hash: class -> {slots, asked, type, group, owner, priority, tier} as msgpack
-- at         hash: slot -> class
-- q:CLASS    list: the class's jobs, the next one first
-- in:CHUNK   bits: the jobs of a chunk of 65536 numbers that wait; entries of lists without a bit are dead
-- live       bits over slots: the class has jobs
-- heads      a double a slot: how soon the class's first job is; larger is sooner
-- order      sorted set: slot with jobs -> the same
-- h:BIT      bits over slots: that bit of `heads`, so that the soonest of many is found without reading each
-- leases     sorted set: jobs taken and not confirmed, by the time at which they return
local P = KEYS[1]
local call = redis.call
local CHUNK = 65536
-- 31 bits are the job's number, turned round; above them are four of its priority.
local NUMBERS = 2147483648
local floor = math.floor

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

local function class_info(class)
  local text = call('HGET', P .. 'class', class)
  return text and cmsgpack.unpack(text)
end

local function bits(high, low, slot, old_high, old_low)
  local changed = bit.bxor(low, old_low)
  local place = 0
  while changed ~= 0 do
    if bit.band(changed, 1) == 1 then
      call('SETBIT', P .. 'h:' .. place, slot, bit.band(bit.rshift(low, place), 1))
    end
    changed = bit.rshift(changed, 1)
    place = place + 1
  end
  changed = bit.bxor(high, old_high)
  place = 31
  while changed ~= 0 do
    if bit.band(changed, 1) == 1 then
      call('SETBIT', P .. 'h:' .. place, slot, bit.band(bit.rshift(high, place - 31), 1))
    end
    changed = bit.rshift(changed, 1)
    place = place + 1
  end
end

local function set_head(slot, soon)
  call('ZADD', P .. 'order', soon, slot)
  local text = call('GETRANGE', P .. 'heads', slot * 8, slot * 8 + 7)
  local old = #text == 8 and struct.unpack('>d', text) or 0
  if old == soon then return end
  call('SETRANGE', P .. 'heads', slot * 8, struct.pack('>d', soon))
  bits(floor(soon / NUMBERS), soon % NUMBERS, slot, floor(old / NUMBERS), old % NUMBERS)
end

-- Let an entity that has work again take its turn with the others: what it did not use before is not made up.
local function enter(ring, name)
  call('ZADD', P .. ring, 'GT', call('HGET', P .. 'turns', ring) or 0, name)
end

local function enter_all(info)
  enter('ring', info.tier)
  enter('ring\n' .. info.tier, info.group)
  enter('ring\n' .. info.tier .. '\n' .. info.group, info.owner)
end

-- Drop dead jobs from the front of a class; then bring what is known of its front up to date.
local function settle(class, info)
  local list = P .. 'q:' .. class
  local head = call('LINDEX', list, 0)
  -- Each entry is dropped once; the bound keeps one call short, and a match drops the others.
  for _ = 1, 5000 do
    if not head or waits(head) then break end
    call('LPOP', list)
    head = call('LINDEX', list, 0)
  end
  local was_live = call('GETBIT', P .. 'live', info.slots[1]) == 1
  if head and not was_live then enter_all(info) end
  local soon = head and (5 + info.priority) * NUMBERS + NUMBERS - 1 - tonumber(head)
  for _, slot in ipairs(info.slots) do
    if head then set_head(slot, soon) end
    if not head then call('ZREM', P .. 'order', slot) end
    if was_live ~= (head and true or false) then call('SETBIT', P .. 'live', slot, head and 1 or 0) end
  end
end
