"""Calls begin, are cancelled, time out and meet faults in any order; nothing is lost, doubled or stuck.

A state machine of hypothesis over a client, its budget and its pool against a `FakeWhereby`. Client and server live in
one loop on a simulated clock and talk over real sockets. 150 examples run with the tests; the long command is

    WHEREBY_EXAMPLES=5000 python -m pytest tests/faults/test_state_machine.py -m long
"""

from __future__ import annotations

import asyncio
import copy
import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from msgspec import structs
from support.cancellation import (
    BOUNDS,
    Meddling,
    assert_acted_as_told,
    assert_idle,
    awaiting,
    bounded,
    open_descriptors,
)

from whereby_async import Priority, SessionPool, WherebyError
from whereby_async.limiter import PointBudget
from whereby_async.testing import FakeWhereby, Fault, SimulatedLoop

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from support.cancellation import Moment

    from whereby_async import WherebyClient

KINDS = ("get", "list", "walk", "create", "delete", "put", "bulk")
STUCK = 10_000.0
"""Simulated seconds; whoever waits longer than that is stuck."""

EMPTY = b'{"results": [], "cursor": null}'
FAULTS: dict[str, Fault] = {
    "500": Fault(status=500),
    "503 for a while": Fault(status=503, headers={"Retry-After": "2"}),
    "a proxy's 502": Fault(status=502, body=b"<html>bad gateway</html>", content_type="text/html", points=0),
    "404": Fault(status=404),
    "dropped before": Fault(drop="before"),
    "dropped after": Fault(drop="after"),
    "slow": Fault(delay=1),
    "too slow": Fault(delay=40),
    "slow after acting": Fault(answer_delay=40),
    "cut off": Fault(truncate=5),
    "dripping": Fault(body=EMPTY, drip=0.05),
    "no HTTP": Fault(raw=b"\x00nonsense\r\n\r\n"),
    "half an answer": Fault(raw=b"HTTP/1.1 200 OK\r\nContent-Le"),
    "no JSON": Fault(body=b"<html>"),
    "no rate limit": Fault(garbage_headers={}),
    "garbled rate limit": Fault(garbage_headers={"X-RateLimit-Remaining": "many", "X-RateLimit-Reset": "soon"}),
    "429": Fault(status=429, headers={"Retry-After": "7"}),
    "bare 429": Fault(status=429, garbage_headers={}, points=0),
}


class Call:
    """One call and how it ended.

    Attributes:
        marker: What the server knows a create by.
        meddled: Its task was cancelled by the test, or has a deadline.
        outcome: Its result or its error.
    """

    def __init__(self, kind: str, number: int, bound: str) -> None:
        self.kind = kind
        self.marker = f"call-{number}-"
        self.meddled = bound != "none"
        self.outcome: object = None
        self.task: asyncio.Task[None]

    def cancel(self) -> None:
        self.meddled = True
        self.task.cancel()


async def first_page(client: WherebyClient) -> object:
    return await client.meetings.list()


