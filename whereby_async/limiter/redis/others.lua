-- `present/others.py` and `present/pacing.py`, rule by rule. Pure.

local MEMORY, FEW, FIRST_GAP, NO_PROBE, RATE_WEIGHT = 3, 6, 1 / 40, 10, 1 / 20
local RISES, LEAST_HEADROOM, MOST_HEADROOM, MOST_HEADROOM_SHARE, STEP, LONGEST_GAP = 3, 2, 10, 0.02, 2, 1 / 2

-- Others

local Others = {}

function Others.new(period)
  return {
    period = period, ballots = 0, votes = 0, since = -inf, gap = period * FIRST_GAP, no_probe_until = -inf, probing = false,
    ends = -inf, proven_until = -inf, least = 0, least_at = -inf, released = 0, rate = 0,
  }
end

function Others.vote(o, foreign)
  o.ballots = min(o.ballots + 1, 8)
  o.votes = ballot(o.votes, foreign)
  return 2 * ones(o.votes) > o.ballots
end

function Others.twice(o)
  return o.votes % 4 == 3
end

function Others.told(o, least, now, released)
  o.least = least
  o.least_at = now
  o.released = released
end

function Others.beware(o, least, now, released)
  if now >= o.ends then
    Others.told(o, least, now, released)
    o.since = now
  end
  o.ends = now + MEMORY * o.period
end

function Others.emptied(o, now, released)
  if o.probing then
    o.no_probe_until = now + NO_PROBE * o.period
    o.probing = false
  end
  o.proven_until = now + MEMORY * o.period
  Others.beware(o, 0, now, released)
  Others.told(o, 0, now, released)
end

function Others.note(o, remaining, granted_at, now, released)
  local later = granted_at >= o.least_at
  if later then
    o.probing = false
    if remaining > o.least then
      o.since = now
      o.gap = o.period * FIRST_GAP
    end
  end
  if later or remaining < o.least then
    Others.told(o, remaining, now, released)
  end
end

function Others.weigh(o, theirs)
  o.rate = o.rate + (max(0, theirs) / o.period - o.rate) * RATE_WEIGHT
end

function Others.pilot_at(o, ends)
  local last = o.since + o.period
  if ends > o.least_at then
    last = min(last, ends)
  end
  local probe = o.least_at + o.gap
  return probe >= o.no_probe_until and min(last, probe) or last
end

function Others.piloted(o, now)
  if now >= o.since + o.period then
    o.since = now
    o.gap = o.period * FIRST_GAP
  else
    o.probing = true
    o.gap = min(2 * o.gap, o.period / 4)
  end
end

function Others.cap(o, pending)
  if pending == 0 then
    return max(floor(o.least / 2), min(o.least, WIDEST_CALL))
  end
  return (o.least > FEW and floor(o.least / 2) or o.least) - pending
end

function Others.measure(o, remaining, spent, now)
  local anchor = o.anchor
  if not anchor or remaining > anchor[2] then
    o.anchor = { now, remaining, spent }
    return
  end
  local lasted = now - anchor[1]
  if lasted < o.period / 60 then
    return
  end
  local foreign = max(0, anchor[2] - remaining - (spent - anchor[3])) / lasted
  o.rate = o.rate + (foreign - o.rate) * min(1, 2 * lasted / o.period)
  o.anchor = { now, remaining, spent }
end

-- Pace

local Pace = {}

function Pace.new(period)
  return {
    period = period, readings = {}, read_at = -inf, rises = {}, eased_at = -inf, headroom = LEAST_HEADROOM, gap = period * FIRST_GAP,
    probing = false, probed_at = -inf, ends = -inf,
  }
end

function Pace.begin(p, now)
  p.ends = now + MEMORY * p.period
end

function Pace.note(p, remaining, granted_at, now)
  if granted_at < p.read_at then
    return
  end
  p.read_at = now
  local before = p.readings
  if #before == 2 and remaining > max(before[1], before[2]) then
    table.insert(p.rises, now)
    if #p.rises > RISES then
      table.remove(p.rises, 1)
    end
    if #p.rises == RISES and now - p.rises[1] < p.period / 2 then
      Pace.begin(p, now)
    end
  end
  table.insert(before, remaining)
  if #before > 2 then
    table.remove(before, 1)
  end
end

function Pace.room(p, left, need, back, foreign)
  local margin = p.headroom + math.sqrt(foreign)
  return floor(left + min(back, need + margin) - margin)
end

function Pace.refused(p, limit, now)
  if now - p.eased_at < p.period / 30 then
    return
  end
  p.eased_at = now
  p.headroom = min(p.headroom + STEP, max(MOST_HEADROOM_SHARE * limit, MOST_HEADROOM))
end

function Pace.ease(p, now)
  if now - p.eased_at > p.period / 2 then
    p.eased_at = now
    p.headroom = max(LEAST_HEADROOM, p.headroom - 1)
  end
end

function Pace.sent(p, now)
  p.probing = false
  p.probed_at = now
end

function Pace.learn(p, grown, need, waited, probe)
  local enough = need + p.headroom
  local gap = grown > 0 and waited * enough / grown or inf
  gap = max(min(gap, 2 * p.gap), p.gap / 2)
  if probe or gap < p.gap then
    p.gap = min(max(gap, p.period * FIRST_GAP), p.period * LONGEST_GAP)
  end
end
