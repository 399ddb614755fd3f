-- The parts of the ledger, rule by rule: `ageing.py`, `gate.py`, `cold.py`, `lead.py`, `quota.py`, `window.py` in `present/`; the
-- theory stands there. Pure: every function takes the state and `now`, in seconds; a property test holds the two side by side.
-- All `.lua` files of this folder make one script, in the order that `connection.py` names.

local inf, floor, ceil, max, min = math.huge, math.floor, math.ceil, math.max, math.min

local GUARD, SHORTEST_FLIGHT, LONGEST_FLIGHT = 0.02, 1, 10
local PATIENCE, TURN, WIDEST_CALL, SMALLEST_PLAN = 2, 4, 10, 100
local SILENT_ANSWERS, FIRST_BACKOFF, BREATH = 3, 1, 0.005
local AGREEMENT, FRACTIONS, MOST_BIAS, QUORUM = 1.5, 0.02, 5, 3

local function ballot(votes, yes)
  return (votes * 2 + (yes and 1 or 0)) % 256
end

local function ones(votes)
  local count = 0
  while votes > 0 do
    count = count + votes % 2
    votes = floor(votes / 2)
  end
  return count
end

-- Ageing: `entries` holds a release time, its points, the next release time, and so on.

local Ageing = {}

function Ageing.new(period, grain)
  return { entries = {}, holding = period + GUARD, grain = grain, released = 0, released_at = -inf, merge_until = -inf, newest_at = 0 }
end

function Ageing.insert(a, release_at, cost)
  local e = a.entries
  local place = #e
  while place > 0 and e[place - 1] > release_at do
    place = place - 2
  end
  if place > 0 and e[place - 1] >= release_at - a.grain then
    e[place] = e[place] + cost
  else
    table.insert(e, place + 1, cost)
    table.insert(e, place + 1, release_at)
  end
end

