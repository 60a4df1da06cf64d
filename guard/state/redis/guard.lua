-- Counters that several guards share: one library of functions, one hash slot, one round trip a decision.
--
-- KEYS[1] meta   hash: v (layout of the keys), born, quiet (no window has room before this instant), early (1: it may
--                end before that), joining (1: guards may not know of each other), back:GUARD (the epoch in which that
--                guard has told what it left alone), said:GUARD ("of:rank:since", where it has not said yet that it heard
--                which part is its own: the one that it goes by)
-- KEYS[2] heard  sorted set: guard -> when it was last heard
-- KEYS[3] guards hash: guard -> "epoch:lease:share:of:rank:life", its life and its part of every limit when alone
-- of `beat` also, who is shut off at all guards (guard/state/shuts.py):
-- KEYS[4] shut   hash: subject -> "version:until:what it is"; version is when that was so, until 0: released, -1: for good
-- KEYS[5] shuts  sorted set: subject -> which change of all it was last changed by
-- then the counters that a call of a function touches:
--   window  sorted set: member -> when its set-up left; PENDING + when it was taken, until it left
--   queue   sorted set of a window: "guard:epoch.member" -> when a call began to wait for a place in it
--   gauge   hash: "guard:epoch" -> calls at once; what another epoch of a guard held is nobody's any more
--   tally   sorted set: member -> the instant (Unix time) at which it was last counted
--   sum     hash: "b:guard:hour" -> amount, "T:since" -> total, "R:since" -> what it was when it was last read
-- ARGV[1] is who asks: {guard, epoch, expires}; ARGV[2] what: both MessagePack. Instants are microseconds of this
-- server's clock, but for those of tallies and sums, which are the calls' own.

local VERSION = '1'
local SECOND = 1000000
local PENDING = 4000000000000000  -- beyond any instant until 2096; sums with it stay exact in a double
local MAX_PENDING = 60 * SECOND   -- as in guard/state/memory.py
local AGAIN = 100000              -- a call that waits behind another guard's looks again after so long
local SILENT = 600000             -- a guard not heard for so long may decide alone: its part is kept for it
local QUIET = 1500000             -- after counters were lost: a second's window, and time for every guard to come back
local DAY = 24 * 3600 * SECOND
local HOUR = 3600 * SECOND
local RETAIN = 33 * DAY           -- the longest month, and two days for clocks that differ
local GAUGE = 31 * 24 * 3600 * 1000 -- ms; longer than any call, as in guard/state/memory.py
local KEEP = 2 * 24 * 3600 * 1000 -- ms that a fleet without a guard is remembered
local MAX_OF_ONE = 100000         -- members of one tally or window, as in guard/state/tally.py
local MAX_SHUT = 10000            -- subjects that are shut off, as in guard/state/shuts.py
local PAGE = 100                  -- changes of them in one answer, as there
local MAX_TOTALS = 4              -- months whose totals of a sum are kept beside its hours

-- What this process has served. A server that was restarted, or promoted, has served nothing: its counters may lack the
-- last moments, so each guard says hello again before anything is decided.
local served = {}

local function on(key, command, ...)
  local reply = redis.pcall(command, key, ...)
  if type(reply) == 'table' and reply.err then
    error({err = 'GUARDKEY ' .. key .. ': ' .. reply.err})
  end
  return reply
end

local function text(number)
  return string.format('%.0f', number)
end

local function clock()
  local t = redis.call('TIME')
  return tonumber(t[1]) * SECOND + tonumber(t[2])
end

local function entry(line)
  local epoch, lease, share, of, rank, life = string.match(line or '', '^(%d+):(%d+):(%d+):(%d+):(%d+):(.*)$')
  if not epoch then return nil end
  return {
    epoch = epoch, lease = tonumber(lease), share = tonumber(share), of = tonumber(of), rank = tonumber(rank),
    life = life,
  }
end

