-- `present/caution.py`, rule by rule. Pure.

local Ledger, Caution = {}, {}

function Caution.on_probation(s, now, proven, evidence, need)
  if evidence >= need then
    return evidence
  end
  if proven < need then
    Ledger.await_release(s, now)
    return evidence
  end
  if s.granted > s.answered and now < s.lead.led_at + 2 * PATIENCE then
    Ledger.ask_again(s, s.lead.led_at + 2 * PATIENCE, "pilot")
    return evidence
  end
  s.lead.due = true
  return proven
end

function Caution.at_turn(s, now, room, need)
  if room >= need then
    return room
  end
  Ledger.await_release(s, now)
  local ends = s.window.ends
  local unseen = s.granted == s.answered and s.heard_at < ends - TURN
  if not (unseen and s.lead.whole and Window.sure(s.window)) then
    return room
  end
  if now < ends then
    s.again_at = min(s.again_at, ends)
    return room
  end
  s.lead.due = true
  return max(room, WIDEST_CALL)
end

function Caution.for_probe(s, now, room, need)
  local probe_at = max(s.others.least_at, s.cold.piloted_at) + s.pace.gap
  if now < probe_at then
    s.again_at = min(s.again_at, probe_at)
    return room
  end
  s.pace.probing = true
  return max(need, room)
end

function Caution.paced(s, now, proven, need)
  local pace, others = s.pace, s.others
  Pace.ease(pace, now)
  local passed = max(0, now - others.least_at)
  local back = s.ageing.released - others.released
  local evenly = passed * s.quota.limit / s.period
  local pending = s.granted - s.answered
  local room = Pace.room(pace, others.least - pending, need, min(back, evenly), others.rate * passed)
  local refuted = now < others.proven_until
  if not refuted then
    room = min(room, proven)
  end
  if room >= need then
    return room
  end
  Ledger.await_release(s, now)
  if pending > 0 or not (refuted or proven >= need) then
    return room
  end
  if evenly < back then
    s.again_at = min(s.again_at, now + (need - room) * s.period / s.quota.limit)
  end
  return Caution.for_probe(s, now, room, need)
end

function Caution.for_pilot(s, now, room, need)
  local pilot_at = Others.pilot_at(s.others, s.window.ends ~= s.piloted_end and s.window.ends or inf)
  if now < pilot_at then
    s.again_at = min(s.again_at, pilot_at)
    return room
  end
  s.piloting = true
  return max(need, room)
end

function Caution.among_others(s, now, proven, need)
  s.calm = false
  local pending = s.granted - s.answered
  if now < s.pace.ends then
    return Caution.paced(s, now, proven, need)
  end
  local room = min(proven, Others.cap(s.others, pending))
  if room >= need then
    return room
  end
  Ledger.await_release(s, now)
  if proven < need and now >= s.others.proven_until then
    return room
  end
  if pending > 0 and now < s.cold.piloted_at + PATIENCE then
    Ledger.ask_again(s, s.cold.piloted_at + PATIENCE, s.others.least > need and "pilot" or "empty")
    return room
  end
  return Caution.for_pilot(s, now, room, need)
end
