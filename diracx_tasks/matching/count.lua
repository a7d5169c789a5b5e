-- Count what runs under limits, while matches go on.
--
-- run:SCOPE    hash: attribute=value -> how many run there; what is not in it has not been counted: it is full
-- since:SCOPE  hash: the same -> how many were matched since the count began
-- counted      while it is there the counts hold
-- counting     the count that began last: only that one may finish
-- remembers    when the first count began after Redis had started
--
-- The last three are neither in the log nor in replicas: what was matched just before a crash may not be there
-- either, so that after one nothing has been counted.
--
-- ARGV: 'begin', token, seconds until it is void, scopes as JSON
-- Returns {scope, attribute=value, leased, ...}: what is under a lease, and may not be in the database yet
-- ARGV: 'finish', token, seconds that the counts hold, patience, {scope: {attribute=value: n}} as JSON
-- Returns 1: the counts hold; 2: too early after a restart; 0: another count has begun meanwhile
local step, token = ARGV[1], ARGV[2]
local now = tonumber(call('TIME')[1])

-- Set what is not for the log. A rewrite takes it along: until the next time, whose DEL is in the log.
local function keep(key, ...)
  call('DEL', P .. key)
  redis.set_repl(redis.REPL_NONE)
  call('SET', P .. key, ...)
  redis.set_repl(redis.REPL_ALL)
end

local function begin()
  local wanted, leased = {}, {}
  for _, scope in ipairs(cjson.decode(ARGV[4])) do
    wanted[scope] = {}
    call('DEL', P .. 'since:' .. scope)
  end
  keep('counting', token, 'EX', ARGV[3])
  keep('remembers', call('GET', P .. 'remembers') or now)
  for _, text in ipairs(call('HVALS', P .. 'lease')) do
    local one = cjson.decode(text)
    for _, scope in ipairs({one[5], one[5] .. '/' .. one[6]}) do
      local counts = wanted[scope]
      for place, attribute in ipairs(counts and {'type', 'group', 'owner'} or {}) do
        local field = attribute .. '=' .. one[place + 1]
        counts[field] = (counts[field] or 0) + 1
      end
    end
  end
  for scope, counts in pairs(wanted) do
    for field, count in pairs(counts) do
      for _, part in ipairs({scope, field, count}) do leased[#leased + 1] = part end
    end
  end
  return leased
end

local function finish()
  if call('GET', P .. 'counting') ~= token then return 0 end
  local found = cjson.decode(ARGV[5])
  for scope, counts in pairs(found) do
    call('DEL', P .. 'run:' .. scope)
    for field, count in pairs(counts) do
      local since = tonumber(call('HGET', P .. 'since:' .. scope, field) or 0)
      call('HSET', P .. 'run:' .. scope, field, count + since)
    end
    call('SADD', P .. 'scopes', scope)
  end
  for _, scope in ipairs(call('SMEMBERS', P .. 'scopes')) do
    if not found[scope] then
      call('DEL', P .. 'run:' .. scope, P .. 'since:' .. scope)
      call('SREM', P .. 'scopes', scope)
    end
  end
  call('DEL', P .. 'counting')
  if now - tonumber(call('GET', P .. 'remembers') or now) < tonumber(ARGV[4]) then return 2 end
  keep('counted', now, 'EX', ARGV[3])
  return 1
end

if step == 'begin' then return begin() end
return finish()
