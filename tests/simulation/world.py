"""A world to try a budget in: a server behind a network, other consumers, and callers; all on a simulated clock.

Like the likely engine, the server counts a refused call before it compares, so such a call may burn the last points;
`burns=False` is the other kind of server.
"""

from __future__ import annotations

import asyncio
import email.utils
import functools
import math
import random
from abc import ABC, abstractmethod
from collections import defaultdict, deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, NamedTuple

from whereby_async.errors import BudgetError
from whereby_async.limiter import Priority, RateLimit
from whereby_async.testing import run_simulated

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence

    from whereby_async.limiter import Limiter, Permit


# The server


class Verdict(NamedTuple):
    taken: bool
    remaining: int
    reset_in: float
    retry_after: float


class Policy(ABC):
    """A meter of `limit` points per `period` seconds."""

    def __init__(self, limit: int, period: float = 60.0, *, burns: bool = True) -> None:
        self.limit = limit
        self.period = period
        self.burns = burns

    @abstractmethod
    def spend(self, t: float, cost: int) -> Verdict:
        """A call arrives."""


class FixedWindow(Policy):
    """Opens with the first call after the last window's end."""

    end = -math.inf
    spent = 0

    def _turn(self, t: float) -> None:
        if t >= self.end:
            self.end = t + self.period
            self.spent = 0

    def spend(self, t: float, cost: int) -> Verdict:
        self._turn(t)
        taken = self.spent + cost <= self.limit
        if taken or self.burns:
            self.spent += cost
        left = self.end - t
        return Verdict(taken, max(0, self.limit - self.spent), left, left)


class AlignedWindow(FixedWindow):
    """Turns with the server's clock."""

    def __init__(self, limit: int, period: float = 60.0, *, burns: bool = True, phase: float = 0.0) -> None:
        super().__init__(limit, period, burns=burns)
        self.phase = phase

    def _turn(self, t: float) -> None:
        if t >= self.end:
            self.end = (math.floor((t - self.phase) / self.period) + 1) * self.period + self.phase
            self.spent = 0


class SlidingLog(Policy):
    """Counts what came within the last period."""

    def __init__(self, limit: int, period: float = 60.0, *, burns: bool = False) -> None:
        super().__init__(limit, period, burns=burns)
        self.log: deque[tuple[float, int]] = deque()
        self.spent = 0

    def spend(self, t: float, cost: int) -> Verdict:
        while self.log and self.log[0][0] + self.period <= t:
            self.spent -= self.log.popleft()[1]
        taken = self.spent + cost <= self.limit
        if taken or self.burns:
            self.spent += cost
            self.log.append((t, cost))
        oldest = self.log[0][0] + self.period - t if self.log else 0.0
        return Verdict(taken, max(0, self.limit - self.spent), oldest, oldest)


class TokenBucket(Policy):
    """A full bucket that refills evenly."""

    def __init__(self, limit: int, period: float = 60.0, *, burns: bool = False) -> None:
        super().__init__(limit, period, burns=burns)
        self.level = float(limit)
        self.at = -math.inf

    def spend(self, t: float, cost: int) -> Verdict:
        rate = self.limit / self.period
        if self.at > -math.inf:
            self.level = min(self.limit, self.level + (t - self.at) * rate)
        self.at = t
        taken = self.level >= cost
        if taken:
            self.level -= cost
        elif self.burns:
            self.level = 0.0
        return Verdict(taken, int(self.level), (self.limit - self.level) / rate, max(0.0, cost - self.level) / rate)


class SlidingCounter(Policy):
    """Two aligned counters, the last one weighed by how much of it still lies within a period: bursts are punished."""

    def __init__(self, limit: int, period: float = 60.0, *, burns: bool = False, phase: float = 0.0) -> None:
        super().__init__(limit, period, burns=burns)
        self.phase = phase
        self.slot = -1
        self.now = self.last = 0

    def spend(self, t: float, cost: int) -> Verdict:
        slot, within = divmod(t - self.phase, self.period)
        if int(slot) != self.slot:
            self.last = self.now if int(slot) == self.slot + 1 else 0
            self.now = 0
            self.slot = int(slot)
        used = self.last * (1 - within / self.period) + self.now
        taken = used + cost <= self.limit
        if taken or self.burns:
            self.now += cost
            used += cost
        left = self.period - within
        wait = left
        if self.last and used + cost > self.limit:
            wait = min(left, (used + cost - self.limit) * self.period / self.last)
        return Verdict(taken, max(0, int(self.limit - used)), left, wait)


