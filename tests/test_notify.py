"""A limiter's hooks: each is told once, as long as its client lives, and nobody is kept alive."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from support.recording_limiter import RecordingLimiter

from whereby_async import WherebyClient
from whereby_async.hooks import CostChangeDetails
from whereby_async.limiter import PointBudget
from whereby_async.notify import Listeners
from whereby_async.testing import FakeWhereby

if TYPE_CHECKING:
    from whereby_async.hooks import LimiterDetails, WaitDetails

pytestmark = pytest.mark.anyio

CHANGE = CostChangeDetails(operation="x", old=1, new=2)
KEY = "k" * 20


class Waits:
    """Keeps waits and limiters."""

    def __init__(self) -> None:
        self.told: list[WaitDetails] = []
        self.limiters: list[LimiterDetails] = []

    def on_wait(self, details: WaitDetails) -> None:
        self.told.append(details)

    def on_limiter(self, details: LimiterDetails) -> None:
        self.limiters.append(details)


async def test_two_clients_with_one_limiter_and_one_hook_tell_each_wait_once() -> None:
    """And closing one of them leaves the other's hook where it is."""
    waits, limiter = Waits(), PointBudget(2, period=60.0)
    permit = await limiter.acquire(2)
    async with FakeWhereby() as fake, fake.client(limiter=limiter, hooks=[waits]) as one:
        two = fake.client(limiter=limiter, hooks=[waits])
        for _ in range(2):
            task = asyncio.create_task(one.meetings.list().collect())
            while not any(limiter.snapshot().waiting.values()):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            await two.aclose()
    permit.release()
    assert len(waits.told) == 2


async def test_a_client_that_is_dropped_takes_its_hooks_back() -> None:
    limiter = PointBudget()
    hook = Waits()
    refer = weakref.ref(hook)
    clients = [WherebyClient(KEY, limiter=limiter, hooks=[hook]) for _ in range(3)]
    del hook
    while clients:
        assert refer() is not None
        clients.pop()
        gc.collect()
    assert refer() is None


async def test_a_views_limiter_goes_with_the_view() -> None:
    """A client with a view for each tenant does not grow."""

    class Throttles:
        def on_throttle(self, details: object) -> None:
            """The limiter calls it."""

    client = WherebyClient(KEY, limiter=RecordingLimiter(), hooks=[Throttles()])
    limiter = RecordingLimiter()
    view = client.with_options(limiter=limiter)
    refer = weakref.ref(limiter)
    assert len(limiter.hooks) == 1
    del view, limiter
    gc.collect()
    assert refer() is None
    await client.aclose()


async def test_a_view_of_a_closed_client_subscribes_to_nothing() -> None:
    client = WherebyClient(KEY, limiter=RecordingLimiter(), hooks=[Waits()])
    await client.aclose()
    limiter = RecordingLimiter()
    client.with_options(limiter=limiter)
    assert limiter.hooks == []


async def test_hooks_are_told_of_each_limiter_once() -> None:
    """Of the client's, and of a view's own, however many views there are; no limiter keeps them after the close."""

    class Calls:
        def on_call(self, details: object) -> None:
            """No limiter tells of this."""

    waits, one, two = Waits(), RecordingLimiter(), RecordingLimiter()
    async with WherebyClient(KEY, base_url="http://localhost:1/x", limiter=one, hooks=[waits, Calls()]) as client:
        for _ in range(3):
            client.with_options(limiter=two).with_options(timeout=3)
        assert one.hooks == two.hooks == [waits]
    assert one.hooks == two.hooks == []
    assert [(details.limiter, details.base_url) for details in waits.limiters] == [
        (one, "http://localhost:1/x"),
        (two, "http://localhost:1/x"),
    ]


def test_a_hook_that_leaves_never_waits_for_the_lock() -> None:
    """The garbage collector may take one back in the middle of another's coming; it is struck off right after."""
    listeners, old, told = Listeners(), Waits(), threading.Event()

    class New:
        def on_cost_change(self, details: CostChangeDetails) -> None:
            assert details is CHANGE
            told.set()

    listeners.add(old)
    refer = weakref.ref(old)
    with listeners._lock:  # pyright: ignore[reportPrivateUsage] - as if in the middle of `add`
        listeners.remove(old)
        del old
        assert refer() is not None
    listeners.add(New())
    gc.collect()
    assert refer() is None
    listeners.tell("on_cost_change", CHANGE)
    assert told.is_set()


async def test_a_limiter_of_ones_own_need_not_take_hooks_back() -> None:
    class Plain(RecordingLimiter):
        unsubscribe = None  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType] - it has none

    limiter: Any = Plain()
    async with WherebyClient(KEY, limiter=limiter, hooks=[Waits()]):
        pass
    assert len(limiter.hooks) == 1


def test_hook_is_told_once_however_often_it_was_added() -> None:
    """And until it was taken away as often."""

    @dataclass(eq=True)
    class Hook:
        heard: int = 0

        def on_cost_change(self, _: object) -> None:
            self.heard += 1

    listeners = Listeners()
    assert not listeners
    one, twin = Hook(), Hook()
    listeners.add(one)
    listeners.add(one)
    listeners.add(twin)
    listeners.tell("on_cost_change", CHANGE)
    assert (one.heard, twin.heard) == (1, 1)
    listeners.remove(one)
    listeners.tell("on_cost_change", CHANGE)
    listeners.remove(one)
    listeners.remove(one)
    listeners.tell("on_cost_change", CHANGE)
    assert (one.heard, twin.heard) == (2, 3)
