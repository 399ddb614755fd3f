"""`Peer`, a member of a shared budget on a clock that the test sets, and states that were damaged.

A peer composes requests as `SharedAccount` does.
"""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any, Protocol, cast

import msgspec

from whereby_async.limiter import RateLimit
from whereby_async.limiter.shared.shared_core import (
    LOST,
    RELEASED,
    SETTLED,
    SPENT,
    Ask,
    End,
    Granted,
    SharedCore,
    StoreReply,
    StoreRequest,
    carry_out,
    unpacked,
)

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable, Iterator

LEASE = 15.0
PERIOD = 60.0

encode = msgspec.msgpack.Encoder().encode


def cold(limit: int | None = 100, period: float = PERIOD) -> bytes:
    """The state of a budget that has heard nothing yet."""
    core = SharedCore.cold(limit, period)
    core.coarsen()
    return encode(core)


class Place(Protocol):
    """Where a state lies."""

    def transact(self, said: StoreRequest, offer: bytes | None, now: float) -> tuple[StoreReply, bytes]: ...


class Here:
    """A state that lies in this process, as in a file.

    Attributes:
        state: What lies there.
    """

    def __init__(self) -> None:
        self.state: bytes | None = None

    def transact(self, said: StoreRequest, offer: bytes | None, now: float) -> tuple[StoreReply, bytes]:
        reply, after = carry_out(self.state or None, said, offer, now)
        self.state = after or b""
        return reply, self.state


class Call(msgspec.Struct):
    granted: Granted
    operation: str
    seed: int
    priority: int
    lease: int


class Peer:
    """One member.

    Attributes:
        name: What the store knows it by.
        wants: What it waits for, in the order in which it is to be served.
        out: Its calls that are out, in the order in which they went.
        ends: What it has to report, or has reported without having heard the answer.
        known: The last state that it was told.
        reply: What the store said last, heard or not.
        seq: Number of its last request.
        heard: Number of the last request whose answer it heard.
        tries: Requests that the last visit took.
        store_now: The store's time when it was heard last.
        lease_for: Seconds that it lives without a sign of life.
        period: Of its budget.
    """

    def __init__(
        self,
        place: Place,
        name: str,
        *,
        start: bytes | None = None,
        lease_for: float = LEASE,
        period: float = PERIOD,
    ) -> None:
        self.place = place
        self.name = name
        self.start = start or cold()
        self.period = period
        self.lease_for = lease_for
        self.wants: list[Ask] = []
        self.out: list[Call] = []
        self.ends: list[End] = []
        self.known: bytes | None = None
        self.reply: StoreReply | None = None
        self.seq = self.heard = self.tries = 0
        self.store_now = -math.inf

    def want(
        self, count: int = 1, *, cost: int = 1, operation: str = "", priority: int = 1, owed: bool = False
    ) -> Peer:
        ask = Ask(operation, cost, priority, count, owed)
        place = 0 if owed else sum(1 for each in self.wants if each.owed or each.priority <= priority)
        self.wants.insert(place, ask)
        return self

    def compose(self) -> StoreRequest:
        """What it says next."""
        self.seq += 1
        waits, calls = [0, 0, 0], [0, 0, 0]
        for ask in self.wants:
            waits[ask.priority] += ask.seed * ask.count
            calls[ask.priority] += ask.count
        for end in self.ends:
            end.seq = end.seq or self.seq
        core = None if self.known is None else unpacked(self.known)
        epoch, version = (0, 0) if core is None else core.version
        return StoreRequest(
            self.name,
            self.seq,
            self.heard,
            waits,
            calls,
            epoch,
            version,
            self.lease_for,
            ends=list(self.ends),
            asks=[msgspec.structs.replace(ask) for ask in self.wants],
        )

    def visit(self, now: float, *, hears: bool = True, said: StoreRequest | None = None) -> list[Call]:
        """Go to the store: which calls go. If it does not hear the answer, none."""
        said = said or self.compose()
        offers = [self.start] if self.known is None else [self.known, self.start]
        offer: bytes | None = None
        for self.tries in (1, 2, 3):
            reply, state = self.place.transact(said, offer, now)
            if not reply.unknown and (reply.stale or unpacked(state) is not None):
                break
            reply.damaged = reply.damaged or not reply.unknown
            said.discard = said.discard or reply.damaged
            assert offers, "the store does not keep what it is told"
            if len(offers) > 1 and self.store_now > reply.now + self.period:
                offers.pop(0)  # The clock has gone back.
            offer = offers.pop(0)
        else:
            raise AssertionError("three requests did not do")
        self.reply = reply
        return self.hear(said, reply, state) if hears and not reply.stale else []

    def hear(self, said: StoreRequest, reply: StoreReply, state: bytes) -> list[Call]:
        """The store's answer arrives: which calls go."""
        self.known, self.store_now = state, reply.now
        self.heard = said.seq
        self.ends = [end for end in self.ends if not 0 < end.seq <= said.seq]
        asked = list(self.wants)
        went: list[Call] = []
        for granted in reply.grants:
            ask = asked[granted.ask]
            ask.count -= 1
            went.append(Call(granted, ask.operation, ask.seed, ask.priority, reply.lease))
        self.wants = [ask for ask in self.wants if ask.count > 0]
        self.out += went
        return went

    def end(self, call: Call, how: int, said: RateLimit | None = None) -> None:
        """A call ends; the store hears of it with the next visit."""
        self.out.remove(call)
        g = call.granted
        self.ends.append(
            End(
                how, g.cost, 0, call.lease, call.operation, call.seed, g.at, g.before, g.upto, g.top, g.kind,
                said,
            )
        )  # fmt: skip

    def settle(self, *remaining: int, limit: int = 100) -> None:
        for left in remaining:
            self.end(self.out[0], SETTLED, RateLimit(limit=limit, remaining=left))

    def lose(self, count: int = 1) -> None:
        for _ in range(count):
            self.end(self.out[0], LOST)

    def release(self, count: int = 1) -> None:
        for _ in range(count):
            self.end(self.out[0], RELEASED)

    def spent(self, points: int) -> None:
        """So much was spent while the store was away."""
        self.ends.append(End(SPENT, points))


