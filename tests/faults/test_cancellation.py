"""A call that is cancelled, timed out or closed on at any of its awaits leaves nothing behind and acts at most once.

At the end stand programs that end while calls are under way, with warnings as errors, and the soak in small.
"""

from __future__ import annotations

import asyncio
import gc
import os
import runpy
import subprocess
import sys
import textwrap
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

import anyio
import pytest
from support import checkout
from support.cancellation import (
    BOUNDS,
    Meddling,
    Moment,
    assert_acted_as_told,
    assert_idle,
    awaiting,
    bounded,
    cleanly,
    run_cleanly,
)

from whereby_async import (
    APIConnectionError,
    ClientClosedError,
    InternalServerError,
    NotFoundError,
    SessionPool,
    WherebyClient,
    WherebyError,
)
from whereby_async.limiter import PointBudget
from whereby_async.testing import FAKE_API_KEY, FakeWhereby, Fault

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

Kind = Literal["read", "create", "walk"]
Queue = Literal["cold", "none", "points", "slots", "both"]

FEWEST_AWAITS = {"cold": 3, "none": 1, "points": 2, "slots": 2, "both": 3}
"""By queue: a connection is made, an answer awaited; points and a slot are awaited each."""

each_kind = pytest.mark.parametrize("kind", get_args(Kind))
each_queue = pytest.mark.parametrize("queue", get_args(Queue))
each_moment = pytest.mark.parametrize("moment", get_args(Moment))

LIMIT = 10
MEETINGS = 3
MOST_AWAITS = 200


class World:
    """A server, a client of one connection and ten points, and what the test needs to know of them."""

    def __init__(self) -> None:
        self.fake = FakeWhereby(limit=LIMIT, period=60.0, latency=0.02)
        self.budget = PointBudget(LIMIT)
        self.pool = SessionPool(connections=1)
        self.client: WherebyClient
        self.queue: list[asyncio.Task[Any]] = []

    async def __aenter__(self) -> Self:
        await self.fake.start()
        self.ids = [self.fake.add_meeting()["meetingId"] for _ in range(MEETINGS)]
        self.client = self.fake.client(limiter=self.budget, pool=self.pool, timeout=300)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.aclose()
        await self.pool.aclose()
        await self.fake.aclose()

    def call(self, kind: Kind) -> Coroutine[Any, Any, object]:
        """A call that has not begun."""
        match kind:
            case "read":
                return self.client.meetings.get(self.ids[0])
            case "create":
                return self.client.meetings.create(end_date=datetime.now(UTC) + timedelta(hours=1))
            case "walk":
                return self.client.meetings.list(page_size=1).collect()

    async def crowd(self, queue: Queue) -> None:
        """Have the next call wait: for a minute, since all points are spent; for a slow call that has the only slot.

        `cold`: nothing has been called yet, so that it must connect first.
        """
        if queue == "cold":
            return
        for _ in range({"points": LIMIT, "both": LIMIT - 1}.get(queue, 1)):
            await self.client.meetings.list()
        if queue in {"slots", "both"}:
            self.fake.faults.add(Fault(operation="recordings.list", delay=100))
            self.queue.append(asyncio.ensure_future(self.client.recordings.list().collect()))
            while not self.pool.in_use:
                await asyncio.sleep(0)

    def acted(self, operation: str) -> int:
        """How often the server did what was asked."""
        return sum(request.acted for request in self.fake.requests if request.operation == operation)

    async def settle(self) -> None:
        """Everybody comes to an end, and the next call is served."""
        await asyncio.gather(*self.queue, return_exceptions=True)
        await asyncio.sleep(1)
        assert_idle(self.budget, self.pool)
        if not self.client.closed:
            page = await self.client.meetings.list()
            assert len(page) >= MEETINGS
            assert_idle(self.budget, self.pool)
        assert self.fake.throttled == 0
        assert self.acted("meetings.create") <= 1


