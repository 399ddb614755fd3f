"""The store away in mid-run, in every way that it can be: calls go on, by shares, and everything comes back by itself."""

from __future__ import annotations

import contextlib
import re
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import redis

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.fleet import Fleet, Store

PERIOD = 1.0
LIMIT = 120
COUNT = 3
SECRET = "not-a-real-password"


def told(store: Store, *command: str, password: str | None = None) -> None:
    """One command to the store."""
    with store.client(password=password) as plain:
        plain.execute_command(*command)


def rotate(_: Fleet, store: Store) -> None:
    """Change its password, and throw out those who came with the old one."""
    with store.client() as plain:
        plain.config_set("requirepass", SECRET)
        plain.client_kill_filter(_type="normal", skipme=True)


class Trouble(NamedTuple):
    """How the store goes away and comes back, and what the processes call it."""

    reason: str
    begin: Callable[[Fleet, Store], object]
    end: Callable[[Fleet, Store], object]


TROUBLES = {
    "hanging": Trouble("did not answer", lambda _, store: store.pause(), lambda _, store: store.resume()),
    "cut": Trouble("reached|lost", lambda crew, _: crew.api.ask("cut"), lambda crew, _: crew.api.ask("mend")),
    # As behind a firewall that forgets connections.
    "swallowed": Trouble(
        "did not answer", lambda crew, _: crew.api.ask("swallow"), lambda crew, _: crew.api.ask("mend")
    ),
    "read-only": Trouble(
        "read-only",
        lambda _, store: told(store, "REPLICAOF", "127.0.0.1", "1"),
        lambda _, store: told(store, "REPLICAOF", "NO", "ONE"),
    ),
    "full": Trouble(
        "memory is full",
        lambda _, store: told(store, "CONFIG", "SET", "maxmemory", "1"),
        lambda _, store: told(store, "CONFIG", "SET", "maxmemory", "0"),
    ),
    "rotated": Trouble(
        "password", rotate, lambda _, store: told(store, "CONFIG", "SET", "requirepass", "", password=SECRET)
    ),
}
_QUICK = {"hanging", "cut"}


@pytest.mark.parametrize(
    "kind_of_trouble", [pytest.param(name, marks=[] if name in _QUICK else pytest.mark.long) for name in TROUBLES]
)
def test_calls_go_on_while_the_store_is_away(fleet: Callable[..., Fleet], store: Store, kind_of_trouble: str) -> None:
    """No call fails, all processes go on by their shares, no 429 on the way back, and each outage is told once.

    In the window in which the store goes there may be some, as words that are older than what others were granted since are all
    that there is to go by.
    """
    trouble = TROUBLES[kind_of_trouble]
    crew = fleet(0, limit=LIMIT, period=PERIOD)
    port = crew.api.ask("wire", port=store.port)
    crew.join(COUNT, store=f"redis://127.0.0.1:{port}/0")
    crew.ask("saturate", callers=6)
    crew.until(lambda said: all(each["points"] >= 10 for each in said))
    crew.windows(1)
    broke_in = len(crew.refused()) - 1
    try:
        trouble.begin(crew, store)
        before = [each["points"] for each in crew.until(lambda said: all(each["state"] == "degraded" for each in said))]
        crew.until(lambda said: all(map(_gained, said, before)))
    finally:
        trouble.end(crew, store)
    crew.until_all("degraded", reached=False)
    crew.windows(2)
    said = crew.stop()
    seen = crew.look()
    refused = crew.refused()
    assert sum(refused[broke_in : broke_in + 2]) <= 3 * COUNT
    assert sum(refused[:broke_in]) == sum(refused[broke_in + 2 :]) == 0
    for each in said:
        assert [away for away, *_ in each["outages"]] == [True, False]
        assert re.search(trouble.reason, each["outages"][0][1])
        assert each["outages"][0][2] == LIMIT // COUNT
        assert len(each["log"]) == 2
        assert SECRET not in str(each)
    assert max(window["points"] for window in seen["windows"]) <= LIMIT
    assert seen["windows"][-2]["points"] >= 0.9 * LIMIT


def _gained(said: dict[str, Any], before: int) -> bool:
    return bool(said["points"] >= before + LIMIT // COUNT)


@pytest.mark.long
def test_a_store_that_comes_and_goes_is_told_of_in_pairs(fleet: Callable[..., Fleet], store: Store) -> None:
    """Away and back again and again, faster than windows turn: no call fails, none is stuck, and there are hardly any 429s.

    There may be some: who comes back first cannot know what those have spent who are still away.
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
