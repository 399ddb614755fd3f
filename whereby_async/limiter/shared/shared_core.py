"""`SharedCore`: the budget of many processes by one clock. `Core`, and who its members are, as arithmetic on plain
numbers.

The state lies in a store: a file, or Redis. A *member* is one event loop of one process. It sends *requests*: what has
ended since, and what it wants points for. The store answers each with `transact`, from beginning to end before it does
anything else.

**Nothing is counted twice, and nothing is lost.** A request may have been carried out although its answer never came.
So requests are numbered; each says up to which one answers were heard, and repeats the ends of those that were not.
Grants that were not heard are taken back. A member that has calls out or waits gives a sign of life every few seconds.
Once it has given none for its lease, its calls count as lost: they may still arrive, and count for a period from then.
Whatever it says of those calls later moves no points.

**Sharing.** A priority goes before all lower ones, in whatever process they wait: what a higher one asks for elsewhere
is kept from the lower ones. Within a priority the members that wait share what is available evenly, by points: one may
take what makes it equal to the others, counting what each was granted of late (`had`, which fades with the period), or
if none of the others has had less. A member leaves something to another only until the moment at which that one was to
come, and `LATE` longer; and not once nobody has taken anything for twice as long, since it may suit nobody else.

**A store may forget**: a file is deleted, a server is flushed, a replica that lags takes over. Each member keeps the
last state that it was told. One that knows more than the store does offers its own, and the store takes it over
(`succeed`). What was out then counts as spent, every lease is void, and for a pause nobody is granted anything, so that
others who know even more can say so. Then one call goes first, as at a cold start. What was spent without the store
counts from when it is told, after the same pause if the store was away for all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Final

import msgspec

from ...notify import CostChangeDetails
from ...rate_limit import RateLimit
from ..core import LIVE, NO, UNKNOWN, Core, Grant, Price

LATE: Final = 0.5  # seconds that points are left for a member beyond the moment at which it was to come for them
PAUSE: Final = 0.3
MOST_PAUSE: Final = 2.5
"""A tenth of a period, but not less and not more seconds: in that time members can tell what they know, after a store
was away or has lost its state."""
UNSEEN: Final = 0.05
"""Part of its share that a process leaves unused in the period in which the store goes away: others were granted it
meanwhile, unseen."""
COARSE_GRAIN: Final = 1 / 128  # part of a period within which answers share one entry of the spend log; see `GRAIN`
DEAREST_CALL: Final = 10  # points that the dearest call costs that is documented
BATCH: Final = 2  # `Priority.BATCH`

# How calls end.
SETTLED: Final = 0  # answered
RELEASED: Final = 1  # never sent
LOST: Final = 2  # sent, without an answer
SPENT: Final = 3  # granted and ended while the store was away


class End(msgspec.Struct):
    """A call has ended."""

    how: int  # `SETTLED`, `RELEASED`, `LOST` or `SPENT`
    cost: int  # points that it was charged
    seq: int = 0  # number of the first request that says so
    lease: int = 0  # the member's lease when it was granted
    operation: str = ""  # as of `Ask`
    seed: int = 1  # as of `Ask`
    at: float = 0.0  # as of `Grant`, and so on
    before: int = 0
    upto: int = 0
    top: float = 0.0
    kind: int = LIVE
    said: RateLimit | None = None  # what the answer said; `None` if nothing usable


class Ask(msgspec.Struct):
    """Calls of one operation that want points, in the order in which they are to be served."""

    operation: str  # its name; empty if its price is pinned
    seed: int  # points that the caller named, or pinned
    priority: int
    count: int = 1
    owed: bool = False  # they have waited for a period


class StoreRequest(msgspec.Struct):
    """What a member says."""

    member: str  # who it is
    seq: int  # number of the request
    heard: int  # number of the last request whose answer was heard
    waits: list[int]  # points that it waits for, by priority, these included
    calls: list[int]  # calls that wait, by priority
    epoch: float = 0.0  # epoch of the state that it was told last
    version: int = 0  # version of that state
    lease_for: float = 15.0  # seconds that it lives without a sign of life
    poll: float = 0.05  # seconds after which it comes again if it waits for what others are doing
    discard: bool = False  # what the store has makes no sense to it
    ends: list[End] = []  # what has ended
    asks: list[Ask] = []  # what it wants points for


class Granted(msgspec.Struct):
    """One call may go; see `Grant`."""

    ask: int
    cost: int
    at: float
    before: int
    upto: int
    top: float
    kind: int


class StoreReply(msgspec.Struct):
    """What the store answers."""

    now: float = 0.0  # the store's time
    lease: int = 0  # the member's lease
    again_in: float = 0.0  # seconds after which it is to come again if it waits for anything
    grants: list[Granted] = []  # what may go
    stale: bool = False  # the request came after a later one, and counted for nothing
    unknown: bool = False  # the store has no state, or an older one than the member: it is to offer its own
    damaged: bool = False  # what the store had could not be read


class Member(msgspec.Struct):
    """One event loop of one process."""

    id: str  # who it is
    waits: list[int]  # points that it waits for, by priority
    calls: list[int]  # calls that wait, by priority
    lease: int = 0  # number of its lease; 0 if that has ended
    lease_for: float = 15.0  # seconds that it lives without a sign of life
    seq: int = 0  # number of its last request
    seen: float = 0.0  # when that came
    due: float = 0.0  # when it is to come again
    flight: int = 0  # points of its calls that are out
    unknown: int = 0  # calls among them whose price is not known
    had: float = 0.0  # points that it was granted of late
    unheard: list[list[int]] = []  # cost and kind of what it was granted last
    granted_at: float = 0.0  # when


def pause_of(period: float) -> float:
    """Seconds in which all members that were cut off have come back."""
    return min(max(period / 10, PAUSE), MOST_PAUSE)


def booked_grant(  # noqa: PLR0913, PLR0917 - what `book` says
    cost: int, price: Price, at: float, before: int, upto: int, top: float, kind: int,
    owner: int, core: object, order: int,  # noqa: ARG001 - the store does not need them
) -> Grant:  # fmt: skip
    """What the store keeps of a grant."""
    return Grant(cost, price, at, before, upto, top, kind)


@dataclass(slots=True, eq=False)
class SharedCore(Core):
    """The budget of many processes by one clock."""

    first_period: float = 60.0
    _epoch: float = 0.0
    _version: int = 0
    # Where this epoch began.
    _base_epoch: float = 0.0
    _base_version: int = 0
    _base_granted: int = 0
    _held_until: float = -math.inf
    _now: float = -math.inf
    _leases: int = 0
    _members: list[Member] = field(default_factory=list[Member])
    _adopted: int = -1
    _served_at: float = -math.inf
    _alone: str = ""
    _alone_by: float = -math.inf

    # Transactions

    def fits(self, said: StoreRequest, now: float) -> bool:
        """May a request be answered by this state? Not if the member knows more, or the clock has gone back by more
        than a period.
        """
        if now < self._now - self._period:
            return False
        if said.epoch == self._epoch:
            return said.version <= self._version
        return said.epoch != self._base_epoch or said.version <= self._base_version

    def transact(self, said: StoreRequest, now: float) -> StoreReply:  # noqa: C901 - one story, told in a row
        """Carry out a request."""
        now = max(now, self._now)
        silence = now - self._now
        self._look_after(now)
        self._tidy(now)
        member = self._member(said.member)
        if said.seq <= member.seq:
            return StoreReply(now, stale=True)
        self._version += 1
        member.seen = now
        member.lease_for = said.lease_for
        if member.lease == 0:
            self._leases += 1
            member.lease = self._leases
        booked = member.seq
        member.seq = said.seq
        if said.heard < booked:
            self._take_back(member)
        member.unheard = []
        for ended in said.ends:
            if ended.seq > booked:
                self._end_call(member, ended, now)
                if (
                    ended.how == SPENT
                    and silence > pause_of(self._period)
                    and now > self._held_until + pause_of(self._period)
                ):
                    # The store was away for all, so others have something to report, too.
                    self._hold(now)
        # Copies: where a request fails half way it is sent once more, as it was.
        member.waits = [said.waits[0], said.waits[1], said.waits[2]]
        member.calls = [said.calls[0], said.calls[1], said.calls[2]]
        reply = StoreReply(now, member.lease)
        left_to_others = now >= self._held_until and self._serve(member, said.asks, now, reply.grants)
        again_at = self.next_at(now)
        if now < self._held_until:
            again_at = self._held_until
        elif now >= self._frozen_until and (left_to_others or self._granted - self._answered > member.flight):
            again_at = min(again_at, now + said.poll)
        reply.again_in = again_at - now
        member.due = again_at
        self._changes = []
        return reply

    def succeed(self, other: SharedCore | None, now: float) -> None:
        """Become the store's state, in place of what it has."""
        now = max(now, self._now)
        self._base_epoch, self._base_version = self._epoch, self._version
        if other is not None:
            # What it has granted beyond this one. All of that may be known; what counts no longer surely is not missed.
            missed = other._granted - max(other._base_granted, other._released)  # noqa: SLF001 - of its own class
            self._spend(missed, now)
            self._version = max(self._version, other._version)  # noqa: SLF001 - as above
        self._count(self._granted - self._answered, now)
        self._lost = []
        self._fresh = self._recent = self._probing = self._unknown_out = 0
        self._alone_until = -math.inf
        self._members = []
        self._epoch = now
        self._base_granted = self._granted
        if self._version > 0:
            self._hold(now)

    def adopt(self, granted: int, released: int, now: float) -> None:
        """Processes of another version have granted so many points ever, by books of their own, of which so many do not
        count any more.
        """
        seen = self._adopted if self._adopted >= 0 else released
        self._spend(granted - seen, max(now, self._now))
        self._adopted = granted

    def _hold(self, now: float) -> None:
        """Grant nothing for a while, and then one call first."""
        self._held_until = now + pause_of(self._period)
        self._cwnd = self._resumes = 0.0

    # Members

    def _look_after(self, now: float) -> None:
        """Let what members had fade, and end the leases of those that give no sign of life."""
        faded = math.exp((self._now - now) / self._period) if self._now > -math.inf else 1.0
        self._now = now
        dead = 0
        for member in self._members:
            member.had *= faded
            silent = now - member.seen
            if member.lease and silent > member.lease_for:
                # Who was only held up may still send them.
                calls = Grant(member.flight, self.price("", 1), member.seen, 0, 0, 0.0, LIVE)
                self.lost(calls, member.seen + member.lease_for)
                self._unknown_out -= member.unknown
                member.lease = member.flight = member.unknown = 0
                member.unheard = []
            if silent > self._period and silent > member.lease_for:
                dead += 1
        if dead:
            members = self._members
            self._members = []
            for member in members:
                if now - member.seen <= self._period or now - member.seen <= member.lease_for:
                    self._members.append(member)

    def _member(self, name: str) -> Member:
        for member in self._members:
            if member.id == name:
                return member
        member = Member(name, [0, 0, 0], [0, 0, 0])
        self._members.append(member)
        return member

    def _take_back(self, member: Member) -> None:
        """What it was granted last, it has not heard of."""
        plain = self.price("", 1)
        for cost, kind in member.unheard:
            self.refund(Grant(cost, plain, member.granted_at, 0, 0, 0.0, kind))
            member.flight -= cost
            member.had -= cost
            if kind & UNKNOWN:
                member.unknown -= 1

    def _end_call(self, member: Member, ended: End, now: float) -> None:
        """A call of this member has ended."""
        if ended.how == SPENT:
            self._spend(ended.cost, now)
            return
        cost, kind, price = ended.cost, ended.kind, self.price(ended.operation, ended.seed)
        if ended.lease == member.lease:
            member.flight -= cost
            if kind & UNKNOWN:
                member.unknown -= 1
        else:
            # Its points count as spent already.
            cost, kind, price = 0, LIVE, self.price("", ended.seed)
            self._unsaid = True
        grant = Grant(cost, price, ended.at, ended.before, ended.upto, ended.top, kind)
        if ended.how == SETTLED:
            self.answer(grant, now, ended.said)
        elif ended.how == RELEASED:
            self.refund(grant)
        else:
            self.lost(grant, now)

    def _spend(self, points: int, now: float) -> None:
        """So many points were spent that this state knows nothing of."""
        if points > 0:
            self._granted += points
            self._count(points, now)

    # Sharing

    def _serve(  # noqa: C901, PLR0912, PLR0915 - one story, told in a row
        self, member: Member, asks: list[Ask], now: float, grants: list[Granted]
    ) -> bool:
        """Grant what can be granted; was something left to others?"""
        if self._alone and self._alone != member.id and now < self._alone_by:
            return True
        priority = index = -1
        higher, fair, least = 0, math.inf, math.inf
        for ask in asks:
            index += 1
            if ask.priority != priority:
                priority = ask.priority
                higher, waiting, had, least = 0, 1, member.had, math.inf
                for other in self._members:
                    if other.id != member.id and now <= other.due + LATE:
                        higher += other.waits[0] if priority > 0 else 0
                        higher += other.waits[1] if priority > 1 else 0
                        if other.waits[priority] > 0:
                            waiting += 1
                            had += other.had
                            least = min(least, other.had)
                fair = (had + self.available(now)) / waiting
            count = 0
            while count < ask.count:
                price = self.price(ask.operation, ask.seed)
                cost = price.points
                others_come = now <= self._served_at + 2 * LATE
                if member.had > least and member.had + cost > fair and others_come and self.available(now) >= cost:
                    return True
                kept = higher
                if ask.owed:
                    # It stands before what waits here in higher priorities.
                    kept += member.waits[0] if priority > 0 else 0
                    kept += member.waits[1] if priority > 1 else 0
                owed = ask.owed and kept > 0 and self.owes(now)
                if owed:
                    kept = 0
                if priority == BATCH:
                    kept += self.kept(now, cost)
                verdict = self.decide(now, price, kept)
                if verdict == NO:
                    if not price.known and cost + kept <= self._word and self._goes_alone(self._word):
                        # It has to go alone, so nobody else goes until it has gone.
                        self._alone, self._alone_by = member.id, now + 2 * LATE
                        return True
                    if ask.owed:
                        break
                    return higher > 0 and self.available(now) >= cost
                self._alone = ""
                self._served_at = now
                booked = self.book(booked_grant, index, price, now, verdict, 0)
                member.flight += cost
                member.had += cost
                member.waits[priority] -= cost
                member.calls[priority] -= 1
                member.unheard.append([cost, booked.kind])
                member.granted_at = now
                if booked.kind & UNKNOWN:
                    member.unknown += 1
                if owed:
                    self.pay_owed(cost)
                grants.append(Granted(index, cost, now, booked.before, booked.upto, booked.top, booked.kind))
                count += 1
        return False

    # What only a member needs

    def coarsen(self) -> None:
        """Keep the spend log short, since all of it travels with each transaction."""
        self.first_period = self._period
        self._grain = self._period * COARSE_GRAIN

    def others(self, names: set[str]) -> list[Member]:
        """The members that wait, but for these."""
        return [member for member in self._members if member.id not in names and max(member.waits) > 0]

    @property
    def members(self) -> int:
        """How many there are."""
        return len(self._members)

    @property
    def version(self) -> tuple[float, int]:
        """Epoch and version."""
        return self._epoch, self._version

    def follow(self, told: SharedCore, shift: float) -> list[CostChangeDetails]:  # noqa: C901 - one story
        """Become what the store is, with times moved to another clock; which prices have changed.

        Prices are objects that waiting calls hold, so they stay, and take the new values. Pinned ones are this
        process's own.
        """
        changes: list[CostChangeDetails] = []
        prices, plain = self._prices, self._plain_prices
        for name in _FIELDS:
            value = getattr(told, name)
            setattr(self, name, value + shift if name in _TIMES else value)
        self._prices, self._plain_prices = prices, plain
        for operation, price in told._prices.items():
            mine = prices.get(operation)
            if mine is None:
                mine = prices[operation] = Price(operation, price.seed, price.seed)
            if mine.pinned:
                continue
            if mine.points != price.points:
                changes.append(CostChangeDetails(operation=operation, old=mine.points, new=price.points))
            for name in _LEARNED:
                setattr(mine, name, getattr(price, name))
        for entry in (*self._log, *self._lost):
            entry[0] += shift
            entry[2] += shift
        for member in self._members:
            member.seen += shift
            member.due += shift
        return changes

    def part(self, share: float, now: float) -> None:
        """Become the budget of one process alone: it has this share of the limit, and of what comes back."""
        self._count(self._granted - self._answered, now)
        self._lost = []
        for entry in self._log:
            entry[1] = math.ceil(entry[1] * share)
        self._granted = self._answered = int(sum(points for _, points, _ in self._log))
        self._spend(int(part_of(self._limit, share) * UNSEEN), now)
        self._released = 0
        # What was advertised may be others' by now: one call asks.
        self._edge = min(self._edge, self._granted)
        self._latest = self._granted if self._in_doubt else math.inf
        self._least, self._least_from, self._quiet_left = -1, 0, -1
        self._foreign *= share
        self._limit = self._limit_before = part_of(self._limit, share)
        self._limit_heard, self._limit_settled = None, 0
        self._cwnd = self._resumes = 0.0
        self._fresh = self._recent = self._probing = self._unknown_out = 0
        self._held_until = -math.inf
        self._members = []

    def answer_alone(self, grant: Grant, now: float, said: RateLimit | None, share: float) -> None:
        """An answer came to a process that goes by its share. What it says of prices is not to be had from a share."""
        if said is not None:
            limit = said.limit if said.limit is None else part_of(said.limit, share)
            remaining = said.remaining if said.remaining is None else int(said.remaining * share)
            said = msgspec.structs.replace(said, limit=limit, remaining=remaining)
        self._quiet_left = -1
        self.answer(grant, now, said)
        # What others leave of theirs is told to all of them, so nobody takes it.
        self._edge = min(self._edge, self._limit + self._released)


