"""`PresentLedger`: the account of points as arithmetic. Pure: every method takes `now`.

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
the same budget (`Others`), whose presence lets answers reduce the room. A server that refills as it goes, and is shared
or refuses what both facts allow, is paced (`Pace`). Its own word on its window's end (`Window`) sends one call, never a burst.
How a grant is reckoned stands here and in `caution`, what answers teach in `hearing`, how long things take in `horizon`.

Nothing helps against a limit that is lowered while calls are under way: as many are refused as were sent before the first answer
told, at most one burst; nobody can recall them, and bursts in portions would cost each window a round trip per portion.

Invariants: `released <= answered <= granted`; a call whose fate is unknown stays spent as if it arrived as late as it could.
Cancelled before sending: the points go back, and every floor stays right, since those points were counted as granted in all
of them. A jump of our clock forwards would release early what the server still holds; monotonic clocks do not jump. A jump
backwards only delays.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from .ageing import Ageing
from .caution import room_among_others, room_at_turn, room_cold, room_on_probation
from .cold import Cold
from .foresight import Foresight
from .gate import Gate
from .hearing import hear
from .horizon import Horizon
from .lead import PATIENCE, Lead
from .others import Others
from .pacing import Pace
from .quota import Quota
from .window import Window

if TYPE_CHECKING:
    from ....rate_limit import RateLimit
    from .charge import Charge

SHORTEST_FLIGHT: Final = 1.0
"""Seconds, at least, within which a call without an answer may still reach the server."""

Reason: TypeAlias = Literal["empty", "frozen", "pilot"]


class PresentLedger(Horizon):
    """The account of one budget by one clock.

    Attributes:
        period: Seconds.
        granted: Points granted ever, less those that came back.
        arrived: Points of calls that ended and surely reached the server by now, or never will, ever.
        adrift: Points of lost calls that may still arrive.
        floor: The evidence: `granted` may surely rise to here.
        open_to: `granted` may rise to here without a second thought until `open_until`.
        crowded: Calls wait, so nothing is granted without a second thought.
        calm: All is as usual: nobody else spends, no call is ahead.
        heard_at: When the last answer came.
        gate: Shut until the moment that a 429 has named.
        foresight: Which answers can be foretold.
        slowest: The longest round trip seen, within reason.
        quota: The limit.
        ageing: What is spent, and when it is released.
        window: When the server's window ends.
        others: Who else spends.
        pace: The even flow for a server that refills as it goes.
        why: Why the last `room` was not enough.
        again_at: When to ask again, if nothing happens before.
    """

    # Without them a ledger, which has so many attributes, would be slower to read.
    __slots__ = (
        "_adrift", "adrift", "again_at", "ageing", "arrived", "calm", "cold", "crowded", "floor", "foresight", "gate",
        "granted", "heard_at", "lead", "open_to", "open_until", "others", "pace", "period", "piloted_end", "piloting",
        "quota", "slowest", "why", "window",
    )  # fmt: skip

    arrived: int
    granted: int
    heard_at: float
    open_to: int
    piloted_end: float

    def __init__(self, limit: int | None, period: float) -> None:
        self.period: float = period
        self.granted = self.arrived = self.open_to = 0
        self.adrift: int = 0
        self._adrift: deque[tuple[float, int]] = deque()
        self.floor: float = -math.inf
        self.heard_at = -math.inf
        self.slowest: float = SHORTEST_FLIGHT
        self.foresight: Foresight = Foresight()
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
        self.calm: bool = False
        self.piloted_end = -math.inf
        self.piloting: bool = False
        self.crowded: bool = False
        self.open_until: float = -math.inf

    @property
    def limit(self) -> int:
        """Points per period that we go by."""
        return self.quota.limit

    @property
    def answered(self) -> int:
        """Points of calls that ended, ever."""
        return self.arrived + self.adrift

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
            cost = self._adrift.popleft()[1]
            self.adrift -= cost
            self.arrived += cost
        charge.arrived = self.arrived
        if self.piloting:
            self.piloting = False
            self.piloted_end = self.window.end
            self.others.piloted(now)
        if self.pace.probing:
            self.pace.sent(now)
        if self.cold.on or not self.calm:
            self.cold.piloted_at = now
        if self.leads(charge.cost):
            self.lead.go(charge, now)
            self.disturb()
        self.granted += charge.cost

    def room(self, now: float, need: int = 1) -> int:
        """Points that may be granted now; if fewer than `need`, `why` and `again_at` say more."""
        self.piloting = self.pace.probing = False
        if self.ageing.due(now):
            self.release(now)
        if now < self.gate.opens_at:
            self.ask_again(self.gate.opens_at, "frozen")
            return 0
        if self.granted == self.answered and not self.cold.silent and -math.inf < self.heard_at < now - self.period:
            # A silence this long says nothing of what others have spent meanwhile.
            self.grow_cold(now)
        if self.cold.on:
            return room_cold(self, now, need)
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
        self.calm = self.lead.out is None
        self.reopen()
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

    def release(self, now: float) -> None:
        """Let go of what is old enough; after a full round the next call goes ahead."""
        if 2 * self.held > self.limit and now - self.lead.led_at > self.period / 2:
            self.lead.due = True
        released = self.ageing.released
        self.ageing.release(now)
        self.foresight.points += self.ageing.released - released

    def disturb(self) -> None:
        """Nothing is as usual: every grant and every answer is looked at."""
        self.calm = False
        self.open_to = 0
        self.foresight.steady = False

    def reopen(self) -> None:
        """What may be granted without asking: nothing that needs a lead."""
        self.open_until = self.heard_at + self.period
        if not self.calm or self.crowded:
            self.open_to = 0
            return
        self.open_to = 0 if self.floor == -math.inf else int(self.floor)
        if not self.lead.due and not self.lead.probation:
            self.open_to = max(self.open_to, self.quota.limit + self.ageing.released)

    def grow_cold(self, now: float, *, promised: bool = False) -> None:
        """We do not know any more where we stand."""
        self.cold.begin(now, promised=promised)
        self.disturb()
        self.floor = -math.inf

    # Ends

    def settle(self, charge: Charge, answer: RateLimit | None, now: float) -> None:
        """An answer came."""
        self.foresight.look(charge.cost, self.answered, self.heard_at)
        self.arrived += charge.cost
        self.ageing.answered(charge.cost, now)
        self.heard_at = now
        hear(self, charge, answer, now)

    def lowest(self, low: int, low_at: float) -> None:
        """The least `remaining` of the window, now that prices have learned from it."""
        usual = self.calm and not self.cold.on and not self.lead.probation and self.answered >= self.foresight.look_to
        steady = usual and self.quota.agreed and self.others.unseen and self.gate.untroubled
        self.foresight.learned(low, low_at, steady=steady, points=self.quota.limit + self.ageing.released)

    def lost(self, charge: Charge, now: float) -> None:
        """No answer will come: the call may have counted, and may even arrive yet."""
        self.adrift += charge.cost
        self.foresight.unanswered(charge.cost)
        self._adrift.append((now + self.slowest, charge.cost))
        self.ageing.unanswered(charge.cost, self.slowest, now)
        self.lead.gone(charge)

    def refund(self, charge: Charge) -> None:
        """The call never left."""
        self.granted -= charge.cost
        if self.lead.gone(charge):
            self.lead.due = True

    # Outlook

    @property
    def known(self) -> bool:
        """An answer has come."""
        return self.heard_at > -math.inf

    @property
    def headerless(self) -> bool:
        """Answers have come, and none has ever named a limit or what is left."""
        return self.cold.headerless and not self.quota.told and self.floor == -math.inf

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

    @property
    def left(self) -> int:
        """Points of the present window that are not granted yet, by whichever account has more."""
        left = self.quota.limit - self.held
        return left if self.floor == -math.inf else max(left, int(self.floor) - self.granted)

    def left_by_others(self, now: float) -> int:
        """The same, less what others are known to have taken of it."""
        return min(self.left, max(self.others.least, 0)) if now < self.others.until else self.left