async def meddled(kind: Kind, queue: Queue, nth: int, moment: Moment, *, close: bool) -> tuple[bool, object]:
    """One call, cancelled (or closed on) at its await number `nth`; whether it came so far, and how it ended."""
    async with World() as world:
        await world.crowd(queue)
        closing: list[asyncio.Task[None]] = []

        def act() -> None:
            if close:
                closing.append(asyncio.ensure_future(world.client.aclose()))
                closing.append(asyncio.ensure_future(world.pool.aclose()))
            else:
                task.cancel()

        meddling = Meddling(world.call(kind), nth, moment, act)
        task = asyncio.ensure_future(awaiting(meddling))
        (outcome,) = await asyncio.gather(task, return_exceptions=True)
        await asyncio.gather(*closing)
        await world.settle()
        if kind == "create":
            assert_acted_as_told(outcome, world.acted("meetings.create"))
        return meddling.reached, outcome


@pytest.mark.parametrize("close", [False, True], ids=["cancelled", "closed"])
@each_moment
@each_queue
@each_kind
def test_a_call_that_ends_at_any_await_leaves_nothing_behind(
    kind: Kind, queue: Queue, moment: Moment, close: bool
) -> None:
    """Cancelled or closed at await 0, 1, 2, … until it finishes: permits, slots and tasks are back.

    The next call is served. One that was closed is a result, `APIConnectionError` or `ClientClosedError`.
    """
    for nth in range(MOST_AWAITS):
        reached, outcome = run_cleanly(meddled(kind, queue, nth, moment, close=close))
        failed = isinstance(outcome, BaseException)
        if not reached:
            assert not failed
            assert close or nth >= FEWEST_AWAITS[queue]
            return
        if not close:
            assert isinstance(outcome, asyncio.CancelledError)
        elif nth == 0 and moment == "early" and queue != "none":
            assert isinstance(outcome, ClientClosedError)
        else:
            assert not failed or isinstance(outcome, APIConnectionError | ClientClosedError)
    pytest.fail("the call never finished")


@pytest.mark.parametrize("how", BOUNDS)
@each_kind
@each_queue
@cleanly
async def test_a_deadline_of_the_callers_ends_the_wait_and_nothing_else(how: str, kind: Kind, queue: Queue) -> None:
    """In the queue for points, for a slot, on the wire: the caller's own timeout comes out, and nothing is left."""
    async with World() as world:
        await world.crowd(queue)
        world.fake.latency = 2.0
        with pytest.raises(TimeoutError) as caught:
            await bounded(how, 1.0, world.call(kind))
        assert not isinstance(caught.value, WherebyError)
        current = asyncio.current_task()
        assert current is not None
        assert current.cancelling() == 0
        await asyncio.sleep(3)
        await world.settle()


@pytest.mark.parametrize("how", BOUNDS)
@cleanly
async def test_a_deadline_ends_the_pause_before_a_retry(how: str) -> None:
    """The pause before the second attempt is the caller's to end; the points of the first are accounted for."""
    async with World() as world:
        world.fake.faults.add(Fault(status=503, headers={"Retry-After": "30"}, times=None))
        with pytest.raises(TimeoutError):
            await bounded(how, 5.0, world.call("read"))
        assert_idle(world.budget, world.pool)
        assert len(world.fake.requests) == 1
        world.fake.faults.clear()
        await world.settle()


@pytest.mark.parametrize("kind", ["read", "put"])
@cleanly
async def test_closing_ends_the_pause_before_a_retry(kind: str) -> None:
    """A call that pauses for the server's `Retry-After` raises its last error as soon as the client is closed."""
    async with World() as world:
        world.fake.faults.add(Fault(status=503, headers={"Retry-After": "50"}, times=None))
        call = world.call("read") if kind == "read" else world.client.rooms.reset_theme_tokens("/room")
        task = asyncio.ensure_future(call)
        await asyncio.sleep(5)
        began = asyncio.get_running_loop().time()
        await world.client.aclose()
        with pytest.raises(InternalServerError):
            await task
        assert asyncio.get_running_loop().time() - began < 0.1
        assert (len(world.fake.requests), task.cancelling()) == (1, 0)
        await world.settle()