def part_of(limit: int, share: float) -> int:
    """Points per period that a share comes to: enough for any call that is documented, at least."""
    return max(int(limit * share), min(limit, DEAREST_CALL))


_FIELDS: Final = [each.name for each in fields(SharedCore)]
_LEARNED: Final = [each.name for each in fields(Price) if each.name not in {"operation", "seed", "pinned"}]
_TIMES: Final = frozenset((
    "_released_at", "_fresh_since", "_recent_since", "_turned_at", "_refilled_at", "_end", "_heard_at",
    "_frozen_until", "_frozen_at", "_named_until", "_doubt_until", "_probed_at", "_lowered_at", "_alone_until",
    "_due_at", "_held_until", "_now", "_owed_since", "_served_at", "_alone_by",
))  # fmt: skip
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(SharedCore).decode


def unpacked(state: bytes) -> SharedCore | None:
    """The state; `None` if it is none."""
    try:
        return _decode(state)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def carry_out(
    state: bytes | None, said: StoreRequest, offer: bytes | None, now: float
) -> tuple[StoreReply, bytes | None]:
    """Answer a request by a state: the reply, and the state after it, which is `None` if there is still none.

    A server does the same in its own language.
    """
    core = None if state is None or said.discard else unpacked(state)
    damaged = state is not None and core is None
    try:
        if core is None or not core.fits(said, now):
            mine = None if offer is None else unpacked(offer)
            if mine is None:
                return StoreReply(now, unknown=True, damaged=damaged), state
            mine.succeed(core, now)
            core = mine
        return core.transact(said, now), _encode(core)
    except (ArithmeticError, LookupError, TypeError, ValueError):
        # It can be read, and makes no sense.
        return StoreReply(now, unknown=True, damaged=True), None