function Ageing.answered(a, cost, now)
  local e = a.entries
  if now <= a.merge_until then
    local place = #e
    while e[place - 1] ~= a.newest_at do
      place = place - 2
    end
    e[place] = e[place] + cost
    return
  end
  local release_at = now + a.holding + a.grain
  if #e > 0 and e[#e - 1] >= release_at then
    Ageing.insert(a, release_at, cost)
    return
  end
  a.newest_at = release_at
  a.merge_until = now + a.grain
  e[#e + 1] = release_at
  e[#e + 1] = cost
end

function Ageing.unanswered(a, cost, flight, now)
  Ageing.insert(a, now + flight + a.holding + a.grain, cost)
end

function Ageing.due(a, now)
  return #a.entries > 0 and a.entries[1] <= now
end

function Ageing.release(a, now)
  local e, kept, place = a.entries, {}, 1
  while e[place] and e[place] <= now do
    a.released = a.released + e[place + 1]
    a.released_at = now
    place = place + 2
  end
  if place > 1 then
    for i = place, #e do
      kept[#kept + 1] = e[i]
    end
    a.entries = kept
  end
end

function Ageing.quiet(a, span, now)
  local first = a.entries[1]
  return now - a.released_at > span and (not first or first - now > span)
end

function Ageing.younger(a, than, now)
  local e, points = a.entries, 0
  for i = 1, #e, 2 do
    if now + than < e[i] and e[i] <= now + a.holding + a.grain then
      points = points + e[i + 1]
    end
  end
  return points
end

-- Gate

local Gate = {}

function Gate.new(period)
  return { longest = period, backoff = FIRST_BACKOFF, rounds = 0, opens_at = -inf, named_at = inf, doubted = false }
end

function Gate.refused(g, told, granted_at, now, ends)
  local delay = told or 0
  if granted_at >= g.opens_at then
    if g.rounds > 0 or delay == 0 then
      g.doubted = true
      delay = max(delay, ends <= now and g.backoff or min(g.backoff, ends - now))
      g.backoff = min(2 * g.backoff, g.longest)
    end
    g.rounds = g.rounds + 1
  end
  g.opens_at = max(g.opens_at, now + delay + BREATH)
end

function Gate.passed(g, granted_at)
  if g.rounds > 0 and granted_at >= g.opens_at then
    g.backoff = FIRST_BACKOFF
    g.rounds = 0
    g.doubted = false
  end
end

-- Cold

local Cold = {}

function Cold.new()
  return { on = true, since = -inf, piloted_at = -inf, silent = 0, promised = false }
end

function Cold.headerless(c)
  return c.silent >= SILENT_ANSWERS
end

function Cold.begin(c, now, promised)
  c.on = true
  c.since = now
  c.promised = promised
  if promised then
    c.silent = min(c.silent, SILENT_ANSWERS - 1)
  end
end

function Cold.waits(c, pending, now)
  return pending > 0 and not Cold.headerless(c) and now < c.piloted_at + PATIENCE
end

function Cold.room(c, ledger, pending)
  if Cold.headerless(c) then
    return min(ledger, SMALLEST_PLAN - pending)
  end
  return c.promised and max(ledger, WIDEST_CALL) or ledger
end

function Cold.unheard(c, granted_at)
  if c.on and granted_at >= c.since then
    c.silent = c.silent + 1
  end
end

function Cold.heard(c, granted_at)
  c.silent = 0
  if granted_at >= c.since then
    c.on = false
    c.promised = false
  end
end

-- Lead: `out` is the number of the call that is ahead.

local Lead = {}

function Lead.new()
  return { count = 0, due = false, led_at = -inf, turned_at = -inf, probation = false, whole = false }
end

function Lead.go(l, charge, now)
  l.count = l.count + 1
  l.out = l.count
  charge.lead = l.count
  l.led_at = now
  l.turned_at = now
  l.due = false
end

function Lead.waits(l, now)
  if l.out and now >= l.led_at + PATIENCE then
    l.out = nil
  end
  return l.out ~= nil
end

function Lead.back(l, everything, young)
  l.probation = not everything and not l.probation
  if not everything then
    l.whole = false
  elseif young then
    l.whole = true
  end
end

function Lead.gone(l, charge)
  if not l.out or charge.lead ~= l.out then
    return false
  end
  l.out = nil
  return true
end

-- Quota: `heard` is the limit that the last answer named.

local Quota = {}

function Quota.new(limit)
  return { limit = limit or SMALLEST_PLAN, whole = limit or SMALLEST_PLAN, heard = limit, told = false }
end

function Quota.said(q, limit)
  local before, agreed = q.limit, limit == q.heard
  q.heard = limit
  q.told = true
  if limit < before or agreed then
    q.limit = limit
  end
  if agreed then
    q.whole = limit
  end
  return q.limit ~= before
end

-- Window

local Window = {}

function Window.new(period)
  return { period = period, bias = 0, heard = inf, votes = 0, ballots = 0, ends = inf }
end

function Window.sure(w)
  return w.ballots >= QUORUM and 2 * ones(w.votes) > w.ballots
end

function Window.note(w, reset_in, now)
  if reset_in > 1.5 * w.period then
    return
  end
  local ends = now + reset_in + (reset_in == floor(reset_in) and 1 or FRACTIONS) + w.bias
  local agrees = math.abs(ends - w.ends) <= AGREEMENT
  if agrees then
    w.ends = min(w.ends, ends)
  elseif w.ends == inf or math.abs(ends - w.heard) <= AGREEMENT then
    w.ends = ends
    w.votes, w.ballots = 1, 1
  end
  w.heard = ends
  w.votes = ballot(w.votes, agrees)
  w.ballots = min(w.ballots + 1, 8)
end

function Window.refused(w, retry_after, now)
  local late = now + retry_after - w.ends
  if 0 < late and late <= MOST_BIAS then
    w.bias = min(w.bias + late, MOST_BIAS)
    w.ends = w.ends + late
  end
end

function Window.ends_in(w, now)
  local left = w.ends - now
  return 0 < left and left < inf and left or nil
end
