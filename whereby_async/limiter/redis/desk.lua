-- The protocol: one call of one client (an event loop of a process), in this order: who is gone, what the client must report
-- again, which permits have ended, who gets points. Time is the server's; a step back of its clock stands still.
--
-- One hash holds everything: `books` (the ledger, the reserve, and the clock), `trail`, `prices`, `clients`.

local GRACE_SHARE, HORIZON_SHARE, BACKFILL_SPARE, BACKFILL_WITHIN = 1 / 20, 1 / 10, 6, 0.25
local OLD_SHARE, BATCH, SPREAD, WEIGHT = 0.05, 3, 0.004, 0.25
local SETTLED, RELEASED = 0, 1

local Desk = {}

function Desk.load(key, plan)
  local got = redis.call("HMGET", key, "books", "trail", "prices", "clients")
  if not got[1] then
    return {
      ledger = Ledger.new(plan.limit, plan.period, plan.grain), reserve = Reserve.new(plan.reserve, plan.period),
      offset = 0, last = 0, epoch = 0, generations = 0, flight = 0.1, called_at = -inf, hush_until = -inf, short_at = -inf,
      round = 0, round_at = -inf, turned_at = -inf, old_from = 0, old_spent = 0,
    }, Trail.new(plan.trail), Prices.new(), {}
  end
  return cmsgpack.unpack(got[1]), cmsgpack.unpack(got[2]), cmsgpack.unpack(got[3]), cmsgpack.unpack(got[4])
end

function Desk.save(key, plan, books, trail, prices, clients)
  redis.call(
    "HSET", key, "books", cmsgpack.pack(books), "trail", cmsgpack.pack(trail), "prices", cmsgpack.pack(prices), "clients",
    cmsgpack.pack(clients)
  )
  redis.call("PEXPIRE", key, plan.expiry)
end

function Desk.now(books)
  local time = redis.call("TIME")
  local now = tonumber(time[1]) + tonumber(time[2]) / 1000000 + books.offset
  if now < books.last then
    books.offset = books.offset + books.last - now
    now = books.last
  end
  books.last = now
  return now
end

-- Clients: those that are gone, those that come back, those that were never here.

function Desk.drop_the_gone(books, clients, lease, now)
  local s = books.ledger
  for id, c in pairs(clients) do
    if c.seen + max(lease, c.out == 0 and s.period or 0) < now and c.wake + lease < now then
      if c.out > 0 then
        s.answered = s.answered + c.out
        Ageing.unanswered(s.ageing, c.out, c.seen + lease - now, now)
      end
      clients[id] = nil
    end
  end
end

function Desk.adopt(s, out, spent, now)
  s.granted = s.granted + out + spent
  s.answered = s.answered + spent
  if spent > 0 then
    Ageing.unanswered(s.ageing, spent, 0, now)
  end
end

function Desk.welcome(books, clients, m, now)
  local s, c = books.ledger, clients[m.id]
  local lost = m.epoch ~= 0 and (m.epoch ~= books.epoch or m.generation > books.generations or (c and c.seq < m.confirmed))
  if c and not lost then
    return c, false
  end
  books.generations = max(books.generations, m.generation) + 1
  local old = c
  c = {
    generation = books.generations, seq = 0, out = 0, last = 0, seen = now, wake = -inf, taken = 0, round = books.round,
    wants = { 0, 0, 0 }, heads = { 0, 0, 0 }, since = { 0, 0, 0 },
  }
  clients[m.id] = c
  if lost then
    if old and old.out > 0 then
      s.answered = s.answered + old.out
      Ageing.unanswered(s.ageing, old.out, 0, now)
    end
    c.out = m.out
    Desk.adopt(s, m.out, m.spent, now)
    if m.out + m.spent > 0 then
      -- What a store has forgotten of one client it has forgotten of others: they report before anybody gets points.
      books.hush_until = max(books.hush_until, now + m.plan.pause)
      Ledger.grow_cold(s, now, false)
    end
  end
  return c, lost
end

