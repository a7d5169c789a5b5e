-- The classes of slots. ARGV: slots
-- Returns of each that is in use: class, entries of its list, group, owner, priority
local found = {}
for _, slot in ipairs(ARGV) do
  local class = call('HGET', P .. 'at', slot)
  local info = class and class_info(class)
  if info then
    for _, part in ipairs({class, call('LLEN', P .. 'q:' .. class), info.group, info.owner, info.priority}) do
      found[#found + 1] = part
    end
  end
end
return found