def points(calls: Iterable[Call]) -> int:
    return sum(call.granted.cost for call in calls)


def alike(one: Any, other: Any, where: str) -> None:
    """Are they the same, up to the last digits of a fraction?"""
    mine, theirs = (dict(_leaves(msgspec.to_builtins(each), "")) for each in (one, other))
    if mine == theirs:
        return
    for path in mine | theirs:
        a, b = mine.get(path, "nothing"), theirs.get(path, "nothing")
        close = isinstance(a, float) and isinstance(b, float) and math.isclose(a, b, rel_tol=1e-9)
        assert a == b or close, f"{where}, {path}: {a!r} here, {b!r} there"


def _leaves(thing: Any, path: str) -> Iterator[tuple[str, Any]]:
    """All numbers and texts within, and how long each list is, by where they are."""
    if isinstance(thing, dict):
        for key, value in cast("dict[str, Any]", thing).items():
            yield from _leaves(value, f"{path}.{key}")
    elif isinstance(thing, list):
        elements = cast("list[object]", thing)
        yield f"{path} has", len(elements)
        for place, value in enumerate(elements):
            yield from _leaves(value, f"{path}[{place}]")
    else:
        yield path, thing


# States that were damaged, and members that have to live with them

VALUES: tuple[Any, ...] = (
    0, 1, -1, -100, 2**31, 2**53, 2**63 - 1, -(2**63), 0.5, 1e300, -1e300, 1e12, math.nan, math.inf, -math.inf,
    "", "text", None, True, [], [1], [[1.0, 1, 1.0]], [None], {}, {"a": 1}, b"\x00",
)  # fmt: skip


