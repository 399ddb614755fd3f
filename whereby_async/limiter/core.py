"""`Core`: how many points may be spent, and when. Pure arithmetic on plain numbers: every method takes `now`, in seconds.

**The server** lets an organisation spend `limit` points per `period`, and answers 429 beyond. Which window it runs is not told: fixed
from the first call (most likely), aligned to its clock, a sliding log, a refilling bucket. Its answers may say what is left
(`Remaining`), when its window ends (`Reset`), and after a 429 when to come again. Any of that may be missing, late, out of order or
garbled, and others may spend of the same budget.

**Positions.** `granted` counts all points ever granted, less refunds; `answered` those of calls that have ended; `released` those of calls
that ended more than a period and `GUARD` ago (the *spend log* holds the rest). In flight is `granted - answered`. All limits are
positions that `granted` may rise to, so that a call that was cancelled before it left is one subtraction, and all limits stay right.

**Two facts make a grant safe.**
*The ledger*: of two calls that reach the server within one period, the earlier was unanswered, or answered less than a period ago, when
the later was granted. So while `granted <= limit + released` no period at the server sees more than the limit, wherever its windows
begin. It needs nothing but our own clock.
*The advertised window*: what the server has left shrinks by our spending only. `Remaining` was true when its call arrived, and all calls
not in flight when that call was granted are surely counted in it. So `granted` may rise to `edge = Remaining + granted after that call
- in flight before it`, in whatever order answers come; the highest edge counts. When nothing is in flight, the least `Remaining` since
something was is exactly what is left.
Who spends alone is never refused by either. Outside the claim are a limit that falls while calls are under way, and servers that count
otherwise (a sliding counter); the rules below keep what that costs small. All other rules only say no.

**Granting** (`decide`). Not before `frozen until`. A call that the advertised window covers goes, if the congestion window allows it. Else
it may go as a *probe*, by the ledger: one at a time, and the first of each window goes for all priorities, since its answer opens the
window. Whoever waits for a call that is out waits `PATIENCE` at most: a call that is out for longer, or lost, no longer counts as in
flight here (only two *generations* of calls, each of a second, do), while the ledger goes on counting it.

**The congestion window** (`cwnd`) is the number of points that may be in flight. It is 0 at a cold start and in doubt, which allows one call,
and grows by each answer's cost: it doubles with each round trip (slow start). After `PATIENCE` of idleness it is `IDLE_WINDOW`, and what it
was as soon as an answer shows no surprise; but in doubt it is 0 then, and within five periods after doubt it grows again from there.

**Doubt.** A grant remembers `top`, the position that we believed we could reach then, by the better of the two facts. An answer shows a
*surprise* if its `Remaining` and all that is granted by now, in flight or not, reach less far. Two in a row mean that others spend or that a
price is wrong. For one and a half periods, so that it does not end in the burst of the next window, calls then go by the latest `Remaining`
only, less what is in flight, and no more than `CAUTION` of the rest may be in flight, since others may have as much on its way. `foreign` is
what others hold, and is kept out of the ledger's room. Where nothing is advertised, one call *asks*: at the end of the server's own window,
or after `gap` where that end is not known, or where the server was seen to refill as it goes. `gap` grows with each such call that is refused.
It asks for no more than the ledger has, or at the moment that a 429 has named. Each refusal also leaves `MARGIN` points more unused, a 64th
of the limit at most, for some periods: beside others, an eighth of `foreign` at most; and where the ledger would go beyond what is advertised.

**A 429** freezes everybody until the time that it names (body, `Retry-After`, `Reset`; a `Reset` in whole seconds gets one more), and means
doubt. If it names none, or if calls sent after the freeze are refused again, the freeze is 1, 2, 4 … seconds, a period at most, but never
shorter than a named time. There is one exception: a 429 that names no time comes from another limiter, such as a gateway's, if all that is
known says that the points were there (the advertised window, or the ledger where the server says nothing). It means no doubt: it freezes for
1, 2, 4 … seconds, and the congestion window begins at 0, doubles up to half of what was in flight, and then grows by one call each round
trip, until no such 429 came for a period. An answer without a surprise, to a call sent after the freeze began, starts the count of seconds anew.

**What is said may be wrong.** A lower limit counts at once, a higher one, or another period, when two answers agree (the first ever at
once). A call that costs more than a lowered limit, but not more than the limit before, goes as a probe when nothing is in flight, until
the lower limit was confirmed for two periods. A window that opens before a period is over and before its own end counts when two answers
show it. A `Remaining` above `DEAREST` that did not move says nothing, nor does one above the limit. An answer that says nothing grows `cwnd`, and lets as
many points be probes: a server without headers is learned by slow start, and the ledger alone counts.

**Prices.** When nothing was in flight before a call and after it, the fall of `Remaining` between is a *sample* of its operation's price. A
price is known when it is pinned, when the first sample is not above it, or after two (or once nine calls went alone in vain); it is the
least of the last four samples, since others can only make them larger, but never below the caller's own. The rest follows from the rules above: a price that is wrong is a
surprise, a surprise ends in one call at a time, and one call at a time is a sample. A call of unknown price goes with others while so much
is left that even the dearest would not matter, else alone. When it has to go alone nobody goes before it, so it is not starved.

**The reserve** (`kept`). The priorities before `BATCH` have a share of the limit, a tenth, and may ask for it at an even rate. The ledger says
when as many points will have come back. What they may ask for until then, and a little more, is kept from `BATCH`: nothing if that is within a
second, the whole share at most.

What happens: *cold start*: one call, one more, then slow start. *A window turns*: the first points that the ledger releases send one probe; its answer
opens the whole window at once. *A call hangs*: others wait 2 s at most where only one may go, else not at all; its points count until it
ends, and a period more. *A lost call* may still arrive for as long as the slowest round trip (`1 … 10` s), and counts a period from then.
*A long silence*: the next calls go, 16 points at once, or one as a probe if nothing more is advertised. *A smaller window than believed* (4 s instead of 60): where the
ledger is long in coming, one call asks `SPREAD` after the server's own end.

| parameter | value | why |
|---|---|---|
| `GUARD` | 20 ms | clocks differ by 333 ppm at most: 20 ms a minute |
| `GRAIN` | period / 1024 | answers so close share an entry of the spend log, which is released with its last; the first after a pause has its own |
| `PATIENCE` | 2 s | the longest wait for somebody else's answer |
| `IDLE_WINDOW`, `DEAREST` | 16 points | a screen's calls at once; the dearest call that is documented costs 10 |
| `SPREAD` | 1.5 s | a `Reset` in whole seconds, and a round trip |
| `CAUTION` | 1/2 | two copies that see the same `Remaining` must not spend it twice |
| `MARGIN` | 6 points | others spend a few points while a call is on its way |
| `LONG` | 5 s | what the ledger brings sooner is worth waiting for |
| `SAMPLES` | 4 | the least of four is a price without what others spent, as a rule |
| `gap` | period / 40 … period | a period after a refusal that names no time, × 4 after another, ÷ 1.5 after an answer |
"""

