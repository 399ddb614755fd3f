-- The protocol: one call of one client (an event loop of a process), in this order: who is gone, what the client must report
-- again, which permits have ended, who gets points, and when the client is to come again.

local HORIZON_SHARE, SPREAD = 1 / 10, 0.004

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
  Desk.report(books, trail, prices, clients, c, m, now)
  Desk.drop_the_gone(books, clients, m.plan.lease, now)
  local g = Desk.serve(books, clients, c, m, now)
  local answer = Desk.answer(g, books, clients, c, prices, m, adopted)
  Desk.save(key, m.plan, books, trail, prices, clients)
  return cmsgpack.pack(answer)
end

return Desk.call(KEYS[1], ARGV[1])
