"""Granting less than is proven, where the proof may not hold: cold, on probation, at a turn, among others, paced. Pure.

Each function answers `PresentLedger.room` for one of these states, and leaves in `why` and `again_at` what the wait is for.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from .cold import WIDEST_CALL
from .lead import PATIENCE

if TYPE_CHECKING:
    from .present_ledger import PresentLedger

TURN: Final = 4.0
"""Seconds around a window's end within which nobody can tell the old from the new."""


def room_cold(ledger: PresentLedger, now: float, need: int) -> int:
    """We do not know where we stand: one call at a time."""
    pending = ledger.granted - ledger.answered
    if ledger.cold.waits(pending, now):
        ledger.ask_again(ledger.cold.piloted_at + PATIENCE, "pilot")
        return 0
    room = ledger.cold.room(ledger.quota.limit - ledger.held, pending)
    if room < need:
        ledger.await_release(now)
    return room


def room_on_probation(ledger: PresentLedger, now: float, proven: int, evidence: int, need: int) -> int:
    """A lead has found less than all: go by evidence, and when that is used up by one more lead."""
    if evidence >= need:
        return evidence
    if proven < need:
        ledger.await_release(now)
        return evidence
    if ledger.granted > ledger.answered and now < ledger.lead.led_at + 2 * PATIENCE:
        ledger.ask_again(ledger.lead.led_at + 2 * PATIENCE, "pilot")
        return evidence
    ledger.lead.due = True
    return proven


def room_at_turn(ledger: PresentLedger, now: float, room: int, need: int) -> int:
    """Nothing left by our own account: a window that has surely turned lets one call find out."""
    if room >= need:
        return room
    ledger.await_release(now)
    end = ledger.window.end
    # `end` is an upper bound: calls granted shortly before it may have opened the next window already.
    unseen = ledger.granted == ledger.answered and ledger.heard_at < end - TURN
    if not (unseen and ledger.lead.whole and ledger.window.sure):
        return room
    if now < end:
        ledger.again_at = min(ledger.again_at, end)
        return room
    ledger.lead.due = True
    return max(room, WIDEST_CALL)


def room_among_others(ledger: PresentLedger, now: float, proven: int, need: int) -> int:
    """Others spend too: never more than half of what is left in flight."""
    ledger.disturb()
    pending = ledger.granted - ledger.answered
    if now < ledger.pace.until:
        return room_paced(ledger, now, proven, need)
    room = min(proven, ledger.others.cap(pending))
    if room >= need:
        return room
    ledger.await_release(now)
    if proven < need and now >= ledger.others.proven_until:
        # No refusal has ever shown the others: what the ledger does not allow is not tried either.
        return room
    if pending and now < ledger.cold.piloted_at + PATIENCE:
        ledger.ask_again(ledger.cold.piloted_at + PATIENCE, "pilot" if ledger.others.least > need else "empty")
        return room
    return room_for_pilot(ledger, now, room, need)


def room_for_pilot(ledger: PresentLedger, now: float, room: int, need: int) -> int:
    """All is spent, as far as we were told: one call goes when the window has turned, or to see whether it is so."""
    pilot_at = ledger.others.pilot_at(ledger.window.end if ledger.window.end != ledger.piloted_end else math.inf)
    if now < pilot_at:
        ledger.again_at = min(ledger.again_at, pilot_at)
        return room
    ledger.piloting = True
    return max(need, room)


def room_paced(ledger: PresentLedger, now: float, proven: int, need: int) -> int:
    """The server refills as it goes: let the calls flow as their points come back, beyond what is proven only after a refusal."""
    pace, others = ledger.pace, ledger.others
    pace.ease(now)
    passed = max(0.0, now - others.least_at)
    back = ledger.ageing.released - others.released
    evenly = passed * ledger.limit / ledger.period
    pending = ledger.granted - ledger.answered
    room = pace.room(others.least - pending, need, min(back, evenly), others.rate * passed)
    refuted = now < others.proven_until
    if not refuted:
        room = min(room, proven)
    if room >= need:
        return room
    ledger.await_release(now)
    if pending or not (refuted or proven >= need):
        return room
    if evenly < back:
        ledger.again_at = min(ledger.again_at, now + (need - room) * ledger.period / ledger.limit)
    return room_for_probe(ledger, now, room, need)


def room_for_probe(ledger: PresentLedger, now: float, room: int, need: int) -> int:
    """Nothing of ours has come back for a while: one call goes to see whether anything else has."""
    probe_at = max(ledger.others.least_at, ledger.cold.piloted_at) + ledger.pace.gap
    if now < probe_at:
        ledger.again_at = min(ledger.again_at, probe_at)
        return room
    ledger.pace.probing = True
    return max(need, room)
