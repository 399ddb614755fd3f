"""Processes that spend from one window: no 429, full windows, even shares, order by priority, refused waits."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from support.fleet import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.fleet import Fleet


def test_eight_processes_fill_windows_without_a_429(fleet: Callable[..., Fleet]) -> None:
    """Mixed costs, endless callers: no 429, full windows, no process below half or above twice its share."""
    crew = fleet(8, limit=500, period=2.0)
    crew.ask("saturate", callers=16)
    crew.windows(4)
    seen = crew.look()
    assert seen["throttled"] == 0
    full = seen["windows"][1:-1]  # in the first some come later than others
    assert min(window["points"] for window in full) >= 490
    shares: Counter[str] = Counter()
    for window in full:
        shares.update(window["by"])
    # Over all of them: in a single window of two seconds the machine decides who runs.
    assert len(shares) == 8
    assert min(shares.values()) >= 31 * len(full)
    assert max(shares.values()) <= 125 * len(full)


def test_a_store_is_called_less_than_half_as_often_as_the_api(fleet: Callable[..., Fleet], store: Store) -> None:
    """Everything that happens in one loop meanwhile goes into one call of the store."""
    crew = fleet(4, limit=1000, period=2.0)
    before = sum(store.calls().values())
    crew.ask("saturate", callers=32)
    crew.windows(3)
    assert sum(store.calls().values()) - before <= crew.look()["calls"] / 2


@pytest.fixture(params=[False, pytest.param(True, marks=pytest.mark.long)], ids=["forgets", "remembers"])
def mortal(request: pytest.FixtureRequest, tmp_path: Path, kind: str) -> Iterator[Store]:
    """A store that may be killed; whether it finds its data again."""
    options = ["--appendonly", "yes", "--appendfsync", "everysec"] if request.param else []
    with Store(tmp_path / "mortal", *options, kind=kind) as store:
        yield store


def test_no_call_is_lost_when_the_store_is_killed_and_started_again(fleet: Callable[..., Fleet], mortal: Store) -> None:
    """Calls go on by each process's share and then by the store again: none fails, none is stuck.

    In the window in which the store dies there may be some 429s, fewer than calls in flight: a process knows only older
    answers of the store. There are none in any other window, and none on the way back.
    """
    crew = fleet(4, url=mortal.url, limit=400, period=1.2)
    crew.ask("saturate", callers=12)
    crew.windows(2)
    crew.until(lambda said: all(each["available"] < 100 for each in said))
    died_in = len(crew.refused()) - 1
    mortal.kill()
    crew.until_all("degraded")
    before = crew.look()["points"]
    crew.windows(2)
    assert crew.look()["points"] - before >= 100
    mortal.start()
    crew.until_all("degraded", reached=False)
    crew.windows(2)
    said = crew.stop()
    seen = crew.look()
    refused = crew.refused()
    assert sum(refused[died_in : died_in + 2]) <= 24
    assert sum(refused[:died_in]) == sum(refused[died_in + 2 :]) == 0
    assert [[away for away, *_ in each["outages"]] for each in said] == [[True, False]] * 4
    assert [len(each["log"]) for each in said] == [2] * 4
    assert max(window["points"] for window in seen["windows"]) <= 400


def test_a_process_that_starts_into_a_spent_window_waits(fleet: Callable[..., Fleet]) -> None:
    """It asks the store before it sends anything, so there is no 429."""
    crew = fleet(1, limit=198, period=2.0)
    crew.workers[0].ask("call", count=66, cost=3, together=True)
    assert crew.look()["points"] == 198
    (late,) = crew.join(1)
    calls = late.ask("call", count=40, together=True)
    seen = crew.look()
    assert seen["throttled"] == 0
    turned = seen["windows"][-1]["began"]
    assert len(seen["windows"]) == 2
    assert all(call["began"] + call["took"] > turned for call in calls)


def test_a_process_without_a_store_starts_into_a_spent_window_with_one_call(fleet: Callable[..., Fleet]) -> None:
    """It cannot know what others have spent: its first call goes alone, and the others wait for its answer."""
    crew = fleet(1, limit=198, period=2.0)
    crew.workers[0].ask("call", count=66, cost=3, together=True)
    (late,) = crew.join(1, store="redis://127.0.0.1:1/0")
    calls = late.ask("call", count=8, together=True)
    assert crew.look()["throttled"] <= 1
    assert [call["error"] for call in calls] == [None] * 8


# Order


def test_interactive_calls_pass_a_batch_in_another_process(fleet: Callable[..., Fleet]) -> None:
    """While two batches take all they can get, single interactive calls elsewhere hardly wait."""
    crew = fleet(3, limit=200, period=1.5)
    interactive, *batches = crew.workers
    for batch in batches:
        batch.ask("saturate", callers=16, priority="BATCH")
    crew.windows(1)
    calls = interactive.ask("call", count=40, priority="INTERACTIVE", gap=0.09)
    took = sorted(call["took"] for call in calls)
    seen = crew.look()
    assert seen["throttled"] == 0
    assert statistics.median(took) < 0.3
    assert took[-2] < 1.5
    full = seen["windows"][1:-1]
    assert min(window["points"] for window in full) >= 190


def test_a_later_interactive_call_goes_before_those_that_wait_elsewhere(fleet: Callable[..., Fleet]) -> None:
    """One process waits for the next window: interactive calls of another, that come later, take it whole."""
    crew = fleet(2, limit=60, period=1.5)
    many, interactive = crew.workers
    many.ask("call", cost=3)
    interactive.ask("call", count=19, cost=3, together=True)
    waiting = many.begin("call", count=50, together=True)
    crew.until(lambda said: said[0]["waiting"] >= 50)
    calls = interactive.ask("call", count=18, cost=3, priority="INTERACTIVE", together=True)
    served = max(call["began"] + call["took"] for call in calls)
    assert max(call["took"] for call in calls) < 2 * 1.5
    assert sum(call["began"] + call["took"] < served for call in waiting.result()) <= 8
    assert crew.look()["throttled"] == 0


@pytest.mark.long
def test_a_process_with_one_call_is_not_kept_behind_a_process_with_many(fleet: Callable[..., Fleet]) -> None:
    """Within a priority processes take turns: who wants little gets it in the next window at the latest."""
    crew = fleet(2, limit=120, period=1.5)
    many, few = crew.workers
    many.ask("saturate", callers=64, costs=[1])
    crew.windows(2)
    calls = few.ask("call", count=3)
    assert max(call["took"] for call in calls) < 1.5 + 1
    assert crew.look()["throttled"] == 0


def test_a_wait_that_is_too_long_is_refused_at_once(fleet: Callable[..., Fleet]) -> None:
    """The other process has spent the window: a call that may not wait for its end is refused without waiting."""
    crew = fleet(2, limit=60, period=4.0)
    many, hasty = crew.workers
    hasty.ask("call")
    many.ask("call", count=19, cost=3, together=True)
    many.begin("call", count=150, together=True)
    crew.until(lambda said: said[0]["waiting"] >= 140 and said[0]["in_flight"] == 0)
    began = time.monotonic()
    (call,) = hasty.ask("call", cost=3, max_wait=1.0, priority="BATCH")
    assert call["error"] == "BudgetTimeoutError"
    assert time.monotonic() - began < 0.9
    assert call["retry_after"] > 1.0
