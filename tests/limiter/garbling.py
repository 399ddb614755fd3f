"""States that were damaged in some way, and members that have to live with them."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any, cast

import msgspec

from limiter.peers import LEASE, Here, Peer, Place, cold
from whereby_async.limiter import RateLimit
from whereby_async.limiter.shared.shared_core import LOST, RELEASED, SETTLED

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

PERIOD = 60.0
VALUES: tuple[Any, ...] = (
    0, 1, -1, -100, 2**31, 2**53, 2**63 - 1, -(2**63), 0.5, 1e300, -1e300, 1e12, math.nan, math.inf, -math.inf,
    "", "text", None, True, [], [1], [[1.0, 1, 1.0]], [None], {}, {"a": 1}, b"\x00",
)  # fmt: skip


def lived(rng: random.Random, now: float) -> bytes:
    """The state after some members have done this and that, until now."""
    here = Here()
    peers = [Peer(here, f"peer {number}", start=cold()) for number in range(3)]
    left = 100
    at = now - 60.0
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
    """A member that waits; it may know a state."""
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
