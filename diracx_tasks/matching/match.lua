-- Choose the jobs that a node gets next, and put them under a lease, in one step.
-- ARGV: kind, its terms as JSON, how many, lease in seconds, site, site/node, CE, rules as JSON ('' none),
--       cores, RAM in MB, whether the jobs run one after the other ('1') or at once
-- Returns {is the queue made, seconds to wait, then of each job: job, class, alternative, cores, RAM in MB, GPUs,
-- scratch in MB}
--
-- satisfied      hash: sha of a list of tags -> {names of expressions, the last one's number} as msgpack
-- e:KIND, eg     bits over slots: eligible for a kind of node; hash: kind -> the `gen` that they are of
-- ring:...       sorted set: tiers, groups of a tier, owners of a group -> their pass; the lowest goes first
-- turns          hash: ring -> the pass of who went last
-- turn           how many turns there were
local kind, wanted, lease = ARGV[1], tonumber(ARGV[3]), tonumber(ARGV[4])
local site, node, ce = ARGV[5], ARGV[6], ARGV[7]
local rules = ARGV[8] ~= '' and cjson.decode(ARGV[8])
local is_in_turn = ARGV[11] == '1'
local time = call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local C = P .. 'cur:'
-- What an entity could not use is made up for so many of its turns at most.
local CREDIT = 32
local UNLIMITED = 9007199254740992
-- What is eligible for a kind of node is kept for so many seconds.
local KEPT = 600
local is_spent = false
-- One turn in 16 the oldest job goes first whatever its priority: none waits for ever. Which turns these are
-- looks like chance: every 16th would be the same pilots' where pilots ask in turns.
local SPREAD, TURNS, OLDEST = 40503, 65536, 4096
local marks = call('MGET', P .. 'ready', P .. 'gen')
local gen = marks[2] or '0'
local answer = {marks[1] and 1 or 0, '0'}

-- Only what lasts is for the log and for replicas.
local function lasting(does_last)
  redis.set_repl(does_last and redis.REPL_ALL or redis.REPL_NONE)
end

local function any(key)
  return call('BITPOS', key, 1) >= 0
end

local function without(key, other)
  call('BITOP', 'AND', C .. 'x', key, other)
  call('BITOP', 'XOR', key, key, C .. 'x')
end

-- The slots whose lower limit of a dimension is met.
local function threshold(dim, has)
  local met = has and call('ZREVRANGEBYSCORE', P .. 't:' .. dim, number(has), '-inf', 'LIMIT', 0, 1)[1]
  return P .. 'b:' .. dim .. '>' .. (met or '')
end

-- The bitmaps whose AND are the eligible slots. What it needs is made here: it is seldom called.
local function operands(terms)
  local function holds(tree, tags)
    if type(tree) == 'string' then return tags[tree] == true end
    if tree[1] == '~' then return not holds(tree[2], tags) end
    local is_or = tree[1] == '|'
    for place = 2, #tree do
      if holds(tree[place], tags) == is_or then return is_or end
    end
    return not is_or
  end

  -- The expressions that a list of tags satisfies; each is looked at once for it.
  local function satisfied_by(tags)
    local field = redis.sha1hex(cjson.encode(tags))
    local text = call('HGET', P .. 'satisfied', field)
    local known = text and cmsgpack.unpack(text) or {upto = 0, names = {}}
    local fresh = call('ZRANGEBYSCORE', P .. 'exprs', '(' .. known.upto, '+inf', 'WITHSCORES')
    if #fresh == 0 then return known.names end
    local has = {}
    for _, tag in ipairs(tags) do has[tag] = true end
    for place = 1, #fresh, 2 do
      local tree = cjson.decode(call('HGET', P .. 'trees', fresh[place]))
      if holds(tree, has) then known.names[#known.names + 1] = fresh[place] end
      known.upto = tonumber(fresh[place + 1])
    end
    call('HSET', P .. 'satisfied', field, cmsgpack.pack(known))
    return known.names
  end

  local function satisfied(terms)
    local keys = {P .. 'b:tags?'}
    for _, name in ipairs(satisfied_by(terms.tags)) do
      keys[#keys + 1] = P .. 'b:tags=' .. name
      -- Lua hands over 8000 arguments at most.
      if #keys > 4000 then
        call('BITOP', 'OR', C .. 'tags', unpack(keys))
        keys = {C .. 'tags'}
      end
    end
    call('BITOP', 'OR', C .. 'tags', unpack(keys))
    return C .. 'tags'
  end

  local found = {P .. 'b:all'}
  for _, used in ipairs(call('SMEMBERS', P .. 'dims')) do
    local dim = string.sub(used, 2)
    local key = P .. 'b:' .. dim
    if used == '&tags' then
      key = satisfied(terms)
    elseif string.sub(used, 1, 1) == '=' then
      if terms.is[dim] then call('BITOP', 'OR', C .. dim, key .. '?', key .. '=' .. terms.is[dim]) end
      key = terms.is[dim] and C .. dim or key .. '?'
    else
      key = threshold(dim, terms.has[dim])
    end
    found[#found + 1] = key
  end
  for _, tag in ipairs(terms.requires) do found[#found + 1] = P .. 'b:demand=' .. tag end
  for attribute, values in pairs(terms.only) do
    local keys = {P .. 'b:none'}
    for _, value in ipairs(values) do keys[#keys + 1] = P .. 'b:' .. attribute .. '=' .. value end
    call('BITOP', 'OR', C .. 'only' .. attribute, unpack(keys))
    found[#found + 1] = C .. 'only' .. attribute
  end
  return found
end

local function eligible(is_lost)
  local key = P .. 'e:' .. kind
  local is_known = not is_lost and call('HGET', P .. 'eg', kind) == gen
  -- Of those that ask often one time in eight is enough.
  if not is_known or tonumber(time[2]) % 8 == 0 then call('ZADD', P .. 'kinds', now, kind) end
  if is_known then return key end
  local terms = cjson.decode(ARGV[2])
  call('HSET', P .. 'kind', kind, ARGV[2])
  call('BITOP', 'AND', key, unpack(operands(terms)))
  without(key, P .. 'b:not=' .. site)
  call('EXPIRE', key, KEPT)
  call('HSET', P .. 'eg', kind, gen)
  return key
end

local function is_full(rule)
  local running = call('HGET', P .. 'run:' .. rule[1], rule[2] .. '=' .. rule[3])
  -- What has not been counted is full: a limit is never exceeded for want of a number.
  return not running or tonumber(running) >= rule[4] or call('EXISTS', P .. 'counted') == 0
end

local function block(set)
  for _, rule in ipairs(rules.limits) do
    if is_full(rule) then without(set, P .. 'b:' .. rule[2] .. '=' .. rule[3]) end
  end
  for _, rule in ipairs(rules.delays) do
    if bucket(rule, now) < 1 then without(set, P .. 'b:' .. rule[2] .. '=' .. rule[3]) end
  end
end

-- The entity whose turn it is among those with an eligible job, its pass, and its part of the set.
local function turn_of(ring, attribute, set)
  local start = 0
  repeat
    local names = call('ZRANGE', P .. ring, start, start + 15, 'WITHSCORES')
    -- Whatever has jobs is in the ring: the only one has them all.
    if start == 0 and #names == 2 then return names[1], nil, set end
    for place = 1, #names, 2 do
      local name = names[place]
      call('BITOP', 'AND', C .. attribute, set, P .. 'b:' .. attribute .. '=' .. name)
      if any(C .. attribute) then return name, names[place + 1], C .. attribute end
    end
    start = start + 16
  until #names == 0
end

local function advance(ring, name, pass, weight)
  if not pass then return end
  local before = tonumber(call('HGET', P .. 'turns', ring) or 0)
  local step = 1 / tonumber(call('HGET', P .. 'weights', weight) or 1)
  pass = tonumber(pass)
  if pass > before then call('HSET', P .. 'turns', ring, pass) end
  call('ZADD', P .. ring, math.max(pass, before - CREDIT * step) + step, name)
end

-- The highest bit in which the soonest and the last of all slots with jobs differ.
local function differing()
  local most = tonumber(call('ZREVRANGE', P .. 'order', 0, 0, 'WITHSCORES')[2])
  local least = tonumber(call('ZRANGE', P .. 'order', 0, 0, 'WITHSCORES')[2])
  local place, changed = 31, bit.bxor(floor(most / NUMBERS), floor(least / NUMBERS))
  if changed == 0 then place, changed = 0, bit.bxor(most % NUMBERS, least % NUMBERS) end
  while changed > 1 do place, changed = place + 1, bit.rshift(changed, 1) end
  return place
end

-- The slot with the soonest job of a set, bit by bit: what it costs does not depend on how many there are.
local function soonest(set, from)
  local last = set
  for place = math.min(from, differing()), 0, -1 do
    local into = last == C .. 'a' and C .. 'b' or C .. 'a'
    call('BITOP', 'AND', into, last, P .. 'h:' .. place)
    if any(into) then last = into end
    if place % 5 == 0 and call('BITCOUNT', last) == 1 then break end
  end
  return call('BITPOS', last, 1)
end

-- The same, when it is among the soonest of all, as it mostly is.
local function first_of(set)
  local bits = call('GET', set)
  for _, slot in ipairs(call('ZREVRANGE', P .. 'order', 0, 11)) do
    local byte = string.byte(bits, floor(slot / 8) + 1) or 0
    if bit.band(bit.rshift(byte, 7 - slot % 8), 1) == 1 then return slot end
  end
end

local function choose(set)
  local tier, tier_pass, group, group_pass, owner, owner_pass
  tier, tier_pass, set = turn_of('ring', 'tier', set)
  if not tier then return end
  local of_tier = 'ring\n' .. tier
  group, group_pass, set = turn_of(of_tier, 'group', set)
  if not group then return end
  local turn = {{'ring', tier, tier_pass, 'tier:' .. tier}, {of_tier, group, group_pass, 'group:' .. group}}
  if call('SISMEMBER', P .. 'sharing', group) == 0 then
    local of_group = of_tier .. '\n' .. group
    owner, owner_pass, set = turn_of(of_group, 'owner', set)
    if not owner then return end
    turn[3] = {of_group, owner, owner_pass, 'owner:' .. group .. '/' .. owner}
  end
  if call('INCR', P .. 'turn') * SPREAD % TURNS < OLDEST then return soonest(set, 30), turn end
  return first_of(set) or soonest(set, 34), turn
end

-- The first job of a class that waits. Very many dead ones before it are not passed over in one call.
local function pop(class, info)
  local list = P .. 'q:' .. class
  local first = call('LPOP', list)
  local job = first
  for _ = 1, MOST_DEAD do
    if not job or set_waits(job, 0) then
      settle(class, info, first)
      return job
    end
    job = call('LPOP', list)
  end
  if job then call('LPUSH', list, job) end
  settle(class, info, first)
  is_spent = true
end

-- Whether a limit or delay counts the job.
local function reserve(job, class, info)
  local is_counted = false
  local values = {type = info.type, group = info.group, owner = info.owner}
  for _, rule in ipairs(rules.limits) do
    if values[rule[2]] == rule[3] then
      is_counted = true
      call('HINCRBY', P .. 'run:' .. rule[1], rule[2] .. '=' .. rule[3], 1)
      call('HINCRBY', P .. 'since:' .. rule[1], rule[2] .. '=' .. rule[3], 1)
    end
  end
  for _, rule in ipairs(rules.delays) do
    if values[rule[2]] == rule[3] then
      is_counted = true
      call('HSET', P .. 'bucket', rule[1] .. '\n' .. rule[2] .. '=' .. rule[3], cmsgpack.pack({bucket(rule, now) - 1, now}))
    end
  end
  call('HSET', P .. 'lease', job, cjson.encode({class, info.type, info.group, info.owner, site, ce}))
  return is_counted
end

-- What a job may use of what is left, which is not left any more then.
local function use(left, asked)
  local cores, ram = left.cores, left.ram
  -- Of memory without a limit even a whole node's job gets what it asks for: the number is none.
  if not asked.whole or ram >= UNLIMITED then
    if not asked.whole then cores = math.min(asked.max_cores, cores) end
    if asked.per_core > 0 then cores = math.min(cores, floor((ram - asked.ram) / asked.per_core)) end
    cores = math.max(cores, asked.cores)
    ram = math.min(ram, asked.ram + asked.per_core * cores)
  end
  left.cores, left.ram = left.cores - cores, left.ram - ram
  left.gpus, left.scratch = (left.gpus or 0) - asked.gpus, (left.scratch or 0) - asked.scratch
  return cores, ram
end

-- What fits besides the jobs that were taken in this call.
local function narrow(set, left)
  for _, dim in ipairs({'cores', 'ram', 'gpus', 'scratch'}) do
    if call('SISMEMBER', P .. 'dims', '>' .. dim) == 1 then
      call('BITOP', 'AND', set, set, threshold(dim, left[dim]))
    end
  end
  without(set, P .. 'b:demand=WholeNode')
end

-- What the node has for one job.
local function whole()
  if wanted > 1 then return cjson.decode(ARGV[2]).has end
  return {cores = tonumber(ARGV[9]), ram = tonumber(ARGV[10])}
end

local function take(set, left)
  local slot, turn = choose(set)
  if not slot then return false end
  lasting(true)
  local class = call('HGET', P .. 'at', slot)
  local info = class_info(class)
  -- Before the job is gone: with the last one its entities leave their rings.
  for _, one in ipairs(turn) do advance(one[1], one[2], one[3], one[4]) end
  local job = pop(class, info)
  if job then
    call('ZADD', P .. 'leases', now + lease, job)
    -- What waits for its turn takes no place from others that could run now.
    if rules and reserve(job, class, info) and is_in_turn then is_spent = true end
    for alternative, one in ipairs(info.slots) do
      if one == tonumber(slot) then
        local asked = info.asked[alternative]
        local cores, ram = use(is_in_turn and whole() or left, asked)
        local parts = {job, class, alternative - 1, cores, ram, asked.gpus, asked.scratch}
        for _, part in ipairs(parts) do answer[#answer + 1] = part end
      end
    end
  end
  lasting(false)
  return true
end

-- The seconds that there must be between a node's matches because jobs fail on it or at its site, and how
-- many of them are left.
local function slowed()
  if call('EXISTS', P .. 'slow') == 0 then return 0, 0 end
  local pause = 0
  for _, name in ipairs({site, node}) do
    pause = math.max(pause, tonumber(call('HGET', P .. 'slow', name) or 0))
  end
  if pause == 0 then return 0, 0 end
  return pause, tonumber(call('HGET', P .. 'next', node) or 0) - now
end

lasting(false)
local pause, wait = slowed()
if wait > 0 then
  answer[2] = tostring(wait)
  return answer
end
local key = eligible(false)
local left = whole()
local most = 2 + 7 * (pause > 0 and 1 or wanted)
-- The slots whose jobs may be taken now; none when there are none.
local function candidates()
  local set = C .. 'set'
  call('BITOP', 'AND', set, key, P .. 'live')
  if #answer > 2 and not is_in_turn then narrow(set, left) end
  if rules then block(set) end
  return any(set) and set
end

while #answer < most and not is_spent do
  local set = candidates()
  if not set and call('EXISTS', key) == 0 then
    -- What is eligible was forgotten while nobody asked.
    eligible(true)
    set = candidates()
  end
  if not set or not take(set, left) then break end
end
lasting(true)
if pause > 0 and #answer > 2 then call('HSET', P .. 'next', node, now + pause) end
return answer
