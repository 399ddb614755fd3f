-- `present/present_ledger.py`, rule by rule. Pure.

function Ledger.new(limit, period, grain)
  return {
    period = period, granted = 0, answered = 0, adrift = 0, drifting = {}, floor = -inf, heard_at = -inf,
    slowest = SHORTEST_FLIGHT, gate = Gate.new(period), quota = Quota.new(limit), ageing = Ageing.new(period, grain),
    window = Window.new(period), others = Others.new(period), pace = Pace.new(period), lead = Lead.new(), cold = Cold.new(),
    why = "pilot", again_at = inf, calm = false, piloted_end = -inf, piloting = false,
  }
end

function Ledger.held(s)
  return s.granted - s.ageing.released
end

function Ledger.leads(s, cost)
  return not s.cold.on and s.lead.due and not s.lead.out and s.granted + cost > s.floor
end

function Ledger.charge(s, charge, now)
  charge.granted_at = now
  while s.drifting[1] and s.drifting[1][1] <= now do
    s.adrift = s.adrift - table.remove(s.drifting, 1)[2]
  end
  charge.answered = s.answered - s.adrift
  if s.piloting then
    s.piloting = false
    s.piloted_end = s.window.ends
    Others.piloted(s.others, now)
  end
  if s.pace.probing then
    Pace.sent(s.pace, now)
  end
  if s.cold.on or not s.calm then
    s.cold.piloted_at = now
  end
  if Ledger.leads(s, charge.cost) then
    Lead.go(s.lead, charge, now)
    s.calm = false
  end
  s.granted = s.granted + charge.cost
end

function Ledger.ask_again(s, when, why)
  s.again_at = when
  s.why = why
end

function Ledger.await_release(s, now)
  Ledger.ask_again(s, s.ageing.entries[1] or now + s.period, "empty")
end

function Ledger.grow_cold(s, now, promised)
  Cold.begin(s.cold, now, promised)
  s.calm = false
  s.floor = -inf
end

function Ledger.evidence(s)
  return s.floor == -inf and -s.quota.limit or s.floor - s.granted
end

function Ledger.release(s, now)
  if 2 * Ledger.held(s) > s.quota.limit and now - s.lead.led_at > s.period / 2 then
    s.lead.due = true
  end
  Ageing.release(s.ageing, now)
end

function Ledger.room_cold(s, now, need)
  local pending = s.granted - s.answered
  if Cold.waits(s.cold, pending, now) then
    Ledger.ask_again(s, s.cold.piloted_at + PATIENCE, "pilot")
    return 0
  end
  local room = Cold.room(s.cold, s.quota.limit - Ledger.held(s), pending)
  if room < need then
    Ledger.await_release(s, now)
  end
  return room
end

function Ledger.room(s, now, need)
  s.piloting = false
  s.pace.probing = false
  if Ageing.due(s.ageing, now) then
    Ledger.release(s, now)
  end
  if now < s.gate.opens_at then
    Ledger.ask_again(s, s.gate.opens_at, "frozen")
    return 0
  end
  local silent = -inf < s.heard_at and s.heard_at < now - s.period
  if s.granted == s.answered and s.cold.silent == 0 and silent then
    Ledger.grow_cold(s, now, false)
  end
  if s.cold.on then
    return Ledger.room_cold(s, now, need)
  end
  local ledger, evidence, room = s.quota.limit - Ledger.held(s), Ledger.evidence(s), nil
  if Lead.waits(s.lead, now) then
    Ledger.ask_again(s, s.lead.led_at + PATIENCE, "pilot")
    room = evidence
  elseif s.lead.probation then
    room = Caution.on_probation(s, now, ledger, evidence, need)
  else
    room = Caution.at_turn(s, now, max(ledger, evidence), need)
  end
  if now < s.others.ends then
    return Caution.among_others(s, now, room, need)
  end
  s.calm = s.lead.out == nil
  return room
end

-- Ends

function Ledger.usable(s, answer)
  if not answer then
    return nil
  end
  if answer.limit and Quota.said(s.quota, answer.limit) and s.floor > s.granted then
    s.floor = s.granted
  end
  local remaining = answer.remaining
  if not remaining or remaining >= s.quota.limit or (answer.limit or s.quota.limit) > s.quota.limit then
    return nil
  end
  return remaining
end

function Ledger.heard_among_others(s, charge, remaining, now)
  s.calm = false
  if Ageing.due(s.ageing, now) then
    Ledger.release(s, now)
  end
  local others, pace, released = s.others, s.pace, s.ageing.released
  if charge.granted_at >= s.gate.named_at then
    s.gate.named_at = inf
    if 2 * remaining < s.quota.limit then
      Pace.begin(pace, now)
    end
  end
  if charge.granted_at >= others.least_at and s.granted == s.answered then
    local back = s.answered - Ageing.younger(s.ageing, s.slowest, now) - others.released
    local grown = remaining + charge.cost - others.least - back
    Pace.learn(pace, grown, charge.cost, now - others.least_at, charge.granted_at == pace.probed_at)
  end
  Others.note(others, remaining, charge.granted_at, now, released)
  Pace.note(pace, remaining, charge.granted_at, now)
  if now < pace.ends then
    Others.weigh(others, s.quota.limit - remaining - (s.answered - released))
  else
    Others.measure(others, remaining, s.answered, now)
  end
