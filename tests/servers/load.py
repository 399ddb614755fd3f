"""A load of mixed calls, and what becomes of it when a limiter stands before a server."""

from __future__ import annotations

import asyncio
import math
import random
import time
from dataclasses import dataclass, field
from itertools import cycle
from typing import TYPE_CHECKING

import aiohttp

from whereby_async.limiter import RateLimit

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence
    from typing import Any, TypeAlias

    from whereby_async.limiter import Limiter, Permit

    Send: TypeAlias = Callable[[aiohttp.ClientSession, str, str, "Outcome"], Awaitable[None]]

THROTTLED = 429
OPERATIONS = {"GET": "meetings.get", "DELETE": "meetings.delete", "POST": "meetings.create"}
COSTS = {"GET": 1, "DELETE": 2, "POST": 3}
BODIES: dict[str, Any] = {"POST": {"endDate": "2030-01-01T00:00:00Z"}}


@dataclass(frozen=True)
class Rate:
    """What a server allows: so many points per so many seconds."""

    points: int
    seconds: int

    def ideal(self, points: int) -> float:
        """Seconds that a client needs that knows everything: every window but the last has to end."""
        return (math.ceil(points / self.points) - 1) * self.seconds


def mixed(count: int, seed: int) -> list[str]:
    """The methods of `count` calls, of ten calls six read, two delete and two create, on average."""
    return random.Random(seed).choices(tuple(COSTS), weights=(6, 2, 2), k=count)


def points(calls: Sequence[str]) -> int:
    """What the calls cost by the user's rule."""
    return sum(COSTS[method] for method in calls)


@dataclass
class Outcome:
    """What became of a load.

    Attributes:
        throttled: Answers with status 429.
        failed: Calls that did not end with a success.
        seconds: From the start to the last answer.
        waits: Seconds from start to success, of each call in the order in which they succeeded.
        errors: What was raised, a few of them.
    """

    throttled: int = 0
    failed: int = 0
    seconds: float = 0.0
    waits: list[float] = field(default_factory=list[float])
    errors: list[str] = field(default_factory=list[str])


def through(limiter: Limiter) -> Send:
    """One call as the client makes it: a permit for each attempt, and another attempt after each 429."""

    async def send(session: aiohttp.ClientSession, method: str, url: str, outcome: Outcome) -> None:
        permit: Permit | None = None
        while True:
            permit = await limiter.acquire(COSTS[method], operation=OPERATIONS[method], after=permit)
            try:
                async with session.request(method, url, json=BODIES.get(method)) as answer:
                    body = await answer.read()
            except BaseException:
                permit.lost()
                raise
            permit.settle(RateLimit.from_response(answer.status, answer.headers, body))
            if answer.status != THROTTLED:
                answer.raise_for_status()
                return
            outcome.throttled += 1

    return send


def naively(acquire: Callable[[int], Awaitable[None]]) -> Send:
    """One call behind a limiter that hears no answers: after a 429 the call sleeps as `Retry-After` says, or 1 s."""

    async def send(session: aiohttp.ClientSession, method: str, url: str, outcome: Outcome) -> None:
        while True:
            await acquire(COSTS[method])
            async with session.request(method, url, json=BODIES.get(method)) as answer:
                body = await answer.read()
            if answer.status != THROTTLED:
                answer.raise_for_status()
                return
            outcome.throttled += 1
            said = RateLimit.from_response(answer.status, answer.headers, body)
            await asyncio.sleep(1.0 if said.retry_after is None else said.retry_after)

    return send


async def run(send: Send, urls: Sequence[str], calls: Sequence[str], patience: float) -> Outcome:
    """Make all calls at once, in turns to each node; those that last longer than `patience` seconds have failed."""
    outcome = Outcome()
    nodes: Iterator[str] = cycle(urls)
    began = time.perf_counter()

    async def one(session: aiohttp.ClientSession, method: str, url: str) -> None:
        await send(session, method, url, outcome)
        outcome.waits.append(time.perf_counter() - began)

    async with aiohttp.ClientSession() as session:
        tasks = [asyncio.create_task(one(session, method, next(nodes))) for method in calls]
        done, late = await asyncio.wait(tasks, timeout=patience)
        outcome.seconds = time.perf_counter() - began
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
    errors = [repr(error) for task in done if (error := task.exception())]
    outcome.failed, outcome.errors = len(errors) + len(late), errors[:3]
    return outcome


async def in_turns(send: Send, url: str, calls: Sequence[str]) -> list[float]:
    """Make the calls one after the other; how many seconds each took."""
    outcome = Outcome()
    waits: list[float] = []
    async with aiohttp.ClientSession() as session:
        for method in calls:
            began = time.perf_counter()
            await send(session, method, url, outcome)
            waits.append(time.perf_counter() - began)
    return waits
