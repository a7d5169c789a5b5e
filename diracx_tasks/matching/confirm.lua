-- End the leases of jobs that the database has given away, or that wait no more. ARGV: jobs
call('ZREM', P .. 'leases', unpack(ARGV))
return call('HDEL', P .. 'lease', unpack(ARGV))
