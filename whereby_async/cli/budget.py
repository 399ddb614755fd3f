"""`whereby budget`: points left, and who waits for them; `--watch` goes on looking."""

from __future__ import annotations

import asyncio
import json
import math
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, Self

import msgspec
from cyclopts import Parameter, validators

from .connection import Connection
from .exits import ExitCode

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping

    from cyclopts import App

    from .. import WherebyClient
    from ..hooks import AttemptDetails, ResponseDetails
    from ..limiter import BudgetSnapshot

_TICK: Final = 0.25
"""Seconds between two looks of the screen at the budget, which cost nothing."""


def register(whereby: App) -> None:
    """Add this command to the app."""
    whereby.command(budget)


def budget(
    *,
    watch: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    every: Annotated[float, Parameter(validator=validators.Number(gt=0))] = 5.0,
    count: Annotated[int | None, Parameter(validator=validators.Number(gte=1))] = None,
    connection: Connection = Connection(),  # noqa: B008 - frozen
) -> int:
    """Points left, and who waits for them.

    Only an answer of the API says how many points are left, so that each look
    costs 1 point: it lists one meeting. With --watch it looks again and
    again, until Ctrl-C; between two looks the screen goes on by itself.

    What others spend of the same budget shows from the second look on. Calls
    that wait are those of this process, or with --redis those of all that
    share the budget.

    For example:

        whereby budget
        whereby budget --watch
        whereby budget --watch --every 30 --json >> budget.jsonl

    Args:
        watch: Go on looking.
        every: Seconds between two looks.
        count: Stop after so many looks.
        connection: How to reach the API.
    """
    last = (count or math.inf) if watch else 1
    return asyncio.run(_look(connection, every, last))


async def _look(connection: Connection, every: float, last: float) -> int:
    said = LastAnswer()
    screen = Lines(said) if connection.as_json or not sys.stdout.isatty() else Screen(said)
    async with connection.client(said) as client:
        with screen:
            number = 0
            while True:
                await _shown_until(client, screen, client.meetings.list(page_size=1).collect(max_items=1))
                screen.look(client)
                number += 1
                if number >= last:
                    return ExitCode.OK
                await _shown_until(client, screen, asyncio.sleep(every))


async def _shown_until(client: WherebyClient, screen: Screen | Lines, work: Coroutine[Any, Any, Any]) -> None:
    """Keep the screen going until `work` is done; a look that has to wait for its point shows that it waits."""
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(work)
        while not task.done():
            screen.tick(client)
            await asyncio.wait([task], timeout=_TICK)


class LastAnswer:
    """A hook that keeps what the last answer said of the budget.

    Attributes:
        told: Its limit, points left and seconds to the window's end.
        others: Points that were gone between two answers of one window, and that we did not spend.
    """

    def __init__(self) -> None:
        self.told: dict[str, float | None] = {}
        self.others: int = 0
        self._cost = 0

    def on_attempt(self, details: AttemptDetails) -> None:
        """A look is about to be sent."""
        self._cost = details.cost

    def on_response(self, details: ResponseDetails) -> None:
        """An answer came."""
        read, before = details.rate_limit, self.told.get("remaining")
        if before is not None and read.remaining is not None:
            self.others += max(0, int(before) - read.remaining - self._cost)
        self.told = {"limit": read.limit, "remaining": read.remaining, "reset_in": read.reset_in}


def facts(client: WherebyClient, said: LastAnswer) -> dict[str, Any]:
    """The budget in numbers and names.

    Args:
        client: Whose budget.
        said: What the server said of it last.
    """
    budget: BudgetSnapshot = client.limiter.snapshot()
    told = msgspec.structs.asdict(budget)
    told |= _by_the_server(budget, said.told)
    told["waiting"] = {lane.name.lower(): calls for lane, calls in budget.waiting.items()}
    return {
        "event": "budget",
        "at": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "base_url": client.base_url,
        **{name: round(value, 3) if isinstance(value, float) else value for name, value in told.items()},
        "costs": dict(budget.costs),
        "server": said.told,
        "spent_by_others": said.others,
    }


def _by_the_server(budget: BudgetSnapshot, answer: Mapping[str, float | None]) -> dict[str, float]:
    """The server's own figures, as far as its last answer has them: the limiter believes a higher limit on the second only."""
    figures = {name: said for name in ("limit", "remaining") if (said := answer.get(name)) is not None}
    if (left := figures.get("remaining")) is not None:
        figures["available"] = left if budget.remaining is None else min(left, budget.available)
    return figures


class Lines:
    """A JSON line for each look."""

    def __init__(self, said: LastAnswer) -> None:
        self._said = said

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing is open."""

    def look(self, client: WherebyClient) -> None:
        """A line."""
        sys.stdout.write(json.dumps(facts(client, self._said)) + "\n")
        sys.stdout.flush()

    def tick(self, client: WherebyClient) -> None:
        """Nothing: between two looks there is nothing new."""


class Screen:
    """A panel on the terminal that is painted over; its last state stays."""

    def __init__(self, said: LastAnswer) -> None:
        from rich.live import Live

        from .tables import plain_console

        self._said = said
        self._seen: dict[str, Any] = {}
        self._live = Live(console=plain_console(), auto_refresh=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._live.stop()

    def look(self, client: WherebyClient) -> None:
        """Paint."""
        from .panel import panel

        told = facts(client, self._said)
        seen = {**told, "at": None, "reset_in": round(told["reset_in"] or 0)}
        if seen != self._seen:
            self._seen = seen
            self._live.update(panel(told), refresh=True)

    tick = look
