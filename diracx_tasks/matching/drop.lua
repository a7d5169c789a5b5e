-- Take jobs out of the queue: what is left of them in lists is dead. ARGV: class, job, class, job, ...
local touched = {}
for place = 1, #ARGV, 2 do
  local class, job = ARGV[place], ARGV[place + 1]
  if set_waits(job, 0) and call('LINDEX', P .. 'q:' .. class, 0) == job then touched[class] = job end
end
for class, job in pairs(touched) do
  local info = class_info(class)
  if info then settle(class, info, job) end
end
return redis.status_reply('OK')