def policy_of(name: str, limit: int = 1000, *, seed: int = 0) -> Policy:
    """A policy by its name; what turns with the clock turns at a random phase."""
    phase = random.Random(seed).uniform(0, 60)
    match name:
        case "aligned":
            return AlignedWindow(limit, phase=phase)
        case "sliding_counter":
            return SlidingCounter(limit, phase=phase)
        case "sliding_log":
            return SlidingLog(limit)
        case "token_bucket":
            return TokenBucket(limit)
        case _:
            return FixedWindow(limit)


# Headers

STYLES = (
    *("iso", "http_date", "epoch", "epoch_ceil", "epoch_ms", "js", "js_offset", "delta"),
    *("draft_6", "draft_7", "draft_10", "none"),
)
GARBAGE = (
    *("0", "1e999", "-1", "NaN", "1000, 1000", "Invalid Date", "", "null", "undefined", "99999999999999999999"),
    *("[object Object]", "\u0663"),
)
EPOCH = 1_780_000_000.0


def reset_text(style: str, at: float, left: float) -> str:
    """`X-RateLimit-Reset` of a window that ends at epoch time `at`, in `left` seconds."""
    date = datetime.fromtimestamp(at, UTC)
    eastern = timezone(timedelta(hours=2))
    spellings: dict[str, Callable[[], str]] = {  # only one of them is made: they take long
        "iso": lambda: date.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "http_date": lambda: http_date(int(at)),
        "epoch": lambda: str(int(at)),
        "epoch_ceil": lambda: str(math.ceil(at)),
        "epoch_ms": lambda: str(int(at * 1000)),
        "js": lambda: date.strftime("%a %b %d %Y %H:%M:%S GMT+0000 (Coordinated Universal Time)"),
        "js_offset": lambda: date.astimezone(eastern).strftime("%a %b %d %Y %H:%M:%S GMT+0200 (EET)"),
        "delta": lambda: f"{left:.3f}",
    }
    return spellings[style]()


@functools.cache
def http_date(second: int) -> str:
    """A second since 1970, as `Date` has it."""
    return email.utils.formatdate(second, usegmt=True)


def draft_fields(style: str, limit: int, period: float, verdict: Verdict) -> dict[str, str]:
    """The fields of an IETF draft: https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/."""
    left, window, remaining = math.ceil(verdict.reset_in), math.ceil(period), verdict.remaining
    spellings = {
        "draft_6": {
            "RateLimit-Limit": f"{limit}, {limit};w={window}",
            "RateLimit-Remaining": str(remaining),
            "RateLimit-Reset": str(left),
        },
        "draft_7": {
            "RateLimit": f"limit={limit}, remaining={remaining}, reset={left}",
            "RateLimit-Policy": f"{limit};w={window}",
        },
        "draft_10": {
            "RateLimit": f'"default";r={remaining};t={left}',
            "RateLimit-Policy": f'"default";q={limit};w={window}',
        },
    }
    return spellings[style]


def headers_of(style: str, limit: int, period: float, verdict: Verdict, clock: float) -> dict[str, str]:
    """What an answer's headers say at server time `clock`."""
    headers = {"Date": http_date(int(clock))}
    if style == "none":
        return headers
    if style.startswith("draft"):
        headers |= draft_fields(style, limit, period, verdict)
    else:
        headers |= {
            "X-RateLimit-Limit": str(limit),
            "X-RateLimit-Remaining": str(verdict.remaining),
            "X-RateLimit-Reset": reset_text(style, clock + verdict.reset_in, verdict.reset_in),
        }
    if not verdict.taken:
        headers["Retry-After"] = f"{verdict.retry_after:.3f}"
    return headers


def spoil(headers: dict[str, str], dice: random.Random) -> dict[str, str]:
    """Headers lost or garbled on their way."""
    if dice.random() < 0.5:
        return {}
    spoilt = {name: dice.choice(GARBAGE) if dice.random() < 0.6 else value for name, value in headers.items()}
    # In the fields of the IETF drafts a list of two equal numbers is no garbage.
    return {name: value for name, value in spoilt.items() if name[:2] == "X-" or value != "1000, 1000"}


# The world


MIXED = (1, 2, 3)


@dataclass
class Network:
    """How long calls travel, and what gets lost. `lost_before` never arrives, `lost_after` is served unheard."""

    rtt: tuple[float, float] = (0.05, 0.2)
    lost_before: float = 0.0
    lost_after: float = 0.0
    spoilt: float = 0.0


