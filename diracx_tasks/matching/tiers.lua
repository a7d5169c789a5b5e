-- Put job types into tiers. ARGV: type, tier, type, tier, ...; the tier of others is 'default'
local wanted = {}
for place = 1, #ARGV, 2 do wanted[ARGV[place]] = ARGV[place + 1] end
local known = call('HGETALL', P .. 'tiers')
local changed = #known ~= #ARGV
for place = 1, #known, 2 do changed = changed or wanted[known[place]] ~= known[place + 1] end
if not changed then return 0 end
call('DEL', P .. 'tiers')
if #ARGV > 0 then call('HSET', P .. 'tiers', unpack(ARGV)) end
local classes = call('HGETALL', P .. 'class')
for place = 1, #classes, 2 do
  local info = cmsgpack.unpack(classes[place + 1])
  local tier = wanted[info.type] or 'default'
  if tier ~= info.tier then
    for _, slot in ipairs(info.slots) do
      call('SETBIT', P .. 'b:tier=' .. info.tier, slot, 0)
      call('SETBIT', P .. 'b:tier=' .. tier, slot, 1)
    end
    local has_jobs = call('GETBIT', P .. 'live', info.slots[1]) == 1
    if has_jobs then leave(info) end
    info.tier = tier
    call('HSET', P .. 'class', classes[place], cmsgpack.pack(info))
    if has_jobs then enter(info) end
  end
end
return 1