from __future__ import annotations

import math
from collections.abc import Mapping  # noqa: TC003 - msgspec resolves annotations at run time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple, Self, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..rate_limit import RateLimit

SMALLEST_PLAN: Final = 100
"""Points per period that are assumed until a limit is known."""
GUARD: Final = 0.02
"""Seconds added to each period: 333 ppm of error in a clock's rate."""
PATIENCE: Final = 2.0
"""Seconds that others wait at most for a call that is out to ask."""
GRAIN: Final = 1 / 1024
"""Part of a period within which answers share one entry of the spend log."""
IDLE_WINDOW: Final = 16
"""Points that may be in flight at once after idleness."""
DEAREST: Final = 16
"""Points; a drop beyond that is no single call's."""
MARGIN: Final = 6
"""Points that each refusal adds to what is left unused, lest others take them while a call is on its way."""
CAUTION: Final = 0.5
"""Part of what is left, less what is in flight, that may be in flight in doubt: a third of what the latest answer left."""
SPREAD: Final = 1.5
"""Seconds by which two answers may differ about the end of the same window."""
LONG: Final = 5.0
"""Seconds after which the next points come back, where it is worth asking the server for more."""
SAMPLES: Final = 4
"""Samples of a price that are kept."""
SILENT_ANSWERS: Final = 3
"""Answers that say nothing, from which on a server that has said nothing yet is taken to be silent."""
MOST_PRICES: Final = 256
"""Operations whose prices are learned."""