-- A guard's part of a limit while it decides alone; guard/state/part.py counts in the same way.
local function part(limit, of, rank)
  local whole = math.floor(limit / of)
  if rank < limit - whole * of then return whole + 1 end
  return whole
end

-- What is kept for a guard: its part, or the one that it goes by as far as is known, whichever is more.
local function kept(limit, e)
  if e.share > 0 then return math.floor(limit * e.share / SECOND) end
  local own = part(limit, e.of, e.rank)
  if e.said then own = math.max(own, part(limit, e.said[1], e.said[2])) end
  return own
end

-- A guard's entry, with what it said: for as long as the calls of a silent guard count, and no longer.
local function guard_of(keys, who, t)
  local e = entry(on(keys[3], 'HGET', who))
  if not e then return nil end
  local of, rank, since = string.match(on(keys[1], 'HGET', 'said:' .. who) or '', '^(%d+):(%d+):(%d+)$')
  if of and tonumber(since) + e.lease >= t then e.said = {tonumber(of), tonumber(rank), since} end
  return e
end

local function forget(keys, who)
  on(keys[1], 'HDEL', 'back:' .. who, 'said:' .. who)
  on(keys[2], 'ZREM', who)
  on(keys[3], 'HDEL', who)
end

-- Who is silent and may be deciding alone; who was silent beyond its lease is forgotten.
local function silents(keys, t, own)
  local found = {}
  for _, who in ipairs(on(keys[2], 'ZRANGEBYSCORE', '-inf', t - SILENT - 1)) do
    if who ~= own then
      local e = guard_of(keys, who, t)
      if not e or tonumber(on(keys[2], 'ZSCORE', who)) + e.lease < t then
        forget(keys, who)
      else
        found[#found + 1] = e
      end
    end
  end
  return found
end

-- Who was heard, but takes alone whatever is its part at that moment, or has just done so: it does not know yet that it
-- is not the only guard, or came back and has not told yet what it did.
local function strangers(keys, t, own)
  local found, any = {}, false
  local names = on(keys[3], 'HKEYS')
  for _, who in ipairs(names) do
    local e = guard_of(keys, who, t)
    if e and tonumber(on(keys[2], 'ZSCORE', who) or 0) >= t - SILENT then
      local untold = tonumber(e.epoch) >= t - SILENT and on(keys[1], 'HGET', 'back:' .. who) ~= e.epoch
      if untold or (#names > 1 and (e.of == 1 or (e.said and e.said[1] == 1))) then
        any = true
        if who ~= own then found[#found + 1] = e end
      end
    end
  end
  if not any then on(keys[1], 'HSET', 'joining', 0) end  -- until a hello, or a guard that says so (`heard`)
  return found
end

local function keep(keys)
  for i = 1, 3 do on(keys[i], 'PEXPIRE', KEEP) end
end

-- Note that a guard was heard, and which part it may take when it is alone from now on. What it says that it was told
-- before is kept beside that: an answer may be lost.
local function heard(keys, who, e, t, said_of, said_rank)
  local names = on(keys[3], 'HKEYS')
  table.sort(names)
  local of, rank = #names, 0
  for i, name in ipairs(names) do
    if name == who then rank = i - 1 end
  end
  local field = 'said:' .. who
  if said_of == 0 or (said_of == of and said_rank == rank) then
    on(keys[1], 'HDEL', field)
  else
    local line = on(keys[1], 'HGET', field) or ''
    local said = said_of .. ':' .. said_rank .. ':'
    if string.sub(line, 1, #said) ~= said then on(keys[1], 'HSET', field, said .. text(t)) end
    if said_of == 1 then on(keys[1], 'HSET', 'joining', 1) end
  end
  on(keys[3], 'HSET', who, table.concat({e.epoch, text(e.lease), text(e.share), of, rank, e.life}, ':'))
  on(keys[2], 'ZADD', t, who)
  keep(keys)
  return of, rank
end

-- Whether who asks is who it was, and in time. What comes late was given up by its guard.
local function enter(keys, argv)
  local from = cmsgpack.unpack(argv[1])
  local t = clock()
  if from[3] > 0 and t > from[3] then error({err = 'GUARDLATE ' .. text(t)}) end
  local e = served[keys[1]] and entry(on(keys[3], 'HGET', from[1]))
  if not e or e.epoch ~= text(from[2]) then error({err = 'GUARDSTALE say hello first'}) end
  return t, from[1], e
end

local function hello(keys, argv)
  local who = cmsgpack.unpack(argv[1])[1]
  local asked = cmsgpack.unpack(argv[2])
  local t = clock()
  local version = on(keys[1], 'HGET', 'v')
  if version and version ~= VERSION then
    error({err = 'GUARDVERSION ' .. keys[1] .. ' is of version ' .. version .. ', not ' .. VERSION})
  end
  local before = guard_of(keys, who, t)
  local last_heard = tonumber(on(keys[2], 'ZSCORE', who) or 0)
  if before and before.life ~= asked[3] and t - last_heard < SILENT and t >= last_heard then
    error({err = 'GUARDTWICE another guard of this name is at work'})
  end
  local lost = not version
  local last = on(keys[2], 'ZREVRANGE', 0, 0, 'WITHSCORES')
  local silence = last[2] and (tonumber(last[2]) < t - SILENT or tonumber(last[2]) > t + SECOND)
  if last[2] and tonumber(last[2]) > t then  -- this clock was set back
    for _, name in ipairs(on(keys[2], 'ZRANGEBYSCORE', t + 1, '+inf')) do on(keys[2], 'ZADD', t, name) end
  end
  local sure = served[keys[1]] and not lost  -- nothing that a guard was told is forgotten
  served[keys[1]] = true
  on(keys[1], 'HSETNX', 'born', t)
  on(keys[1], 'HSET', 'v', VERSION, 'joining', 1)
  local count = on(keys[3], 'HLEN')
  silents(keys, t, who)
  if silence or not sure then
    -- Whether all who may have decided alone are among those that are known.
    local all = sure and on(keys[3], 'HLEN') == count
    local meta = on(keys[1], 'HMGET', 'quiet', 'early')
    if tonumber(meta[1] or 0) > t and meta[2] ~= '1' then all = false end
    on(keys[1], 'HSET', 'quiet', t + QUIET, 'early', all and 1 or 0)
  end
  if before and before.life ~= asked[3] then  -- nobody will tell what its last life did alone
    on(keys[1], 'HSET', 'early', 0)
  end
  for _, field in ipairs(on(keys[1], 'HKEYS')) do  -- of guards that another version of this has forgotten
    local name = string.match(field, '^back:(.*)$') or string.match(field, '^said:(.*)$')
    if name and on(keys[3], 'HEXISTS', name) == 0 then on(keys[1], 'HDEL', field) end
  end
  local epoch = t
  if before and tonumber(before.epoch) >= epoch then epoch = tonumber(before.epoch) + 1 end
  on(keys[3], 'HSETNX', who, '')
  local e = {epoch = text(epoch), lease = asked[1], share = asked[2], life = asked[3]}
  local of, rank = heard(keys, who, e, t, asked[4], asked[5])
  local sole = sure and before and before.life == asked[3] and before.of == 1 and of == 1
  if before and before.said and before.said[1] ~= 1 then sole = false end
  return {t, epoch, lost and 1 or 0, of, rank, sole and 1 or 0}
end

-- Who is shut off: of what is told of a subject the later holds; of two at one instant the longer.
local function shut(keys, t, name, version, ends, body)
  local line = on(keys[4], 'HGET', name)
  if line then
    local v, u = string.match(line, '^(%d+):(-?%d+):')
    v, u = tonumber(v), tonumber(u)
    local longer = u ~= -1 and (ends == -1 or ends > u)
    if version < v or (version == v and not longer) then return end
  end
  on(keys[4], 'HSET', name, text(version) .. ':' .. text(ends) .. ':' .. body)
  local last = on(keys[5], 'ZREVRANGE', 0, 0, 'WITHSCORES')
  on(keys[5], 'ZADD', tonumber(last[2] or 0) + 1, name)
  local surplus = on(keys[5], 'ZCARD') - MAX_SHUT
  for i, old in ipairs(on(keys[5], 'ZRANGE', 0, 9)) do  -- what is long over, or too much
    local v, u = string.match(on(keys[4], 'HGET', old) or '1:0:', '^(%d+):(-?%d+):')
    local gone = u ~= '-1' and math.max(tonumber(v), tonumber(u)) < t - RETAIN
    if old ~= name and (i <= surplus or gone) then  -- the last change of all stays: others are counted from it
      on(keys[4], 'HDEL', old)
      on(keys[5], 'ZREM', old)
    end
  end
end

local function beat(keys, argv)
  local t, who, e = enter(keys, argv)
  silents(keys, t, who)
  local asked = cmsgpack.unpack(argv[2])
  local of, rank = heard(keys, who, e, t, asked[3], asked[4])
  for _, a in ipairs(asked[2]) do shut(keys, t, a[1], a[2], a[3], a[4]) end
  local changed = on(keys[5], 'ZRANGEBYSCORE', '(' .. text(asked[1]), '+inf', 'WITHSCORES', 'LIMIT', 0, PAGE)
  local sole = of == 1 and tonumber(on(keys[1], 'HGET', 'quiet') or 0) <= t
  local out = {t, of, rank, sole and 1 or 0, asked[1]}
  for i = 1, #changed, 2 do
    out[5] = tonumber(changed[i + 1])
    out[#out + 1] = changed[i]
    out[#out + 1] = on(keys[4], 'HGET', changed[i]) or '0:0:'
  end
  for i = 4, 5 do on(keys[i], 'PEXPIRE', text(RETAIN / 1000)) end
  return out
end

local function bye(keys, argv)
  local t, who, e = enter(keys, argv)
  if on(keys[1], 'HGET', 'back:' .. who) ~= e.epoch then on(keys[1], 'HSET', 'early', 0) end  -- it will not tell
  forget(keys, who)
  return {t}
end

-- ---- reading ---------------------------------------------------------------------------------------------------------

-- How many calls of other guards wait for a window and came before this one, counted up to `most`. A guard's own calls
-- are in its own order. Whose guard is silent, or has another life, waits no more.
local function before(c, queue, member, wait, most)
  if on(queue, 'ZCARD') == 0 then return 0 end
  on(queue, 'ZREMRANGEBYSCORE', '-inf', c.t - wait - SECOND)  -- their guards have given them up
  local mine = on(queue, 'ZSCORE', c.own .. '.' .. member)
  local bound, from, found = mine and '(' .. mine or '+inf', 0, 0
  while true do
    local some = on(queue, 'ZRANGEBYSCORE', '-inf', bound, 'LIMIT', from, 100)
    for _, one in ipairs(some) do
      local who, epoch = string.match(one, '^(.-):(%d+)%.')
      local e = who and c.guards(who)
      if not e or e.epoch ~= epoch or tonumber(on(c.heard, 'ZSCORE', who) or 0) < c.t - SILENT then
        on(queue, 'ZREM', one)
      else
        from = from + 1
        if who ~= c.who then found = found + 1 end
        if found >= most then return found end
      end
    end
    if #some < 100 then return found end
  end
end

local function window(c, key, a, member, quiet, alone)
  local t = c.t
  for _, late in ipairs(on(key, 'ZRANGEBYSCORE', t + 1, PENDING - 1, 'LIMIT', 0, 1000)) do
    on(key, 'ZADD', t, late)  -- the clock was set back: it left now at the latest
  end
  for _, late in ipairs(on(key, 'ZRANGEBYSCORE', PENDING + t + 1, '+inf', 'LIMIT', 0, 1000)) do
    on(key, 'ZADD', PENDING + t, late)
  end
  on(key, 'ZREMRANGEBYSCORE', '-inf', t - math.max(a.span, MAX_PENDING))
  on(key, 'ZREMRANGEBYSCORE', PENDING, PENDING + t - MAX_PENDING)
  local value = on(key, 'ZCOUNT', '(' .. text(t - a.span), '+inf')
  local held = on(key, 'ZSCORE', member)
  if a.limit < 0 then return value, 0, true, held end
  local limit = a.limit
  for _, e in ipairs(alone) do limit = limit - kept(a.limit, e) end
  local ahead = 0
  if a.queue > 0 and a.take and limit > 0 and not a.force and not held then
    ahead = before(c, c.keys[a.queue], member, a.wait, limit)
  end
  local free = 0
  value = value + ahead
  if value >= limit then
    free = a.span
    if limit > 0 then
      local place = on(key, 'ZCARD') - limit + ahead
      local first = on(key, 'ZRANGE', place, place, 'WITHSCORES')
      if first[2] and tonumber(first[2]) < PENDING then free = tonumber(first[2]) + a.span - t end
    end
    -- One of those may give up before; a guard that is new is known to all with their next beats.
    if ahead > 0 or c.strangers then free = math.min(math.max(free, 1), AGAIN) end
  end
  local full = value >= limit
  local shown = value + a.limit - limit
  if t < quiet then
    full = true
    free = math.max(free, quiet - t)
    if c.early then free = math.min(free, AGAIN) end  -- it may be over at any time
    shown = math.max(shown, a.limit)
  end
  return shown, free, not full or a.force or not a.take or (held and true or false), held
end

local function gauge(keys, key, a, guards)
  local value = 0
  local all = on(key, 'HGETALL')
  for i = 1, #all, 2 do
    local who, epoch = string.match(all[i], '^(.*):(%d+)$')
    local e = who and guards(who)
    if e and e.epoch == epoch then
      value = value + tonumber(all[i + 1])
    else
      on(key, 'HDEL', all[i])
    end
  end
  return value, a.limit < 0 or value < a.limit or a.force or not a.take or a.held
end

local function tally(keys, key, a)
  local since = text(a.since)
  local value = on(key, 'ZCOUNT', since, '+inf')
  local before = tonumber(on(key, 'ZSCORE', a.member) or -1)
  local known = before >= a.since and before >= 0
  local other = 0
  local room
  if a.against > 0 then
    other = on(keys[a.against], 'ZCOUNT', since, '+inf')
    room = (value + 1) * 100 <= other * a.percent
  else
    room = a.limit < 0 or value < a.limit
  end
  return value, known, known or room or a.limit < 0 or a.force or not a.take, other, before
end

-- The total of a sum since an instant: kept once it was asked for, since a month has many hours.
local function total(key, since)
  local field = 'T:' .. text(since)
  local value = on(key, 'HGET', field)
  if value then return tonumber(value) end
  local sum, kept = 0, {}
  local all = on(key, 'HGETALL')
  for i = 1, #all, 2 do
    local hour = string.match(all[i], '^b:.*:(%d+)$')
    if hour then
      if tonumber(hour) * HOUR >= since then sum = sum + tonumber(all[i + 1]) end
    elseif string.sub(all[i], 1, 2) == 'T:' then
      kept[#kept + 1] = tonumber(string.sub(all[i], 3))
    end
  end
  if #all == 0 then return 0 end
  table.sort(kept)
  for i = 1, #kept - MAX_TOTALS + 1 do on(key, 'HDEL', 'T:' .. text(kept[i]), 'R:' .. text(kept[i])) end
  on(key, 'HSET', field, text(sum))
  return sum
end

local function sum(key, a)
  local value = total(key, a.since)
  local field = 'R:' .. text(a.since)
  local before = math.min(tonumber(on(key, 'HGET', field) or 0), value)
  if value > 0 then on(key, 'HSET', field, text(value)) end
  return value, before, a.limit < 0 or value < a.limit or a.force
end

-- ---- taking ----------------------------------------------------------------------------------------------------------

local function count(key, member, at, span, t)
  local retain = span > 0 and span + DAY or RETAIN
  on(key, 'ZREMRANGEBYSCORE', '-inf', '(' .. text(t - retain))
  if on(key, 'ZCARD') < MAX_OF_ONE then on(key, 'ZADD', 'GT', at, member) end
  on(key, 'PEXPIRE', text(math.floor(retain / 1000)))
end

local function span_of(key, span)
  on(key, 'PEXPIRE', text(math.floor(2 * math.max(span, MAX_PENDING) / 1000)))
end

local function enqueue(queue, own, member, t)
  if on(queue, 'ZCARD') < MAX_OF_ONE then on(queue, 'ZADD', 'NX', t, own .. '.' .. member) end
  on(queue, 'PEXPIRE', text(math.floor(2 * MAX_PENDING / 1000)))
end

local NAMES = {
  'kind', 'key', 'limit', 'span', 'force', 'take', 'held', 'member', 'since', 'at', 'against', 'percent', 'queue',
  'wait',
}

local function touch(keys, argv)
  local t, who, e = enter(keys, argv)
  local asked = cmsgpack.unpack(argv[2])
  local member, own = asked[1], who .. ':' .. e.epoch
  local quiet, alone = nil, nil
  local known = {}
  local function guards(name)
    if known[name] == nil then known[name] = entry(on(keys[3], 'HGET', name)) or false end
    return known[name]
  end
  local c = {t = t, keys = keys, who = who, own = own, heard = keys[2], guards = guards}
  local room = true
  local out, touches = {t, 0}, {}
  for i, row in ipairs(asked[2]) do
    local a = {}
    for j, name in ipairs(NAMES) do a[name] = row[j] end
    touches[i] = a
    local key = keys[a.key]
    local value, free, had, before, was, fits = 0, 0, false, 0, -1, true
    if a.kind == 1 then
      if not quiet then
        local meta = on(keys[1], 'HMGET', 'quiet', 'joining', 'early')
        quiet = tonumber(meta[1] or 0)
        if quiet > t + QUIET then quiet = 0 end
        alone = silents(keys, t, who)
        c.early = meta[3] == '1'
        if meta[2] == '1' then
          for _, one in ipairs(strangers(keys, t, who)) do
            alone[#alone + 1] = one
            c.strangers = true
          end
        end
      end
      value, free, fits, a.there = window(c, key, a, member, quiet, alone)
      if a.queue > 0 and not (fits and a.take) then enqueue(keys[a.queue], own, member, t) end
    elseif a.kind == 2 then
      value, fits = gauge(keys, key, a, guards)
    elseif a.kind == 3 then
      value, had, fits, before, was = tally(keys, key, a)
    else
      value, before, fits = sum(key, a)
    end
    room = room and fits
    for _, one in ipairs({value, free, had and 1 or 0, before, was}) do out[#out + 1] = one end
  end
  if not room then return out end
  out[2] = 1
  for _, a in ipairs(touches) do
    local key = keys[a.key]
    if not a.take then  -- luacheck: ignore
    elseif a.kind == 1 then
      if not a.there then on(key, 'ZADD', PENDING + t, member) end
      if a.queue > 0 then on(keys[a.queue], 'ZREM', own .. '.' .. member) end
      span_of(key, a.span)
    elseif a.kind == 2 then
      if not a.held then on(key, 'HINCRBY', own, 1) end
      on(key, 'PEXPIRE', GAUGE)
    elseif a.kind == 3 then
      count(key, a.member, a.at, a.span, t)
    end
  end
  return out
end

-- ---- what a guard tells of its calls ---------------------------------------------------------------------------------

local tell = {}

function tell.left(key, t, own, member, ago, span)
  local score = tonumber(on(key, 'ZSCORE', member) or PENDING)
  if score >= PENDING or score < t - ago then on(key, 'ZADD', t - ago, member) end  -- less: this clock was set forward
  span_of(key, span)
end

function tell.taken(key, t, own, member, span)
  on(key, 'ZADD', 'NX', PENDING + t, member)
  span_of(key, span)
end

function tell.dropped(key, t, own, member)
  if tonumber(on(key, 'ZSCORE', member) or 0) >= PENDING then on(key, 'ZREM', member) end
end

function tell.gone(key, t, own, member)
  on(key, 'ZREM', own .. '.' .. member)
end

function tell.calls(key, t, own, more)
  if on(key, 'HINCRBY', own, more) <= 0 then on(key, 'HDEL', own) end
  on(key, 'PEXPIRE', GAUGE)
end

function tell.counted(key, t, own, member, at, span)
  count(key, member, at, span, t)
end

function tell.undone(key, t, own, member, at, before)
  if tonumber(on(key, 'ZSCORE', member) or -1) ~= at then return end
  if before >= 0 then on(key, 'ZADD', before, member) else on(key, 'ZREM', member) end
end

function tell.used(key, t, own, hour, amount)
  local field = 'b:' .. string.match(own, '^(.*):%d+$') .. ':' .. text(hour)
  local more = amount - tonumber(on(key, 'HGET', field) or 0)
  if more <= 0 then return end
  on(key, 'HSET', field, text(amount))
  local oldest = t - RETAIN
  for _, name in ipairs(on(key, 'HKEYS')) do
    local since = string.match(name, '^T:(%d+)$')
    local old = string.match(name, '^b:.*:(%d+)$')
    if since and tonumber(since) <= hour * HOUR then
      on(key, 'HINCRBY', name, text(more))
    elseif old and tonumber(old) * HOUR < oldest then
      on(key, 'HDEL', name)
    end
  end
  on(key, 'PEXPIRE', text(RETAIN / 1000))
end

-- A guard has told what it did alone. Once all have that may have decided alone, windows need not stay shut any longer.
local function back(keys, t, who, e)
  on(keys[1], 'HSET', 'back:' .. who, e.epoch)
  local meta = on(keys[1], 'HMGET', 'quiet', 'early')
  local quiet = tonumber(meta[1] or 0)
  if quiet <= t or meta[2] ~= '1' then return end
  for _, name in ipairs(on(keys[3], 'HKEYS')) do
    local other = entry(on(keys[3], 'HGET', name))
    if not other or tonumber(other.epoch) < quiet - QUIET then return end
    if on(keys[1], 'HGET', 'back:' .. name) ~= other.epoch then return end
  end
  on(keys[1], 'HSET', 'quiet', 0)
end

local function note(keys, argv)
  local t, who, e = enter(keys, argv)
  local own, wrong = who .. ':' .. e.epoch, ''
  for _, told in ipairs(cmsgpack.unpack(argv[2])) do
    local good, why
    if told[1] == 'back' then
      good, why = pcall(back, keys, t, who, e)
    else
      good, why = pcall(tell[told[1]], keys[told[2]], t, own, unpack(told, 3))
    end
    if not good and wrong == '' then wrong = type(why) == 'table' and why.err or tostring(why) end
  end
  return {t, wrong}
end

redis.register_function('NAME_hello', hello)
redis.register_function('NAME_beat', beat)
redis.register_function('NAME_bye', bye)
redis.register_function('NAME_touch', touch)
redis.register_function('NAME_note', note)
