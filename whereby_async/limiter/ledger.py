"""`Ledger`: the account of points as arithmetic. Pure: every method takes `now`.

**Theory.** The server lets an organisation spend `limit` points per `period`. Which window it runs we are not told: fixed
from the first call (most likely), aligned to its clock, a sliding log, a refilling bucket. Two facts hold for all of them,
and each alone makes a grant safe for whoever spends alone:

*The ledger.* Of two calls that reach the server within one period, the earlier was still unanswered, or answered less than
a period ago, when the later was granted. `held` counts exactly those (`pending`, and in `ageing` what was answered, until a
period and a small guard for the rate of clocks has passed). So as long as `held` never exceeds `limit`, no interval of one
period at the server sees more than `limit`, wherever its windows begin. This needs nothing but our own monotonic clock.

*The evidence.* What the server has left shrinks by our own spending only. An answer's `remaining` was true when its call
arrived; of our calls it may have missed those granted after it (`granted - mark`) and those in flight when it was granted
(`before`). So `remaining + mark - before` is a floor, counted in points ever granted, below which we may grant, in whatever
order answers come. The highest floor is the best.

Room is the larger of the two. No clock but ours is read, so skew, drift and nonsense in headers cannot overdraw; they can
only make us slower, and not by much. When the window turns, the first call (the *lead*) goes alone and its answer opens the
rest at once; this also shows a changed limit, or others on the budget, before the burst rather than after it.

What would break the proof is handled apart, by granting less: before any answer (*cold*), after a 429 and after a silence of
a period one call goes at a time, until an answer tells where we stand; while others spend from the budget (`Others`) answers
may reduce the room; a server that refuses what both facts allow, and refills as it goes, is paced (`Pace`).

Invariant: `pending <= held`, `held == pending + sum(ageing)`, and a call whose fate is unknown stays spent as if it arrived
as late as it could. Cancelled before sending: the points go back, and every floor stays right, since those points were
counted as granted in all of them. A jump of our clock forwards releases early what the server still holds; monotonic clocks
do not jump. A jump backwards only delays.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import msgspec

from .others import Others
from .pacing import Pace
from .window import Window

if TYPE_CHECKING:
    from ..rate_limit import RateLimit

SMALLEST_PLAN: Final = 100
"""Points per minute of the smallest plan: what is assumed until an answer tells."""
WIDEST_CALL: Final = 10
"""The documented maximum price of a call."""
GUARD: Final = 0.02
"""Seconds added to a period: 333 ppm of difference between two clocks' rates."""
PATIENCE: Final = 2.0
"""Seconds for which others wait on the answer of a call that was sent ahead."""
SHORTEST_FLIGHT: Final = 1.0
"""Seconds, at least, within which a call without an answer may still reach the server."""

_LONGEST_FLIGHT: Final = 10.0
_GRAIN: Final = 0.001
_SILENT_ANSWERS: Final = 3
_FIRST_BACKOFF: Final = 1.0
_BREATH: Final = 0.005
_LOOK: Final = 0.2
_TURN: Final = 4.0
"""Seconds around a window's end within which nobody can tell the old from the new."""

Reason: TypeAlias = Literal["empty", "frozen", "pilot"]


class Charge(msgspec.Struct, eq=False):
    """What the ledger knows of one granted call.

    Attributes:
        cost: Points.
        granted_at: When.
        mark: Points ever granted, just after it.
        before: Points in flight, just before it.
    """

    cost: int
    granted_at: float
    mark: int
    before: int


