"""The rules in the store are the rules in Python: both give the same replies and states for random histories.

States that were damaged stop nobody.
"""

# pyright: reportPrivateUsage=false
# What is kept inside is compared.

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import random
from typing import Any

import msgspec
import pytest
from support.peers import LEASE, Call, Peer, alike, cold, encode, garbled, goes_on, is_answered, lived, senseless

from whereby_async.limiter import RateLimit
from whereby_async.limiter.redis.connection import script
from whereby_async.limiter.shared.shared_core import (
    LOST,
    RELEASED,
    SETTLED,
    StoreReply,
    StoreRequest,
    carry_out,
    unpacked,
)

STEPS = 350
NOW = 1_700_000_000.0
_CLOCK = "local now = tonumber(time[1]) + tonumber(time[2]) / 1000000"
_decode = msgspec.msgpack.Decoder(StoreReply).decode
PRICES = {"": 0, "rooms.create": 3, "rooms.list": 1, "a b": 0, "räume.löschen": 2, "1": 5, "end": 2}
"""What operations really cost, where that is not what the caller says."""
OPERATIONS = ("", *PRICES)
GARBAGE = (0, 1, 2, 5, 7, 17, 100, 990, 1_000_000, 2_000_000_000)


class Scripted:
    """A state that lies in a real store, where the script answers; but the test sets the clock."""

    def __init__(self, client: Any, name: str) -> None:
        source = script()
        assert source.count(_CLOCK) == 1
        self._run = client.register_script(source.replace(_CLOCK, "local now = tonumber(ARGV[4])"))
        self._client = client
        self.keys = [f"whereby:{{{name}}}:2", f"whereby:{{{name}}}:1"]

    def transact(self, said: StoreRequest, offer: bytes | None, now: float) -> tuple[StoreReply, bytes]:
        reply, state = self._run(keys=self.keys, args=[encode(said), offer or b"", 60_000, repr(now)])
        return _decode(reply), state

    @property
    def state(self) -> bytes | None:
        held: bytes | None = self._client.hget(self.keys[0], "state")
        return held[8:] if held else held

    @state.setter
    def state(self, state: bytes | None) -> None:
        if state is None:
            self._client.delete(self.keys[0])
        else:
            checksum = hashlib.sha1(state, usedforsecurity=False).hexdigest()[:8].encode()
            self.write(checksum + state if state else b"")

    @property
    def held(self) -> bytes:
        held: bytes = self._client.hget(self.keys[0], "state")
        return held

    def write(self, held: bytes) -> None:
        self._client.hset(self.keys[0], "state", held)

    def write_books(self, granted: int, released: int) -> None:
        """Processes of the version before have spent."""
        books = {"ledger": {"granted": granted, "ageing": {"released": released}}}
        self._client.hset(self.keys[1], "books", encode(books))


class Twice:
    """Python and the store's script, side by side: they answer alike, and keep the same state."""

    def __init__(self, scripted: Scripted, rng: random.Random) -> None:
        self.scripted = scripted
        self.state: bytes | None = None
        self.books: tuple[int, int] | None = None
        self.steps = 0
        self._rng = rng

    def transact(self, said: StoreRequest, offer: bytes | None, now: float) -> tuple[StoreReply, bytes]:
        self.steps += 1
        text = encode(said)
        before = self.state
        reply, after = self._by_python(said, offer, now)
        theirs, state = self.scripted.transact(msgspec.msgpack.decode(text, type=StoreRequest), offer, now)
        where = f"step {self.steps}, {now=}"
        alike(reply, theirs, where)
        self.state = after or None
        if reply.unknown and not reply.damaged:
            assert not state
            assert after == before
        alike(plain_state(self.state), plain_state(self.scripted.state), where)
        # What a member keeps, and may offer, is now the one and now the other.
        return theirs, state if self._rng.random() < 0.5 else after or b""

    def _by_python(self, said: StoreRequest, offer: bytes | None, now: float) -> tuple[StoreReply, bytes | None]:
        if self.books is None:
            return carry_out(self.state, said, offer, now)
        # Only the script knows the books of the version before.
        core = None if self.state is None or said.discard else unpacked(self.state)
        if core is None or not core.fits(said, now):
            mine = None if offer is None else unpacked(offer)
            if mine is None:
                return StoreReply(now, unknown=True, damaged=self.state is not None and core is None), self.state
            mine.succeed(core, now)
            core = mine
        core.adopt(*self.books, now)
        return core.transact(said, now), encode(core)

    def go_back_to(self, state: bytes | None) -> None:
        """An earlier state is there again, as on a replica that lagged; or none."""
        self.state = state or None
        self.scripted.state = state

    def write_books(self, granted: int, released: int) -> None:
        """Processes of the version before have spent."""
        self.books = granted, released
        self.scripted.write_books(granted, released)