@each_moment
@cleanly
async def test_a_cancel_in_the_pause_before_a_retry_wins_over_closing(moment: Moment) -> None:
    """The caller's own cancel at the moment of closing comes out as one."""
    async with World() as world:
        world.fake.faults.add(Fault(status=503, headers={"Retry-After": "50"}, times=None))
        task = asyncio.ensure_future(world.call("read"))
        await asyncio.sleep(5)
        if moment == "early":
            task.cancel()
        await world.client.aclose()
        asyncio.get_running_loop().call_soon(task.cancel)
        with pytest.raises(asyncio.CancelledError):
            await task
        await world.settle()


async def in_a_task_group(library: str, work: list[Coroutine[Any, Any, object]]) -> None:
    if library == "asyncio":
        async with asyncio.TaskGroup() as group:
            for each in work:
                group.create_task(each)
    else:
        async with anyio.create_task_group() as tasks:
            for each in work:
                tasks.start_soon(asyncio.wait_for, each, None)


@pytest.mark.parametrize("library", ["asyncio", "anyio"])
@cleanly
async def test_a_failure_in_a_task_group_ends_its_siblings_calls(library: str) -> None:
    """One task raises: calls on the wire, waiting for a slot and for points are cancelled, and nothing is left."""

    async def fail() -> None:
        await asyncio.sleep(0.03)
        raise LookupError

    async with World() as world:
        await world.crowd("none")
        kinds: list[Kind] = ["read", "walk"]
        with pytest.raises(BaseExceptionGroup) as caught:
            await in_a_task_group(library, [*map(world.call, kinds * 8), world.call("create"), fail()])
        assert [type(error) for error in caught.value.exceptions] == [LookupError]
        await world.settle()


@cleanly
async def test_closing_sends_the_queued_away_and_lets_the_granted_end_cleanly() -> None:
    """Of twenty calls: those that wait get `ClientClosedError` and were not sent; those on the wire end in an error."""
    async with World() as world:
        own = SessionPool(connections=3)
        client = world.fake.client(limiter=world.budget, pool=own)
        for _ in range(3):  # as many may be in flight then, and what they cost is known
            await client.meetings.get(world.ids[0])
        sent = len(world.fake.requests)
        calls = [asyncio.ensure_future(client.meetings.get(world.ids[0])) for _ in range(20)]
        while len(world.fake.requests) < sent + 3:
            await asyncio.sleep(0.001)
        await asyncio.gather(client.aclose(), own.aclose())
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        kinds = [type(outcome) for outcome in outcomes]
        assert kinds.count(APIConnectionError) == 3
        assert kinds.count(ClientClosedError) == 17
        assert len(world.fake.requests) == sent + 3
        await world.settle()


@pytest.mark.parametrize("status", [200, 404])
@cleanly
async def test_closing_ends_calls_that_read_a_body(status: int) -> None:
    """A body that stalls after its first byte: the call ends with the closing, not with its timeout."""
    async with World() as world:
        body = b'{"error":"no such meeting"}' + b" " * 100
        world.fake.faults.add(Fault(status=status, body=body, drip=5))
        call = asyncio.ensure_future(world.call("read"))
        await asyncio.sleep(1)
        began = asyncio.get_running_loop().time()
        await asyncio.gather(world.client.aclose(), world.pool.aclose())
        with pytest.raises(APIConnectionError if status == 200 else NotFoundError):
            await call
        assert asyncio.get_running_loop().time() - began < 0.1
        await world.settle()