def lived(rng: random.Random, now: float) -> bytes:
    """The state after some members have done this and that, until now."""
    here = Here()
    peers = [Peer(here, f"peer {number}", start=cold()) for number in range(3)]
    left = 100
    at = now - PERIOD
    while at < now:
        at += 1.0
        peer = rng.choice(peers)
        for call in list(peer.out)[: rng.randrange(4)]:
            left = left - call.granted.cost if left > 3 else 99
            how = rng.choice((SETTLED, SETTLED, SETTLED, RELEASED, LOST))
            peer.end(call, how, RateLimit(limit=100, remaining=left, reset_in=rng.choice((None, 20.0))))
        peer.want(rng.randrange(1, 4), operation=rng.choice(("", "a", "b")), priority=rng.randrange(3))
        peer.visit(min(at, now))
    assert here.state
    return here.state


def garbled(state: bytes, rng: random.Random) -> tuple[bytes, str]:
    """The bytes, damaged; and how."""
    kind = rng.randrange(6)
    if kind == 0:
        return state[: rng.randrange(len(state))], "cut"
    if kind == 1:
        return state + rng.randbytes(3), "longer"
    if kind == 2:
        rest = b"\x81\xa1z" + b"\x91" * 50_000
        return rng.choice(
            (b"", b"\x80", b"\x90", b"\xc0", b"\xff" * 9, b"{}", rest, rng.randbytes(40))
        ), "something else"
    damaged = bytearray(state)
    for _ in range(rng.choice((1, 1, 2, 8))):
        damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
    return bytes(damaged), "bits"


def senseless(state: bytes, rng: random.Random) -> tuple[bytes, str]:
    """The state with a few values that make no sense; and which."""
    held: dict[str, Any] = msgspec.msgpack.decode(state)
    said: list[str] = []
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        within, key, path = rng.choice(list(_places(held, "")))
        if isinstance(within, dict) and rng.random() < 0.2:
            cast("dict[str, Any]", within).pop(str(key), None)
            said.append(f"no {path}")
        else:
            within[key] = copy.deepcopy(rng.choice(VALUES))
            said.append(f"{path} = {within[key]!r}")
    return msgspec.msgpack.encode(held), ", ".join(said)


def _places(thing: Any, path: str) -> Iterator[tuple[Any, str | int, str]]:
    """Everything within, by what holds it."""
    pairs: list[tuple[Any, Any]] = []
    if isinstance(thing, dict):
        pairs = list(cast("dict[str, Any]", thing).items())
    elif isinstance(thing, list):
        pairs = list(enumerate(cast("list[object]", thing)))
    for key, value in pairs:
        yield thing, key, f"{path}.{key}"
        yield from _places(value, f"{path}.{key}")


def newcomer(place: Place, known: bytes | None, now: float) -> Peer:
    peer = Peer(place, "newcomer", start=cold())
    peer.known, peer.store_now = known, now if known else -math.inf
    return peer.want(3)


def goes_on(place: Place, known: bytes | None, now: float, how: str) -> None:
    """A member finds a state that can be used within three requests, and a call goes within two periods and a lease."""
    peer = newcomer(place, known, now)
    until = now + 2 * PERIOD + LEASE
    while not peer.visit(now):
        now += 1.0
        assert now < until, f"nothing goes: {how}"
    # What it says after that is heard, too.
    peer.settle(*[90] * len(peer.out))
    peer.visit(now + 0.1)
    assert peer.tries == 1, how


def is_answered(place: Place, known: bytes | None, now: float, how: str) -> None:
    """Whatever happens there, a member has an answer after three requests at most."""
    peer = newcomer(place, known, now)
    for _ in range(30):
        now += 3.0
        try:
            peer.visit(now)
        except Exception as error:
            error.add_note(how)
            raise
        for call in list(peer.out):
            peer.end(call, SETTLED, RateLimit(limit=100, remaining=50))
