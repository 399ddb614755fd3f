"""`Ledger`: the account of points as arithmetic. Pure: every method takes `now`.

**Theory.** The server lets an organisation spend `limit` points per `period`. Which window it runs we are not told: fixed
from the first call (most likely), aligned to its clock, a sliding log, a refilling bucket. Two facts hold for all of them,
and each alone makes a grant safe for whoever spends alone:

*The ledger.* Of two calls that reach the server within one period, the earlier was still unanswered, or answered less than
a period ago, when the later was granted. `held` counts exactly those (`Ageing` releases the answered ones after a period and
a guard). So as long as `held` never exceeds `limit`, no interval of one period at the server sees more than `limit`, wherever
its windows begin. This needs nothing but our own monotonic clock.

*The evidence.* What the server has left shrinks by our own spending only. An answer's `remaining` was true when its call
arrived; of our calls it surely counts its own and those that had been answered when it was granted, and perhaps none other.
So `answered + cost + remaining` is a floor, in points ever granted, up to which we may grant, in whatever order answers come.
The highest floor is the best. A call that was lost has ended, but may arrive later than the next: it is `adrift`, and counts as
unanswered here, for as long as the slowest round trip takes.

Everything is counted in points ever granted, so that a grant is one addition: `granted` may rise to `limit + released` by the
ledger and to `floor` by the evidence, and `open_to` is the larger of the two. No clock but ours is read: skew, drift and
nonsense in headers cannot overdraw, they can only make us slower, and not by much. When the window turns, the first call
(`Lead`) goes alone and its answer opens the rest at once.

What would break the proof is handled apart, by granting less: not knowing where we stand (`Cold`), and others who spend from
the same budget (`Others`), whose presence lets answers reduce the room. A server that refuses what both facts allow, and
refills as it goes, is paced (`Pace`). Its own word on its window's end (`Window`) sends one call, never a burst.

Invariants: `released <= answered <= granted`; a call whose fate is unknown stays spent as if it arrived as late as it could.
Cancelled before sending: the points go back, and every floor stays right, since those points were counted as granted in all
of them. A jump of our clock forwards would release early what the server still holds; monotonic clocks do not jump. A jump
backwards only delays.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import msgspec

from .ageing import Ageing
from .caution import TURN, room_among_others, room_at_turn, room_on_probation
from .cold import Cold
from .gate import Gate
from .lead import PATIENCE, Lead
from .others import Others
from .pacing import Pace
from .quota import Quota
from .window import Window

if TYPE_CHECKING:
    from ..rate_limit import RateLimit

SHORTEST_FLIGHT: Final = 1.0
"""Seconds, at least, within which a call without an answer may still reach the server."""

_LONGEST_FLIGHT: Final = 10.0
_LOOK: Final = 0.2

Reason: TypeAlias = Literal["empty", "frozen", "pilot"]


class Charge(msgspec.Struct, eq=False, gc=False):
    """What the ledger knows of one granted call.

    Attributes:
        cost: Points.
        granted_at: When.
        answered: Points of calls that had ended by then, ever.
    """

    cost: int
    granted_at: float
    answered: int


class Ledger:
    """The account of one budget by one clock.

    Attributes:
        period: Seconds.
        granted: Points granted ever, less those that came back.
        answered: Points of calls that ended, ever.
        adrift: Points of lost calls among them that may still arrive.
        floor: The evidence: `granted` may surely rise to here.
        open_to: `granted` may rise to here without a second thought until `open_until`.
        crowded: Calls wait, so nothing is granted without a second thought.
        heard_at: When the last answer came.
        expected: `low` while all is as usual, else -1.
        look_at: Until then an expected answer needs no second look.
        low: The least `remaining` of the window, as prices are learned from it.
        low_at: When it was heard.
        gate: Shut until the moment that a 429 has named.
        slowest: The longest round trip seen, within reason.
        quota: The limit.
        ageing: What is spent, and when it is released.
        window: When the server's window ends.
        others: Who else spends.
        pace: The even flow for a server that punishes bursts.
        why: Why the last `room` was not enough.
        again_at: When to ask again, if nothing happens before.
    """

    answered: int
    granted: int
    heard_at: float
    look_at: float
    low_at: float
    open_to: int
    piloted_end: float

    def __init__(self, limit: int | None, period: float) -> None:
        self.period = period
        self.granted = self.answered = self.open_to = 0
        self.adrift: int = 0
        self._adrift: deque[tuple[float, int]] = deque()
        self.floor: float = -math.inf
        self.heard_at = self.low_at = -math.inf
        self.low: int = -1
        self.expected: int = -1
        self.slowest: float = SHORTEST_FLIGHT
        self.gate: Gate = Gate(period)
        self.quota: Quota = Quota(limit)
        self.ageing: Ageing = Ageing(period)
        self.window: Window = Window(period)
        self.others: Others = Others(period)
        self.pace: Pace = Pace(period)
        self.why: Reason = "pilot"
        self.again_at: float = math.inf
        self.lead: Lead = Lead()
        self.cold: Cold = Cold()
        self._calm = False
        self.look_at = self.piloted_end = -math.inf
        self.piloting: bool = False
        self.crowded = False
        self.open_until: float = -math.inf

    @property
    def limit(self) -> int:
        """Points per period that we go by."""
        return self.quota.limit

    @property
    def pending(self) -> int:
        """Points in flight."""
        return self.granted - self.answered

    @property
    def held(self) -> int:
        """Points that may still count at the server."""
        return self.granted - self.ageing.released

    # Granting

    def charge(self, charge: Charge, now: float) -> None:
        """Deduct a call that `room` allowed."""
        charge.granted_at = now
        while self._adrift and self._adrift[0][0] <= now:
            self.adrift -= self._adrift.popleft()[1]
        charge.answered = self.answered - self.adrift
        if self.piloting:
            self.piloting = False
            self.piloted_end = self.window.end
            self.others.piloted(now)
        if self.pace.probing:
            self.pace.sent(now)
        if self.cold.on or not self._calm:
            self.cold.piloted_at = now
        if self.leads(charge.cost):
            self.lead.go(charge, now)
            self.disturb()
        self.granted += charge.cost

    def room(self, now: float, need: int = 1) -> int:
        """Points that may be granted now; if fewer than `need`, `why` and `again_at` say more."""
        self.piloting = self.pace.probing = False
        if self.ageing.due(now):
            self._release(now)
        if now < self.gate.opens_at:
            self.ask_again(self.gate.opens_at, "frozen")
            return 0
        if self.granted == self.answered and not self.cold.silent and -math.inf < self.heard_at < now - self.period:
            # A silence this long says nothing of what others have spent meanwhile.
            self._grow_cold(now)
        if self.cold.on:
            return self._room_cold(now, need)
        ledger = self.quota.limit + self.ageing.released - self.granted
        evidence = -self.quota.limit if self.floor == -math.inf else int(self.floor) - self.granted
        if self.lead.waits(now):
            self.ask_again(self.lead.led_at + PATIENCE, "pilot")
            room = evidence
        elif self.lead.probation:
            room = room_on_probation(self, now, ledger, evidence, need)
        else:
            room = room_at_turn(self, now, max(ledger, evidence), need)
        if now < self.others.until:
            return room_among_others(self, now, room, need)
        self._calm = self.lead.out is None
        self._open()
        return room

    def leads(self, cost: int) -> bool:
        """Would the next call, of `cost` points, be the one that goes ahead?"""
        return not self.cold.on and self.lead.due and self.lead.out is None and self.granted + cost > self.floor

    def ask_again(self, when: float, why: Reason) -> None:
        """Note what a wait is for."""
        self.again_at = when
        self.why = why

    def await_release(self, now: float) -> None:
        """Points come back with the next release: perhaps too few for the head, but enough for a cheaper call."""
        first = self.ageing.first_at
        self.ask_again(now + self.period if first is None else first, "empty")

    def _room_cold(self, now: float, need: int) -> int:
        pending = self.granted - self.answered
        if self.cold.waits(pending, now):
            self.ask_again(self.cold.piloted_at + PATIENCE, "pilot")
            return 0
        room = self.cold.room(self.quota.limit - self.held, pending)
        if room < need:
            self.await_release(now)
        return room

    def _release(self, now: float) -> None:
        if 2 * self.held > self.limit and now - self.lead.led_at > self.period / 2:
            self.lead.due = True
        self.ageing.release(now)

    def disturb(self) -> None:
        """Nothing is as usual: every grant and every answer is looked at."""
        self._calm = False
        self.open_to = 0
        self.expected = -1

    def _open(self) -> None:
        """What may be granted without asking: nothing that needs a lead."""
        self.open_until = self.heard_at + self.period
        if not self._calm or self.crowded:
            self.open_to = 0
            return
        self.open_to = 0 if self.floor == -math.inf else int(self.floor)
        if not self.lead.due and not self.lead.probation:
            self.open_to = max(self.open_to, self.quota.limit + self.ageing.released)

    def _grow_cold(self, now: float, *, promised: bool = False) -> None:
        self.cold.begin(now, promised=promised)
        self.disturb()
        self.floor = -math.inf

    # Ends

    def settle(self, charge: Charge, answer: RateLimit | None, now: float) -> None:
        """An answer came."""
        if self.expected >= 0:
            # Expected answers have passed by since.
            if self.expected != self.low:
                self.low, self.low_at = self.expected, self.heard_at
            self.expected = -1
        self.answered += charge.cost
        self.ageing.answered(charge.cost, now)
        self.heard_at = now
        self._settle_fully(charge, answer, now)

    def lowest(self, low: int, low_at: float) -> None:
        """The least `remaining` of the window, from which on answers are expected to fall."""
        self.low, self.low_at = low, low_at
        self.expected = low if self._calm and not self.others.votes else -1

    def _settle_fully(self, charge: Charge, answer: RateLimit | None, now: float) -> None:
        self.slowest = max(self.slowest, min(now - charge.granted_at, _LONGEST_FLIGHT))
        led = self.lead.gone(charge)
        if answer is not None and answer.throttled:
            self._refused(charge, answer, now)
            return
        self.gate.passed(charge.granted_at)
        remaining = self._usable(answer)
        if answer is None or remaining is None:
            self.cold.unheard(charge.granted_at)
        else:
            if led:
                young = 4 * self.ageing.younger(TURN, now) >= self.limit
                self.lead.back(everything=remaining + charge.cost >= self.limit, young=young)
            self._remaining_said(charge, remaining, now, alone=led or self.cold.on)
            self.look_at = now + _LOOK
            if answer.reset_in is not None:
                self.window.note(answer.reset_in, now)
                self.look_at = now + _LOOK if self.window.settled else now
        self._open()

    def _usable(self, answer: RateLimit | None) -> int | None:
        """What an answer says is left, if that can be: its own call has cost something, and its limit is not above ours."""
        if answer is None:
            return None
        if answer.limit is not None and self.quota.said(answer.limit) and self.floor > self.granted:
            # What was known of the old limit does not hold for the new.
            self.floor = self.granted
        remaining = answer.remaining
        if remaining is None or remaining >= self.limit or (answer.limit or self.limit) > self.limit:
            return None
        return remaining

    def _remaining_said(self, charge: Charge, remaining: int, now: float, *, alone: bool) -> None:
        floor = charge.answered + charge.cost + remaining
        if 4 * (floor - self.floor) > self.limit:
            self.lead.turned_at = now
        self.floor = max(self.floor, floor)
        foreign = remaining + self.held < self.limit
        majority = self.others.vote(foreign=foreign)
        if foreign and (majority or (alone and self.others.twice)):
            self.others.beware(remaining, now, self.ageing.released)
        if now < self.others.until:
            self._heard_among_others(charge, remaining, now)
        elif foreign and alone:
            # One answer to a call that went alone speaks of others: ask once more before all follow.
            self._grow_cold(now)
            return
        self.cold.heard(charge.granted_at)

    def _heard_among_others(self, charge: Charge, remaining: int, now: float) -> None:
        self.disturb()
        if self.ageing.due(now):
            self._release(now)
        others, pace, released = self.others, self.pace, self.ageing.released
        if charge.granted_at >= self.gate.named_at:
            self.gate.named_at = math.inf
            if 2 * remaining < self.limit:
                pace.begin(now)
        if charge.granted_at >= others.least_at and self.granted == self.answered:
            # The server's own release comes a flight before ours.
            back = self.answered - self.ageing.younger(self.slowest, now) - others.released
            grown = remaining + charge.cost - others.least - back
            pace.learn(grown, charge.cost, now - others.least_at, probe=charge.granted_at == pace.probed_at)
        others.note(remaining, charge.granted_at, now, released)
        pace.note(remaining, charge.granted_at, now)
        if now < pace.until:
            others.weigh(self.limit - remaining - (self.answered - released))
        else:
            others.measure(remaining, self.answered, now)

    def _refused(self, charge: Charge, answer: RateLimit, now: float) -> None:
        """A 429: nothing before the server's time, then one call at a time."""
        delay = answer.retry_after
        if delay is None:
            delay = self.window.ends_in(now)
        elif charge.granted_at >= self.window.end:
            self.window.refused(delay, now)
        if answer.limit is not None:
            self.quota.said(answer.limit)
        elif charge.cost > self.limit:
            # It went to ask whether the limit that one answer has named is true.
            self.quota.said(self.limit)
        end = self.window.end if self.window.sure else math.inf
        if charge.granted_at >= self.gate.named_at or (
            answer.retry_after is not None
            and answer.reset_in is not None
            and answer.retry_after + TURN < answer.reset_in
        ):
            self.pace.begin(now)
        self.gate.refused(delay, charge.granted_at, now, end)
        self.gate.named_at = now + answer.retry_after if answer.retry_after else math.inf
        if charge.granted_at == self.pace.probed_at:
            self.pace.learn(0.0, charge.cost, 0.0, probe=True)
        else:
            self.pace.refused(self.limit, now)
        if now < self.pace.until:
            # Nothing is left, which says where we stand.
            self.disturb()
            self.cold.on = False
            self.floor = -math.inf
        else:
            self._grow_cold(now, promised=True)
        self.others.emptied(now, self.ageing.released)

    def lost(self, charge: Charge, now: float) -> None:
        """No answer will come: the call may have counted, and may even arrive yet."""
        self.answered += charge.cost
        self.adrift += charge.cost
        self._adrift.append((now + self.slowest, charge.cost))
        self.ageing.unanswered(charge.cost, self.slowest, now)
        self.lead.gone(charge)

    def refund(self, charge: Charge) -> None:
        """The call never left."""
        self.granted -= charge.cost
        if self.lead.gone(charge):
            self.lead.due = True

    def shut(self) -> None:
        """Nothing is granted without a second thought any more."""
        self._grow_cold(math.inf)

    # Outlook

    @property
    def known(self) -> bool:
        """An answer has come."""
        return self.heard_at > -math.inf

    @property
    def headerless(self) -> bool:
        """Answers have come, and none has ever named a limit or what is left."""
        return self.cold.headerless and not self.quota.told and self.floor == -math.inf

    def undisturbed(self, now: float) -> bool:
        """Nothing but our own calls can have moved what the server has left: no others, no refill, nothing in flight."""
        if self.granted > self.answered or not self._calm or now < self.pace.until:
            return False
        return self.window.sure and now < self.window.end and self.ageing.quiet(TURN, now)

    def brings(self, points: int, within: float) -> bool:
        """Will the next releases bring so many points in one go, with nothing else to wait for?"""
        return self._calm and self.ageing.brings(points, within)

    def ends_in(self, now: float) -> float:
        """Seconds until the present window ends: as told, else a period after its beginning, else when points come back."""
        end = self.window.end
        if now < end < math.inf and self.lead.turned_at < end - TURN:
            return min(end - now, self.period)
        if now < self.lead.turned_at + self.period:
            return self.lead.turned_at + self.period - now
        first = self.ageing.first_at
        return self.period if first is None else max(0.0, min(first - now, self.period))

    def remaining(self) -> int | None:
        """What the server has left, as far as it told, less what was granted since."""
        if self.floor == -math.inf:
            return None
        return max(0, min(self.limit, int(self.floor) - self.granted))

    def asks(self, cost: int, now: float) -> bool:
        """May a call go that is dearer than the limit, to ask whether that is true?

        One answer alone has named that limit, and it may be garbled: refusing the call by its word would be wrong, and waiting
        for more than there ever will be too. What was established before still allows it.
        """
        proven = self.quota.whole - self.held
        return self.limit < cost <= proven and not self.pending and now >= self.gate.opens_at

    def more_at(self, now: float) -> float:
        """The earliest moment at which more than now may be granted, if no answer comes before."""
        kept = self.again_at, self.why
        room = max(self.room(now), 0)
        more_at = now if self.room(now, room + 1) > room else self.again_at
        self.again_at, self.why = kept
        return max(min(more_at, self.others.until) if now < self.others.until else more_at, self.gate.opens_at, now)

    def least_wait(self, now: float, points: int, cheapest: float = math.inf) -> float:
        """Seconds until `points` can all be granted, at the very earliest: nobody new, nothing refused.

        A lower bound that holds whatever comes: an answer may open a window at any moment, be it to a call in flight or to one
        that will soon be, and a window that goes by the server's own clock may turn right after the first points have come
        back; only from then on each takes a period.

        Args:
            now: The time.
            points: How many.
            cheapest: What the cheapest call costs that waits, if any does.
        """
        room = max(self.room(now), 0)
        if points <= room:
            return 0.0
        answers = self.pending or cheapest <= room
        first = max(now, self.gate.opens_at) if answers else self.more_at(now)
        more = self._windows_more(points, max(room, self._left))
        return first - now + max(0, more - 1) * self.period

    def likely_wait(self, now: float, points: int) -> float:
        """Seconds until `points` can all be granted, as things stand: the answers in flight bring nothing new."""
        left = self._left
        if now < self.others.until:
            left = min(left, max(self.others.least, 0))
        if points <= left:
            return max(0.0, self.gate.opens_at - now)
        return self.more_at(now) - now + self._windows_more(points, left) * self.period

    @property
    def _left(self) -> int:
        """Points of the present window that are not granted yet, by whichever account has more."""
        left = self.quota.limit - self.held
        return left if self.floor == -math.inf else max(left, int(self.floor) - self.granted)

    def _windows_more(self, points: int, left: int) -> int:
        """Windows that must turn after the next one."""
        return max(0, math.ceil((points - left) / self.limit) - 1)
