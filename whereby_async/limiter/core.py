"""`Core`: how many points may be spent, and when. Pure arithmetic on plain numbers; every method takes `now`, seconds.
`RedisPointBudget` runs these very rules: `redis/translator.py` makes Lua of them by itself, as long as they stay inside
its subset of Python.

**The server** lets an organisation spend `limit` points per `period`, and answers 429 beyond. Which window it runs is
not told: fixed from the first call (most likely), aligned to its clock, a sliding log, a refilling bucket. Its answers
may say what is left (`Remaining`), when its window ends (`Reset`), and after a 429 when to come again. Any of that may
be missing, late, out of order or garbled, and others may spend of the same budget.

**Positions.** `granted` counts all points ever granted, less refunds; `answered` those of calls that have ended;
`released` those of calls that ended more than a period and `GUARD` ago (the *spend log* holds the rest). In flight is
`granted - answered`. All limits are positions that `granted` may rise to, so that a call that was cancelled before it
left is one subtraction, and all limits stay right.

**Two facts make a grant safe.**
*The ledger*: of two calls that reach the server within one period, the earlier was unanswered, or answered less than a
period ago, when the later was granted. So while `granted <= limit + released` no period at the server sees more than
the limit, wherever its windows begin. It needs nothing but our own clock.
*The advertised window*: what the server has left shrinks by our spending only. `Remaining` was true when its call
arrived, and all calls not in flight when that call was granted are surely counted in it. So `granted` may rise to `edge
= Remaining + granted after that call - in flight before it`, in whatever order answers come; the highest edge counts.
When nothing is in flight, the latest `Remaining` is exactly what is left. Who spends alone is never refused by either.
Outside the claim are a limit that falls while calls are under way, and servers that count otherwise (a sliding
counter); the rules below keep what that costs small. The other rules only say no, except that one call may *ask* where
neither fact lets it go.

**Granting** (`decide`). Not before `frozen until`. A call that the advertised window covers goes, if the congestion
window allows it. Else it may go as a *probe*, by the ledger. One probe is out at a time (more where answers say
nothing, see below). The first of a window goes whatever is kept for other priorities, since its answer opens the window
for all. Windows may be shorter than believed: if the server's window has been over for `SPREAD` by its own word, and
the ledger brings nothing for `LONG`, one call *asks*, beyond the ledger. Whoever waits for a call that is out waits
`PATIENCE` at most: a call that is out for longer, or lost, no longer counts as in flight here (only two *generations*
of calls, each of a second, do), while the ledger goes on counting it. A lost call may still arrive for as long as the
slowest round trip (`1 … 10` s), and counts a period from then.

**The congestion window** (`cwnd`) is the number of points that may be in flight; where nothing is in flight one call
may always go. It is 0 at a cold start and in doubt, so calls then go one at a time (as probes do in any case, see
above), and it grows by each answer's cost: it doubles with each round trip (slow start). After `PATIENCE` of idleness
it is `IDLE_WINDOW`, and again what it was before as soon as an answer shows no surprise. Within five periods after
doubt it only grows from `IDLE_WINDOW`; in doubt it is 0 after idleness.

**Doubt.** A grant remembers `top`, the position that we believed we could reach then, by the better of the two facts.
An answer shows a *surprise* if its `Remaining` and all that is granted by now, in flight or not, reach less far. Two in
a row mean that others spend or that a price is wrong. For one and a half periods, so that it does not end in the burst
of the next window, calls then go by the latest `Remaining`, less what is in flight, and so that what is in flight is at
most `CAUTION` of what is left beside it; or as probes, by the ledger less `foreign`. `foreign` is what others hold, and
is kept out of the ledger's room. Where nothing is advertised, one call *asks*: at the end of the server's own window,
or after `gap` where that end is not known, or where the server was seen to refill as it goes. `gap` is a fortieth of a
period at first and at least. A refusal that names no time makes it a period, one that names a time makes it four times
as long, and an answer two thirds of what it was. In doubt an asking call takes no more than the ledger has, but for the
first after the time that a 429 has named. Each refusal also leaves `MARGIN` points more unused, a 64th of the limit at
most, for some periods.

**A 429** freezes everybody until the time that it names (body, `Retry-After`, `Reset`; a `Reset` in whole seconds gets
one more), and means doubt. If it names none, or if calls sent after the freeze are refused again, the freeze is 1, 2, 4
… seconds, a period at most, but never shorter than a named time. There is one exception: a 429 that names no time comes
from another limiter, such as a gateway's, if all that is known says that the points were there (the advertised window,
or the ledger where the server says nothing). It means no doubt: it freezes for 1, 2, 4 … seconds, and the congestion
window begins at 0, doubles up to half of what was in flight, and then grows by one call each round trip, until no such
429 came for a period. An answer without a surprise, to a call sent after the freeze began, starts the count of seconds
anew.

**What is said may be wrong.** A lower limit counts at once, a higher one when two answers agree (the first ever at
once), another period when two answers name it. A call that costs more than a lowered limit, but not more than the limit
before, goes as a probe when nothing is in flight, until the lower limit was confirmed for two periods. A window that
opens before a period is over and before its own end counts when two answers show it. A `Remaining` above `DEAREST` that
did not move says nothing, nor does one above the limit. From the second on, each answer in a row that says nothing lets
one more probe be out: a server without headers is learned by slow start, and the ledger alone counts.

**Prices.** When nothing was in flight before a call and after it, the fall of `Remaining` between is a *sample* of its
operation's price. Others can only make samples larger. So a smaller one counts at once, but never below the caller's
own price, and a larger one, the least of them, when `SAMPLES` in a row were. A price is known when it is pinned, when
the first sample is not above it, or after two samples (or once nine calls went alone). The rest follows from the rules
above: a price that is wrong is a surprise, a surprise ends in one call at a time, and one call at a time is a sample. A
call of unknown price goes with others while so much is left that even the dearest would not matter, else alone: when
nothing is in flight, and others wait for it.

**The reserve** (`kept`). The priorities before `BATCH` have a share of the limit, a tenth, and may ask for it at an
even rate. The ledger says when as many points will have come back. What they may ask for until then, and a little more,
is kept from `BATCH`: nothing if that is within `SOON`, the whole share at most.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self, TypeVar

import msgspec

from ..notify import CostChangeDetails

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..rate_limit import RateLimit

SMALLEST_PLAN: Final = 100  # points per period that are assumed until a limit is known
GUARD: Final = 0.02  # seconds added to each period: clocks differ by 333 ppm at most
PATIENCE: Final = 2.0  # seconds that others wait at most for somebody else's answer
GRAIN: Final = 1 / 1024  # part of a period within which answers share an entry of the spend log
IDLE_WINDOW: Final = 16  # points that may be in flight at once after idleness: a screen's calls
DEAREST: Final = 16  # points; a drop beyond that is no single call's. The dearest call that is documented costs 10
MARGIN: Final = 6  # points that each refusal adds to what is left unused: others spend a few while a call travels
CAUTION: Final = 0.5  # part of the rest that may be in flight in doubt: two copies may see the same `Remaining`
SPREAD: Final = 1.5  # seconds that a window may end after the server's word: a `Reset` in whole ones, a round trip
LONG: Final = 5.0  # seconds; points that the ledger brings sooner are worth waiting for
SOON: Final = 0.9  # seconds; points that come back sooner are waited for: none are kept until then
SAMPLES: Final = 4  # samples in a row that raise a price: the least of four is one without what others spent, as a rule
SILENT_ANSWERS: Final = 3  # answers in a row that say nothing, from which on a server counts as silent
OWED_SHARE: Final = 0.05  # part of each period's points for calls that have waited for a period
MOST_PRICES: Final = 256  # operations whose prices are learned

# What `decide` says.
NO: Final = 0
ADVERTISED: Final = 1  # yes: the server has advertised it
PROBE: Final = 2  # yes, by the ledger
ASK: Final = 3  # yes, to ask, although nothing says that there is anything left

# What is true of a grant.
LIVE: Final = 1  # it has not ended
BEYOND: Final = 2  # it goes beyond what the server has advertised
UNPAID: Final = 4  # it asks, although nothing says that there is anything left
UNKNOWN: Final = 8  # its price is not known
ALONE: Final = 16  # it goes alone, so that its price can be seen


@dataclass(slots=True, eq=False)
class Price:
    """What one operation costs, as far as it is known."""

    operation: str  # its name; empty for calls whose price is never learned
    seed: int  # points that the caller named
    points: int  # points that are charged
    pinned: bool = False  # it is never learned
    known: bool = False  # it is pinned, or was confirmed by samples
    above: int = 0  # samples above its points since the last that was not
    least: int = 0  # the least of them
    tries: int = 0  # calls that went alone to be sampled


class Grant(msgspec.Struct, eq=False, gc=False):
    """What the core keeps of one granted call."""

    cost: int  # points that it was charged
    price: Price  # what its operation costs
    at: float  # when it was granted
    before: int  # points in flight before it
    upto: int  # points granted ever, up to and with it
    top: float  # points granted ever that the core believed it could reach when it granted this call
    kind: int  # how it was granted: the sum of `LIVE`, until it ends, and what else is true of it


G = TypeVar("G", bound=Grant)


@dataclass(slots=True, eq=False)
class Core:
    """The budget of one organisation by one clock, as arithmetic: plain numbers, two short lists and a dict.

    Attributes:
        noted: An answer since `take_changes` refused a call, named a limit, changed a price, or said nothing once more.
    """

    _limit: int = SMALLEST_PLAN
    _period: float = 60.0
    _period_heard: float = 60.0
    _share: float = 0.1
    _grain: float = 0.06
    # The ledger.
    _granted: int = 0
    _answered: int = 0
    _released: int = 0
    _log: list[list[float]] = field(default_factory=list[list[float]])
    _lost: list[list[float]] = field(default_factory=list[list[float]])
    _released_at: float = -math.inf
    _slowest: float = 1.0
    # In flight for less than one to two seconds, in two generations.
    _fresh: int = 0
    _recent: int = 0
    _fresh_since: float = -math.inf
    _recent_since: float = -math.inf
    # The advertised window.
    _edge: float = -math.inf
    _least: int = -1
    _least_from: int = 0
    _latest: float = math.inf
    _rise_heard: bool = False
    _turned_at: float = -math.inf
    _refilled_at: float = -math.inf
    _end: float = math.inf
    _heard_at: float = -math.inf
    _frozen_until: float = -math.inf
    _frozen_at: float = -math.inf
    _named_until: float = -math.inf
    _backoff: int = 0
    # The congestion window and doubt.
    _cwnd: float = 0
    _ssthresh: float = math.inf
    _resumes: float = 0
    _doubted: bool = False
    _in_doubt: bool = False
    _doubt_until: float = -math.inf
    _foreign: float = 0
    _margin: float = 0.0
    # Probes.
    _word: float = 0
    _probing: int = 0
    _probed_at: float = -math.inf
    _gap: float = 1.5
    # The limit.
    _told: bool = False
    _unheard: int = 0
    _agreed: int = 0
    _limit_heard: int | None = None
    _limit_before: int = SMALLEST_PLAN
    _limit_settled: int = 0
    _lowered_at: float = -math.inf
    # Prices.
    _prices: dict[str, Price] = field(default_factory=dict[str, Price])
    _plain_prices: dict[int, Price] = field(default_factory=dict[int, Price])
    _changes: list[tuple[str, int, int]] = field(default_factory=list[tuple[str, int, int]])
    _unknown_out: int = 0
    _alone_until: float = -math.inf
    _unsaid: bool = False
    _quiet_left: int = -1
    _quiet_at: int = 0
    _owed_since: float = -math.inf
    _owed_paid: int = 0
    _due_at: float = -math.inf
    noted: bool = False

    @classmethod
    def cold(
        cls, limit: int | None = None, period: float = 60.0, pins: Mapping[str, int] | None = None, share: float = 0.1
    ) -> Self:
        """One that has heard nothing yet.

        Args:
            limit: Points per period, as far as is known.
            period: Seconds.
            pins: Prices that are never learned.
            share: The reserve's share of the limit.
        """
        points, gap = limit or SMALLEST_PLAN, period / 40
        prices = {name: Price(name, cost, cost, pinned=True, known=True) for name, cost in (pins or {}).items()}
        core = cls(points, period, period, share, period * GRAIN, _limit_before=points, _gap=gap, _prices=prices)
        core._limit_heard = limit
        return core

    # What is known

    @property
    def limit(self) -> int:
        """Points per period."""
        return self._limit

    @property
    def period(self) -> float:
        """Seconds."""
        return self._period

    @property
    def in_flight(self) -> int:
        """Points granted and not ended; those of lost calls, which may arrive yet, are not among them."""
        flight = self._granted - self._answered
        for _, points, _ in self._lost:
            flight -= int(points)
        return flight

    @property
    def dearest(self) -> int:
        """Points that the dearest call may cost that can be granted: the limit, or the higher one before it."""
        return max(self._limit, self._limit_before)

    @property
    def heard_at(self) -> float:
        """When the last answer came."""
        return self._heard_at

    @property
    def silent(self) -> bool:
        """Some answers have come, and none has named a limit or what is left."""
        return self._unheard >= SILENT_ANSWERS and not self._told and self._edge == -math.inf

    @property
    def frozen_until(self) -> float:
        """Nothing goes before."""
        return self._frozen_until

    def remaining(self, now: float) -> int | None:
        """Points that the server has advertised and that are not granted yet; `None` if it has said nothing."""
        self._tidy(now)
        if self._edge == -math.inf:
            return None
        return max(0, min(self._limit, int(self._advertised())))

    def available(self, now: float) -> int:
        """Points that a call before `BATCH` could have at once."""
        self._tidy(now)
        if now < self._frozen_until:
            return 0
        return max(0, int(self._left()))

    def foreign_rate(self, now: float) -> float:
        """Points per second that others spend of the same budget; 0 unless in doubt."""
        self._tidy(now)
        return self._foreign / self._period

    def reset_in(self, now: float) -> float | None:
        """Seconds until the freeze ends, else the server's window by its own word, else the next points come back."""
        if now < self._frozen_until:
            return self._frozen_until - now
        at = self._log[0][0] if self._log else math.inf
        if now < self._end < math.inf:
            at = self._end
        return at - now if now < at < math.inf else None

    def prices(self) -> dict[str, int]:
        """Points by operation, where they are pinned or learned."""
        return {
            name: price.points for name, price in self._prices.items() if price.pinned or price.points != price.seed
        }

    def take_changes(self) -> list[CostChangeDetails]:
        """Prices that were learned since this was last asked."""
        self.noted = False
        changes, self._changes = self._changes, []
        return [CostChangeDetails(operation=operation, old=old, new=new) for operation, old, new in changes]

    # Prices

    def price(self, operation: str, seed: int) -> Price:
        """What a call of this operation costs."""
        price = self._prices.get(operation)
        if price is not None and (price.seed == seed or price.points != price.seed or price.pinned):
            return price
        if not operation or " " in operation or (price is None and len(self._prices) >= MOST_PRICES):
            # Calls without a name of their own are never learned.
            price = self._plain_prices.get(seed)
            if price is None:
                if len(self._plain_prices) >= MOST_PRICES:
                    self._plain_prices.clear()
                price = self._plain_prices[seed] = Price("", seed, seed, pinned=True, known=True)
            return price
        price = self._prices[operation] = Price(operation, seed, seed)
        return price

    def _sample(self, price: Price, drop: int) -> None:
        """A call that was out alone took so many points."""
        if price.pinned or not 0 < drop <= DEAREST:
            return
        if drop > price.points:
            if not price.above or drop < price.least:
                price.least = drop
            price.above += 1
            if price.above < (SAMPLES if price.known else 2):
                return
            drop = price.least
        points = max(drop, price.seed)
        if points != price.points:
            self._changes.append((price.operation, price.points, points))
            self.noted = True
        price.points, price.known, price.above = points, True, 0

    # Granting

    def _advertised(self) -> float:
        """Points that the server has advertised and that are not granted yet; in doubt, by its latest word."""
        return min(self._edge, self._latest) - self._granted

    def _own(self) -> int:
        """Points by the ledger: no period at the server can see more than the limit."""
        return self._limit + self._released - self._granted

    def _left(self) -> float:
        """Points of the present window that are not granted yet."""
        if self._in_doubt and self._edge > -math.inf:
            return self._advertised()
        return max(self._own() - self._foreign, self._edge - self._granted)

    def decide(self, now: float, price: Price, kept: int = 0) -> int:
        """May a call go that leaves `kept` points: `NO`, `ADVERTISED`, `PROBE` or `ASK`?"""
        if now >= self._due_at:
            self._tidy(now)
        if now < self._frozen_until:
            return NO
        cost = price.points
        flight = self._fresh + self._recent
        edge = self._edge
        if self._latest < edge:  # noqa: PLR1730 - a call costs more
            edge = self._latest
        self._word = word = edge - self._granted
        if now < self._alone_until:
            return NO
        if flight and not price.known and self._edge > -math.inf and self._goes_alone(word):
            return NO
        if cost + kept <= word:
            if not flight:
                return ADVERTISED
            window = min(self._cwnd, word * CAUTION) if self._in_doubt else self._cwnd
            return ADVERTISED if flight + cost <= window else NO
        return self._probe(now, cost, kept, word, flight)

    def _goes_alone(self, word: float) -> bool:
        """Must a call of unknown price go alone? Only if a wrong price could be too much for what is left."""
        return self._in_doubt or self._doubted or word < DEAREST * (self._unknown_out + 1)

    def _probe(self, now: float, cost: int, kept: int, word: float, flight: int) -> int:
        """May a call go beyond what the server has advertised?"""
        if self._probing and self._probing >= self._unheard and now < self._probed_at + PATIENCE:
            return NO
        own, margin = self._limit + self._released - self._granted, self._margin
        if margin and not flight and now >= self._probe_at():
            margin = 0.0
        if cost > word and now - self._probed_at > self._period / 2:
            kept, margin = 0, 0.0  # The first of a window goes ahead for all.
        if cost + kept + margin <= own - self._foreign and (not flight or flight + cost <= self._cwnd):
            return PROBE
        if flight or cost <= word:
            return NO
        if self._in_doubt:
            # Not beyond the ledger, but for the moment that the server itself has named.
            paid = cost <= own or self._heard_at < self._named_until <= now
            return ASK if paid and now >= self._probe_at() else NO
        if self._limit < cost <= own - self._limit + self._limit_before:
            return PROBE
        return ASK if cost > own and self._window_over(now) else NO

    def _probe_at(self) -> float:
        """In doubt: when to ask although nothing is advertised."""
        at = max(self._frozen_until, max(self._heard_at, self._probed_at) + self._gap)
        return at if self._refills() else max(at, self._ends_at())

    def _refills(self) -> bool:
        """Has the server given points back as it went, in one of the last two periods?"""
        return -math.inf < self._refilled_at and self._heard_at <= self._refilled_at + 2 * self._period

    def _ends_at(self) -> float:
        """When the server's window ends by its own word, if nothing was heard since."""
        told = self._heard_at < self._end <= self._heard_at + 1.5 * self._period
        return self._end if told else -math.inf

    def _window_over(self, now: float) -> bool:
        """The server's window is over by its own word, nothing was heard since, and the ledger is long in coming.

        So it is where windows are shorter than the period, or aligned to the server's clock. Where our own points came
        back at that very end, the server keeps a sliding log, and nothing more is left.
        """
        if self._refills() or not self._log or self._log[0][0] <= now + LONG or self._released_at >= self._end - SPREAD:
            return False
        return -math.inf < self._ends_at() + SPREAD <= now

    def book(  # noqa: PLR0913, PLR0917 - what there is to know of a call
        self, make: Callable[..., G], owner: object, price: Price, now: float, verdict: int, order: int
    ) -> G:
        """A call goes that `decide` has just allowed, by this verdict.

        `make` makes the grant: of its fields, its owner, this core and the number of the call.
        """
        cost, granted = price.points, self._granted
        top, own = granted + self._word, self._limit + self._released - self._foreign
        if own > top:  # noqa: PLR1730 - a call costs more
            top = own
        kind = LIVE if verdict == ADVERTISED and price.known else self._special(price, now, verdict)
        self._granted = upto = granted + cost
        self._fresh += cost
        return make(cost, price, now, granted - self._answered, upto, top, kind, owner, self, order)

    def _special(self, price: Price, now: float, verdict: int) -> int:
        """Book what makes a grant unlike the others, and say what it is."""
        kind = LIVE
        if verdict != ADVERTISED:
            kind |= BEYOND if verdict == PROBE else BEYOND | UNPAID
            # After `PATIENCE` those that are still out hang, and nobody waits for them.
            self._probing = self._probing + 1 if now < self._probed_at + PATIENCE else 1
            self._probed_at = now
        if not price.known:
            kind |= UNKNOWN
            if self._edge > -math.inf and self._goes_alone(self._word):
                kind |= ALONE
                self._alone_until = now + PATIENCE
                price.tries += 1
                price.known = price.tries > 2 * SAMPLES
            self._unknown_out += 1
        return kind

    # Ends

    def _finish(self, grant: Grant) -> int:
        """The call is out no longer; its kind, 0 if it has ended before."""
        kind = grant.kind
        if not kind:
            return 0
        grant.kind = 0
        if grant.at >= self._fresh_since:
            self._fresh -= grant.cost
        elif grant.at >= self._recent_since:
            self._recent -= grant.cost
        if kind != LIVE:
            if kind & BEYOND and self._probing:
                self._probing -= 1
            if kind & UNKNOWN:
                self._unknown_out -= 1
            if kind & ALONE:
                self._alone_until = -math.inf
        return kind

    def refund(self, grant: Grant) -> None:
        """It never left."""
        if self._finish(grant):
            self._granted -= grant.cost

    def lost(self, grant: Grant, now: float) -> None:
        """It left, and no answer came: it counts as answered once it can no longer arrive."""
        if self._finish(grant):
            arrives_by, lost = now + self._slowest, self._lost
            if lost and arrives_by <= lost[-1][2]:
                lost[-1][0] = max(arrives_by, lost[-1][0])
                lost[-1][1] += grant.cost
            else:
                lost.append([arrives_by, grant.cost, arrives_by + self._grain])
            self._due_at = min(self._due_at, arrives_by)
            self._unsaid = True

    def _count(self, cost: int, at: float) -> None:
        """A call has ended: the server may count it for a period more."""
        self._answered += cost
        log = self._log
        release_at = at + self._period + GUARD
        shared_until = at
        if log:
            newest = log[-1]
            if at <= newest[2]:
                if release_at > newest[0]:  # noqa: PLR1730 - a call costs more
                    newest[0] = release_at
                newest[1] += cost
                return
            # The first after a pause opens the next period as soon as it can: it shares its entry with nobody.
            if release_at - newest[0] <= self._grain:
                shared_until += self._grain
        log.append([release_at, cost, shared_until])
        if release_at < self._due_at:  # noqa: PLR1730 - a call costs more
            self._due_at = release_at

    def answer(self, grant: Grant, now: float, said: RateLimit | None) -> None:  # noqa: C901 - one story, told in a row
        """An answer came; what it said, or `None` if nothing usable."""
        kind = self._finish(grant)
        if not kind:
            return
        self._count(grant.cost, now)
        if now >= self._due_at:
            self._tidy(now)
        if now - grant.at > self._slowest:
            self._slowest = min(now - grant.at, 10.0)
        if said is None:
            self._hear_nothing(grant)
        else:
            limit, remaining = said.limit, said.remaining
            if limit != self._limit_settled and limit is not None:
                self._hear_limit(limit, now, grant.at)
            if said.period is not None and said.period != self._period:
                self._hear_period(said.period)
            if said.throttled:
                self._refused(grant, now, said, kind)
            elif remaining is None or remaining > self._limit or DEAREST < remaining == self._least:
                self._hear_nothing(grant)
            else:
                self._hear(grant, now, remaining, kind)
            if said.reset_in is not None:
                self._end = now + said.reset_in
        if self._granted == self._answered:
            self._quiet(grant)
        self._heard_at = now

    def _grow(self, grant: Grant) -> None:
        """One more answer without a surprise: slow start, then one call more each round trip."""
        if grant.at < self._frozen_at:
            return
        self._backoff = 0
        if self._resumes:
            self._cwnd, self._resumes = max(self._cwnd, self._resumes), 0
        if self._cwnd < self._limit:
            cost = grant.cost
            cwnd = self._cwnd + (cost if self._cwnd < self._ssthresh else cost * cost / self._cwnd)
            self._cwnd = cwnd if cwnd < self._limit else self._limit  # noqa: FURB136 - a call costs more

    def _hear_nothing(self, grant: Grant) -> None:
        """An answer that does not say what is left: the ledger alone counts, and is learned by slow start."""
        self._unsaid = True
        self._unheard += 1
        if self._unheard == SILENT_ANSWERS and self.silent:
            self.noted = True
        if self._cwnd < self._limit or self._backoff:
            self._grow(grant)

    def _hear(self, grant: Grant, now: float, remaining: int, kind: int) -> None:  # noqa: C901 - one story
        """An answer says what is left."""
        if kind & UNPAID:
            self._gap = max(self._gap / 1.5, self._period / 40)
        if remaining <= self._least:
            self._least, self._least_from = remaining, self._granted
        elif grant.upto - grant.cost >= self._least_from:
            little_more = min(self._least + self._limit / 16 + DEAREST, self._limit / 4)
            if self._least >= 0 and remaining < little_more:
                self._refilled_at = now
            if grant.before:
                self._unsaid = True  # A call that was out before it may have arrived after it.
            self._least, self._least_from = remaining, self._granted
        self._unheard = 0
        reach = remaining + self._granted
        if grant.top > reach:
            if self._doubted:
                self._doubt(now, reach)
            self._doubted = True
        else:
            self._doubted = False
            if self._cwnd < self._limit or self._backoff:
                self._grow(grant)
        if self._in_doubt:
            self._latest = self._answered + self._least - self._margin
        edge = remaining + grant.upto - grant.before
        if edge > self._edge:
            self._rise(edge, now)
        else:
            self._rise_heard = False

    def _rise(self, edge: float, now: float) -> None:
        """More is advertised than before: the window has turned, or the server refills as it goes.

        One garbled answer must not open a window that has not turned. So a rise beyond the ledger that comes as a
        surprise counts when two answers in a row show it.
        """
        before, ledger = self._edge, self._limit + self._released
        some = self._limit / 16 + DEAREST
        surprising = edge > max(before, ledger) + some and before > -math.inf and not self._turn_due(now)
        if surprising and not self._rise_heard:
            self._rise_heard = True
            self._edge = max(before, ledger)
            return
        self._edge = edge
        if edge - before > some:
            self._turned_at = now

    def _turn_due(self, now: float) -> bool:
        """May the server's window have turned, since the last one is a period old, or over by the server's own word?"""
        return now >= self._turned_at + self._period - 1.0 or -math.inf < self._ends_at() <= now

    def _doubt(self, now: float, reach: float) -> None:
        """Others spend of the same budget, or a price is wrong: one call at a time, by the server's latest word."""
        self._in_doubt = True
        self._doubt_until = now + 1.5 * self._period
        foreign = self._limit + self._released - reach
        self._foreign = foreign if foreign > 0 else 0  # noqa: FURB136 - a call costs more
        if reach < self._edge:  # noqa: PLR1730 - a call costs more
            self._edge = reach
        self._cwnd = self._resumes = 0

    def _refused(self, grant: Grant, now: float, said: RateLimit, kind: int) -> None:
        """The server has refused a call."""
        self.noted = True
        wait = said.retry_after
        if wait is not None and wait == said.reset_in and wait == int(wait):
            wait += 1.0
        again = grant.at >= self._frozen_until
        if again:
            self._backoff += 1
        backoff = min(2.0 ** min(self._backoff - 1, 16), self._period)
        if wait is None and not self._in_doubt and self._shows_room(grant, said):
            # It names no time, and points are left: another limiter refused it, which a gateway may have.
            if again:
                self._ssthresh = max((self._granted - self._answered + grant.cost) / 2, 1.0)
                self._cwnd = self._resumes = 0
                self._freeze(now, backoff)
            self._unsaid = True
            return
        # The first refusal's time is believed, unless it is none.
        self._freeze(now, wait if wait and self._backoff <= 1 else max(backoff, wait or 0.0))
        if wait:
            self._named_until = self._frozen_until
        self._margin = min(self._margin + MARGIN, self._limit / 64)
        self._doubt(now, self._granted)
        if not self._refills():
            self._foreign = 0  # What others have spent goes with the window that a freeze outlasts as a rule.
        self._least, self._least_from, self._unsaid, self._unheard = 0, self._granted, True, 0
        self._latest = self._answered - self._margin
        if kind & UNPAID:
            self._gap = self._period if said.retry_after is None else min(4 * self._gap, self._period)

    def _shows_room(self, grant: Grant, said: RateLimit) -> bool:
        """Does all that is known say that a refused call's points were there?"""
        if said.remaining is not None:
            return said.remaining > grant.cost
        return grant.upto <= (self._limit + self._released if self._edge == -math.inf else self._edge)

    def _freeze(self, now: float, wait: float) -> None:
        self._frozen_until = max(self._frozen_until, now + wait)
        self._frozen_at = now

    def _hear_limit(self, limit: int, now: float, asked_at: float) -> None:
        """A limit is named: a lower one counts at once, a higher one when two answers agree, the first ever at once.

        So does the limit before a lower one, from a call that went after that: the lower one was garbled.
        """
        if limit < self._limit:
            if self._limit >= self._limit_before:
                self._limit_before, self._lowered_at = self._limit, now
            self._limit, self._agreed = limit, 0
        elif limit > self._limit:
            again = limit == self._limit_before and asked_at >= self._lowered_at
            self._lowered_at = now
            if again or limit == self._limit_heard or not self._told:
                self._limit = limit
        self._agreed = self._agreed + 1 if limit == self._limit else 0
        confirmed = self._agreed >= SAMPLES and now >= self._lowered_at + 2 * self._period
        if confirmed or self._limit >= self._limit_before:
            self._limit_before = self._limit
        self.noted = True
        self._limit_heard = limit
        self._limit_settled = limit if limit == self._limit == self._limit_before else 0
        self._told = True

    def _hear_period(self, period: float) -> None:
        """An answer names another period, which counts when two answers agree."""
        if period == self._period_heard:
            for entry in self._log:
                entry[0] += period - self._period
            self._period, self._grain = period, period * GRAIN
            self._gap = max(self._gap, period / 40)
        self._period_heard = period

    def _quiet(self, grant: Grant) -> None:
        """Nothing is in flight: what the call that was granted last has left is what is left now."""
        if self._unsaid:
            self._unsaid, self._quiet_left = False, -1
            return
        left, before, granted = self._least, self._quiet_left, self._granted
        if before > 0 and grant.upto == granted == self._quiet_at + grant.cost:
            price, drop = grant.price, before - left
            if drop == price.points and price.known:
                price.above = 0
            else:
                self._sample(price, drop)
        self._quiet_left, self._quiet_at = left, granted
        if granted + left > self._edge:
            ceiling = max(self._edge, self._limit + self._released) + self._limit / 16 + DEAREST
            self._edge = max(self._edge, min(granted + left, ceiling))

    # Time

    def _tidy(self, now: float) -> None:  # noqa: C901 - one story, told in a row
        """Do what time alone does, if something is due."""
        if now < self._due_at:
            return
        lost, log = self._lost, self._log
        while lost and lost[0][0] <= now:
            at, points, _ = lost.pop(0)
            self._count(int(points), at)
        while log and log[0][0] <= now:
            self._released_at, released, _ = log.pop(0)
            self._released += int(released)
        aged = now - self._fresh_since
        if aged >= PATIENCE / 2:
            self._recent, self._recent_since = 0, now
            if aged < PATIENCE:
                self._recent, self._recent_since = self._fresh, self._fresh_since
            self._fresh, self._fresh_since = 0, now
            if now > self._frozen_until + self._period:
                self._ssthresh = math.inf
            self._margin *= math.exp(-min(aged, self._period) / (5 * self._period))
        if self._in_doubt and now >= self._doubt_until:
            self._in_doubt = False
            self._foreign, self._latest = 0, math.inf
            self._edge = min(self._edge, self._answered + self._least)
        if self._cwnd and self._granted == self._answered and self._heard_at < now - PATIENCE:
            if self._in_doubt:
                self._cwnd = 0
            elif self._cwnd > IDLE_WINDOW:
                self._resumes = self._cwnd if now > self._doubt_until + 5 * self._period else 0
                self._cwnd = IDLE_WINDOW
        self._due_at = self._fresh_since + PATIENCE / 2
        if log:
            self._due_at = min(self._due_at, log[0][0])
        if lost:
            self._due_at = min(self._due_at, lost[0][0])

    def next_at(self, now: float) -> float:
        """When to look again, if no answer comes before."""
        later = [self._frozen_until, self._alone_until, self._ends_at() + SPREAD]
        if self._granted > self._answered:
            later.append(self._probed_at + PATIENCE)
        if self._fresh or self._recent:
            later.append(self._fresh_since + PATIENCE / 2)
        if self._log:
            later.append(self._log[0][0])
        if self._lost:
            later.append(self._lost[0][0])
        if self._in_doubt:
            later.append(self._doubt_until)
            later.append(self._probe_at())
        first = math.inf
        for at in later:
            if now < at < first:
                first = at
        return max(first, self._frozen_until)

    def brings(self, points: float, more: float, within: float) -> bool:
        """Do `more` points surely come back at most so many seconds after the next `points`?"""
        if self._in_doubt:
            return False
        by = -math.inf
        for release_at, come, _ in self._log:
            if points > 0 >= points - come:
                by = release_at + within
            points -= come
            if points + more <= 0:
                return release_at <= by
        return False

    def least_wait(self, now: float, points: int) -> float:
        """Seconds until so many points can all be granted, at the very least.

        A lower bound: nobody new, nothing refused, a window may turn at any answer, and once more right after.
        """
        self._tidy(now)
        left = max(self._own(), self._edge - self._granted, 0)
        soon = left or self._granted > self._answered or self._window_over(now)
        first = now if soon else self.next_at(now)
        return max(first, self._frozen_until, now) - now + self._windows(points, left, 2)

    def likely_wait(self, now: float, points: int) -> float:
        """Seconds until so many points are granted, as things stand."""
        self._tidy(now)
        left = max(self._left(), 0)
        if points <= left:
            return max(0.0, self._frozen_until - now)
        first = self._log[0][0] if self._log else now + self._period
        if self._in_doubt:
            first = min(max(self._end, now), first)
        elif not self._refills() and (ends := self._ends_at()) > -math.inf:
            first = min(max(ends, now), first)
        return max(first, self._frozen_until, now) - now + self._windows(points, left, 1)

    def _windows(self, points: int, left: float, spare: int) -> float:
        return max(0, math.ceil((points - left) / self._limit) - spare) * self._period

    # Shares

    def kept(self, now: float, cost: int) -> int:
        """Points that a call of `BATCH` leaves to the priorities before it now; never what it needs of the whole limit.

        Those may ask for their share of the limit evenly. What they can ask for until as much has come back to us is
        kept for them, and a little more for calls that come at once; nothing if that is within `SOON`.
        """
        share = self._share * self._limit
        # What was granted beyond the ledger comes back to nobody.
        wait = self._back_at(share + max(0, self._left() - self._own())) - now
        if wait <= SOON:
            return 0
        need = share * wait / self._period
        return int(max(0.0, min(share, 3 + need + 2 * math.sqrt(need), self._limit - cost)))

    def owes(self, now: float) -> bool:
        """Is something left of the share of those that have waited too long behind higher priorities?"""
        if now - self._owed_since >= self._period:
            self._owed_since, self._owed_paid = now, 0
        return self._owed_paid < OWED_SHARE * self._limit

    def pay_owed(self, cost: int) -> None:
        """One of those goes."""
        self._owed_paid += cost

    def _back_at(self, points: float) -> float:
        """When so many points have come back, or all that are out."""
        at = math.inf
        for release_at, come, _ in self._log:
            if points <= 0:
                break
            at = release_at
            points -= come
        return at