@dataclass
class World:
    """A server behind a network.

    `skew` is the error of the server's wall clock in seconds, `drift` that of its rate against ours. `served` lists
    what the server took: when by its clock, how many points, and whether the call was ours.
    """

    policy: Policy = field(default_factory=lambda: FixedWindow(1000))
    style: str = "iso"
    network: Network = field(default_factory=Network)
    seed: int = 0
    skew: float = 0.0
    drift: float = 0.0
    prices: Mapping[str, int] = field(default_factory=dict[str, int])
    body: bool = True

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)
        self.throttled: list[float] = []
        self.arrivals: list[tuple[float, int, str]] = []
        self.served: list[tuple[float, int, bool]] = []
        self.points = 0
        self.waits: list[tuple[Priority, float]] = []
        self.grants: list[tuple[Priority, int]] = []
        self.done_at = 0.0

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def serve(self, cost: int, operation: str = "", *, ours: bool = True) -> RateLimit:
        """A call arrives at the server; what its answer will say."""
        t = self.now() * (1 + self.drift)
        cost = self.prices.get(operation, cost)
        verdict = self.policy.spend(t, cost)
        if verdict.taken:
            self.served.append((t, cost, ours))
        if ours:
            self.arrivals.append((self.now(), cost if verdict.taken else 0, operation))
            if verdict.taken:
                self.points += cost
            else:
                self.throttled.append(self.now())
        headers = headers_of(self.style, self.policy.limit, self.policy.period, verdict, EPOCH + self.skew + t)
        if self.dice.random() < self.network.spoilt:
            headers = spoil(headers, self.dice)
        body = b""
        if not verdict.taken and self.body:
            body = b'{"error":"Rate limit active","data":{"msLeft":%d}}' % int(verdict.retry_after * 1000 + 1)
        return RateLimit.from_response(200 if verdict.taken else 429, headers, body)

    async def call(
        self,
        budget: Limiter,
        cost: int,
        *,
        operation: str = "",
        priority: Priority = Priority.NORMAL,
        number: int = 0,
    ) -> None:
        """One call with its retries, as a client would make it."""
        permit: Permit | None = None
        while True:
            asked = self.now()
            permit = await budget.acquire(cost, operation=operation, priority=priority, after=permit)
            self.waits.append((priority, self.now() - asked))
            self.grants.append((priority, number))
            if await self.attempt(permit, cost, operation):
                return

    async def attempt(self, permit: Permit, cost: int, operation: str) -> bool:
        """One request; was it answered and not refused?"""
        try:
            trip = self.dice.uniform(*self.network.rtt)
            out = trip * self.dice.uniform(0.2, 0.8)
            fate = self.dice.random()
            await asyncio.sleep(out)
            if fate < self.network.lost_before:
                await asyncio.sleep(self.dice.uniform(0, 2))
                permit.lost()
                return False
            answer = self.serve(cost, operation)
            if fate < self.network.lost_before + self.network.lost_after:
                await asyncio.sleep(self.dice.uniform(0, 2))
                permit.lost()
                return False
            await asyncio.sleep(trip - out)
        except BaseException:
            permit.lost()
            raise
        permit.settle(answer)
        self.done_at = self.now()
        return not answer.throttled

    async def others(self, rate: float) -> None:
        """Somebody else spends `rate` points per second of the same budget."""
        while True:
            await asyncio.sleep(self.dice.expovariate(rate))
            self.serve(1, ours=False)

    async def backlog(self, budget: Limiter, points: int, *, priority: Priority = Priority.NORMAL) -> None:
        """Calls for so many points, all at once."""
        calls = [
            asyncio.create_task(self.call(budget, cost, operation=f"cost{cost}", priority=priority, number=number))
            for number, cost in enumerate(self.costs_of(points))
        ]
        await asyncio.gather(*calls)

    def costs_of(self, points: int, costs: Sequence[int] = MIXED) -> Iterator[int]:
        while points > 0:
            cost = min(self.dice.choice(costs), points)
            points -= cost
            yield cost

    def run(self, main: Callable[[], Coroutine[Any, Any, None]], *, start: float = 1000.0) -> None:
        run_simulated(main(), start=start)


@dataclass
class ChangedWorld(World):
    """A world in which something stands between the server and us.

    Attributes:
        change: Makes what we receive of what the server answered; it is told the answer's number, from 1.
        gateway: Answers in the server's place, unless it returns `None`.
        answers: How many answers we have had of the server.
    """

    change: Callable[[RateLimit, int], RateLimit] | None = None
    gateway: Callable[[], RateLimit | None] | None = None
    answers: int = 0

    def serve(self, cost: int, operation: str = "", *, ours: bool = True) -> RateLimit:
        """A call arrives at the gateway."""
        if ours and self.gateway and (answer := self.gateway()):
            self.throttled.append(self.now())
            return answer
        answer = super().serve(cost, operation, ours=ours)
        if not ours or not self.change:
            return answer
        self.answers += 1
        return self.change(answer, self.answers)