NO: Final = 0
HOLD: Final = -1
ADVERTISED: Final = 1
PROBE: Final = 2
ASK: Final = 3
"""What `decide` says: no; no, and nobody else before the call has gone alone; yes, the server has advertised it; yes, by the ledger;
yes, to ask although nothing says that there is anything left."""


LIVE: Final = 1
BEYOND: Final = 2
UNPAID: Final = 4
UNKNOWN: Final = 8
ALONE: Final = 16
"""Of a grant: it has not ended; it goes beyond what the server has advertised; it asks although nothing says that anything is left; its
price is not known; it goes alone, so that its price can be seen."""


class PriceChange(NamedTuple):
    """A price that was learned."""

    operation: str
    old: int
    new: int


class Price(msgspec.Struct, eq=False):
    """What one operation costs, as far as it is known.

    Attributes:
        operation: Its name; empty for calls whose price is never learned.
        seed: Points that the caller named.
        points: Points that are charged.
        pinned: It is never learned.
        known: It is pinned, or was confirmed by samples.
        samples: What the last calls that were out alone took from `Remaining`, where it changed.
        last: The last of them, usable or not.
        tries: Calls that went alone to be sampled.
    """

    operation: str
    seed: int
    points: int
    pinned: bool = False
    known: bool = False
    samples: list[int] = []
    last: float = 0
    tries: int = 0


class Grant(msgspec.Struct, eq=False, gc=False):
    """What the core keeps of one granted call.

    Attributes:
        cost: Points that it was charged.
        price: What its operation costs.
        at: When it was granted.
        before: Points in flight before it.
        upto: Points granted ever, up to and with it.
        top: Points granted ever that the core believed it could reach when it granted this call.
        generation: In which second or so it was granted.
        kind: How it was granted: the sum of `LIVE`, until it ends, and what else is true of it.
    """

    cost: int
    price: Price
    at: float
    before: int
    upto: int
    top: float
    generation: int
    kind: int


G = TypeVar("G", bound=Grant)


