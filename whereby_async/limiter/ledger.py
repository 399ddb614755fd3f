"""`Ledger`: the account of points as arithmetic. Pure: every method takes `now`.

**Theory.** The server lets an organisation spend `limit` points per `period`. Which window it runs we are not told: fixed
from the first call (most likely), aligned to its clock, a sliding log, a refilling bucket. Two facts hold for all of them,
and each alone makes a grant safe for whoever spends alone:

*The ledger.* Of two calls that reach the server within one period, the earlier was still unanswered, or answered less than
a period ago, when the later was granted. `held` counts exactly those (`Ageing` releases the answered ones after a period and
a guard). So as long as `held` never exceeds `limit`, no interval of one period at the server sees more than `limit`, wherever
its windows begin. This needs nothing but our own monotonic clock.

*The evidence.* What the server has left shrinks by our own spending only. An answer's `remaining` was true when its call
arrived; of our calls it may have missed those granted after it (`granted - mark`) and those in flight when it was granted
(`before`). So `remaining + mark - before` is a floor, in points ever granted, up to which we may grant, in whatever order
answers come. The highest floor is the best.

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
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import msgspec

from .ageing import Ageing
from .cold import WIDEST_CALL, Cold
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
        period: Seconds.
        granted: Points granted ever, less those that came back.
        answered: Points of calls that ended, ever.
        floor: The evidence: `granted` may surely rise to here.
        open_to: `granted` may rise to here without a second thought, while no period has passed since `heard_at`.
        heard_at: When the last answer came.
        low: The least `remaining` of the window, as prices are learned from it.
        low_at: When it was heard.
        gate_at: Nothing is granted before.
        slowest: The longest round trip seen, within reason.
        quota: The limit.
        ageing: What is spent, and when it is released.
        window: When the server's window ends.
        others: Who else spends.
        pace: The even flow for a server that punishes bursts.
        why: Why the last `room` was not enough.
        again_at: When to ask again, if nothing happens before.
    """

    __slots__ = (
        "_backoff",
        "_calm",
        "_cold",
        "_lead",
        "_leap",
        "_look_at",
        "_piloted_end",
        "_plain",
        "again_at",
        "ageing",
        "answered",
        "floor",
        "gate_at",
        "granted",
        "heard_at",
        "low",
        "low_at",
        "open_to",
        "others",
        "pace",
        "period",
        "quota",
        "slowest",
        "why",
        "window",
    )

    def __init__(self, limit: int | None, period: float) -> None:
        self.period = period
        self.granted = self.answered = self.open_to = 0
        self.floor: float = -math.inf
        self.gate_at = self.heard_at = self.low_at = -math.inf
        self.low = -1
        self.slowest = SHORTEST_FLIGHT
        self.quota = Quota(limit)
        self.ageing = Ageing(period)
        self.window = Window(period)
        self.others = Others(period)
        self.pace = Pace(period)
        self.why: Reason = "pilot"
        self.again_at = math.inf
        self._lead = Lead()
        self._cold = Cold()
        self._calm = self._plain = False
        self._leap = 0.0
        self._look_at = self._piloted_end = -math.inf
        self._backoff = _FIRST_BACKOFF

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
        charge.before = self.granted - self.answered
        if self._cold.on or not self._calm:
            self._cold.piloted_at = now
        if not self._cold.on and self._lead.due and self._lead.out is None and self.granted + charge.cost > self.floor:
            self._lead.go(charge, now)
            self._disturb()
        self.granted = charge.mark = self.granted + charge.cost

    def room(self, now: float, need: int = 1) -> int:
        """Points that may be granted now; if fewer than `need`, `why` and `again_at` say more."""
        if self.ageing.due(now):
            self._release(now)
        if now < self.gate_at:
            self.why = "frozen"
            self.again_at = self.gate_at
            return 0
        if self.granted == self.answered and not self._cold.silent and -math.inf < self.heard_at < now - self.period:
            # A silence this long says nothing of what others have spent meanwhile.
            self._grow_cold(now)
        if self._cold.on:
            return self._room_cold(now, need)
        ledger = self.quota.limit + self.ageing.released - self.granted
        evidence = -self.quota.limit if self.floor == -math.inf else int(self.floor) - self.granted
        if self._lead.waits(now):
            self._ask_again(self._lead.led_at + PATIENCE, "pilot")
            room = evidence
        elif self._lead.probation:
            room = self._room_on_probation(now, ledger, evidence, need)
        else:
            room = self._room_at_turn(now, max(ledger, evidence), need)
        if now < self.others.until:
            return self._room_among_others(now, room, need)
        self._calm = self._lead.out is None
        self._open()
        return room

    def _ask_again(self, when: float, why: Reason) -> None:
        self.again_at = when
        self.why = why

    def _await_release(self, now: float, short: int) -> None:
        """Until when the ledger alone would have to wait for `short` more points."""
        self._ask_again(self.ageing.release_at(short, now), "empty")

    def _room_cold(self, now: float, need: int) -> int:
        pending = self.granted - self.answered
        if self._cold.waits(pending, now):
            self._ask_again(self._cold.piloted_at + PATIENCE, "pilot")
            return 0
        room = self._cold.room(self.quota.limit - self.held, pending)
        if room < need:
            self._await_release(now, need - room)
        return room

    def _room_on_probation(self, now: float, ledger: int, evidence: int, need: int) -> int:
        """A lead has found less than all: go by evidence, and when that is used up by one more lead."""
        if evidence >= need:
            return evidence
        if ledger < need:
            self._await_release(now, need - ledger)
            return evidence
        if self.granted > self.answered and now < self._lead.led_at + 2 * PATIENCE:
            self._ask_again(self._lead.led_at + 2 * PATIENCE, "pilot")
            return evidence
        self._lead.due = True
        return ledger

    def _room_at_turn(self, now: float, room: int, need: int) -> int:
        """Nothing left by our own account: a window that has surely turned lets one call find out."""
        if room >= need:
            return room
        self._await_release(now, need - room)
        end = self.window.end
        # `end` is an upper bound: calls granted shortly before it may have opened the next window already.
        unseen = self.granted == self.answered and self.heard_at < end - _TURN
        if not (unseen and self._lead.whole and self.window.sure):
            return room
        if now < end:
            self.again_at = min(self.again_at, end)
            return room
        self._lead.due = True
        return max(room, WIDEST_CALL)

    def _room_among_others(self, now: float, proven: int, need: int) -> int:
        """Others spend too: never more than half of what is left in flight."""
        self._disturb()
        pending = self.granted - self.answered
        if now < self.pace.until:
            return self._room_paced(now, proven, need)
        room = min(proven, self.others.cap(pending))
        if room >= need:
            return room
        self._await_release(now, need - room)
        if proven < need and now >= self.others.proven_until:
            # No refusal has ever shown the others: what the ledger does not allow is not tried either.
            return room
        if pending and now < self._cold.piloted_at + PATIENCE:
            self._ask_again(self._cold.piloted_at + PATIENCE, "pilot" if self.others.least > need else "empty")
            return room
        return self._room_for_pilot(now, room, need)

    def _room_for_pilot(self, now: float, room: int, need: int) -> int:
        """All is spent, as far as we were told: one call goes when the window has turned, or to see whether it is so."""
        pilot_at = self.others.pilot_at(self.window.end if self.window.end != self._piloted_end else math.inf)
        if now < pilot_at:
            self.again_at = min(self.again_at, pilot_at)
            return room
        self._piloted_end = self.window.end
        self._cold.piloted_at = now
        self.others.piloted(now)
        return max(need, room)

    def _room_paced(self, now: float, proven: int, need: int) -> int:
        """The server refills as it goes: let the calls flow at that rate, beyond what is proven only after a refusal."""
        self.pace.ease(now)
        others = self.others
        foreign = others.rate if now < others.until else 0.0
        left = others.least - (self.granted - self.answered)
        room = self.pace.room(left, need, self.limit, now - others.least_at, foreign)
        if proven < min(room, need) and now >= others.proven_until:
            self._await_release(now, need - proven)
            return proven
        if room < need:
            self._ask_again(now + max(need - room, 1) / self.pace.refill(self.limit, foreign), "empty")
        return room

    def _release(self, now: float) -> None:
        if 2 * self.held > self.limit and now - self._lead.led_at > self.period / 2:
            self._lead.due = True
        self.ageing.release(now)

    def _disturb(self) -> None:
        """Nothing is as usual: every grant and every answer is looked at."""
        self._calm = self._plain = False
        self.open_to = 0

    def _open(self) -> None:
        """What may be granted without asking: nothing that needs a lead."""
        if not self._calm:
            return
        self.open_to = 0 if self.floor == -math.inf else int(self.floor)
        if not self._lead.due and not self._lead.probation:
            self.open_to = max(self.open_to, self.quota.limit + self.ageing.released)

    def _grow_cold(self, now: float, *, promised: bool = False) -> None:
        self._cold.begin(now, promised=promised)
        self._disturb()
        self.floor = -math.inf

    # Ends

    def settle(self, charge: Charge, answer: RateLimit | None, now: float) -> bool:
        """An answer came; whether it was the expected one, from which there is no price to learn."""
        cost = charge.cost
        self.answered += cost
        ageing = self.ageing
        if now <= ageing.merge_until:
            ageing.newest[1] += cost
        else:
            ageing.answered(cost, now)
        self.heard_at = now
        if self._plain and answer is not None and answer.limit == self.quota.limit and now < self._look_at:
            remaining = answer.remaining
            if remaining == self.low - cost and self.granted == self.answered and not answer.throttled:
                floor = remaining + charge.mark - charge.before
                if floor - self.floor < self._leap and remaining + self.granted - ageing.released >= answer.limit:
                    # The common case: nothing new, but that we may have more room.
                    self.low = remaining
                    self.low_at = now
                    if floor > self.floor:
                        self.floor = floor
                        if floor > self.open_to:
                            self.open_to = floor
                    return True
        self._settle_fully(charge, answer, now)
        return False

    def _settle_fully(self, charge: Charge, answer: RateLimit | None, now: float) -> None:
        self.slowest = max(self.slowest, min(now - charge.granted_at, _LONGEST_FLIGHT))
        led = self._lead.gone(charge)
        if answer is not None and answer.throttled:
            self._refused(charge, answer, now)
            return
        self._backoff = _FIRST_BACKOFF
        remaining = self._usable(answer)
        if answer is None or remaining is None:
            self._cold.unheard(charge.granted_at)
        else:
            if led:
                young = 4 * self.ageing.younger(_TURN, now) >= self.limit
                self._lead.back(everything=remaining + charge.cost >= self.limit, young=young)
            self._remaining_said(charge, remaining, now, alone=led or self._cold.on)
            self._look_at = now + _LOOK
            if answer.reset_in is not None:
                self.window.note(answer.reset_in, now)
                self._look_at = now + _LOOK if self.window.settled else now
        self._open()
        self._plain = self._calm and not self.others.votes
        self._leap = self.limit / 4

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
        floor = remaining + charge.mark - charge.before
        if 4 * (floor - self.floor) > self.limit:
            self._lead.turned_at = now
        self.floor = max(self.floor, floor)
        foreign = remaining + self.held < self.limit
        majority = self.others.vote(foreign=foreign)
        if foreign and (majority or (alone and self.others.twice)):
            self.others.beware(remaining, now)
        if now < self.others.until:
            self._disturb()
            self.others.note(remaining, charge.granted_at, now)
            self.others.measure(remaining, self.answered, now)
            self.pace.note(remaining, charge.granted_at, now)
        elif foreign and alone:
            # One answer to a call that went alone speaks of others: ask once more before all follow.
            self._grow_cold(now)
            return
        self._cold.heard(charge.granted_at)

    def _refused(self, charge: Charge, answer: RateLimit, now: float) -> None:
        """A 429: nothing before the server's time, then one call at a time."""
        delay = answer.retry_after
        if delay is None:
            delay = self.window.ends_in(now) or self._backoff
            self._backoff = min(2 * self._backoff, self.period)
        elif charge.granted_at >= self.window.end:
            self.window.refused(delay, now)
        if answer.limit is not None:
            self.quota.said(answer.limit)
        self.gate_at = max(self.gate_at, now + delay + _BREATH)
        self._grow_cold(now, promised=True)
        self.others.emptied(now)
        self.pace.refused(self.limit, now)

    def lost(self, charge: Charge, now: float) -> None:
        """No answer will come: the call may have counted, and may even arrive yet."""
        self.answered += charge.cost
        self.ageing.unanswered(charge.cost, self.slowest, now)
        self._lead.gone(charge)

    def refund(self, charge: Charge) -> None:
        """The call never left."""
        self.granted -= charge.cost
        if self._lead.gone(charge):
            self._lead.due = True

    def shut(self) -> None:
        """Nothing is granted without a second thought any more."""
        self._grow_cold(math.inf)

    # Outlook

    @property
    def known(self) -> bool:
        """An answer has come."""
        return self.heard_at > -math.inf

    def undisturbed(self, now: float) -> bool:
        """A window is known, nobody else spends, and nothing refills before its end."""
        return self._calm and self.window.sure and now < self.window.end and now >= self.pace.until

    def brings(self, points: int, within: float) -> bool:
        """Will the next releases bring so many points in one go, with nothing else to wait for?"""
        return self._calm and self.ageing.brings(points, within)

    def ends_in(self, now: float) -> float:
        """Seconds until the present window ends: as told, else a period after its beginning, else when points come back."""
        end = self.window.end
        if now < end < math.inf and self._lead.turned_at < end - _TURN:
            return min(end - now, self.period)
        if now < self._lead.turned_at + self.period:
            return self._lead.turned_at + self.period - now
        first = self.ageing.first_at
        return self.period if first is None else max(0.0, min(first - now, self.period))

    def remaining(self) -> int | None:
        """What the server has left, as far as it told, less what was granted since."""
        if self.floor == -math.inf:
            return None
        return max(0, min(self.limit, int(self.floor) - self.granted))

    def least_wait(self, now: float, points: int) -> float:
        """Seconds until `points` can all be granted, at the earliest: nobody new, nothing refused."""
        room = self.limit - self.held
        if self.floor > -math.inf:
            room = max(room, int(self.floor) - self.granted)
        if now < self.others.until:
            room = min(room, max(self.others.least, 0))
        wait = max(0.0, self.gate_at - now)
        if points <= room:
            return wait
        first = self.ageing.first_at or now + self.period
        if now < self.window.end:
            first = min(first, self.window.end)
        return max(wait, first - now) + (math.ceil((points - room) / self.limit) - 1) * self.period
