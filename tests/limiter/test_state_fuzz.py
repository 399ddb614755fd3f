"""States that were damaged, and answers whose headers are garbled: nothing is raised, and sending does not stop."""

# pyright: reportPrivateUsage=false
# What is kept inside is looked at.

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from support.peers import LEASE, PERIOD, Call, Here, Peer, cold, garbled, goes_on, is_answered, lived, senseless

from whereby_async.limiter import RateLimit
from whereby_async.limiter.shared.shared_core import LOST, RELEASED, SETTLED, unpacked
from whereby_async.limiter.state_file import StateFile

if TYPE_CHECKING:
    from pathlib import Path

    from whereby_async.limiter.shared.shared_core import StoreReply, StoreRequest

NOW = 1000.0


class Filed:
    def __init__(self, path: Path) -> None:
        self.path = path
        self._here = Here()

    def transact(self, said: StoreRequest, offer: bytes | None, now: float) -> tuple[StoreReply, bytes]:
        answers: list[tuple[StoreReply, bytes]] = []

        def change(state: bytes | None) -> bytes:
            self._here.state = state
            answers.append(self._here.transact(said, offer, now))
            return answers[-1][1]

        assert StateFile(self.path).try_change(change)
        return answers[-1]


@pytest.mark.parametrize("seed", range(8))
def test_file_that_was_damaged_stops_nobody(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    place = Filed(tmp_path / "state")
    state = lived(rng, NOW)
    for _ in range(25):
        is_answered(place, state, NOW, "nothing")
        content, how = garbled(place.path.read_bytes(), rng)
        place.path.write_bytes(content)
        goes_on(place, rng.choice((state, None)), NOW + 100.0, how)
        place.path.unlink()


@pytest.mark.parametrize("seed", range(10))
def test_state_that_makes_no_sense_is_answered(seed: int) -> None:
    """Readable or not: nothing is raised, and each request has its answer after three tries at most."""
    rng = random.Random(seed)
    state = lived(rng, NOW)
    for _ in range(25):
        here = Here()
        here.state, how = rng.choice((garbled, senseless))(state, rng)
        is_answered(here, rng.choice((state, None)), NOW, how)


def test_state_whose_text_is_cut_within_a_character_is_none() -> None:
    """Some versions of msgspec raise an error that is none of theirs there."""
    assert unpacked(b"\x81\xa6_limit\xa1\xe2") is None


SENSELESS: list[tuple[str, Any]] = [
    ("_log", [[NOW + 1]]),
    ("_lost", [[NOW + 1]]),
    ("_period", 0.0),
    ("_limit", 0),
    ("_granted", -(2**63)),
    ("_plain_prices", {1: {"operation": "", "seed": 1, "points": -(2**63), "pinned": True, "known": True}}),
    ("_members", [{"id": "other", "waits": [], "calls": [], "seen": NOW, "due": NOW + 100}]),
]


@pytest.mark.parametrize(("name", "value"), SENSELESS)
def test_value_that_makes_no_sense_is_thrown_away(name: str, value: object) -> None:
    here = Here()
    state = lived(random.Random(1), NOW)
    here.state = msgspec.msgpack.encode({**msgspec.msgpack.decode(state), name: value})
    is_answered(here, state, NOW, name)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_states_that_make_no_sense_are_answered_for_long() -> None:
    for seed in range(1000, 2000):
        test_state_that_makes_no_sense_is_answered(seed)


class Garbage:
    """Two members, and a server whose answers say anything."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.now = NOW
        self.here = Here()
        self.peers = [Peer(self.here, f"peer {number}", start=cold()) for number in range(2)]
        self.went_at = self.now
        self.waits_until = self.now
        self.longest = 0.0
        self.granted = 0

    def said(self) -> RateLimit | None:
        """What a garbled answer says, after what cannot be true has been left out, as `RateLimit.read` does."""
        rng = self.rng
        if rng.random() < 0.05:
            return None
        throttled = rng.random() < 0.15
        return RateLimit(
            limit=rng.choice((None, 1, 1, 2, 20, 100, 100, 2_000_000_000)),
            remaining=rng.choice((None, 0, 0, 1, 5, 50, 99, 101, 2_000_000_000)),
            reset_in=rng.choice((None, 0.0, 0.001, 1.0, 59.0, 3600.0)),
            retry_after=rng.choice((None, None, 0.0, 0.5, 20.0)) if throttled else None,
            throttled=throttled,
            period=rng.choice((None, None, None, 60.0, 60.0, 4.0, 1.0, 120.0)),
        )

    def step(self) -> None:
        rng = self.rng
        self.now += rng.choice((0.01, 0.1, 0.5, 1.0))
        peer = rng.choice(self.peers)
        for call in list(peer.out):
            if rng.random() < 0.8:
                self.end(peer, call)
        if len(peer.wants) < 2:
            peer.want(3, cost=1, operation=rng.choice(("", "a", "b")), priority=rng.randrange(3))
        went = peer.visit(self.now, hears=rng.random() > 0.02)
        core = unpacked(self.here.state or b"")
        assert core is not None
        assert core._released <= core._answered <= core._granted
        assert all(member.flight >= 0 for member in core._members)
        assert core._granted - core._answered == sum(member.flight for member in core._members) + sum(
            int(points) for _, points, _ in core._lost
        )
        if went:
            self.went_at = self.now
            self.granted += len(went)
        allowed = 2 * max(core.period, PERIOD) + LEASE
        assert self.now - self.went_at <= allowed, f"nothing has gone for {allowed} s"
        self.longest = max(self.longest, self.now - self.went_at)

    def end(self, peer: Peer, call: Call) -> None:
        how = self.rng.choice((SETTLED,) * 8 + (RELEASED, LOST))
        peer.end(call, how, self.said() if how == SETTLED else None)


def _garbage(seed: int, steps: int) -> Garbage:
    garbage = Garbage(random.Random(seed))
    for _ in range(steps):
        garbage.step()
    return garbage


@pytest.mark.parametrize("seed", range(12))
def test_garbled_headers_do_not_stop_sending(seed: int) -> None:
    """Not for more than two periods, whatever comes; and what is out, has ended and has come back stays in order."""
    assert _garbage(seed, 1500).granted >= 5


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_garbled_headers_do_not_stop_sending_for_long() -> None:
    for seed in range(1000, 1200):
        _garbage(seed, 3000)
