"""What answers teach a ledger: what is left, whose doing that is, and what to do about a refusal. Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from .caution import TURN

if TYPE_CHECKING:
    from ....rate_limit import RateLimit
    from .charge import Charge
    from .present_ledger import PresentLedger

_LONGEST_FLIGHT: Final = 10.0
_LOOK: Final = 0.2
_LOOK_ON: Final = 64
"""Points beyond those in flight."""


def hear(ledger: PresentLedger, charge: Charge, answer: RateLimit | None, now: float) -> None:
    """An answer came, and its call has been booked."""
    ledger.slowest = max(ledger.slowest, min(now - charge.granted_at, _LONGEST_FLIGHT))
    led = ledger.lead.gone(charge)
    if answer is not None and answer.throttled:
        _refused(ledger, charge, answer, now)
        return
    ledger.gate.passed(charge.granted_at)
    ledger.foresight.limit = None if answer is None else answer.limit
    remaining = _usable(ledger, answer)
    if answer is None or remaining is None:
        ledger.cold.unheard(charge.granted_at)
    else:
        if led:
            young = 4 * ledger.ageing.younger(TURN, now) >= ledger.limit
            ledger.lead.back(everything=remaining + charge.cost >= ledger.limit, young=young)
        _remaining_said(ledger, charge, remaining, now, alone=led or ledger.cold.on)
        ledger.foresight.until = now + _LOOK
        if answer.reset_in is not None:
            ledger.window.note(answer.reset_in, now)
            ledger.foresight.until = now + _LOOK if ledger.window.settled else now
    ledger.reopen()


def _usable(ledger: PresentLedger, answer: RateLimit | None) -> int | None:
    """What an answer says is left, if that can be: its own call has cost something, and its limit is not above ours."""
    if answer is None:
        return None
    if answer.limit is not None and ledger.quota.said(answer.limit) and ledger.floor > ledger.granted:
        # What was known of the old limit does not hold for the new.
        ledger.floor = ledger.granted
    remaining = answer.remaining
    if remaining is None or remaining >= ledger.limit or (answer.limit or ledger.limit) > ledger.limit:
        return None
    return remaining


def _remaining_said(ledger: PresentLedger, charge: Charge, remaining: int, now: float, *, alone: bool) -> None:
    others = ledger.others
    floor = charge.arrived + charge.cost + remaining
    if 4 * (floor - ledger.floor) > ledger.limit:
        ledger.lead.turned_at = now
    if floor > ledger.floor:
        ledger.floor = floor
        ledger.foresight.look_to = ledger.granted + _LOOK_ON
    foreign = remaining + ledger.held < ledger.limit
    majority = others.vote(foreign=foreign)
    if foreign and (majority or (alone and others.twice)):
        others.beware(remaining, now, ledger.ageing.released)
    if now < others.until:
        _said_among_others(ledger, charge, remaining, now)
    elif foreign and alone:
        # One answer to a call that went alone speaks of others: ask once more before all follow.
        ledger.grow_cold(now)
        return
    ledger.cold.heard(charge.granted_at)


def _said_among_others(ledger: PresentLedger, charge: Charge, remaining: int, now: float) -> None:
    ledger.disturb()
    if ledger.ageing.due(now):
        ledger.release(now)
    others, pace, released = ledger.others, ledger.pace, ledger.ageing.released
    if charge.granted_at >= ledger.gate.named_at:
        ledger.gate.named_at = math.inf
        if 2 * remaining < ledger.limit:
            pace.begin(now)
    if charge.granted_at >= others.least_at and ledger.granted == ledger.answered:
        # The server's own release comes a flight before ours.
        back = ledger.answered - ledger.ageing.younger(ledger.slowest, now) - others.released
        grown = remaining + charge.cost - others.least - back
        pace.learn(grown, charge.cost, now - others.least_at, probe=charge.granted_at == pace.probed_at)
    others.note(remaining, charge.granted_at, now, released)
    pace.note(remaining, charge.granted_at, now)
    if now < pace.until:
        others.weigh(ledger.limit - remaining - (ledger.answered - released))
    else:
        others.measure(remaining, ledger.answered, now)


def _refused(ledger: PresentLedger, charge: Charge, answer: RateLimit, now: float) -> None:
    """A 429: nothing before the server's time, then one call at a time."""
    pace = ledger.pace
    if answer.limit is not None:
        ledger.quota.said(answer.limit)
    elif charge.cost > ledger.limit:
        # It went to ask whether the limit that one answer has named is true.
        ledger.quota.said(ledger.limit)
    if charge.granted_at >= ledger.gate.named_at or _before_the_end(answer):
        pace.begin(now)
    _shut_the_gate(ledger, charge, answer, now)
    if charge.granted_at == pace.probed_at:
        pace.learn(0.0, charge.cost, 0.0, probe=True)
    else:
        pace.refused(ledger.limit, now)
    if now < pace.until:
        # Nothing is left, which says where we stand.
        ledger.disturb()
        ledger.cold.on = False
        ledger.floor = -math.inf
    else:
        ledger.grow_cold(now, promised=True)
    ledger.others.emptied(now, ledger.ageing.released)


def _shut_the_gate(ledger: PresentLedger, charge: Charge, answer: RateLimit, now: float) -> None:
    window, named = ledger.window, answer.retry_after
    delay = window.ends_in(now) if named is None else named
    end = window.end if window.sure else math.inf
    if named is not None and charge.granted_at >= window.end:
        window.refused(named, now)
    ledger.gate.refused(delay, charge.granted_at, now, end)
    ledger.gate.named_at = now + named if named else math.inf


def _before_the_end(answer: RateLimit) -> bool:
    """It names a time well before the end of its window."""
    if answer.retry_after is None or answer.reset_in is None:
        return False
    return answer.retry_after + TURN < answer.reset_in
