-- Who calls: the books and their clock, clients that are gone, come back or were never here, and how their permits end.
--
-- One hash holds everything: `books` (the ledger, the reserve, and the clock), `trail`, `prices`, `clients`. Time is the store's; a
-- step back of its clock stands still.

local FLIGHT_WEIGHT, SETTLED, RELEASED, MISSED = 0.25, 0, 1, 3

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
    outage = m.away == 0 and m.outage or 0, total_away = m.away == 0 and m.total_away or 0, wants = { 0, 0, 0 }, heads = { 0, 0, 0 }, since = { 0, 0, 0 },
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
  if kind == MISSED then
    books.reserve.missed = books.reserve.missed + ending[2]
    return
  end
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
      books.flight = books.flight + (now - charge.granted_at - books.flight) * FLIGHT_WEIGHT
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

-- What was spent without the store, as far as it was not told before.
function Desk.settle_outage(books, c, m, now)
  local told = c.outage == m.outage and c.total_away or 0
  Desk.adopt(books.ledger, 0, max(0, min(m.spent_away, m.total_away - told)), now)
  c.outage, c.total_away = m.outage, max(told, m.total_away)
  if m.away > 0 and now - books.called_at >= m.away / 2 then
    -- The store was away for all: each must report what he spent before anybody gets points.
    books.hush_until = max(books.hush_until, now + m.plan.pause)
    Ledger.grow_cold(books.ledger, now, false)
  end
end

function Desk.report(books, trail, prices, clients, c, m, now)
  if m.confirmed > 0 and c.seq == m.confirmed then
    -- The last answer was heard, so the store was there for somebody then; what comes out of its buffers after it hung is no sign.
    books.called_at = max(books.called_at, c.seen)
  end
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
  Desk.settle_outage(books, c, m, now)
  c.seen = now
end
