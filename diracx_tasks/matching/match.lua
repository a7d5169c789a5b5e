-- Choose the jobs that a node gets next, and put them under a lease, in one step.
-- ARGV: kind, its terms as JSON, how many, lease in seconds, site, site/node, rules as JSON ('' none), CE
-- Returns {is the queue made, seconds to wait, then of each job: job, class, alternative, cores, RAM in MB}
--
-- e:KIND, eg     bits over slots: eligible for a kind of node; hash: kind -> the `gen` that they are of
-- ring:...       sorted set: tiers, groups of a tier, owners of a group -> their pass; the lowest goes first
-- turns          hash: ring -> the pass of who went last
-- turn           hash: entity -> how often it had its turn
local kind, wanted, lease = ARGV[1], tonumber(ARGV[3]), tonumber(ARGV[4])
local site, node, ce = ARGV[5], ARGV[6], ARGV[8]
local rules = ARGV[7] ~= '' and cjson.decode(ARGV[7])
local time = call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local C = P .. 'cur:'
-- What an entity could not use is made up for so many of its turns at most.
local CREDIT = 32
-- Every so many turns the oldest job goes first whatever its priority: none waits for ever.
local OLDEST = 16
local answer = {call('EXISTS', P .. 'ready'), '0'}

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

local function holds(tree, tags)
  if type(tree) == 'string' then return tags[tree] == true end
  if tree[1] == '~' then return not holds(tree[2], tags) end
  local is_or = tree[1] == '|'
  for place = 2, #tree do
    if holds(tree[place], tags) == is_or then return is_or end
  end
  return not is_or
end

