-- Prolong a lease that is still ours, or give it back.
-- KEYS[1] the lease; ARGV[1] its owner, ARGV[2] milliseconds from now, 0 to give it back
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
if tonumber(ARGV[2]) == 0 then
  return redis.call('DEL', KEYS[1])
end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
