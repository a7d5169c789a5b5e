-- Queue jobs of one class. ARGV: class, whether leased ones return ('1'), jobs in ascending order
-- Returns how many were not there yet; -1: the class is not known.
local class, is_return = ARGV[1], ARGV[2] == '1'
local info = class_info(class)
if not info then return -1 end
local list = P .. 'q:' .. class
local leased = call('EXISTS', P .. 'leases') == 1
local first = tonumber(call('LINDEX', list, 0) or 'inf')
local before, after = {}, {}
for place = 3, #ARGV do
  local job = ARGV[place]
  if leased and is_return then
    call('ZREM', P .. 'leases', job)
    call('HDEL', P .. 'lease', job)
  end
  if leased and not is_return and call('ZSCORE', P .. 'leases', job) then
    -- Taken, and not confirmed yet.
  elseif not set_waits(job, 1) then
    local into = tonumber(job) < first and before or after
    into[#into + 1] = job
  end
end
if first == math.huge then before, after = {}, before end
for place = #before, 1, -1 do call('LPUSH', list, before[place]) end
if #after > 0 then call('RPUSH', list, unpack(after)) end
if #before > 0 or first == math.huge then settle(class, info) end
return #before + #after