end

function Ledger.remaining_said(s, charge, remaining, now, alone)
  local floor = charge.answered + charge.cost + remaining
  if 4 * (floor - s.floor) > s.quota.limit then
    s.lead.turned_at = now
  end
  s.floor = max(s.floor, floor)
  local foreign = remaining + Ledger.held(s) < s.quota.limit
  local majority = Others.vote(s.others, foreign)
  if foreign and (majority or (alone and Others.twice(s.others))) then
    Others.beware(s.others, remaining, now, s.ageing.released)
  end
  if now < s.others.ends then
    Ledger.heard_among_others(s, charge, remaining, now)
  elseif foreign and alone then
    Ledger.grow_cold(s, now, false)
    return
  end
  Cold.heard(s.cold, charge.granted_at)
end

function Ledger.refused(s, charge, answer, now)
  local delay, ends = answer.retry_after, Window.sure(s.window) and s.window.ends or inf
  if not delay then
    delay = Window.ends_in(s.window, now)
  elseif charge.granted_at >= s.window.ends then
    Window.refused(s.window, delay, now)
  end
  if answer.limit then
    Quota.said(s.quota, answer.limit)
  elseif charge.cost > s.quota.limit then
    Quota.said(s.quota, s.quota.limit)
  end
  local after, pace = answer.retry_after, s.pace
  if charge.granted_at >= s.gate.named_at or (after and answer.reset_in and after + TURN < answer.reset_in) then
    Pace.begin(pace, now)
  end
  Gate.refused(s.gate, delay, charge.granted_at, now, ends)
  s.gate.named_at = after and after ~= 0 and now + after or inf
  if charge.granted_at == pace.probed_at then
    Pace.learn(pace, 0, charge.cost, 0, true)
  else
    Pace.refused(pace, s.quota.limit, now)
  end
  if now < pace.ends then
    s.calm = false
    s.cold.on = false
    s.floor = -inf
  else
    Ledger.grow_cold(s, now, true)
  end
  Others.emptied(s.others, now, s.ageing.released)
end

function Ledger.settle(s, charge, answer, now)
  s.answered = s.answered + charge.cost
  Ageing.answered(s.ageing, charge.cost, now)
  s.heard_at = now
  s.slowest = max(s.slowest, min(now - charge.granted_at, LONGEST_FLIGHT))
  local led = Lead.gone(s.lead, charge)
  if answer and answer.throttled then
    Ledger.refused(s, charge, answer, now)
    return
  end
  Gate.passed(s.gate, charge.granted_at)
  local remaining = Ledger.usable(s, answer)
  if not remaining then
    Cold.unheard(s.cold, charge.granted_at)
    return
  end
  if led then
    local young = 4 * Ageing.younger(s.ageing, TURN, now) >= s.quota.limit
    Lead.back(s.lead, remaining + charge.cost >= s.quota.limit, young)
  end
  Ledger.remaining_said(s, charge, remaining, now, led or s.cold.on)
  if answer.reset_in then
    Window.note(s.window, answer.reset_in, now)
  end
end

function Ledger.lost(s, charge, flight, now)
  s.answered = s.answered + charge.cost
  s.adrift = s.adrift + charge.cost
  table.insert(s.drifting, { now + flight, charge.cost })
  Ageing.unanswered(s.ageing, charge.cost, flight, now)
  Lead.gone(s.lead, charge)
end

function Ledger.refund(s, charge)
  s.granted = s.granted - charge.cost
  if Lead.gone(s.lead, charge) then
    s.lead.due = true
  end
end

-- Outlook

function Ledger.headerless(s)
  return Cold.headerless(s.cold) and not s.quota.told and s.floor == -inf
end

function Ledger.undisturbed(s, now)
  if s.granted > s.answered or not s.calm or now < s.pace.ends then
    return false
  end
  return Window.sure(s.window) and now < s.window.ends and Ageing.quiet(s.ageing, TURN, now)
end

function Ledger.ends_in(s, now)
  local ends = s.window.ends
  if now < ends and ends < inf and s.lead.turned_at < ends - TURN then
    return min(ends - now, s.period)
  end
  if now < s.lead.turned_at + s.period then
    return s.lead.turned_at + s.period - now
  end
  local first = s.ageing.entries[1]
  return first and max(0, min(first - now, s.period)) or s.period
end

function Ledger.asks(s, cost, now)
  local proven = s.quota.whole - Ledger.held(s)
  return s.quota.limit < cost and cost <= proven and s.granted == s.answered and now >= s.gate.opens_at
end

function Ledger.more_at(s, now)
  local again_at, why = s.again_at, s.why
  local room = max(Ledger.room(s, now, 1), 0)
  local more_at = Ledger.room(s, now, room + 1) > room and now or s.again_at
  s.again_at, s.why = again_at, why
  return max(now < s.others.ends and min(more_at, s.others.ends) or more_at, s.gate.opens_at, now)
end

function Ledger.left(s)
  local left = s.quota.limit - Ledger.held(s)
  return s.floor == -inf and left or max(left, s.floor - s.granted)
end