-- Ends of permits

function Desk.finish(books, trail, prices, c, ending, now)
  local s, kind, current = books.ledger, ending[1], ending[8]
  local charge = { cost = ending[2], answered = ending[3], granted_at = ending[4], lead = ending[5] }
  local told, answer = ending[7], nil
  if told then
    answer = { limit = told[1] or nil, remaining = told[2] or nil, reset_in = told[3] or nil, retry_after = told[4] or nil, throttled = told[5] }
  end
  if current ~= c.generation then
    -- Its points were given up long ago, or counted in other books.
    if answer and answer.throttled then
      charge.cost, charge.granted_at = 0, s.gate.opens_at - 1
      Ledger.refused(s, charge, answer, now)
    end
    return
  end
  c.out = c.out - charge.cost
  if kind == RELEASED then
    Ledger.refund(s, charge)
    c.taken = max(0, c.taken - charge.cost)
  elseif kind == SETTLED then
    if not charge.answered then
      -- Counted in other books when it was granted: its points are known here, what its answer proves is not.
      charge.answered, answer = 0, answer and answer.throttled and answer or nil
    end
    if charge.lead > 0 or s.cold.on then
      books.flight = books.flight + (now - charge.granted_at - books.flight) * WEIGHT
    end
    Ledger.settle(s, charge, answer, now)
    if answer then
      Prices.study(s, trail, prices, charge, ending[6], answer, now)
    end
  else
    Ledger.lost(s, charge, s.slowest, now)
  end
end

function Desk.take_back(books, c)
  if c.last > 0 then
    books.ledger.granted = books.ledger.granted - c.last
    c.out = c.out - c.last
    c.taken = max(0, c.taken - c.last)
    if books.ledger.lead.out == c.last_lead then
      books.ledger.lead.out = nil
      books.ledger.lead.due = true
    end
  end
end

function Desk.report(books, trail, prices, clients, c, m, now)
  if c.seq > m.confirmed then
    Desk.take_back(books, c)
  end
  for _, batch in ipairs(m.again) do
    for _, ending in ipairs(c.seq < batch[1] and batch[2] or {}) do
      Desk.finish(books, trail, prices, c, ending, now)
    end
  end
  c.seq, c.last, c.last_lead = m.seq, 0, nil
  for _, ending in ipairs(m.ends) do
    Desk.finish(books, trail, prices, c, ending, now)
  end
  for _, orphan in ipairs(m.orphans) do
    local owner = clients[orphan[1]]
    if owner then
      Desk.finish(books, trail, prices, owner, orphan[2], now)
    end
  end
  Desk.adopt(books.ledger, 0, m.spent_away, now)
  if m.away > 0 and now - books.called_at >= m.away / 2 then
    -- The store was away for all: each must report what he spent before anybody gets points.
    books.hush_until = max(books.hush_until, now + m.plan.pause)
    Ledger.grow_cold(books.ledger, now, false)
  end
end

-- Granting

-- The level up to which all can be served, those first that have had least: each claim is what one has had, and what he wants.
local function level_of(claims, pot)
  local low, high = 0, 0
  for _, claim in ipairs(claims) do
    high = max(high, claim[1] + claim[2])
  end
  while low < high do
    local level, total = floor((low + high) / 2), 0
    for _, claim in ipairs(claims) do
      total = total + max(0, min(level - claim[1], claim[2]))
    end
    if total >= pot then
      high = level
    else
      low = level + 1
    end
  end
  return low
end