class Ledger:
    """The account of one budget by one clock.

    Attributes:
        limit: Points per period that we go by.
        whole: The limit that is established: configured, or agreed on by two answers.
        period: Seconds.
        granted: Points granted ever, less those that came back.
        pending: Points granted and not answered.
        last_at: When the last call was granted.
        held: Points that may still count at the server.
        floor: The evidence: `granted` may surely rise to here.
        slowest: The longest round trip seen, within reason.
        quick: Points that may be granted without a second thought while no period has passed since `heard_at`.
        heard_at: When the last answer came.
        gate_at: Nothing is granted before.
        window: When the server's window ends.
        others: Who else spends.
        pace: The even spacing for a server that punishes bursts.
        why: Why the last `room` was not enough.
        again_at: When to ask again, if nothing happens before.
    """

    __slots__ = (
        "_backoff",
        "_calm",
        "_cold",
        "_cold_since",
        "_heard_limit",
        "_holding",
        "_lead",
        "_lead_due",
        "_led_at",
        "_leap",
        "_look_at",
        "_merge_until",
        "_newest",
        "_piloted_end",
        "_piloted_at",
        "_plain",
        "_probation",
        "_promised",
        "_silent",
        "slowest",
        "_turned_at",
        "_turns_whole",
        "again_at",
        "ageing",
        "floor",
        "gate_at",
        "granted",
        "heard_at",
        "held",
        "last_at",
        "limit",
        "others",
        "pace",
        "pending",
        "period",
        "quick",
        "whole",
        "why",
        "window",
    )

    def __init__(self, limit: int | None, period: float) -> None:
        self.limit = self.whole = limit or SMALLEST_PLAN
        self.period = period
        self.granted = self.pending = self.held = self.quick = 0
        self.ageing: deque[list[float]] = deque()
        self.floor: float = -math.inf
        self.gate_at = self.heard_at = -math.inf
        self.window = Window(period)
        self.others = Others(period)
        self.pace = Pace(period)
        self.why: Reason = "pilot"
        self.again_at = math.inf
        self._holding = period + GUARD
        self._heard_limit = limit
        self._calm = self._plain = False
        self._leap = 0.0
        self._newest: list[float] = []
        self._merge_until = -math.inf
        self._cold = True
        self._cold_since = self.last_at = self._led_at = self._turned_at = self._piloted_at = self._piloted_end = self._look_at = -math.inf
        self._promised = False
        self._silent = 0
        self.slowest = SHORTEST_FLIGHT
        self._backoff = _FIRST_BACKOFF
        self._lead: Charge | None = None
        self._lead_due = False
        self._probation = self._turns_whole = False

    # Granting

    def charge(self, charge: Charge, now: float) -> None:
        """Deduct a call that `room` allowed."""
        cost = charge.cost
        charge.granted_at = self.last_at = now
        charge.before = self.pending
        if not self._calm or self._lead_due:
            self._charge_carefully(charge, now)
        self.granted += cost
        charge.mark = self.granted
        self.pending += cost
        self.held += cost
        self.quick -= cost

    def _charge_carefully(self, charge: Charge, now: float) -> None:
        if self._cold:
            self._piloted_at = now
        elif self._lead is None and self._lead_due and charge.cost > self.floor - self.granted:
            self._lead = charge
            self._led_at = self._turned_at = now
            self._lead_due = False
            self._disturb()

    def room(self, now: float, need: int = 1) -> int:
        """Points that may be granted now; if fewer than `need`, `why` and `again_at` say more."""
        if self.ageing and self.ageing[0][0] <= now:
            self._expire(now)
        if now < self.gate_at:
            self.why = "frozen"
            self.again_at = self.gate_at
            return 0
        if not self.pending and not self._silent and now - self.heard_at > self.period and self.heard_at > -math.inf:
            # A silence this long says nothing of what others have spent meanwhile.
            self._grow_cold(now)
        if self._cold:
            return self._room_cold(now, need)
        ledger = self.limit - self.held
        evidence = -self.limit if self.floor == -math.inf else int(self.floor) - self.granted
        if self._lead is not None:
            room = self._room_behind_lead(now, ledger, evidence)
        elif self._probation:
            room = self._room_on_probation(now, ledger, evidence, need)
        else:
            room = ledger if ledger > evidence else evidence
            if room < need:
                room = self._room_at_turn(now, room, need)
        if now < self.others.until:
            return self._room_among_others(now, room, need)
        if self._lead is None:
            self._calm = True
        self._quicken()
        return room

    def _disturb(self) -> None:
        """Nothing is as usual: every grant and every answer is looked at."""
        self._calm = self._plain = False
        self.quick = 0

    def _quicken(self) -> None:
        """What the fast path may grant: nothing that needs a lead."""
        self.quick = 0
        if self._calm and self.floor > -math.inf:
            self.quick = int(self.floor) - self.granted
        if self._calm and not self._lead_due and not self._probation:
            self.quick = max(self.quick, self.limit - self.held)

    def _room_cold(self, now: float, need: int) -> int:
        """Before an answer tells where we stand: one call at a time."""
        room = self.limit - self.held
        if self._promised:
            # The server itself has named the moment from which it takes calls.
            room = max(room, WIDEST_CALL)
        if self._silent >= _SILENT_ANSWERS:
            room = min(room, SMALLEST_PLAN - self.pending)
        elif self.pending and now < self._piloted_at + PATIENCE:
            self.why = "pilot"
            self.again_at = self._piloted_at + PATIENCE
            return 0
        if room < need:
            self._await_release(now, need - room)
        return room

    def _room_behind_lead(self, now: float, ledger: int, evidence: int) -> int:
        """A lead is out: only evidence counts, for a while."""
        if now < self._led_at + PATIENCE:
            self.why = "pilot"
            self.again_at = self._led_at + PATIENCE
            return evidence
        self._lead = None
        return max(ledger, evidence)

    def _room_on_probation(self, now: float, ledger: int, evidence: int, need: int) -> int:
        """A lead has found less than all: go by evidence, and when that is used up by one more lead."""
        if evidence >= need or ledger < need:
            if evidence < need:
                self._await_release(now, need - ledger)
            return evidence
        if self.pending and now < self.last_at + PATIENCE:
            self.why = "pilot"
            self.again_at = self.last_at + PATIENCE
            return evidence
        self._lead_due = True
        return ledger

    def _room_at_turn(self, now: float, room: int, need: int) -> int:
        """Nothing left by our own account: a window that has surely turned lets one call find out."""
        self._await_release(now, need - room)
        end = self.window.end
        if not self._turned_unseen(end):
            return room
        if now < end:
            self.again_at = min(self.again_at, end)
            return room
        self._lead_due = True
        return max(room, WIDEST_CALL)

    def _turned_unseen(self, end: float) -> bool:
        """Whether the window's end is known well enough, and not yet used, to send a call by it alone.

        `end` is an upper bound: calls granted shortly before it may have opened the next window already.
        """
        return self._turns_whole and self.window.sure and self.last_at < end - _TURN

    def _room_among_others(self, now: float, room: int, need: int) -> int:
        """Others spend too: never more than half of what is left in flight."""
        self._disturb()
        if now < self.pace.until:
            return self._room_paced(now, room, need)
        afforded = room
        room = min(room, self.others.cap(self.pending))
        if room >= need:
            return room
        self._await_release(now, need - room)
        if afforded < need and now >= self.others.proven_until:
            # No refusal has ever shown the others: what the ledger does not allow is not tried either.
            return room
        if self.pending and now < self._piloted_at + PATIENCE:
            self.why = "pilot" if self.others.least > need else "empty"
            self.again_at = min(self.again_at, self._piloted_at + PATIENCE)
            return room
        return self._room_for_pilot(now, room, need)

    def _room_paced(self, now: float, proven: int, need: int) -> int:
        """The server refills as it goes: let the calls flow at that rate, beyond what is proven only after a refusal."""
        self.pace.ease(now)
        others = self.others
        foreign = others.rate if now < others.until else 0.0
        room = self.pace.room(others.least - self.pending, need, self.limit, now - others.least_at, foreign)
        if proven < min(room, need) and now >= others.proven_until:
            self._await_release(now, need - proven)
            return proven
        if room < need:
            self.why = "empty"
            self.again_at = now + max(need - room, 1) / self.pace.refill(self.limit, foreign)
        return room

    def _room_for_pilot(self, now: float, room: int, need: int) -> int:
        """All is spent, as far as we were told: one call goes when the window has turned."""
        pilot_at = self.others.pilot_at(self.window.end if self.window.end != self._piloted_end else math.inf)
        if now < pilot_at:
            self.again_at = min(self.again_at, pilot_at)
            return room
        self._piloted_end = self.window.end
        self._piloted_at = now
        self.others.piloted(now)
        return max(need, room)

    def _await_release(self, now: float, short: int) -> None:
        """Until when the ledger alone would have to wait for `short` more points."""
        self.why = "empty"
        self.again_at = self.release_at(short, now)

    def release_at(self, short: float, now: float) -> float:
        """When `short` more points will have aged, at the latest; a period from now if they are not even spent."""
        for release_at, cost in self.ageing:
            short -= cost
            if short <= 0:
                return release_at
        return now + self.period

    def brings(self, short: int, within: float) -> bool:
        """Will the releases that close a gap of `short` points come in one go, and more than are needed?"""
        if not self.ageing or self._cold or self._lead is not None or not self._calm:
            return False
        last = self.ageing[0][0] + within
        for release_at, cost in self.ageing:
            if release_at > last:
                return False
            short -= int(cost)
            if short <= 0:
                return True
        return False

    def _expire(self, now: float) -> None:
        if 2 * self.held > self.limit and now - self._led_at > self.period / 2:
            self._lead_due = True
        ageing = self.ageing
        while ageing and ageing[0][0] <= now:
            self.held -= int(ageing.popleft()[1])

    def _age_newest(self, now: float, cost: int) -> None:
        """A new entry, which takes what is answered within a millisecond."""
        entry = [now + self._holding + _GRAIN, float(cost)]
        if not self.ageing or self.ageing[-1][0] < entry[0]:
            self.ageing.append(entry)
            self._newest = entry
            self._merge_until = now + _GRAIN
        else:
            self._age(entry[0] - _GRAIN, cost)

    def _age(self, release_at: float, cost: int) -> None:
        """Keep `ageing` in order: behind a lost call, which is held longer, come earlier releases."""
        ageing = self.ageing
        place = len(ageing)
        while place and ageing[place - 1][0] >= release_at:
            place -= 1
        if place < len(ageing) and ageing[place][0] <= release_at + _GRAIN:
            ageing[place][1] += cost
        else:
            ageing.insert(place, [release_at + _GRAIN, cost])

    def _grow_cold(self, now: float) -> None:
        self._cold = True
        self._cold_since = now
        self._promised = False
        self._disturb()
        self.floor = -math.inf

    # Ends

    def settle(self, charge: Charge, answer: RateLimit | None, now: float) -> None:
        """An answer came."""
        cost = charge.cost
        self.pending -= cost
        if now <= self._merge_until:
            self._newest[1] += cost
        else:
            self._age_newest(now, cost)
        self.heard_at = now
        if self._plain and answer is not None and answer.limit == self.limit and now < self._look_at:
            remaining = answer.remaining
            if remaining is not None and self.limit - self.held <= remaining < self.limit and not answer.throttled:
                # The common case: nothing new, but that we may have more room.
                floor = remaining + charge.mark - charge.before
                rise = floor - self.floor
                if rise <= 0:
                    return
                if rise < self._leap:
                    self.floor = floor
                    if floor - self.granted > self.quick:
                        self.quick = floor - self.granted
                    return
        self._settle_fully(charge, answer, now)

    def _settle_fully(self, charge: Charge, answer: RateLimit | None, now: float) -> None:
        self.slowest = max(self.slowest, min(now - charge.granted_at, _LONGEST_FLIGHT))
        led = charge is self._lead
        if led:
            self._lead = None
            if answer is not None and answer.remaining is not None:
                self._learn_turn(charge, answer.remaining, now)
        if answer is not None and answer.throttled:
            self._refused(charge, answer, now)
            return
        self._backoff = _FIRST_BACKOFF
        if answer is not None and answer.limit is not None:
            self._limit_said(answer.limit)
        remaining = answer.remaining if answer is not None else None
        if answer is None or remaining is None or not self._plausible(answer, remaining):
            if not self._cold or charge.granted_at >= self._cold_since:
                self._silent += self._cold
        else:
            self._remaining_said(charge, remaining, now, alone=led or self._cold)
            if answer.reset_in is not None:
                self.window.note(answer.reset_in, now)
                self._look_at = now + _LOOK if self.window.settled else now
            else:
                self._look_at = now + _LOOK
        if self._calm:
            self._quicken()
        self._plain = self._calm and not self.others.votes
        self._leap = self.limit / 4

    def _learn_turn(self, charge: Charge, remaining: int, now: float) -> None:
        """After a full round: did everything come back at once, or only what is a period old?"""
        whole = remaining + charge.cost >= self.limit
        self._probation = not whole and not self._probation
        young = sum(cost for release_at, cost in self.ageing if now + _TURN < release_at < now + self.period)
        if not whole:
            self._turns_whole = False
        elif 4 * young >= self.limit:
            self._turns_whole = True

    def _plausible(self, answer: RateLimit, remaining: int) -> bool:
        """The answer's own call has cost something; and two garbled headers do not vouch for each other."""
        return remaining < self.limit and (answer.limit is None or answer.limit >= self.limit)

    def _limit_said(self, limit: int) -> None:
        """A lower limit counts at once, a higher one when two answers in a row agree."""
        agreed = limit == self._heard_limit
        self._heard_limit = limit
        if limit < self.limit:
            self.limit = limit
            self.floor = self.granted if self.floor > self.granted else self.floor
        elif limit > self.limit and agreed:
            self.limit = limit
        if agreed:
            self.whole = limit

    def _remaining_said(self, charge: Charge, remaining: int, now: float, *, alone: bool) -> None:
        self._silent = 0
        floor = remaining + charge.mark - charge.before
        if 4 * (floor - self.floor) > self.limit:
            self._turned_at = now
        self.floor = max(self.floor, floor)
        foreign = remaining + self.held < self.limit
        majority = self.others.vote(foreign=foreign)
        if foreign and (majority or (alone and self.others.votes & 3 == 3)):  # noqa: PLR2004 - the last two
            self.others.beware(remaining, now)
        if now < self.others.until:
            self._disturb()
            self.others.note(remaining, charge.granted_at, now)
            self.pace.note(remaining, charge.granted_at, now)
            self.others.measure(remaining, self.granted - self.pending, now)
        if foreign and alone and now >= self.others.until:
            # One answer to a call that went alone speaks of others: ask once more before all follow.
            self._grow_cold(now)
        elif charge.granted_at >= self._cold_since:
            self._cold = self._promised = False

    def _refused(self, charge: Charge, answer: RateLimit, now: float) -> None:
        """A 429: nothing before the server's time, then one call at a time."""
        delay = answer.retry_after
        if delay is None:
            delay = self.window.ends_in(now) or self._backoff
            self._backoff = min(2 * self._backoff, self.period)
        elif charge.granted_at >= self.window.end:
            self.window.refused(delay, now)
        if answer.limit is not None:
            self._limit_said(answer.limit)
        self.gate_at = max(self.gate_at, now + delay + _BREATH)
        self._grow_cold(now)
        self._promised = True
        self._silent = min(self._silent, _SILENT_ANSWERS - 1)
        self.others.emptied(now)
        self.pace.refused(self.limit, now)

    def lost(self, charge: Charge, now: float) -> None:
        """No answer will come: the call may have counted, and may even arrive yet."""
        self.pending -= charge.cost
        self._age(now + self.slowest + self._holding, charge.cost)
        if charge is self._lead:
            self._lead = None

    def refund(self, charge: Charge) -> None:
        """The call never left."""
        self.granted -= charge.cost
        self.pending -= charge.cost
        self.held -= charge.cost
        if self._calm:
            self.quick += charge.cost
        if charge is self._lead:
            self._lead = None
            self._lead_due = True

    def shut(self) -> None:
        """Nothing is granted without a second thought any more."""
        self._cold = True
        self._cold_since = math.inf
        self._disturb()

    # Outlook

    @property
    def known(self) -> bool:
        """An answer has come."""
        return self.heard_at > -math.inf

    def undisturbed(self, now: float) -> bool:
        """A window is known, nobody else spends, and nothing refills before its end."""
        return self._calm and self.window.sure and now < self.window.end and now >= self.pace.until

    def ends_in(self, now: float) -> float:
        """Seconds until the present window ends: as told, else a period after its lead, else when points come back."""
        end = self.window.end
        if now < end < math.inf and self._turned_at < end - _TURN:
            return min(end - now, self.period)
        if now < self._turned_at + self.period:
            return self._turned_at + self.period - now
        return max(0.0, min(self.ageing[0][0] - now, self.period)) if self.ageing else self.period

    def remaining(self) -> int | None:
        """What the server has left, as far as it told, less what was granted since."""
        if self.floor == -math.inf:
            return None
        return max(0, min(self.limit, int(self.floor) - self.granted))

    def least_wait(self, now: float, points: int) -> float:
        """Seconds until `points` can all be granted, at the earliest: nobody new, nothing refused."""
        evidence = -self.limit if self.floor == -math.inf else int(self.floor) - self.granted
        room = max(self.limit - self.held, evidence)
        wait = max(0.0, self.gate_at - now)
        if now < self.others.until and self.others.least < points:
            room = min(room, self.others.least)
        if points <= room:
            return wait
        first = self.ageing[0][0] if self.ageing else now + self.period
        first = min(first, self.window.end if self.window.end > now else first)
        return max(wait, first - now) + (math.ceil((points - room) / self.limit) - 1) * self.period
