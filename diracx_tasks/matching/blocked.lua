-- What holds jobs back at some places. ARGV: rules as JSON, as `match.lua` takes them
-- Returns {do the counts hold, then of each limit how many run (-1: not counted yet), then of each delay how many may start now}
local rules = cjson.decode(ARGV[1])
local time = call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local found = {tostring(call('EXISTS', P .. 'counted'))}
for _, rule in ipairs(rules.limits) do
  found[#found + 1] = call('HGET', P .. 'run:' .. rule[1], rule[2] .. '=' .. rule[3]) or '-1'
end
for _, rule in ipairs(rules.delays) do
  found[#found + 1] = tostring(bucket(rule, now))
end
return found