-- The others that wait, and will come soon enough to use what is left for them.
function Desk.rivals(books, clients, m, now)
  local found, period = {}, books.ledger.period
  local grace, ends = max(0.05, min(0.25, period * GRACE_SHARE)), books.ledger.window.ends
  for id, c in pairs(clients) do
    if c.round ~= books.round then
      c.round, c.taken = books.round, 0
    end
    if id ~= m.id and c.wants[1] + c.wants[2] + c.wants[3] > 0 and now < c.wake + grace and (c.wake < ends or ends <= now) then
      found[#found + 1] = c
    end
  end
  return found
end

-- What others may have before this client's next call in this lane, and what is this client's own share of the rest.
function Desk.claims(c, rivals, lane, want, room)
  local before, older, claims = 0, 0, { { c.taken, want } }
  for _, rival in ipairs(rivals) do
    for higher = 1, lane - 1 do
      before = before + rival.wants[higher]
    end
    if rival.wants[lane] > 0 then
      claims[#claims + 1] = { rival.taken, rival.wants[lane] }
      if rival.since[lane] < c.since[lane] and rival.taken <= c.taken then
        older = older + rival.heads[lane]
      end
    end
  end
  local left = room - before
  if #claims == 1 or left <= 0 then
    return before, left
  end
  return before + older, max(0, level_of(claims, left) - c.taken)
end

local Grants = {}

function Grants.affords(g, cost, lane)
  local s = g.books.ledger
  local room = Ledger.room(s, g.now, cost)
  if room < cost then
    g.why, g.again_at = s.why, s.again_at
    return Ledger.asks(s, cost, g.now), room
  end
  if lane ~= BATCH then
    return true, room
  end
  local wanted = cost + Reserve.points(g.books.reserve, s, g.now)
  if room >= wanted or Ledger.room(s, g.now, wanted) >= wanted or Ledger.leads(s, cost) then
    return true, room
  end
  g.why, g.again_at = "reserve", min(s.again_at, g.now + min(1, s.period / 60))
  return false, room
end

function Grants.give(g, lane, place, cost)
  local s, c = g.books.ledger, g.client
  local charge = { cost = cost, lead = 0 }
  if (s.cold.on and not Cold.headerless(s.cold)) or s.piloting or s.pace.probing then
    g.urgent = true
  end
  Ledger.charge(s, charge, g.now)
  g.answered = charge.answered
  if charge.lead > 0 then
    g.lead, g.lead_place, c.last_lead = charge.lead, #g.served, charge.lead
  end
  if lane == BATCH then
    g.books.reserve.batch = g.books.reserve.batch + cost
  end
  c.out, c.last, c.taken = c.out + cost, c.last + cost, c.taken + cost
  c.wants[lane] = c.wants[lane] - cost
  g.served[#g.served + 1] = { lane, place }
end

-- Calls that have waited two periods, whatever comes before them; whether the next of them must be waited for.
function Grants.owed(g)
  local books, lanes = g.books, g.message.lanes
  local s = books.ledger
  if g.now - books.old_from >= s.period then
    books.old_from, books.old_spent = g.now, 0
  end
  while books.old_spent < OLD_SHARE * s.quota.limit do
    local lane = nil
    for each = 2, 3 do
      local l = lanes[each]
      if g.next[each] <= l.old and (not lane or l.waited > lanes[lane].waited) then
        lane = each
      end
    end
    if not lane then
      return false
    end
    local cost = lanes[lane].costs[g.next[lane]]
    if not Grants.affords(g, cost, lane) then
      return true
    end
    Grants.give(g, lane, g.next[lane], cost)
    g.next[lane] = g.next[lane] + 1
    books.old_spent = books.old_spent + cost
  end
  return false
end

-- The calls of one lane, in their order, as long as they are this client's turn; whether all were served.
function Grants.lane(g, lane)
  local costs, c, share, before = g.message.lanes[lane].costs, g.client, nil, nil
  while costs[g.next[lane]] do
    local cost = costs[g.next[lane]]
    local affords, room = Grants.affords(g, cost, lane)
    if not affords then
      return false
    end
    if #g.rivals > 0 then
      if not share then
        before, share = Desk.claims(c, g.rivals, lane, c.wants[lane], room)
        share = share + c.taken
      end
      if c.taken >= share or room - before < cost then
        g.why, g.queued = "queue", true
        return false
      end
    end
    Grants.give(g, lane, g.next[lane], cost)
    g.next[lane] = g.next[lane] + 1
  end
  return true
end

-- A cheaper call may pass a head that cannot use what is left before more comes than it needs.
function Grants.backfill(g, head)
  local s = g.books.ledger
  local room = Ledger.room(s, g.now, head)
  while 0 < room and room < head and s.calm and #g.rivals == 0 do
    local needed, e, found = head - room + BACKFILL_SPARE, s.ageing.entries, false
    for i = 1, #e, 2 do
      if e[i] <= e[1] + BACKFILL_WITHIN then
        needed = needed - e[i + 1]
      end
    end
    for lane = 1, needed <= 0 and 3 or 0 do
      local costs = g.message.lanes[lane].costs
      for place = g.next[lane], #costs do
        if not found and costs[place] > 0 and costs[place] <= room and Grants.affords(g, costs[place], lane) then
          Grants.give(g, lane, place, costs[place])
          costs[place], found = 0, true
        end
      end
    end
    if not found then
      return
    end
    room = Ledger.room(s, g.now, head)
  end
end

function Grants.all(g)
  if g.now < g.books.hush_until then
    g.why, g.again_at = "pilot", g.books.hush_until
    return
  end
  local blocked = Grants.owed(g)
  for lane = 1, blocked and 0 or 3 do
    if not Grants.lane(g, lane) then
      local why, again_at = g.why, g.again_at
      if not g.queued then
        Grants.backfill(g, g.message.lanes[lane].costs[g.next[lane]])
      end
      g.why, g.again_at = why, again_at
      return
    end
  end
end

-- When the client is to come again: the first in the queue when points come, the rest once his answer may have opened more.

function Desk.rank(c, id, clients)
  local function top(x)
    return x.wants[1] > 0 and 1 or x.wants[2] > 0 and 2 or 3
  end
  local rank, mine, ahead = 0, top(c), 0
  for other, o in pairs(clients) do
    local wants = o.wants[1] + o.wants[2] + o.wants[3]
    if other ~= id and wants > 0 then
      local theirs = top(o)
      if theirs < mine or (theirs == mine and (o.taken < c.taken or (o.taken == c.taken and other < id))) then
        rank, ahead = rank + 1, ahead + wants
      end
    end
  end
  return rank, ahead
end

-- When so many points more than now will have come back.
function Desk.released_at(s, points)
  local e = s.ageing.entries
  for i = 1, #e, 2 do
    points = points - e[i + 1]
    if points <= 0 then
      return e[i]
    end
  end
  return inf
end

function Desk.again_at(g, id, clients)
  local books, now, head = g.books, g.now, 1
  local s = books.ledger
  local rank, ahead = Desk.rank(g.client, id, clients)
  local behind = 1.25 * books.flight + SPREAD * rank
  local when = g.again_at
  if g.queued then
    when = now + 0.02
    for _, rival in ipairs(g.rivals) do
      when = max(when, rival.wake + 0.02)
    end
    when = when + SPREAD * rank
  elseif g.why == "pilot" and now >= books.hush_until then
    local went = max(s.lead.led_at, s.cold.piloted_at)
    when = min(when, max(went + behind, now + max(0.02, (now - went) / 2) + SPREAD * rank))
  elseif g.why == "empty" and when == s.ageing.entries[1] then
    for lane = 3, 1, -1 do
      head = g.client.heads[lane] > 0 and g.client.heads[lane] or head
    end
    local room = max(0, s.quota.limit - Ledger.held(s))
    local soon = rank == 0 and inf or when + behind
    when = max(when, min(Desk.released_at(s, ahead + head - room), soon))
    when = when == inf and s.ageing.entries[1] or when
  else
    when = when + (rank > 0 and behind or 0)
  end
  return min(max(when, now + 0.005), now + max(0.25, s.period * HORIZON_SHARE) + SPREAD * rank)
end

function Desk.note_wants(c, m, now)
  for lane = 1, 3 do
    local l = m.lanes[lane]
    c.wants[lane] = l.points
    c.heads[lane] = l.costs[1] or 0
    c.since[lane] = now - l.waited
  end
end

function Desk.serve(books, clients, c, m, now)
  local s = books.ledger
  Desk.note_wants(c, m, now)
  if s.lead.turned_at ~= books.turned_at or now - books.round_at > s.period then
    books.turned_at, books.round_at, books.round = s.lead.turned_at, now, books.round + 1
  end
  local g = {
    books = books, client = c, message = m, now = now, served = {}, next = { 1, 1, 1 }, rivals = Desk.rivals(books, clients, m, now),
    why = "", again_at = inf, urgent = false, lead = 0, lead_place = -1, answered = 0,
  }
  if c.round ~= books.round then
    c.round, c.taken = books.round, 0
  end
  Grants.all(g)
  local waits = false
  for lane = 1, 3 do
    c.heads[lane] = m.lanes[lane].costs[g.next[lane]] or 0
    waits = waits or c.heads[lane] > 0
  end
  c.wake = now
  if waits then
    books.short_at = g.why ~= "pilot" and now or books.short_at
    c.wake = Desk.again_at(g, m.id, clients)
  end
  return g
end

function Desk.answer(g, books, clients, c, prices, m, adopted)
  local s, now = books.ledger, g.now
  local others, count = { 0, 0, 0 }, 0
  for id, o in pairs(clients) do
    count = count + (now - o.seen < s.period and 1 or 0)
    for lane = 1, id ~= m.id and 3 or 0 do
      others[lane] = others[lane] + o.wants[lane]
    end
  end
  local hushed = now < books.hush_until
  local room = hushed and 0 or max(0, Ledger.room(s, now, 1))
  local more_at = Ledger.more_at(s, now)
  local list = nil
  if m.prices ~= prices.version then
    list = {}
    for operation, price in pairs(prices.list) do
      list[#list + 1] = { operation, price }
    end
  end
  local reset_in = Window.ends_in(s.window, now)
  if not reset_in and s.ageing.entries[1] then
    reset_in = max(0, s.ageing.entries[1] - now)
  end
  return {
    epoch = books.epoch, generation = c.generation, adopted = adopted, served = g.served, granted_at = now, answered = g.answered,
    lead = g.lead, lead_place = g.lead_place, urgent = g.urgent or g.lead > 0, why = g.why, again_in = c.wake - now,
    limit = s.quota.limit, whole = s.quota.whole, period = s.period, room = room, left = Ledger.left(s),
    more_in = max(more_at - now, hushed and books.hush_until - now or 0), gate_in = max(0, s.gate.opens_at - now),
    remaining = s.floor > -inf and max(0, min(s.quota.limit, s.floor - s.granted)) or -1, reset_in = reset_in or -1,
    pending = s.granted - s.answered, held = Ledger.held(s), floor = s.floor, granted = s.granted,
    least = now < s.others.ends and max(s.others.least, 0) or -1, others_in = max(0, s.others.ends - now), elsewhere = others,
    foreign_rate = now < s.others.ends and s.others.rate or 0, known = s.heard_at > -inf, headerless = Ledger.headerless(s),
    clients = count, busy = now - books.short_at < s.period, version = prices.version, prices = list,
  }
end

function Desk.call(key, text)
  local m = cmsgpack.unpack(text)
  local books, trail, prices, clients = Desk.load(key, m.plan)
  local now = Desk.now(books)
  if books.epoch == 0 then
    books.epoch = now
  end
  local c, adopted = Desk.welcome(books, clients, m, now)
  if m.seq <= c.seq then
    return cmsgpack.pack({ stale = true })
  end
  c.seen = now
  Desk.drop_the_gone(books, clients, m.plan.lease, now)
  Desk.report(books, trail, prices, clients, c, m, now)
  books.called_at = now
  local g = Desk.serve(books, clients, c, m, now)
  local answer = Desk.answer(g, books, clients, c, prices, m, adopted)
  Desk.save(key, m.plan, books, trail, prices, clients)
  return cmsgpack.pack(answer)
end

return Desk.call(KEYS[1], ARGV[1])