@cleanly
async def test_a_client_that_closes_while_its_pool_stays_lets_calls_on_the_wire_finish() -> None:
    """The pool is the caller's: three calls that have left are answered, the queue for points is sent away."""
    async with World() as world:
        await world.crowd("points")
        await asyncio.sleep(61)
        wide = SessionPool(connections=20)
        client = world.fake.client(limiter=world.budget, pool=wide)
        for _ in range(LIMIT):  # as many may be in flight then, and what they cost is known
            await client.meetings.get(world.ids[0])
        await asyncio.sleep(61)
        await client.meetings.list()
        calls = [asyncio.ensure_future(client.meetings.get(world.ids[0])) for _ in range(20)]
        while wide.in_use < LIMIT - 1:
            await asyncio.sleep(0.001)
        await client.aclose()
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        kinds = [type(outcome) for outcome in outcomes]
        assert kinds.count(ClientClosedError) == 20 - (LIMIT - 1)
        assert sum(not isinstance(outcome, BaseException) for outcome in outcomes) == LIMIT - 1
        assert_idle(world.budget, wide)
        await wide.aclose()


async def cancelled_when_refused(world: World, client: WherebyClient, refused_by: str, moment: Moment) -> None:
    """A call that waits is refused, and cancelled as the refusal stands."""
    meddling = Meddling(client.meetings.get(world.ids[0]), 0, moment, lambda: task.cancel("as it is refused"))
    task = asyncio.ensure_future(awaiting(meddling))
    await asyncio.sleep(0)
    if refused_by != "max_wait":
        await (world.pool if refused_by == "pool" else world.budget).aclose()
    with pytest.raises(asyncio.CancelledError):
        await task


@each_moment
@pytest.mark.parametrize("refused_by", ["max_wait", "pool", "limiter"])
@cleanly
async def test_a_cancel_that_meets_a_refusal_wins_without_a_word(refused_by: str, moment: Moment) -> None:
    """A task that is cancelled before it hears of its refusal is cancelled, and no future complains of its error."""
    async with World() as world:
        await world.crowd("slots" if refused_by == "pool" else "points")
        client = world.client
        if refused_by == "max_wait":
            await asyncio.sleep(60)
            # The server will take nothing for longer than the call wants to wait, as another call is about to hear.
            world.fake.faults.add(Fault(status=429, headers={"Retry-After": "100"}, body=b"{}", delay=1))
            world.queue.append(asyncio.ensure_future(client.meetings.get(world.ids[0])))
            await asyncio.sleep(0.5)
            client = client.with_options(max_wait=65)
        await cancelled_when_refused(world, client, refused_by, moment)
        gc.collect()
        await asyncio.gather(*world.queue, return_exceptions=True)
        await asyncio.sleep(1)
        assert_idle(world.budget, world.pool)


# Programs of their own

SOAK = checkout.ROOT / "benchmarks" / "soak.py"
needs_soak = pytest.mark.skipif(not SOAK.exists(), reason="the benchmarks are not here")

PREAMBLE = """
import asyncio, sys
from whereby_async import SessionPool, WherebyClient
from whereby_async.limiter import PointBudget

budget, pool = PointBudget(20), SessionPool(connections=4)
client = WherebyClient(limiter=budget, pool=pool, timeout=300)

async def call():
    await client.meetings.list()

async def begin(count):
    # Four are answered, so that as many may be in flight; then four are on the wire,
    # some wait for a slot, and the rest wait for points.
    for _ in range(4):
        await call()
    tasks = [asyncio.create_task(call()) for _ in range(count)]
    while pool.in_use < 4 or not sum(budget.snapshot().waiting.values()):
        await asyncio.sleep(0.001)
    return tasks

def idle():
    snapshot = budget.snapshot()
    return (snapshot.in_flight, sum(snapshot.waiting.values()), pool.in_use, pool.waiting)
"""


@pytest.fixture
def url() -> Iterator[str]:
    """A server that answers the first four calls and stalls on all others."""
    with FakeWhereby(limit=20).in_thread() as fake:
        fake.faults.add(Fault(skip=4, times=None, delay=300))
        yield fake.url