class ClientMachine(RuleBasedStateMachine):
    """A client, and all that its surroundings may do to it."""

    def __init__(self) -> None:
        super().__init__()
        self.descriptors = open_descriptors()
        self.loop = SimulatedLoop()
        self.complaints: list[dict[str, Any]] = []
        self.loop.set_exception_handler(lambda _, context: self.complaints.append(context))
        self.calls: list[Call] = []
        self.budget: PointBudget
        self.pool: SessionPool
        self.fake: FakeWhereby
        self.client: WherebyClient
        self.ids: list[str]
        self.connections: int
        self.at_the_end: str
        self.alone = True
        """Nobody else spends, and no answer lies about the budget: then nothing may be refused."""
        self.opened = False

    def run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self.loop.run_until_complete(coroutine)

    @initialize(
        server=st.fixed_dictionaries(
            {
                "algorithm": st.sampled_from(("fixed", "fixed", "aligned", "sliding_log", "token_bucket")),
                "header_style": st.sampled_from(("iso", "http_date", "epoch_ms", "js", "draft_7", "draft_10", "none")),
                "limit": st.sampled_from((10, 20, 60)),
                "latency": st.sampled_from((0.0, 0.02, 0.5)),
                "clock_skew": st.sampled_from((0.0, -300.0, 2.5)),
            }
        ),
        connections=st.integers(1, 4),
        at_the_end=st.sampled_from(("drain", "close", "close")),
    )
    def open(self, *, server: dict[str, Any], connections: int, at_the_end: str) -> None:
        async def opening() -> None:
            self.fake = FakeWhereby(**server)
            await self.fake.start()
            self.ids = [self.fake.add_meeting()["meetingId"] for _ in range(3)]
            self.budget = PointBudget(self.fake.limit)
            self.pool = SessionPool(connections=connections)
            self.client = self.fake.client(limiter=self.budget, pool=self.pool)
            self.connections, self.at_the_end = connections, at_the_end

        self.run(opening())
        self.opened = True

    # What may happen

    @rule(
        kind=st.sampled_from(KINDS),
        count=st.sampled_from((1, 1, 2, 6)),
        priority=st.sampled_from(tuple(Priority)),
        max_wait=st.sampled_from((None, None, None, None, 0.0, 5.0, 100.0)),
        bound=st.sampled_from(("none", "none", "none", *BOUNDS)),
        seconds=st.sampled_from((0.0, 0.01, 1.0, 45.0)),
    )
    def begin(
        self, *, kind: str, count: int, priority: Priority, max_wait: float | None, bound: str, seconds: float
    ) -> None:
        async def beginning() -> None:
            view = self.client.with_options(priority=priority, max_wait=max_wait)
            for _ in range(count):
                call = Call(kind, len(self.calls), bound)
                self.calls.append(call)
                call.task = asyncio.ensure_future(self.live(call, self.made(view, call), bound, seconds))

        self.run(beginning())

    @rule(kind=st.sampled_from(KINDS), count=st.sampled_from((1, 3, 12)))
    def begin_plainly(self, kind: str, count: int) -> None:
        self.begin(kind=kind, count=count, priority=Priority.NORMAL, max_wait=None, bound="none", seconds=0.0)

    @rule(
        kind=st.sampled_from(KINDS),
        count=st.sampled_from((1, 6)),
        nth=st.integers(0, 4),
        moment=st.sampled_from(("early", "late", "late")),
    )
    def begin_and_cancel_at_an_await(self, kind: str, count: int, nth: int, moment: Moment) -> None:
        """`late`: what it awaits has come, and it has not heard of it yet."""

        async def beginning() -> None:
            for _ in range(count):
                call = Call(kind, len(self.calls), "cancelled")
                self.calls.append(call)
                made = awaiting(Meddling(self.made(self.client, call), nth, moment, call.cancel))
                call.task = asyncio.ensure_future(self.live(call, made, "none", 0.0))

        self.run(beginning())

    @rule(which=st.integers(0, 1000))
    def cancel(self, which: int) -> None:
        if pending := [call for call in self.calls if not call.task.done()]:
            pending[which % len(pending)].cancel()

    @rule(which=st.integers(0, 1000))
    def cancel_when_something_is_decided(self, which: int) -> None:
        """In the same turn of the loop as the next wake-ups, before or after them."""
        self.run(asyncio.sleep(0))
        self.cancel(which)

    @rule(turns=st.integers(1, 12))
    def turn(self, turns: int) -> None:
        async def turning() -> None:
            for _ in range(turns):
                await asyncio.sleep(0)

        self.run(turning())

    @rule(seconds=st.sampled_from((0.001, 0.02, 0.5, 3.0, 31.0, 59.9, 61.0)))
    def wait(self, seconds: float) -> None:
        self.run(asyncio.sleep(seconds))

    @rule(
        name=st.sampled_from(tuple(FAULTS)),
        times=st.sampled_from((1, 1, 3)),
        operation=st.sampled_from((None, None, "meetings.create")),
    )
    def go_wrong(self, name: str, times: int, operation: str | None) -> None:
        self.fake.faults.add(structs.replace(FAULTS[name], times=times, operation=operation))
        self.alone = self.alone and "429" not in name

    @rule(points=st.integers(1, 30))
    def spend_elsewhere(self, points: int) -> None:
        self.fake.spend(points)
        self.alone = False

    # Calls

    def made(self, client: WherebyClient, call: Call) -> Coroutine[Any, Any, object]:
        end_date = datetime.now(UTC) + timedelta(hours=1)
        made: dict[str, Any] = {
            "get": lambda: client.meetings.get(self.ids[0]),
            "list": lambda: first_page(client),
            "walk": lambda: client.meetings.list(page_size=1).collect(max_items=4),
            "create": lambda: client.meetings.create(end_date=end_date, room_name_prefix=call.marker),
            "delete": lambda: client.meetings.delete(self.ids[1]),
            "put": lambda: client.rooms.set_theme_tokens("/room", primary="#112233"),
            "bulk": lambda: client.recordings.bulk_delete(["a"]),
        }
        return made[call.kind]()  # type: ignore[no-any-return]  # one of the coroutines above

    async def live(self, call: Call, made: Coroutine[Any, Any, object], bound: str, seconds: float) -> None:
        """Await it as a caller would, and keep how it ends."""
        try:
            call.outcome = await bounded(bound, seconds, made)
        except BaseException as error:
            call.outcome = error
            if isinstance(error, asyncio.CancelledError):
                raise
        finally:
            made.close()

    # What holds at any time

    @invariant()
    def accounts_are_sane(self) -> None:
        if self.opened:
            self.run(self.check())

    async def check(self) -> None:
        snapshot = self.budget.snapshot()
        under_way = sum(not call.task.done() for call in self.calls)
        assert 0 <= self.pool.in_use <= self.connections
        assert 0 <= self.pool.waiting + sum(snapshot.waiting.values()) <= under_way
        assert snapshot.in_flight >= 0
        if self.alone:  # else a 429 may tell of a new window while calls of the last are in flight
            assert snapshot.in_flight <= self.fake.limit
            assert snapshot.available <= self.left_at_the_server()
            assert self.fake.throttled == 0

    def left_at_the_server(self) -> int:
        policy = copy.deepcopy(self.fake._policy)  # pyright: ignore[reportPrivateUsage] - asking would open a window
        return policy.take(0, self.fake._clock.elapsed()).remaining  # pyright: ignore[reportPrivateUsage] - the server's own count

    # The end

    def teardown(self) -> None:
        try:
            if self.opened:
                self.run(self.end())
        finally:
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.close()
        assert not self.complaints, self.complaints
        assert open_descriptors() <= self.descriptors

    async def end(self) -> None:
        """Drain or close; then everybody has come to an end, and nothing is left."""
        if self.at_the_end == "close":
            await asyncio.gather(self.client.aclose(), self.pool.aclose())
        tasks = [call.task for call in self.calls]
        if tasks:
            _, stuck = await asyncio.wait(tasks, timeout=10 if self.at_the_end == "close" else STUCK)
            assert not stuck, stuck
        self.fake.faults.clear()
        await asyncio.sleep(100)
        assert_idle(self.budget, self.pool)
        if self.at_the_end == "drain":
            async with asyncio.timeout(STUCK):
                await self.client.meetings.list()
            assert_idle(self.budget, self.pool)
            await asyncio.gather(self.client.aclose(), self.pool.aclose())
        if self.alone:
            assert self.fake.throttled == 0
        for call in self.calls:
            self.judge(call)
        await self.fake.aclose()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, left

    def judge(self, call: Call) -> None:
        """It ended as a call may end, and a create acted as often as its caller is told."""
        outcome = call.outcome
        cancelled = isinstance(outcome, asyncio.CancelledError | TimeoutError) and call.meddled
        if isinstance(outcome, BaseException):
            assert isinstance(outcome, WherebyError) or cancelled, repr(outcome)
        if call.kind != "create":
            return
        acts = sum(
            request.acted and request.json["roomNamePrefix"] == call.marker
            for request in self.fake.requests
            if request.operation == "meetings.create"
        )
        assert_acted_as_told(outcome, acts)


def explore(examples: int, *, always_the_same: bool) -> None:
    run_state_machine_as_test(
        ClientMachine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=30,
            deadline=None,
            database=None,
            derandomize=always_the_same,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
        ),
    )


def test_whatever_happens_nothing_is_lost_or_stuck() -> None:
    """A bounded number of examples, the same ones each time."""
    explore(75, always_the_same=True)


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_whatever_happens_nothing_is_lost_or_stuck_in_thousands_of_examples() -> None:
    """As many as `WHEREBY_EXAMPLES` says, 5,000 by default, new ones each time."""
    explore(int(os.environ.get("WHEREBY_EXAMPLES", "5000")), always_the_same=False)