def plain_state(state: bytes | None) -> Any:
    """What a state holds, but for the prices that are a cache."""
    if not state:
        return None
    core = unpacked(state)
    if core is None:
        return state
    held = msgspec.to_builtins(core)
    del held["_plain_prices"]
    return held


class History:
    """What happens to a few members, by chance."""

    def __init__(self, place: Twice, rng: random.Random) -> None:
        self.place = place
        self.rng = rng
        self.now = 1_700_000_000.0 + rng.random()
        # How much goes wrong, and how many members there are.
        self.noise = rng.choice((0.0, 0.1, 1.0, 1.0))
        self.most = rng.randint(1, 5)
        self.two_versions = rng.random() < 0.3
        self.many_prices = rng.random() < 0.1
        self.limit = rng.choice((5, 20, 100, 100, 1000))
        self.period = rng.choice((4.0, 60.0, 60.0))
        self.left = self.limit
        self.window_ends = self.now
        self.peers: list[Peer] = []
        self.silent: dict[str, float] = {}
        self.said: list[StoreRequest] = []
        self.kept: list[bytes] = []
        self.names = 0
        self.granted = self.refused = self.stale = self.unknown = 0

    def step(self) -> None:
        rng = self.rng
        self.pass_time()
        if not self.peers or (len(self.peers) < self.most and rng.random() < 0.02):
            self.names += 1
            lease_for = rng.choice((2.0, LEASE, LEASE))
            start = cold(rng.choice((None, self.limit, 100)), self.period)
            self.peers.append(
                Peer(self.place, f"peer {self.names}", start=start, lease_for=lease_for, period=self.period)
            )
        peer = rng.choice(self.peers)
        if self.silent.get(peer.name, -math.inf) > self.now:
            return
        if rng.random() < 0.004 * self.noise:
            self.silent[peer.name] = self.now + rng.choice((peer.lease_for, peer.lease_for + 1.0, 2 * self.period))
        if len(self.peers) > 1 and rng.random() < 0.005 * self.noise:
            self.peers.remove(peer)
            return
        self.happen_to_store()
        self.end_calls(peer)
        self.ask(peer)
        self.visit(peer)

    def pass_time(self) -> None:
        """Time goes on; where things go wrong it goes back, too."""
        rng, period = self.rng, self.period
        peer = rng.choice(self.peers) if self.peers else None
        # The moment at which somebody was to come again.
        again_in = peer.reply.again_in if peer and peer.reply else 0.0
        steps: list[tuple[float, float]] = [
            (10, 0.0),
            (50, rng.random() * 0.3),
            (15, rng.choice((1.0, 2.0, 0.5, period / 4, period / 128))),
            (10, again_in if again_in < 2 * period else 0.0),
            (12, rng.random() * period / 4),
            (1.5, rng.choice((period, period + 0.02, 3 * period * rng.random()))),
            (0.8 * self.noise, -rng.random()),
            (0.3 * self.noise, -rng.random() * 3 * period),
            (0.2, 100 * period),
        ]
        weights, lengths = zip(*steps, strict=True)
        self.now += rng.choices(lengths, weights)[0]

    def happen_to_store(self) -> None:
        """It is deleted, or becomes what it was, or the version before writes."""
        rng, place = self.rng, self.place
        if rng.random() < 0.1 and place.state:
            self.kept = [*self.kept[-9:], place.state]
        kind = rng.random() / (self.noise or 0.01)
        if kind < 0.003:
            place.go_back_to(None)
        elif kind < 0.007 and self.kept:
            place.go_back_to(rng.choice(self.kept))
        elif place.books is not None and kind < 0.1:
            granted = place.books[0] + rng.choice((0, 1, 3, -1))
            place.write_books(granted, min(place.books[1] + rng.choice((0, 1)), granted))
        elif kind < 0.009 and self.noise == 1.0:
            place.go_back_to(rng.choice((b"", b"no state")))
        elif self.two_versions and place.books is None:
            place.write_books(rng.randrange(1000), 0)

    def serve(self, call: Call) -> RateLimit | None:
        """What the server answers, if anything; it may be garbled."""
        rng = self.rng
        if self.now >= self.window_ends or self.window_ends > self.now + self.period:
            self.left, self.window_ends = self.limit, self.now + self.period
        if rng.random() < 0.02 * self.noise:
            self.left = max(0, self.left - rng.randrange(10))
        kind = rng.random() / (self.noise or 0.2)
        if kind < 0.05:
            return None
        if kind < 0.1:
            return self.garbage()
        reset_in = rng.choice((None, self.window_ends - self.now, float(round(self.window_ends - self.now))))
        cost = PRICES.get(call.operation, 1) or call.seed
        if self.left < cost or kind < 0.12:
            wait = rng.choice((None, reset_in, 1.0, 0.0, 2.5))
            left = rng.choice((None, self.left))
            return RateLimit(limit=self.limit, remaining=left, reset_in=reset_in, retry_after=wait, throttled=True)
        self.left -= cost
        return RateLimit(limit=self.limit, remaining=self.left, reset_in=reset_in)

    def garbage(self) -> RateLimit:
        rng = self.rng
        return RateLimit(
            limit=rng.choice((None, rng.choice(GARBAGE[1:]))),
            remaining=rng.choice((None, rng.choice(GARBAGE))),
            reset_in=rng.choice((None, 0.0, rng.random() * 3600)),
            retry_after=rng.choice((None, 0.0, rng.random() * self.period, 2.0)),
            throttled=rng.random() < 0.2,
            period=rng.choice((None, None, self.period, 2 * self.period, 4.0)),
        )

    def end_calls(self, peer: Peer) -> None:
        rng = self.rng
        some = rng.choice((0.0, 0.3, 1.0, 1.0)) if self.noise else 1.0
        for call in list(peer.out):
            if rng.random() >= some:
                continue
            kind = rng.random() * (self.noise or 0.9)
            if kind < 0.85:
                peer.end(call, SETTLED, self.serve(call))
            elif kind < 0.93:
                peer.end(call, RELEASED)
            elif kind < 0.98:
                peer.end(call, LOST)
            else:
                peer.out.remove(call)
        if rng.random() < 0.01 * self.noise:
            peer.spent(rng.randrange(20))

    def ask(self, peer: Peer) -> None:
        rng = self.rng
        if rng.random() < 0.05:
            peer.wants.clear()
        while rng.random() < 0.4 and len(peer.wants) < 6:
            operation = rng.choice(OPERATIONS)
            if self.many_prices and rng.random() < 0.7:
                operation = rng.choice(("", f"operation-{rng.randrange(400)}"))
            peer.want(
                rng.choice((1, 1, 2, 5, 40)),
                cost=rng.randrange(1, 400) if self.many_prices and not operation else rng.choice((1, 1, 1, 2, 5, 10)),
                operation=operation,
                priority=rng.randrange(3),
                owed=rng.random() < 0.1,
            )

    def visit(self, peer: Peer) -> None:
        """It goes to the store; now and then its answer is lost, or an old request comes late."""
        rng = self.rng
        said = peer.compose()
        if rng.random() < 0.002 * self.noise:
            said.discard = True
        if rng.random() < 0.002 * self.noise:
            said.epoch += rng.choice((-1, 1))
        if rng.random() < 0.02:
            self.said = [*self.said[-9:], msgspec.structs.replace(said, ends=list(said.ends))]
        self.granted += len(peer.visit(self.now, hears=rng.random() >= 0.03 * self.noise, said=said))
        self.unknown += peer.tries > 1
        if self.said and rng.random() < 0.02:
            late = rng.choice(self.said)
            reply, _ = self.place.transact(late, None, self.now)
            self.stale += reply.stale