@dataclass(slots=True, eq=False)
class Core:
    """The budget of one organisation by one clock, as arithmetic: plain numbers, two short lists and a dict.

    Attributes:
        noted: An answer has changed the limit or a price, or was a refusal, or one too many that says nothing; until `take_changes`.
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
    _generation: int = 0
    _generation_at: float = -math.inf
    # The advertised window.
    _edge: float = -math.inf
    _least: int = -1
    _least_at: float = -math.inf
    _last_remaining: int = -1
    _rise_heard: bool = False
    _turned_at: float = -math.inf
    _refilled_at: float = -math.inf
    _end: float = math.inf
    _end_heard: float = math.inf
    _heard_at: float = -math.inf
    _frozen_until: float = -math.inf
    _frozen_at: float = -math.inf
    _named_until: float = -math.inf
    _backoff: int = 0
    # The congestion window and doubt.
    _cwnd: float = 0.0
    _ssthresh: float = math.inf
    _resumes: float = 0.0
    _doubted: bool = False
    _in_doubt: bool = False
    _doubt_until: float = -math.inf
    _foreign: float = 0.0
    _margin: float = 0.0
    # Probes.
    _probing: int = 0
    _probes: int = 0
    _probed_at: float = -math.inf
    _probing_since: float = -math.inf
    _gap: float = 1.5
    # The limit.
    _told: bool = False
    _unheard: int = 0
    _agreed: int = 0
    _limit_heard: int | None = None
    _limit_before: int = SMALLEST_PLAN
    _limit_settled: bool = False
    _lowered_at: float = -math.inf
    # Prices.
    _prices: dict[str, Price] = field(default_factory=dict[str, Price])
    _plain_prices: dict[int, Price] = field(default_factory=dict[int, Price])
    _changes: list[PriceChange] = field(default_factory=list[PriceChange])
    _unknown_out: int = 0
    _alone_until: float = -math.inf
    _busy_least: float = math.inf
    _before_busy: float = -1
    _busy_from: int = 0
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
        points = limit or SMALLEST_PLAN
        return cls(
            points,
            period,
            period,
            share,
            period * GRAIN,
            _gap=period / 40,
            _limit_heard=limit,
            _limit_before=points,
            _prices={name: Price(name, cost, cost, pinned=True, known=True) for name, cost in (pins or {}).items()},
        )

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
        """Points that a call may cost to be ever granted: the limit, or what a lowered limit allowed before."""
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
    def in_doubt(self) -> bool:
        """Others spend of the same budget, or a price is wrong."""
        return self._in_doubt

    @property
    def frozen_until(self) -> float:
        """Nothing goes before."""
        return self._frozen_until

    def remaining(self, now: float) -> int | None:
        """Points that the server has advertised and that are not granted yet; `None` if it has said nothing."""
        if now >= self._due_at:
            self._tidy(now)
        if self._edge == -math.inf:
            return None
        return max(0, min(self._limit, int(self._advertised())))

    def available(self, now: float) -> int:
        """Points that a call before `BATCH` could have at once."""
        if now >= self._due_at:
            self._tidy(now)
        if now < self._frozen_until:
            return 0
        return max(0, int(self._left()))

    def foreign_rate(self, now: float) -> float:
        """Points per second that others spend of the same budget; 0 unless in doubt."""
        if now >= self._due_at:
            self._tidy(now)
        return self._foreign / self._period

    def reset_in(self, now: float) -> float | None:
        """Seconds until the freeze ends, else the server's window by its own word, else the next points come back."""
        if now < self._frozen_until:
            return self._frozen_until - now
        for at in (self._end, self._end_heard, self._log[0][0] if self._log else math.inf):
            if now < at < math.inf:
                return at - now
        return None

    def prices(self) -> dict[str, int]:
        """Points by operation, where they are pinned or learned."""
        return {
            name: price.points for name, price in self._prices.items() if price.pinned or price.points != price.seed
        }

    def take_changes(self) -> list[PriceChange]:
        """Prices that were learned since this was last asked."""
        self.noted = False
        changes, self._changes = self._changes, []
        return changes

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

    def _sample(self, price: Price, drop: float) -> None:
        """A call that was out alone took so many points."""
        price.last = drop
        if price.pinned or not 0 < drop <= DEAREST:
            return
        samples = price.samples
        if len(samples) == SAMPLES:
            samples.pop(0)
        samples.append(int(drop))
        if len(samples) > 1:
            price.known = True
            points = max(price.seed, min(samples))
            if points != price.points:
                self._reprice(price, points)
        elif drop <= price.points:
            price.known = True

    def _reprice(self, price: Price, points: int) -> None:
        self._changes.append(PriceChange(price.operation, price.points, points))
        self.noted = True
        price.points = points

    # Granting

    def _advertised(self) -> float:
        """Points that the server has advertised and that are not granted yet; in doubt, by its latest word."""
        edge = self._edge
        if self._in_doubt:
            margin, most = self._margin, self._foreign / 8
            latest = self._answered + self._least - (margin if margin < most else most)  # noqa: FURB136 - a call costs more
            if latest < edge:  # noqa: PLR1730 - a call costs more
                edge = latest
        return edge - self._granted

    def _own(self) -> int:
        """Points by the ledger: no period at the server can see more than the limit."""
        return self._limit + self._released - self._granted

    def _left(self) -> float:
        """Points of the present window that are not granted yet."""
        if self._in_doubt and self._edge > -math.inf:
            return self._advertised()
        return max(self._own() - self._foreign, self._edge - self._granted)

    def decide(self, now: float, price: Price, kept: int = 0) -> int:
        """May a call go that leaves `kept` points: `NO`, `HOLD`, `ADVERTISED`, `PROBE` or `ASK`?"""
        if now >= self._due_at:
            self._tidy(now)
        if now < self._frozen_until:
            return NO
        cost = price.points
        flight = self._fresh + self._recent
        word = self._advertised() if self._in_doubt else self._edge - self._granted
        if now < self._alone_until:
            return NO
        if not price.known and self._edge > -math.inf and self._goes_alone(word) and flight:
            return HOLD if cost + kept <= max(word, self._own() - self._foreign) else NO
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
        if self._probing and self._probing + cost > self._probes and now < self._probed_at + PATIENCE:
            return NO
        own = self._limit + self._released - self._granted
        margin = self._margin
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
        return self._end if self._heard_at < self._end < math.inf else -math.inf

    def _window_over(self, now: float) -> bool:
        """The server's window is over by its own word, nothing was heard since, and the ledger is long in coming.

        So it is where windows are shorter than the period, or aligned to the server's clock. Where our own points have come back at
        that end, it was a log's, and there is no more.
        """
        if self._refills() or not self._log or self._log[0][0] <= now + LONG or self._released_at >= self._end - SPREAD:
            return False
        return -math.inf < self._ends_at() + SPREAD <= now

    def book(self, make: Callable[..., G], owner: object, price: Price, now: float, verdict: int, order: int) -> G:  # noqa: PLR0913, PLR0917
        """A call goes that `decide` allowed.

        Args:
            make: Makes the grant: of its fields, the owner, this core and the order.
            owner: Whose grant it is.
            price: What the call costs.
            now: The time.
            verdict: What `decide` said.
            order: The number of the call.
        """
        cost, granted, edge = price.points, self._granted, self._edge
        if self._in_doubt:
            edge = self._advertised() + granted
        own = self._limit + self._released - self._foreign
        self._granted = upto = granted + cost
        self._fresh += cost
        return make(
            cost, price, now, granted - self._answered, upto, own if own > edge else edge, self._generation,  # noqa: FURB136 - a call costs more
            LIVE if verdict == ADVERTISED and price.known else self._special(price, granted, now, verdict), owner, self, order,
        )  # fmt: skip

    def _special(self, price: Price, granted: int, now: float, verdict: int) -> int:
        """Book what makes a grant unlike the others, and say what it is."""
        kind = LIVE
        if verdict != ADVERTISED:
            kind |= BEYOND if verdict == PROBE else BEYOND | UNPAID
            if now >= self._probed_at + PATIENCE:
                # Those that are still out hang, and nobody waits for them.
                self._probing, self._probing_since = 0, now
            self._probing += price.points
            self._probed_at = now
        if not price.known:
            kind |= UNKNOWN
            if self._edge > -math.inf and self._goes_alone(self._edge - granted):
                kind |= ALONE
                self._alone_until = now + PATIENCE
                price.tries += 1
                price.known = price.tries > 2 * SAMPLES
            self._unknown_out += 1
        return kind

    # Ends

    def _finish(self, grant: Grant) -> None:
        """The call is out no longer."""
        kind, grant.kind = grant.kind, 0
        age = self._generation - grant.generation
        if age <= 1:
            if age:
                self._recent -= grant.cost
            else:
                self._fresh -= grant.cost
        if kind != LIVE:
            if kind & BEYOND and grant.at >= self._probing_since:
                self._probing -= grant.cost
            if kind & UNKNOWN:
                self._unknown_out -= 1
            if kind & ALONE:
                self._alone_until = -math.inf

    def refund(self, grant: Grant) -> None:
        """It never left."""
        if grant.kind:
            self._finish(grant)
            self._granted -= grant.cost

    def lost(self, grant: Grant, now: float) -> None:
        """It left, and no answer came: it counts as answered once it can no longer arrive."""
        if grant.kind:
            self._finish(grant)
            arrives_by, lost = now + self._slowest, self._lost
            if lost and arrives_by <= lost[-1][2]:
                lost[-1][0] = max(arrives_by, lost[-1][0])
                lost[-1][1] += grant.cost
            else:
                lost.append([arrives_by, grant.cost, arrives_by + self._grain])
            self._due_at = min(self._due_at, arrives_by)
            self._busy_least = -1

    def _count(self, cost: int, at: float) -> None:
        """A call has ended: the server may count it for a period more."""
        self._answered += cost
        log = self._log
        release_at = at + self._period + GUARD
        shared_by = at
        if log:
            newest = log[-1]
            if at <= newest[2]:
                newest[0] = release_at if release_at > newest[0] else newest[0]  # noqa: FURB136 - a call costs more
                newest[1] += cost
                return
            if release_at - newest[0] <= self._grain:
                shared_by += self._grain
        # The first after a pause opens the next period as soon as it can: it shares its entry with nobody.
        log.append([release_at, cost, shared_by])
        if release_at < self._due_at:  # noqa: PLR1730 - a call costs more
            self._due_at = release_at

    def answer(self, grant: Grant, now: float, said: RateLimit | None) -> None:  # noqa: C901 - one story, told in a row
        """An answer came; what it said, or `None` if nothing usable."""
        kind = grant.kind
        if not kind:
            return
        self._finish(grant)
        self._count(grant.cost, now)
        if now >= self._due_at:
            self._tidy(now)
        if now - grant.at > self._slowest:
            self._slowest = min(now - grant.at, 10.0)
        if said is None:
            self._hear_nothing(grant)
        else:
            limit, remaining = said.limit, said.remaining
            if (limit != self._limit_heard or not self._limit_settled) and limit is not None:
                self._hear_limit(limit, now, grant.at)
            if said.period is not None and said.period != self._period:
                self._hear_period(said.period)
            if said.throttled:
                self._refused(grant, now, said, kind)
            elif remaining is None or remaining > self._limit or DEAREST < remaining == self._last_remaining:
                self._hear_nothing(grant)
            else:
                self._hear(grant, now, remaining, kind)
            reset_in = said.reset_in
            if reset_in is not None and reset_in <= 1.5 * self._period:
                # The window's end counts when two answers agree.
                end, heard = now + reset_in, self._end_heard
                self._end = (end if end > heard else heard) if -SPREAD <= end - heard <= SPREAD else math.inf  # noqa: FURB136 - a call costs more
                self._end_heard = end
        if self._granted == self._answered:
            self._quiet(grant)
        self._heard_at = now

    def _grow(self, grant: Grant) -> None:
        """One more answer without a surprise: slow start, then one call more each round trip."""
        if grant.at < self._frozen_at:
            return
        self._backoff = 0
        if self._resumes:
            self._cwnd, self._resumes = max(self._cwnd, self._resumes), 0.0
        if self._cwnd < self._limit:
            cost = grant.cost
            more = cost if self._cwnd < self._ssthresh else cost * cost / self._cwnd
            self._cwnd = min(self._cwnd + more, self._limit)

    def _hear_nothing(self, grant: Grant) -> None:
        """An answer that does not say what is left: the ledger alone counts, and is learned by slow start."""
        self._busy_least = -1
        if self._unheard < SILENT_ANSWERS and not self._told:
            self._unheard += 1
            self.noted = self.noted or self.silent
        if self._probes < self._limit:
            self._probes = min(self._probes + grant.cost, self._limit)
        if self._cwnd < self._limit or self._backoff:
            self._grow(grant)

    def _hear(self, grant: Grant, now: float, remaining: int, kind: int) -> None:  # noqa: C901 - one story, told in a row
        """An answer says what is left."""
        self._last_remaining = remaining
        if kind & UNPAID:
            self._gap = max(self._gap / 1.5, self._period / 40)
        if remaining < self._busy_least:  # noqa: PLR1730 - a call costs more
            self._busy_least = remaining
        if remaining <= self._least:
            self._least, self._least_at = remaining, now
        elif grant.at >= self._least_at:
            if 0 <= self._least and remaining < min(self._least + self._limit / 16 + DEAREST, self._limit / 4):  # noqa: SIM300 - -1 is none
                self._refilled_at = now
            self._least, self._least_at = remaining, now
        self._probes = 0
        reach = remaining + self._granted
        if grant.top <= reach:
            if self._cwnd < self._limit or self._backoff:
                self._grow(grant)
            self._doubted = False
        elif self._doubted:
            self._doubt(now, reach)
        else:
            self._doubted = True
        edge = remaining + grant.upto - grant.before
        if edge > self._edge:
            self._rise(edge, now)
        else:
            self._rise_heard = False

    def _rise(self, edge: float, now: float) -> None:
        """More is advertised than before: the window has turned, or the server refills as it goes.

        One garbled answer must not open a window that has not turned. So a rise beyond the ledger that comes as a surprise counts
        when two answers in a row show it.
        """
        before, ledger = self._edge, self._limit + self._released
        some = self._limit / 16 + DEAREST
        if (
            edge > max(before, ledger) + some
            and before > -math.inf
            and not self._turn_due(now)
            and not self._rise_heard
        ):
            self._rise_heard = True
            self._edge = max(before, ledger)
            return
        self._edge = edge
        if edge - before > some:
            self._turned_at = now
            self._end = math.inf

    def _turn_due(self, now: float) -> bool:
        """May the server's window have turned, since the last one is a period old, or over by the server's own word?"""
        return now >= self._turned_at + self._period - 1.0 or -math.inf < self._ends_at() <= now

    def _doubt(self, now: float, reach: float) -> None:
        """Others spend of the same budget, or a price is wrong: one call at a time, by the server's latest word."""
        self._in_doubt = True
        self._doubt_until = now + 1.5 * self._period
        self._due_at = min(self._due_at, self._doubt_until)
        self._foreign = max(0, self._limit + self._released - reach)
        self._edge = min(self._edge, reach)
        self._cwnd = self._resumes = 0.0

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
                self._cwnd = self._resumes = 0.0
                self._freeze(now, backoff)
            self._busy_least = -1
            return
        # The first refusal's time is believed, unless it is none.
        self._freeze(now, wait if wait and self._backoff <= 1 else max(backoff, wait or 0.0))
        if wait:
            self._named_until = self._frozen_until
        self._margin = min(self._margin + MARGIN, self._limit / 64)
        self._doubt(now, self._granted)
        if not self._refills():
            self._foreign = 0  # The window that the freeze outlasts takes with it what others have spent.
        self._least, self._least_at, self._busy_least, self._probes = 0, now, -1, 0
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
        """An answer names a limit: a lower one counts at once, a higher one when two answers agree, the first ever at once.

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
        self._limit_settled = limit == self._limit == self._limit_before
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
        """Nothing is in flight: the least that was left since something was is what is left now, in whatever order answers came."""
        left, self._busy_least = self._busy_least, math.inf
        if left < 0 or left == math.inf:
            self._before_busy = -1
            return
        before, self._before_busy = self._before_busy, left
        began, granted = self._busy_from, self._granted
        self._busy_from = granted
        if granted + left > self._edge:
            ceiling = max(self._edge, self._limit + self._released) + self._limit / 16 + DEAREST
            self._edge = max(self._edge, min(granted + left, ceiling))
        if before > 0 and grant.upto - grant.cost == began and grant.upto == granted:
            price = grant.price
            drop = before - left
            if not drop == price.last == price.points or not price.known:
                self._sample(price, drop)

    # Time

    def _tidy(self, now: float) -> None:  # noqa: C901 - one story, told in a row
        """Do what time alone does."""
        lost, log = self._lost, self._log
        while lost and lost[0][0] <= now:
            at, points, _ = lost.pop(0)
            self._count(int(points), at)
        while log and log[0][0] <= now:
            self._released_at, released, _ = log.pop(0)
            self._released += int(released)
        aged = now - self._generation_at
        if aged >= PATIENCE / 2:
            self._recent = self._fresh if aged < PATIENCE else 0
            self._fresh = 0
            self._generation += 1 if aged < PATIENCE else 2
            self._generation_at = now
            if now > self._frozen_until + self._period:
                self._ssthresh = math.inf
            self._margin *= math.exp(-min(aged, self._period) / (5 * self._period))
        if self._in_doubt and now >= self._doubt_until:
            self._in_doubt = False
            self._foreign = 0
            self._edge = min(self._edge, self._answered + self._least)
        if self._cwnd and self._granted == self._answered and self._heard_at < now - PATIENCE:
            if self._in_doubt:
                self._cwnd = 0.0
            elif self._cwnd > IDLE_WINDOW:
                self._resumes = self._cwnd if now > self._doubt_until + 5 * self._period else 0.0
                self._cwnd = IDLE_WINDOW
        due_at = self._generation_at + PATIENCE / 2
        if log and log[0][0] < due_at:
            due_at = log[0][0]
        if lost and lost[0][0] < due_at:
            due_at = lost[0][0]
        if self._in_doubt and self._doubt_until < due_at:
            due_at = self._doubt_until
        self._due_at = due_at

    def next_at(self, now: float) -> float:
        """When to look again, if no answer comes before."""
        later = [
            self._frozen_until,
            self._probed_at + PATIENCE if self._granted > self._answered else math.inf,
            self._alone_until,
            self._ends_at() + SPREAD,
            self._generation_at + PATIENCE / 2 if self._fresh or self._recent else math.inf,
        ]
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
        """Do `more` points come back at most so many seconds after the next `points`?"""
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
        if now >= self._due_at:
            self._tidy(now)
        left = max(self._own(), self._edge - self._granted, 0)
        soon = left or self._granted > self._answered or self._window_over(now)
        first = now if soon else self.next_at(now)
        return max(first, self._frozen_until, now) - now + self._windows(points, left, spare=2)

    def likely_wait(self, now: float, points: int) -> float:
        """Seconds until so many points are granted, as things stand."""
        if now >= self._due_at:
            self._tidy(now)
        left = max(self._left(), 0)
        if points <= left:
            return max(0.0, self._frozen_until - now)
        first = self._log[0][0] if self._log else now + self._period
        if self._in_doubt:
            first = min(max(self._end, now), first)
        return max(first, self._frozen_until, now) - now + self._windows(points, left, spare=1)

    def _windows(self, points: int, left: float, *, spare: int) -> float:
        return max(0, math.ceil((points - left) / self._limit) - spare) * self._period

    # The reserve

    def kept(self, now: float, cost: int) -> int:
        """Points that a call of `BATCH` leaves to the priorities before it now; never what it needs of the whole limit.

        Those may ask for their share of the limit evenly. What they can ask for until as much has come back to us is kept for them, and
        a little more for calls that come at once; nothing if that is within a second.
        """
        share = self._share * self._limit
        # What was granted beyond the ledger comes back to nobody.
        wait = self._back_at(share + max(0, self._left() - self._own())) - now
        if wait <= 1.0:
            return 0
        need = share * wait / self._period
        return int(max(0.0, min(share, 3 + need + 2 * math.sqrt(need), self._limit - cost)))

    def _back_at(self, points: float) -> float:
        """When so many points have come back, or all that are out."""
        at = math.inf
        for at, more, _ in self._log:  # noqa: B007 - the last one counts
            points -= more
            if points <= 0:
                break
        return at
