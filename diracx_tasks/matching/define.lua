-- Make a class known, or forget one that has no jobs. ARGV: class, definition as JSON ('' forgets)
-- Returns 1 when something was changed.
--
-- all            bits over slots: in use
-- gen            counts changes of what is eligible for whom
-- b:type=VALUE   (also group, owner, tier): slots of that type
-- dims           set: dimensions that any class has asked about
-- b:DIM? b:DIM=V slots that do not care, and slots that take the value V
-- b:not=SITE     slots that do not want the site
-- t:DIM          sorted set: thresholds of a lower limit; '' is none. n:DIM hash: threshold -> slots that have it
-- b:DIM>T        slots whose threshold is T or less
-- b:tags? b:tags=SHA   the same for expressions over tags; trees hash: SHA -> tree, exprs sorted set: SHA -> number
-- b:demand=TAG   slots that cannot do without the tag
local function copy(from, to)
  call('BITOP', 'OR', P .. to, P .. from, P .. from)
end

local function mark(key, slot, value)
  call('SETBIT', P .. 'b:' .. key, slot, value)
  -- Names of sites, owners and tags come and go.
  if value == 0 and call('BITPOS', P .. 'b:' .. key, 1) < 0 then call('DEL', P .. 'b:' .. key) end
end

local function mark_one_of(dim, values, slot, value)
  if values and call('SADD', P .. 'dims', '=' .. dim) == 1 then copy('b:all', 'b:' .. dim .. '?') end
  for _, wanted in ipairs(values or {}) do mark(dim .. '=' .. wanted, slot, value) end
  if not values then mark(dim .. '?', slot, value) end
end

local function mark_least(dim, need, slot, value)
  local key = P .. 't:' .. dim
  if need and call('SADD', P .. 'dims', '>' .. dim) == 1 then
    call('ZADD', key, '-inf', '')
    copy('b:all', 'b:' .. dim .. '>')
  end
  local least = need and number(need) or ''
  if value == 1 and call('HINCRBY', P .. 'n:' .. dim, least, 1) == 1 and need then
    local below = call('ZREVRANGEBYSCORE', key, '(' .. least, '-inf', 'LIMIT', 0, 1)[1]
    copy('b:' .. dim .. '>' .. below, 'b:' .. dim .. '>' .. least)
    call('ZADD', key, least, least)
  end
  for _, one in ipairs(call('ZRANGEBYSCORE', key, need and least or '-inf', '+inf')) do
    mark(dim .. '>' .. one, slot, value)
  end
  if value == 0 and call('HINCRBY', P .. 'n:' .. dim, least, -1) == 0 and need then
    call('ZREM', key, least)
    call('DEL', P .. 'b:' .. dim .. '>' .. least)
  end
end

local function mark_tags(tree, slot, value)
  local known = call('SISMEMBER', P .. 'dims', '&tags') == 1
  if tree and not known then
    call('SADD', P .. 'dims', '&tags')
    copy('b:all', 'b:tags?')
  end
  if tree then
    local text = cjson.encode(tree)
    local name = redis.sha1hex(text)
    if value == 1 and call('HSETNX', P .. 'trees', name, text) == 1 then
      call('ZADD', P .. 'exprs', call('INCR', P .. 'expressions'), name)
    end
    mark('tags=' .. name, slot, value)
    if call('EXISTS', P .. 'b:tags=' .. name) == 0 then
      call('HDEL', P .. 'trees', name)
      call('ZREM', P .. 'exprs', name)
      call('DEL', P .. 'satisfied')
    end
  elseif known then
    mark('tags?', slot, value)
  end
end

local function is_known(dim)
  return call('SISMEMBER', P .. 'dims', dim) == 1
end

local ONE_OF = {'site', 'ce', 'platform', 'system', 'architecture', 'gpu_vendor'}
local LEAST = {
  'cores', 'ram', 'wall_time', 'cpu_time', 'cpu_work', 'glibc', 'user_namespaces', 'level', 'level_max',
  'capability', 'capability_max', 'gpus', 'gpu_ram', 'scratch', 'lan',
}

local function mark_terms(terms, slot, value)
  for _, dim in ipairs(ONE_OF) do
    local values = (terms.one_of or {})[dim]
    if values or is_known('=' .. dim) then mark_one_of(dim, values, slot, value) end
  end
  for _, dim in ipairs(LEAST) do
    local need = (terms.least or {})[dim]
    if need or is_known('>' .. dim) then mark_least(dim, need, slot, value) end
  end
  for _, site in ipairs(terms.none_of or {}) do mark('not=' .. site, slot, value) end
  local tree = terms.tags
  mark_tags(tree ~= cjson.null and tree or nil, slot, value)
  for _, tag in ipairs(terms.demands or {}) do mark('demand=' .. tag, slot, value) end
end

local function mark_class(class, known, info, value)
  for place, slot in ipairs(info.slots) do
    mark_terms(known.terms[place], slot, value)
    for _, attribute in ipairs({'type', 'group', 'owner', 'tier'}) do
      mark(attribute .. '=' .. info[attribute], slot, value)
    end
    mark('all', slot, value)
    if value == 1 then call('HSET', P .. 'at', slot, class) else call('HDEL', P .. 'at', slot) end
  end
  call('INCR', P .. 'gen')
end

local class, text = ARGV[1], ARGV[2]
local info = class_info(class)
if text ~= '' then
  if info then return 0 end
  local known = cjson.decode(text)
  info = {type = known.type, group = known.group, owner = known.owner, priority = known.priority, slots = {}}
  info.asked = known.asked
  info.tier = call('HGET', P .. 'tiers', known.type) or 'default'
  for place = 1, #known.terms do
    info.slots[place] = tonumber(call('LPOP', P .. 'free') or call('INCR', P .. 'slots') - 1)
  end
  call('HSET', P .. 'class', class, cmsgpack.pack(info))
  call('HSET', P .. 'def', class, text)
  mark_class(class, known, info, 1)
  return 1
end
if not info or call('EXISTS', P .. 'q:' .. class) == 1 then return 0 end
mark_class(class, cjson.decode(call('HGET', P .. 'def', class)), info, 0)
for _, slot in ipairs(info.slots) do
  call('RPUSH', P .. 'free', slot)
end
call('HDEL', P .. 'class', class)
call('HDEL', P .. 'def', class)
return 1