def run(program: str, url: str, *, uvloop: bool = False) -> tuple[int, str, str]:
    """Run the program in asyncio's debug mode: its exit code, what it printed, and what it complained of."""
    preamble = ("import uvloop; uvloop.install()" if uvloop else "") + PREAMBLE
    strict = ["-W", "error", *(["-W", "ignore::DeprecationWarning"] if uvloop else ["-X", "dev"])]
    ran = subprocess.run(
        [sys.executable, *strict, "-c", preamble + textwrap.dedent(program)],
        env={**os.environ, "WHEREBY_API_KEY": FAKE_API_KEY, "WHEREBY_BASE_URL": url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return ran.returncode, ran.stdout, ran.stderr


@pytest.mark.parametrize("uvloop", [False, True])
def test_a_loop_that_ends_with_calls_in_flight_ends_quietly(url: str, uvloop: bool) -> None:
    """`asyncio.run` cancels them: nothing is printed, and every permit and slot is back."""
    program = """
        async def main():
            return await begin(40)

        tasks = asyncio.run(main())
        print(all(task.cancelled() for task in tasks), idle())
    """
    assert run(program, url, uvloop=uvloop) == (0, "True (0, 0, 0, 0)\n", "")


def test_a_program_that_fails_with_calls_in_flight_shows_its_own_error_only(url: str) -> None:
    """The traceback is the program's; nothing of ours is said beside it."""
    program = """
        async def main():
            await begin(40)
            raise SystemExit("enough")

        asyncio.run(main())
    """
    assert run(program, url) == (1, "", "enough\n")


def test_a_loop_that_is_dropped_with_calls_in_flight_keeps_no_permit(url: str) -> None:
    """A loop is closed without cancelling anything: once its tasks are collected, their points count as lost.

    That is seen after the next loop's first call.
    """
    program = """
        import gc, logging
        from whereby_async.limiter import Unlimited
        logging.disable()  # asyncio tells of tasks that were destroyed while pending, as it should
        loop = asyncio.new_event_loop()
        tasks = loop.run_until_complete(begin(40))
        loop.close()
        del tasks, loop
        async def other():
            try:
                async with asyncio.timeout(0.05):
                    await client.with_options(limiter=Unlimited()).meetings.list()
            except TimeoutError:
                pass
            gc.collect()
            return idle()
        print(asyncio.run(other()))
        sys.stderr.close()  # transports that were never closed warn
    """
    code, printed, _ = run(program, url)
    assert (code, printed) == (0, "(0, 0, 0, 0)\n")


@needs_soak
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
def test_thousands_of_calls_with_faults_and_cancels_reconcile() -> None:
    """Every create is accounted for, and nothing is left over."""
    ran = subprocess.run(
        [sys.executable, str(SOAK), "--calls", "3000", "--seconds-limit", "60"],
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, ""), ran.stdout
    assert "reconciles" in ran.stdout
    assert "Error" in ran.stdout


@needs_soak
def test_what_does_not_reconcile_is_told() -> None:
    """Twice acted, succeeded without an act, acted in spite of the error's word that it did not, never called."""
    soak = runpy.run_path(str(SOAK))
    outcomes = ("SUCCEEDED", "MAY_HAVE", "MAY_HAVE", "HAS_NOT", "CANCELLED", "CANCELLED")
    ended, complaints = bytes([*(soak[outcome] for outcome in outcomes), 0]), soak["complaints"]
    assert complaints(ended, bytes([1, 0, 1, 0, 0, 1, 0])) == []
    for acted in ([0, 0, 1, 0, 0, 1, 0], [1, 2, 1, 0, 0, 1, 0], [1, 0, 1, 1, 0, 1, 0], [1, 0, 1, 0, 0, 1, 1]):
        assert len(complaints(ended, bytes(acted))) == 1