def _run(client: Any, name: str, seed: int, steps: int) -> History:
    rng = random.Random(seed)
    history = History(Twice(Scripted(client, name), rng), rng)
    for _ in range(steps):
        history.step()
    return history


@pytest.mark.parametrize("seed", range(12))
def test_both_answer_alike(client: Any, name: str, seed: int) -> None:
    history = _run(client, name, seed, STEPS)
    assert history.granted > 10
    assert history.place.steps > STEPS / 2


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_both_answer_alike_for_long(client: Any, name: str) -> None:
    """Tens of thousands of steps; `WHEREBY_SEED` chooses others."""
    first = int(os.environ.get("WHEREBY_SEED", "1000"))
    total = 0
    for seed in range(first, first + 40):
        total += _run(client, f"{name}-{seed}", seed, 1500).place.steps
    assert total > 40_000


@pytest.mark.parametrize("seed", range(6))
def test_damaged_state_stops_nobody(client: Any, name: str, seed: int) -> None:
    rng = random.Random(seed)
    place = Scripted(client, name)
    state = lived(rng, NOW)
    for _ in range(20):
        place.state = state
        held, how = garbled(place.held, rng)
        place.write(held)
        goes_on(place, rng.choice((state, None)), NOW, how)


@pytest.mark.parametrize("seed", range(6))
def test_state_that_makes_no_sense_is_answered(client: Any, name: str, seed: int) -> None:
    """Its checksum is right, and the script raises nothing. An answer that cannot be read counts as an outage."""
    rng = random.Random(seed)
    place = Scripted(client, name)
    state = lived(rng, NOW)
    for _ in range(10):
        place.state, how = senseless(state, rng)
        with contextlib.suppress(msgspec.ValidationError):
            is_answered(place, rng.choice((state, None)), NOW, how)