local function satisfied(terms)
  local tags, keys = {}, {P .. 'b:tags?'}
  for _, tag in ipairs(terms.tags) do tags[tag] = true end
  local exprs = call('HGETALL', P .. 'exprs')
  for place = 1, #exprs, 2 do
    if holds(cjson.decode(exprs[place + 1]), tags) then keys[#keys + 1] = P .. 'b:tags=' .. exprs[place] end
    -- Lua hands over 8000 arguments at most.
    if #keys > 4000 then
      call('BITOP', 'OR', C .. 'tags', unpack(keys))
      keys = {C .. 'tags'}
    end
  end
  call('BITOP', 'OR', C .. 'tags', unpack(keys))
  return C .. 'tags'
end

-- The slots whose lower limit of a dimension is met.
local function threshold(dim, has)
  local met = has and call('ZREVRANGEBYSCORE', P .. 't:' .. dim, number(has), '-inf', 'LIMIT', 0, 1)[1]
  return P .. 'b:' .. dim .. '>' .. (met or '')
end

local function operands(terms)
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

local function eligible()
  local key, gen = P .. 'e:' .. kind, call('GET', P .. 'gen') or '0'
  call('ZADD', P .. 'kinds', now, kind)
  if call('HGET', P .. 'eg', kind) == gen then return key end
  local terms = cjson.decode(ARGV[2])
  call('HSET', P .. 'kind', kind, ARGV[2])
  call('BITOP', 'AND', key, unpack(operands(terms)))
  without(key, P .. 'b:not=' .. site)
  call('HSET', P .. 'eg', kind, gen)
  return key
end

local function bucket(rule)
  local text = call('HGET', P .. 'bucket', rule[1] .. '\n' .. rule[2] .. '=' .. rule[3])
  local had = text and cmsgpack.unpack(text) or {rule[5], now}
  return math.min(rule[5], had[1] + (now - had[2]) / rule[4])
end

local function is_full(rule)
  local running = call('HGET', P .. 'run:' .. rule[1], rule[2] .. '=' .. rule[3]) or 0
  return tonumber(running) >= rule[4] or call('EXISTS', P .. 'counted') == 0
end

local function unblocked(set)
  for _, rule in ipairs(rules and rules.limits or {}) do
    if is_full(rule) then without(set, P .. 'b:' .. rule[2] .. '=' .. rule[3]) end
  end
  for _, rule in ipairs(rules and rules.delays or {}) do
    if bucket(rule) < 1 then without(set, P .. 'b:' .. rule[2] .. '=' .. rule[3]) end
  end
  return any(set)
end

-- Whether an entity has any job at all; one that has none leaves the ring.
local function has_work(ring, attribute, name, above)
  call('BITOP', 'AND', C .. 'x', P .. 'live', P .. 'b:' .. attribute .. '=' .. name, unpack(above))
  if not any(C .. 'x') then call('ZREM', P .. ring, name) end
end

-- The entity whose turn it is among those with an eligible job; `set` is cut down to its slots.
local function turn_of(ring, attribute, set, above)
  local start = 0
  repeat
    local names = call('ZRANGE', P .. ring, start, start + 31)
    for _, name in ipairs(names) do
      call('BITOP', 'AND', C .. attribute, set, P .. 'b:' .. attribute .. '=' .. name)
      if any(C .. attribute) then return name, C .. attribute end
      has_work(ring, attribute, name, above)
    end
    start = start + 32
  until #names == 0
end

local function soonest(set, from)
  local last = set
  for place = from, 0, -1 do
    local into = last == C .. 'a' and C .. 'b' or C .. 'a'
    call('BITOP', 'AND', into, last, P .. 'h:' .. place)
    if any(into) then last = into end
    if place % 5 == 0 and call('BITCOUNT', last) == 1 then break end
  end
  return call('BITPOS', last, 1)
end

local function advance(ring, name, weight)
  local pass = tonumber(call('ZSCORE', P .. ring, name) or 0)
  local before = tonumber(call('HGET', P .. 'turns', ring) or 0)
  local step = 1 / tonumber(call('HGET', P .. 'weights', weight) or 1)
  if pass > before then call('HSET', P .. 'turns', ring, pass) end
  call('ZADD', P .. ring, math.max(pass, before - CREDIT * step) + step, name)
end

local function choose(set)
  local tier, inside = turn_of('ring', 'tier', set, {})
  if not tier then return end
  local of_tier = 'ring\n' .. tier
  local group, of_group
  group, inside = turn_of(of_tier, 'group', inside, {P .. 'b:tier=' .. tier})
  if not group then return end
  of_group = of_tier .. '\n' .. group
  local turn = {{'ring', tier, 'tier:' .. tier}, {of_tier, group, 'group:' .. group}}
  local entity = tier .. '\n' .. group
  if call('SISMEMBER', P .. 'sharing', group) == 0 then
    local above = {P .. 'b:tier=' .. tier, P .. 'b:group=' .. group}
    local owner
    owner, inside = turn_of(of_group, 'owner', inside, above)
    if not owner then return end
    turn[3] = {of_group, owner, 'owner:' .. group .. '/' .. owner}
    entity = entity .. '\n' .. owner
  end
  local number_of_turn = tonumber(call('HGET', P .. 'turn', entity) or 0) + 1
  return soonest(inside, number_of_turn % OLDEST == 0 and 30 or 34), turn, entity
end

local function pop(class, info)
  local job = call('LPOP', P .. 'q:' .. class)
  while job and not set_waits(job, 0) do job = call('LPOP', P .. 'q:' .. class) end
  settle(class, info)
  return job
end

local function reserve(job, class, info)
  local values = {type = info.type, group = info.group, owner = info.owner}
  for _, rule in ipairs(rules.limits) do
    if values[rule[2]] == rule[3] then
      call('HINCRBY', P .. 'run:' .. rule[1], rule[2] .. '=' .. rule[3], 1)
      call('HINCRBY', P .. 'since:' .. rule[1], rule[2] .. '=' .. rule[3], 1)
    end
  end
  for _, rule in ipairs(rules.delays) do
    if values[rule[2]] == rule[3] then
      call('HSET', P .. 'bucket', rule[1] .. '\n' .. rule[2] .. '=' .. rule[3], cmsgpack.pack({bucket(rule) - 1, now}))
    end
  end
  call('HSET', P .. 'lease', job, cjson.encode({class, info.type, info.group, info.owner, site, ce}))
end

-- What a job may use of what is left, as `Node.cores_for` and `Node.ram_for` say; it is not left any more.
local function use(left, asked)
  local cores, ram = left.cores, left.ram
  if not asked.whole then
    cores = math.min(asked.max_cores, cores)
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

local function take(set, left)
  local slot, turn, entity = choose(set)
  if not slot then return false end
  lasting(true)
  local class = call('HGET', P .. 'at', slot)
  local info = class_info(class)
  local job = pop(class, info)
  if job then
    for _, one in ipairs(turn) do advance(one[1], one[2], one[3]) end
    call('HINCRBY', P .. 'turn', entity, 1)
    call('ZADD', P .. 'leases', now + lease, job)
    if rules then reserve(job, class, info) end
    for alternative, one in ipairs(info.slots) do
      if one == slot then
        local cores, ram = use(left, info.asked[alternative])
        for _, part in ipairs({job, class, alternative - 1, cores, ram}) do answer[#answer + 1] = part end
      end
    end
  end
  lasting(false)
  return true
end

-- Whether jobs fail on a node or at its site, and the seconds that it must wait for that.
local function slowed()
  if call('EXISTS', P .. 'slow') == 0 then return false, 0 end
  local is_slow, longest = false, 0
  for _, name in ipairs({site, node}) do
    if call('HGET', P .. 'slow', name) then
      is_slow = true
      longest = math.max(longest, tonumber(call('HGET', P .. 'next', name) or 0) - now)
    end
  end
  return is_slow, longest
end

local function slow_down()
  for _, name in ipairs({site, node}) do
    local least = call('HGET', P .. 'slow', name)
    if least then call('HSET', P .. 'next', name, now + tonumber(least)) end
  end
end

lasting(false)
local key = eligible()
local is_slow, wait = slowed()
if wait > 0 then
  answer[2] = tostring(wait)
  return answer
end
local left = cjson.decode(ARGV[2]).has
local most = 2 + 5 * (is_slow and 1 or wanted)
while #answer < most do
  call('BITOP', 'AND', C .. 'set', key, P .. 'live')
  if #answer > 2 then narrow(C .. 'set', left) end
  if not any(C .. 'set') or not unblocked(C .. 'set') or not take(C .. 'set', left) then break end
end
lasting(true)
if is_slow and #answer > 2 then slow_down() end
return answer
