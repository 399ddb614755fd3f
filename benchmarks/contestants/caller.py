"""The process of one contestant of the call bench: opens its client, and makes so many calls when asked.

    python -m benchmarks.contestants.caller MODULE LOOP

Every contestant goes through this same loop, so that what it costs is the same for all. The collector runs as it does in a
user's process, but is frozen behind the warm-up and emptied before each round.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from benchmarks.kit.children import answer_questions
from benchmarks.kit.ratios import percentile

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class Caller(Protocol):
    """One contestant's client, written as its users would.

    `open` gets the API's root, the file with the authority that signed the server's certificate (or `None` for plain
    connections), and how many connections there may be (`None` for as many as it has by default).

    Attributes:
        limit: Points per minute where the server does not say; for those that have a limiter.
    """

    limit: int | None

    async def open(self, base_url: str, authority: str | None, connections: int | None) -> None:
        """Make the client."""
        ...

    async def close(self) -> None:
        """Close it."""
        ...

    async def get(self) -> object:
        """One meeting."""
        ...

    async def list(self) -> object:
        """A page of meetings."""
        ...

    async def insights(self) -> object:
        """A page of rooms."""
        ...

    async def create(self) -> object:
        """A new meeting."""
        ...


def resident() -> int:
    """Bytes of this process in memory."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


async def call_at_once(call: Callable[[], Awaitable[object]], calls: int, concurrency: int) -> list[float]:
    """So many calls, so many of them at once at any time; how long each took, those of the first crowd too.

    Where calls are served in order, the first crowd's wait less than those behind them, and pull the median down a little;
    where they are not, somebody of the first crowd waits for the whole round, and must not be left out.
    """
    took: list[float] = []
    clock = time.perf_counter
    turns = iter(range(calls))

    async def work() -> None:
        for _ in turns:
            began = clock()
            await call()
            took.append(clock() - began)

    await asyncio.gather(*(work() for _ in range(concurrency)))
    return took


class Rounds:
    """Answers the driver's questions."""

    def __init__(self, caller: Caller, runner: asyncio.Runner) -> None:
        self._caller = caller
        self._runner = runner

    def open(self, base_url: str, authority: str | None, connections: int | None, limit: int | None) -> dict[str, Any]:
        """Open the client."""
        self._caller.limit = limit
        self._runner.run(self._caller.open(base_url, authority, connections))
        return {}

    def close(self) -> dict[str, Any]:
        """Close it."""
        self._runner.run(self._caller.close())
        gc.unfreeze()
        gc.collect()
        return {}

    def check(self, operation: str) -> dict[str, Any]:
        """One call, to see that it brings what it should."""
        return {"result": type(self._runner.run(self._once(operation))).__name__}

    async def _once(self, operation: str) -> object:
        call: Callable[[], Awaitable[object]] = getattr(self._caller, operation)
        return await call()

    def round(self, operation: str, calls: int, concurrency: int, warm_up: int) -> dict[str, Any]:
        """One round."""
        return self._runner.run(self._round(operation, calls, concurrency, warm_up))

    async def _round(self, operation: str, calls: int, concurrency: int, warm_up: int) -> dict[str, Any]:
        call: Callable[[], Awaitable[object]] = getattr(self._caller, operation)
        await call_at_once(call, warm_up, concurrency)
        gc.collect()
        gc.freeze()
        cpu, wall = time.process_time(), time.perf_counter()
        took = await call_at_once(call, calls, concurrency)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        took.sort()
        return {
            "cpu_us": cpu / calls * 1e6,
            "per_second": calls / wall,
            "p50_ms": percentile(took, 0.5) * 1e3,
            "p99_ms": percentile(took, 0.99) * 1e3,
            "rss_mb": resident() / 1e6,
        }


def main() -> None:
    """Run it."""
    module, loop = sys.argv[1:]
    caller: Caller = importlib.import_module(f"benchmarks.contestants.{module}").Caller()
    factory: Callable[[], asyncio.AbstractEventLoop] = importlib.import_module(loop).new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        rounds = Rounds(caller, runner)
        answer_questions({"open": rounds.open, "close": rounds.close, "check": rounds.check, "round": rounds.round})


if __name__ == "__main__":
    main()
