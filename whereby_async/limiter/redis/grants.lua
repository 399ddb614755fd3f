-- Who gets points: the lanes in their order, in a lane each client in turn, as far as others will come for their part.

local GRACE_SHARE, BACKFILL_SPARE, BACKFILL_WITHIN, OLD_SHARE, BATCH = 1 / 20, 6, 0.25, 0.05, 3

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