class Wait(NamedTuple):
    """How long a call waited for its permits, all its attempts together."""

    asked: float
    seconds: float


class Callers:
    """Calls in groups.

    Attributes:
        waits: The waits of each group's calls. One that was still waiting at the end counts with the time until then.
        refused: Calls that ended in `BudgetError`.
    """

    def __init__(self, world: World, budget: Limiter) -> None:
        self.world = world
        self.budget = budget
        self.waits: defaultdict[str, list[Wait]] = defaultdict(list)
        self.refused = 0
        self._tasks: defaultdict[str, set[asyncio.Task[None]]] = defaultdict(set)
        self._stopped: set[str] = set()
        self._waiting: set[asyncio.Task[None] | None] = set()

    def call(
        self,
        cost: int,
        operation: str = "",
        *,
        priority: Priority = Priority.NORMAL,
        group: str = "",
        hang: float = 0.0,
    ) -> asyncio.Task[None]:
        """Start a call; its answer takes `hang` seconds longer, or never comes if that is negative."""
        task = asyncio.create_task(self._call(cost, operation or f"cost{cost}", priority, group, hang))
        self._tasks[group].add(task)
        return task

    def backlog(self, points: int, costs: Sequence[int] = MIXED, *, group: str = "") -> None:
        """Start calls for so many points, all at once."""
        for cost in self.world.costs_of(points, costs):
            self.call(cost, group=group)

    def loops(
        self, count: int, cost: int, operation: str, *, priority: Priority = Priority.NORMAL, group: str = ""
    ) -> None:
        """Start so many callers that call again as soon as they are answered."""

        async def loop() -> None:
            while group not in self._stopped:
                await self._call(cost, operation, priority, group, 0.0)

        self._stopped.discard(group)
        for _ in range(count):
            self._tasks[group].add(asyncio.create_task(loop()))

    async def finish(self, seconds: float, *groups: str) -> bool:
        """Let the calls end, of these groups or all, for so long at most; cancel the rest. Did all end?"""
        tasks = [task for group in groups or tuple(self._tasks) for task in self._tasks[group]]
        if not tasks:
            return True
        _, pending = await asyncio.wait(tasks, timeout=seconds)
        await _cancel(pending)
        return not pending

    async def stop(self, group: str) -> None:
        """Cancel the group's calls that wait, and let those be answered that are in flight."""
        self._stopped.add(group)
        tasks = self._tasks.pop(group, set())
        while tasks := {task for task in tasks if not task.done()}:
            await _cancel(tasks & self._waiting)
            await asyncio.sleep(0.01)

    def longest(self, *groups: str) -> float:
        """The longest wait in these groups, or in all."""
        return max((wait.seconds for group in groups or tuple(self.waits) for wait in self.waits[group]), default=0.0)

    def figures(self, *groups: str) -> dict[str, float]:
        """The 429s of the whole run, and the longest wait in these groups, or in all."""
        return {"429": len(self.world.throttled), "longest": self.longest(*groups)}

    async def _call(self, cost: int, operation: str, priority: Priority, group: str, hang: float) -> None:
        began = self.world.now()
        waited = 0.0
        permit: Permit | None = None
        task = asyncio.current_task()
        try:
            while True:
                asked = self.world.now()
                self._waiting.add(task)
                try:
                    permit = await self.budget.acquire(cost, operation=operation, priority=priority, after=permit)
                except BudgetError:
                    self.refused += 1
                    return
                finally:
                    self._waiting.discard(task)
                    waited += self.world.now() - asked
                if hang:
                    await self._hang(permit, cost, operation, hang)
                    return
                if await self.world.attempt(permit, cost, operation):
                    return
        finally:
            self.waits[group].append(Wait(began, waited))

    async def _hang(self, permit: Permit, cost: int, operation: str, seconds: float) -> None:
        await asyncio.sleep(0.1)
        answer = self.world.serve(cost, operation)
        await asyncio.sleep(abs(seconds) - 0.1)
        if seconds < 0:
            permit.lost()
        else:
            permit.settle(answer)


async def _cancel(tasks: set[asyncio.Task[None]] | set[asyncio.Task[None] | None]) -> None:
    gone = [task for task in tasks if task]
    for task in gone:
        task.cancel()
    await asyncio.gather(*gone, return_exceptions=True)
