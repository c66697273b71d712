-- KEYS[1] is a client. Durations are nanoseconds, and those that are kept are
-- relative to when that was written: doubles hold them exactly up to 104 days,
-- and to 64 ns beyond.
local time, state = redis.call('TIME'), redis.call('GET', KEYS[1])
local now, stale = time[1] * 1000000 + time[2], false -- microseconds
local get, put, sub = struct.unpack, struct.pack, string.sub

-- Most clients are asked about the same plain policies, with neither a Backoff
-- nor exact, again and again. Their state is gh2: how many, when it was
-- written, until when the key lives at least, the levels, and then the tags. A
-- key lives for a second more than it needs, lest those of busy clients end and
-- begin all the time, and be told anew each time.
--
-- ARGV[1] is the tags, and ARGV[2] what is asked: for each what to add, what
-- must fit, and the span. Of others ARGV[1] is all: how many, and for each its
-- tag, what to add, the unit, the span, and its Backoff, or minus its Period if
-- it is exact.
--<short way>
local byte, rep = string.byte, string.rep
local magic = state and sub(state, 1, 3)
local asked = {}
if plain then
  local pos, tag = 1, nil
  for i = 1, total do
    tag, pos = get('<Bc0', plain, pos)
    local delta, unit, span = get('<ddd', ARGV[2], 24 * i - 23)
    for _, v in ipairs({tag, delta, unit, span, 0}) do asked[#asked + 1] = v end
  end
else
  total = byte(ARGV[1])
  asked = {get('<' .. rep('Bc0dddd', total), ARGV[1], 2)}
end

-- What is kept of a policy stands under its tag, whose first letter says what:
-- g: the level; b, with a Backoff: how long it matters, how often the quota was
-- used up, and when the level will be, or was, 0; e, exact: how long it
-- matters, and when requests fitted, the oldest first.
local known = {}
if magic == 'gh2' then
  local levels = {get('<dd' .. rep('d', byte(state, 4)), state, 5)}
  local pos, past = table.remove(levels), (now - table.remove(levels, 1)) * 1000
  if not (past >= 0) then past, stale = 0, true end
  for i = 2, #levels do
    local tag
    tag, pos = get('<Bc0', state, pos)
    if not (levels[i] > -1e18 and levels[i] < 1e18) then return 'foreign' end
    known[tag] = levels[i] - past
  end
elseif state then
  if magic ~= 'gh1' then return 'foreign' end
  local written, pos = get('<d', state, 4)
  local past = (now - written) * 1000
  if not (past >= 0) then past, stale = 0, true end
  local size = #state
  while pos <= size do
    local tag, value
    tag, value, pos = get('<Bc0d', state, pos)
    if not (value > -1e18 and value < 1e18) then return 'foreign' end
    value = value - past
    local kind = byte(tag)
    if kind ~= 103 then
      local n
      n, pos = get('<B', state, pos)
      local r = {get('<' .. rep('d', kind == 98 and 1 or n), state, pos)}
      pos = table.remove(r)
      for i = 1, #r do
        if not (r[i] > -1e18 and r[i] < 1e18) then return 'foreign' end
        r[i] = r[i] - past
      end
      r.keep, r.n, value = value, n, r
    end
    known[tag] = value
  end
end

local last, all = 5 * total, true
for i = 1, last, 5 do
  local tag, need, span, more = asked[i], asked[i + 1], asked[i + 3], asked[i + 4]
  local level = known[tag]
  if more == 0 then
    level = level or 0
    if level > span then level, stale = span, true end -- the policy was another one
    if level < 0 then level = 0 end
    known[tag] = level
  elseif more > 0 then
    local r = level or {0, n = 0}
    known[tag] = r
    local most = span - asked[i + 2] + more
    if r[1] > most then r[1], stale = most, true end
    if r[1] <= -more then r.n = 0 end
    level = math.max(r[1], 0)
  else
    local young = {}
    for _, at in ipairs(level or young) do
      if at > more then young[#young + 1] = math.min(at, 0) end
    end
    known[tag], level = young, #young
  end
  if need >= 0 then
    if need == 0 then need = asked[i + 2] end
    all = all and level + need <= span
  end
end

local write = asked[2] ~= 0 and (all or stale)
local reply, kept, count, longest, levels = '', '', 0, 0, {}
for i = 1, last, 5 do
  local tag, delta, unit, span, more = asked[i], asked[i + 1], asked[i + 2], asked[i + 3], asked[i + 4]
  local r = known[tag]
  known[tag] = nil
  local need = delta > 0 and delta or unit
  local keep, record = 0, nil
  if more == 0 then
    local fits = delta < 0 or r + need <= span
    if all then r = r + delta end
    if r > 0 then
      keep = r
      if write then record = put('<Bc0d', #tag, tag, r) end
    end
    levels[#levels + 1] = keep
    reply = reply .. put('<Bd', fits and 1 or 0, keep)
  elseif more > 0 then
    local level, n = r[1], r.n
    local fits = delta < 0 or math.max(level, 0) + need <= span
    if not all then
    elseif delta > 0 then
      level = math.max(level, 0) + delta
      if level > span - unit then
        level, n = span - unit + math.min(unit * 2 ^ n, more), math.min(n + 1, 60)
      end
    elseif delta <= -span then
      level, n = 0, 0
    elseif delta < 0 and level > 0 then
      -- What used the quota up is given back with the wait that it brought.
      if n > 0 and level > span - unit then n = n - 1 end
      level = math.max(0, math.min(level, span) + delta)
    end
    keep = n > 0 and level + more or level
    if write and keep > 0 then record = put('<Bc0dBd', #tag, tag, keep, n, level) end
    reply = reply .. put('<Bd', fits and 1 or 0, math.max(level, 0))
  else
    local fits = delta < 0 or #r + need <= span
    if all then
      for _ = 1, delta do r[#r + 1] = 0 end
      for _ = 1, delta <= -span and #r or math.min(-delta, #r) do table.remove(r, 1) end
    end
    local n = #r
    local wait = n + need - span
    keep = n > 0 and r[n] - more or 0
    if write and n > 0 then record = put('<Bc0dB' .. rep('d', n), #tag, tag, keep, n, unpack(r)) end
    reply = reply .. put('<Bddd', fits and 1 or 0, keep, wait > 0 and r[wait] - more or 0, n)
  end
  if record then
    kept, count = kept .. record, count + 1
    if keep > longest then longest = keep end
  end
end

if write then
  for tag, r in pairs(known) do -- policies of another version of the service
    local keep, record = r, nil
    if type(r) == 'number' then
      record = put('<Bc0d', #tag, tag, r)
    else
      keep, record = r.keep, put('<Bc0dB' .. rep('d', #r), #tag, tag, r.keep, r.n, unpack(r))
    end
    if keep > 0 and count < 16 then
      kept, count, longest, plain = kept .. record, count + 1, math.max(longest, keep), nil
    end
  end
  if count > 0 and plain then -- as above
    local life = math.ceil(longest / 1000000) + 1000 -- as above
    redis.call('SET', KEYS[1], put('<c3Bdd' .. rep('d', total), 'gh2', total, now, now + 1000 * life - 2000, unpack(levels)) .. plain, 'PX', life)
  elseif count > 0 then
    redis.call('SET', KEYS[1], put('<c3d', 'gh1', now) .. kept, 'PX', math.ceil(longest / 1000000) + 1000)
  elseif state then
    redis.call('DEL', KEYS[1])
  end
end
return reply
