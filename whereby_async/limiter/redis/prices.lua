-- `trail.py`, `costs.py`, `reserve.py` in `present/`, and what `PresentAccount.learn` makes of an answer. Pure.

local MOST_DROP, RECENT, AGREE, MOST_OPERATIONS = 16, 8, 2, 1024
local RESERVE_FLOOR, RESERVE_SPREAD, RESERVE_MELT = 4, 3, 5

-- Trail: a mark is spent points, when it was heard, the operation, and what it was charged.

local Trail = {}

function Trail.new(longest)
  return { marks = {}, edge = -inf, low = -1, low_at = -inf, refilled_at = -inf, longest = longest }
end

local function before(a, b)
  for i = 1, 4 do
    if a[i] ~= b[i] then
      return a[i] < b[i]
    end
  end
  return false
end

function Trail.cut(t, count)
  if count > 0 then
    local kept = {}
    for i = count + 1, #t.marks do
      kept[#kept + 1] = t.marks[i]
    end
    t.marks = kept
    t.edge = kept[1][1]
  end
end

function Trail.ripe(t, now, flight)
  local certain, count, marks = {}, 0, t.marks
  while count + 1 < #marks do
    local first, second = marks[count + 1], marks[count + 2]
    if flight < inf and max(first[2], second[2]) + flight > now then
      break
    end
    local drop = second[1] - first[1]
    if 0 < drop and drop <= MOST_DROP then
      certain[#certain + 1] = { operation = second[3], charged = second[4], drop = drop }
    end
    count = count + 1
  end
  Trail.cut(t, count)
  return certain
end

function Trail.note(t, remaining, operation, charged, granted_at, now)
  if remaining >= t.low and granted_at >= t.low_at then
    local certain = Trail.ripe(t, now, inf)
    if remaining - t.low <= MOST_DROP and #t.marks > 0 then
      t.refilled_at = now
    end
    t.marks = { { -remaining, now, operation, charged } }
    t.edge = -inf
    t.low, t.low_at = remaining, now
    return certain
  end
  if remaining <= t.low or t.low < 0 then
    t.low, t.low_at = remaining, now
  end
  if remaining > 0 and -remaining > t.edge then
    local mark, place = { -remaining, now, operation, charged }, #t.marks
    while place > 0 and before(mark, t.marks[place]) do
      place = place - 1
    end
    table.insert(t.marks, place + 1, mark)
    if #t.marks > t.longest then
      Trail.cut(t, floor(t.longest / 2))
    end
  end
  return {}
end

-- Prices: `version` moves with each change, so that a client is told the list only when it has moved.

local Prices = {}

function Prices.new()
  return { version = 0, count = 0, list = {}, samples = {}, charged = {} }
end

function Prices.move(p, operation, new)
  p.list[operation] = new
  p.charged[operation] = new
  p.samples[operation] = {}
  p.version = p.version + 1
end

function Prices.learn(p, sample, clean, short)
  local operation = sample.operation
  if operation == "" then
    return
  end
  local price = p.list[operation] or sample.charged
  if sample.drop > price and not short then
    return
  end
  local samples = p.samples[operation]
  if not samples then
    if p.count >= MOST_OPERATIONS then
      return
    end
    p.count = p.count + 1
    samples = {}
    p.samples[operation] = samples
  end
  table.insert(samples, sample.drop)
  if #samples > RECENT then
    table.remove(samples, 1)
  end
  p.charged[operation] = price
  local least, most = min(unpack(samples)), max(unpack(samples))
  if #samples >= AGREE and least > price then
    Prices.move(p, operation, least)
  elseif clean and #samples == RECENT and most < price and least == most then
    Prices.move(p, operation, least)
  end
end

function Prices.suspect(p)
  for operation, samples in pairs(p.samples) do
    if #samples > 0 and min(unpack(samples)) > p.charged[operation] then
      Prices.move(p, operation, min(unpack(samples)))
    end
  end
end

function Prices.study(s, trail, prices, charge, operation, answer, now)
  local samples = {}
  if not answer.throttled and answer.remaining and answer.remaining < s.quota.limit then
    samples = Trail.note(trail, answer.remaining, operation, charge.cost, charge.granted_at, now)
  end
  for _, sample in ipairs(Trail.ripe(trail, now, s.granted > s.answered and s.slowest or 0)) do
    samples[#samples + 1] = sample
  end
  local clean = #samples > 0 and Ledger.undisturbed(s, now) and now - trail.refilled_at > s.period
  local short = s.others.votes % 2 == 1 or now < s.others.proven_until
  for _, sample in ipairs(samples) do
    Prices.learn(prices, sample, clean, short)
  end
  if answer.throttled then
    Prices.suspect(prices)
  end
end

-- Reserve

local Reserve = {}

function Reserve.new(share, period)
  return { share = share, period = period, rate = 0, unknown = 1, reckoned_at = -inf, needed = 0, batch = 0, missed = 0 }
end

function Reserve.reckon(r, limit, granted, now)
  local needed = granted - r.batch + r.missed
  if r.reckoned_at == -inf then
    r.reckoned_at, r.needed = now, needed
  end
  local passed = now - r.reckoned_at
  if passed > r.period / 120 then
    local weight = math.exp(-passed / r.period)
    local rate = r.rate * weight + max(0, needed - r.needed) / passed * (1 - weight)
    r.rate = min(rate, limit / r.period)
    r.unknown = r.unknown * weight
    r.reckoned_at, r.needed = now, needed
  end
  return r.rate + r.unknown * r.share * limit / r.period
end

function Reserve.points(r, s, now)
  local ends_in = Ledger.ends_in(s, now)
  if ends_in <= 0 then
    return 0
  end
  local expected = Reserve.reckon(r, s.quota.limit, s.granted, now) * ends_in
  local wanted = expected + (RESERVE_FLOOR + RESERVE_SPREAD * math.sqrt(expected)) * min(1, ends_in / RESERVE_MELT)
  return ceil(min(r.share * s.quota.limit, wanted))
end
