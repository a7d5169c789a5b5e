-- How many entries the lists of classes have, each with its first job ('' none). ARGV: classes
local found = {}
for _, class in ipairs(ARGV) do
  found[#found + 1] = call('LLEN', P .. 'q:' .. class)
  found[#found + 1] = call('LINDEX', P .. 'q:' .. class, 0) or ''
end
return found
