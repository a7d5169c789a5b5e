-- Queue jobs of one class. ARGV: class, which jobs these are, the jobs in ascending order
--   'new'     they have just begun to wait: whatever Redis has of them is of an earlier time
--   'return'  they were under a lease, and go to the front
--   'all'     they wait: those that are there, or under a lease, stay where they are
-- Returns how many were added; -1: the class is not known.
local class, is_return, is_new = ARGV[1], ARGV[2] == 'return', ARGV[2] == 'new'
local info = class_info(class)
if not info then return -1 end
local list = P .. 'q:' .. class
local leased = call('EXISTS', P .. 'leases') == 1
local old = call('LINDEX', list, 0)
local first = tonumber(old or 'inf')
local before, after = {}, {}
-- Lua hands over 8000 arguments at most, four for each job.
local MOST = 1500
local chunk, jobs, fields = nil, {}, {}

local function flush()
  if #jobs == 0 then return end
  local was = call('BITFIELD', P .. 'in:' .. chunk, unpack(fields))
  call('SADD', P .. 'chunks', chunk)
  for place, job in ipairs(jobs) do
    local into = (is_return or tonumber(job) < first) and before or after
    if was[place] == 0 or is_new then into[#into + 1] = job end
  end
  jobs, fields = {}, {}
end

local function is_taken(job)
  if not leased then return false end
  if not is_return then return call('ZSCORE', P .. 'leases', job) end
  call('ZREM', P .. 'leases', job)
  call('HDEL', P .. 'lease', job)
  return false
end

for place = 3, #ARGV do
  local job = ARGV[place]
  local id = tonumber(job)
  if not is_taken(job) then
    if floor(id / CHUNK) ~= chunk or #jobs == MOST then flush() end
    chunk = floor(id / CHUNK)
    jobs[#jobs + 1] = job
    local count = #fields
    fields[count + 1], fields[count + 2], fields[count + 3], fields[count + 4] = 'SET', 'u1', id % CHUNK, 1
  end
end
flush()
if first == math.huge then before, after = {}, before end
for place = #before, 1, -1 do call('LPUSH', list, before[place]) end
if #after > 0 then call('RPUSH', list, unpack(after)) end
if #before > 0 or first == math.huge then settle(class, info, old) end
return #before + #after
