"""Connection slots: who gets the next one, and that none is ever lost."""

from __future__ import annotations

import asyncio
import random

import pytest

from whereby_async.errors import ClientClosedError
from whereby_async.transport.slots import ConnectionSlots

pytestmark = pytest.mark.anyio


async def _pass(
    slots: ConnectionSlots, priority: int, order: list[str], name: str, hold: asyncio.Event | None = None
) -> None:
    if not slots.try_take():
        await slots.take(priority)
    order.append(name)
    try:
        if hold is not None:
            await hold.wait()
    finally:
        slots.give_back()


async def _settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_slots_are_served_by_priority_and_in_order_within_one() -> None:
    slots, hold = ConnectionSlots(1, asyncio.get_running_loop()), asyncio.Event()
    order: list[str] = []
    first = asyncio.create_task(_pass(slots, 1, order, "first", hold))
    await _settled()
    rest: list[asyncio.Task[None]] = []
    for priority, name in ((2, "batch1"), (1, "normal1"), (2, "batch2"), (1, "normal2"), (0, "interactive")):
        rest.append(asyncio.create_task(_pass(slots, priority, order, name)))
        await _settled()
    assert slots.waiting == 5
    hold.set()
    await asyncio.gather(first, *rest)
    assert order == ["first", "interactive", "normal1", "normal2", "batch1", "batch2"]
    assert slots.in_use == slots.waiting == 0


async def _full(waiters: int) -> tuple[ConnectionSlots, list[asyncio.Task[None]]]:
    """One slot, which is taken, and so many who wait for it."""
    slots = ConnectionSlots(1, asyncio.get_running_loop())
    assert slots.try_take()
    waiting = [asyncio.create_task(slots.take(1)) for _ in range(waiters)]
    await _settled()
    return slots, waiting


async def test_a_newcomer_does_not_pass_the_queue() -> None:
    """A slot that is given back while somebody waits is never free for who comes just then."""
    slots, (waiter,) = await _full(1)
    slots.give_back()
    assert not slots.try_take()
    await waiter
    slots.give_back()
    assert slots.try_take()


@pytest.mark.parametrize("granted", [False, True])
async def test_a_waiter_that_is_cancelled_loses_no_slot(*, granted: bool) -> None:
    """In the queue it is skipped; between its grant and the moment its task runs, it hands the slot on."""
    slots, (cancelled, next_one) = await _full(2)
    if granted:
        slots.give_back()
    cancelled.cancel()
    if not granted:
        await _settled()
        slots.give_back()
    await next_one
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    assert (slots.in_use, slots.waiting) == (1, 0)
    slots.give_back()
    assert slots.in_use == 0


async def test_random_cancels_lose_no_slot() -> None:
    chance = random.Random(7)
    slots = ConnectionSlots(5, asyncio.get_running_loop())
    order: list[str] = []

    async def one(name: str) -> None:
        if not slots.try_take():
            await slots.take(chance.randrange(3))
        order.append(name)
        try:
            for _ in range(chance.randrange(4)):
                await asyncio.sleep(0)
        finally:
            slots.give_back()

    tasks = [asyncio.create_task(one(str(n))) for n in range(500)]
    while not all(task.done() for task in tasks):
        chance.choice(tasks).cancel()
        await asyncio.sleep(0)
        assert 0 <= slots.in_use <= 5
    assert slots.in_use == slots.waiting == 0
    assert len(order) > 50


async def test_closing_sends_the_waiting_away_and_keeps_the_slots_right() -> None:
    slots, waiters = await _full(3)
    waiters[0].cancel()
    slots.close("closed")
    outcomes = await asyncio.gather(*waiters, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [asyncio.CancelledError, ClientClosedError, ClientClosedError]
    slots.give_back()
    assert slots.in_use == 0
