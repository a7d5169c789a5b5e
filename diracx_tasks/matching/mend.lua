-- Forget a chunk without jobs, and drop dead jobs from the front of classes. ARGV: chunk, class, class, ...
if call('BITPOS', P .. 'in:' .. ARGV[1], 1) < 0 then
  call('DEL', P .. 'in:' .. ARGV[1])
  call('SREM', P .. 'chunks', ARGV[1])
end
for place = 2, #ARGV do
  local class = ARGV[place]
  local info, head = class_info(class), call('LINDEX', P .. 'q:' .. class, 0)
  if info and head and not waits(head) then settle(class, info, head) end
end
return redis.status_reply('OK')
