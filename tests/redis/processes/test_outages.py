"""The store away in mid-run, in every way: calls go on, by shares, and everything comes back by itself."""

from __future__ import annotations

import contextlib
import re
import time
from typing import TYPE_CHECKING, Any

import pytest
import redis

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.fleet import Fleet, Store

PERIOD = 1.0
LIMIT = 120
COUNT = 3
SECRET = "not-a-real-password"


TROUBLES = {
    "hanging": ("did not answer", "store pause", "store resume"),
    "cut": ("reached|lost", "wire cut", "wire mend"),
    # As behind a firewall that forgets connections.
    "swallowed": ("did not answer", "wire swallow", "wire mend"),
    "read-only": ("read-only", "REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE"),
    "full": ("memory is full", "CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0"),
    # The password has been changed, and those who came with the old one are thrown out.
    "rotated": (
        "password",
        f"CONFIG SET requirepass {SECRET}; CLIENT KILL TYPE normal",
        f"AUTH {SECRET} CONFIG SET requirepass ",
    ),
}
"""Its reason, and how it begins and ends: a method of the store, an order to the wire, or commands to the store."""
_QUICK = {"hanging", "cut"}


def happen(crew: Fleet, store: Store, what: str) -> None:
    """Have a trouble begin or end."""
    match what.split(" "):
        case ["store", method]:
            getattr(store, method)()
        case ["wire", order]:
            crew.api.ask(order)
        case ["AUTH", password, *words]:
            with store.client(password=password) as plain:
                plain.execute_command(*words)
        case _:
            with store.client() as plain:
                for command in what.split("; "):
                    plain.execute_command(*command.split(" "))


@pytest.mark.parametrize(
    "trouble", [pytest.param(name, marks=[] if name in _QUICK else pytest.mark.long) for name in TROUBLES]
)
def test_calls_go_on_while_the_store_is_away(fleet: Callable[..., Fleet], store: Store, trouble: str) -> None:
    """No call fails, all processes go on by their shares, no 429 on the way back, and each outage is told once.

    In the window in which the store goes there may be some 429s: a process knows only older answers of the store.
    """
    reason, begin, end = TROUBLES[trouble]
    crew = fleet(0, limit=LIMIT, period=PERIOD)
    port = crew.api.ask("wire", port=store.port)
    crew.join(COUNT, store=f"redis://127.0.0.1:{port}/0")
    crew.ask("saturate", callers=6)
    crew.until(lambda said: all(each["points"] >= 10 for each in said))
    crew.windows(1)
    broke_in = len(crew.refused()) - 1
    try:
        happen(crew, store, begin)
        before = [each["points"] for each in crew.until(lambda said: all(each["state"] == "degraded" for each in said))]
        crew.until(lambda said: all(map(_gained, said, before)))
    finally:
        happen(crew, store, end)
    crew.until_all("degraded", reached=False)
    crew.windows(2)
    said = crew.stop()
    seen = crew.look()
    refused = crew.refused()
    assert sum(refused[broke_in : broke_in + 2]) <= 3 * COUNT
    assert sum(refused[:broke_in]) == sum(refused[broke_in + 2 :]) == 0
    for each in said:
        assert [away for away, *_ in each["outages"]] == [True, False]
        assert re.search(reason, each["outages"][0][1])
        assert each["outages"][0][2] == LIMIT // COUNT
        assert len(each["log"]) == 2
        assert SECRET not in str(each)
    assert max(window["points"] for window in seen["windows"]) <= LIMIT
    assert seen["windows"][-2]["points"] >= 0.9 * LIMIT


def _gained(said: dict[str, Any], before: int) -> bool:
    return bool(said["points"] >= before + LIMIT // COUNT)


@pytest.mark.long
def test_a_store_that_comes_and_goes_is_told_of_in_pairs(fleet: Callable[..., Fleet], store: Store) -> None:
    """Away and back faster than windows turn: no call fails, none is stuck, and there are hardly any 429s.

    There may be some: the first process that is back cannot know what the others have spent meanwhile.
    """
    crew = fleet(0, limit=LIMIT, period=PERIOD)
    port = crew.api.ask("wire", port=store.port)
    crew.join(COUNT, store=f"redis://127.0.0.1:{port}/0")
    crew.ask("saturate", callers=6)
    crew.windows(3)
    for _ in range(8):
        crew.api.ask("cut")
        time.sleep(0.2)
        crew.api.ask("mend")
        time.sleep(0.15)
    crew.until_all("degraded", reached=False)
    crew.windows(2)
    said = crew.stop()
    seen = crew.look()
    outages = sum(len(each["outages"]) // 2 for each in said)
    assert seen["throttled"] <= 2 * outages
    for each in said:
        told = [away for away, *_ in each["outages"]]
        assert told
        assert told == [True, False] * (len(told) // 2)
        assert len(each["log"]) == len(told)


@pytest.mark.parametrize("how", ["flushed", pytest.param("evicted", marks=pytest.mark.long)])
def test_lost_books_are_written_anew_in_mid_run(fleet: Callable[..., Fleet], store: Store, how: str) -> None:
    """The key vanishes under load, again and again: no 429, nobody stuck, and the windows are full again."""
    crew = fleet(COUNT, limit=LIMIT, period=PERIOD)
    crew.ask("saturate", callers=6)
    for _ in range(2):
        crew.windows(1)
        crew.until_spent(0.9)
        with store.client() as plain:
            if how == "flushed":
                plain.flushall()
            else:
                _evict(plain)
    crew.windows(3)
    said = crew.stop()
    seen = crew.look()
    assert seen["throttled"] == 0
    assert [each["outages"] for each in said] == [[]] * COUNT
    assert seen["windows"][-2]["points"] >= 0.9 * LIMIT


def _evict(plain: Any) -> None:
    """Fill its memory until the budget's key has to go."""
    plain.config_set("maxmemory-policy", "volatile-lru")  # the budget's key is the only one that expires
    plain.config_set("maxmemory", str(plain.info("memory")["used_memory"] + 100_000))
    before = plain.info("stats")["evicted_keys"]
    for number in range(1000):
        if plain.info("stats")["evicted_keys"] > before:
            break
        with contextlib.suppress(redis.OutOfMemoryError):  # it is evicted, and comes back too soon to make room
            plain.set(f"filler{number}", b"x" * 5000)
    plain.config_set("maxmemory", "0")
    assert plain.info("stats")["evicted_keys"] > before
    for number in range(1000):
        plain.delete(f"filler{number}")


def test_a_store_that_is_refused_from_the_start_may_come_later(fleet: Callable[..., Fleet], store: Store) -> None:
    """Processes that start without a store go by a tenth each, and share one budget as soon as it is there."""
    store.kill()
    crew = fleet(COUNT, limit=LIMIT, period=PERIOD)
    crew.ask("saturate", callers=6)
    crew.until(lambda said: all(each["state"] == "degraded" and each["points"] >= 10 for each in said))
    store.start()
    crew.until_all("degraded", reached=False)
    crew.windows(3)
    said = crew.stop()
    seen = crew.look()
    assert seen["throttled"] == 0
    assert [[away for away, *_ in each["outages"]] for each in said] == [[True, False]] * COUNT
    assert seen["windows"][-2]["points"] >= 0.9 * LIMIT
