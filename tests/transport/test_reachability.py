"""What is known of an origin: when it changes, who probes and when, and who goes on in which order. Time is simulated."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from typing import TYPE_CHECKING

import anyio
import pytest

from whereby_async import SessionPool
from whereby_async.transport import Reachability
from whereby_async.transport.reachability import reachability

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from whereby_async.hooks import UnavailableDetails

pytestmark = [pytest.mark.anyio, pytest.mark.simulated_clock]

ORIGIN = "https://api.example"


class Changes:
    """A hook that remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[UnavailableDetails] = []

    def on_unavailable(self, details: UnavailableDetails) -> None:
        self.told.append(details)


def now() -> float:
    return asyncio.get_running_loop().time()


def even(changes: Changes | None = None) -> Reachability:
    """One whose probes are not varied."""
    known = Reachability(ORIGIN, draw=lambda: 0.5)
    if changes is not None:
        known.listeners.add(changes)
    return known


def failing(known: Reachability, *operations: str, retry_after: float | None = None) -> None:
    """Attempts that begin now and are answered by a gateway."""
    for operation in operations:
        known.failed(operation, known.epoch, "it answers 503", retry_after)


def probing(known: Reachability, at: list[float], *, back_at: float = float("inf")) -> Callable[[], Awaitable[None]]:
    """A probe that succeeds from `back_at` on, and writes down when it was made."""

    async def probe() -> None:
        at.append(now())
        if now() >= back_at:
            known.reached()
        else:
            known.probe_failed("still away")

    return probe


# What changes it


async def test_a_connection_that_can_not_be_made_is_told_once_and_its_return_once() -> None:
    changes = Changes()
    known = even(changes)
    for _ in range(3):
        known.refused("Connection refused")
    await asyncio.sleep(2)
    snapshot = known.snapshot()
    assert (snapshot.origin, snapshot.state, snapshot.reason) == (ORIGIN, "unavailable", "Connection refused")
    assert snapshot.away == pytest.approx(2)
    known.reached()
    known.reached()
    assert [told.away for told in changes.told] == [True, False]
    assert {told.reason for told in changes.told} == {"Connection refused"}
    assert changes.told[0].since == changes.told[1].since == snapshot.since
    assert known.snapshot().state == "ready"


async def test_only_an_attempt_that_was_begun_since_shows_that_it_is_back() -> None:
    """A server that shuts down in order answers what it has, and takes nothing new."""
    known = even()
    before = known.epoch
    known.refused("Connection refused")
    known.succeeded("meetings.get", before)
    assert known.unavailable
    known.succeeded("meetings.get", known.epoch)
    assert not known.unavailable


async def test_five_answers_of_a_gateway_in_a_row_over_two_operations() -> None:
    known = even()
    failing(known, "meetings.get", "meetings.get", "meetings.list", "meetings.get")
    assert not known.unavailable
    failing(known, "meetings.get")
    assert known.blocks("meetings.get")
    assert known.blocks("rooms.set_logo")
    assert known.snapshot().reason == "it answers 503"
    assert known.needs_read


async def test_a_success_between_them_begins_the_count_anew() -> None:
    known = even()
    failing(known, *["meetings.get", "meetings.list"] * 2)
    known.succeeded("meetings.get", known.epoch)
    failing(known, *["meetings.get", "meetings.list"] * 2)
    assert not known.unavailable


async def test_attempts_that_began_before_the_last_success_do_not_count() -> None:
    """A hundred calls on the way while a gateway has a bad moment: their failures come in late and say nothing."""
    known = even()
    began = known.epoch
    known.succeeded("meetings.get", began)
    for _ in range(100):
        known.failed("meetings.get", began, "it answers 503")
        known.failed("meetings.list", began, "it answers 503")
    assert not known.unavailable


async def test_one_operation_alone_makes_only_itself_wait_until_another_fails_too() -> None:
    known = even()
    failing(known, *["summaries.create"] * 5)
    assert known.blocks("summaries.create")
    assert not known.blocks("meetings.get")
    known.succeeded("meetings.get", known.epoch)
    assert known.blocks("summaries.create")
    failing(known, "meetings.list")
    assert known.blocks("meetings.get")


async def test_a_connection_that_fails_during_an_outage_of_one_operation_makes_all_wait() -> None:
    known = even()
    failing(known, *["summaries.create"] * 5)
    known.refused("Connection refused")
    assert known.blocks("meetings.get")


# Who probes, and when


async def test_probes_come_at_doubling_intervals_up_to_a_second_and_up_to_five_after_a_minute() -> None:
    known, at = even(), list[float]()
    known.refused("Connection refused")
    assert await known.wait("meetings.get", 200.0, probing(known, at)) is False
    gaps = [later - earlier for earlier, later in zip([0.0, *at], at, strict=False)]
    assert gaps[:5] == pytest.approx([0.25, 0.5, 1.0, 1.0, 1.0])
    assert max(gap for gap, moment in zip(gaps, at, strict=True) if moment < 60) == pytest.approx(1.0)
    assert gaps[-10:] == pytest.approx([5.0] * 10)
    assert known.snapshot().probes == len(at)


@pytest.mark.parametrize(("drawn", "first"), [(0.0, 0.2), (1.0, 0.3)])
async def test_intervals_vary_by_a_fifth(drawn: float, first: float) -> None:
    known, at = Reachability(ORIGIN, draw=lambda: drawn), list[float]()
    known.refused("Connection refused")
    assert await known.wait("meetings.get", 10.0, probing(known, at, back_at=0.0)) is True
    assert at == pytest.approx([first])


async def test_a_retry_after_puts_the_next_probe_off_and_turns_away_who_can_not_wait_for_it() -> None:
    known, at = even(), list[float]()
    failing(known, *["meetings.get", "meetings.list"] * 3, retry_after=30.0)
    began = now()
    assert await known.wait("meetings.get", 29.0, probing(known, at)) is False
    assert (now(), at) == (began, [])
    assert await known.wait("meetings.get", 31.0, probing(known, at, back_at=30.0)) is True
    assert at == pytest.approx([30.0])


async def test_nobody_waits_longer_than_asked() -> None:
    """Neither who probes nor who waits beside, also if a probe takes its time."""
    known, ends = even(), list[float]()
    known.refused("no connection within 5 s")

    async def slow() -> None:
        await asyncio.sleep(5)
        known.probe_failed("no connection within 5 s")

    async def wait(seconds: float) -> None:
        assert await known.wait("meetings.get", seconds, slow) is False
        ends.append(now() - seconds)

    async with anyio.create_task_group() as group:
        for seconds in (2.0, 2.0, 4.0, 7.0):
            group.start_soon(wait, seconds)
    assert all(-1.01 <= end <= 0.001 for end in ends)  # at most an interval early, since the next probe comes too late


async def test_one_call_probes_for_all_and_the_next_takes_over_when_it_leaves() -> None:
    known, at = even(), list[float]()
    known.refused("Connection refused")
    async with anyio.create_task_group() as group:
        first = anyio.CancelScope()

        async def cancelled() -> None:
            with first:
                await known.wait("meetings.get", 100.0, probing(known, at))

        group.start_soon(cancelled)
        for _ in range(50):
            group.start_soon(known.wait, "meetings.get", 100.0, probing(known, at, back_at=3.0))
        await asyncio.sleep(1.0)
        first.cancel()
    assert at == pytest.approx([0.25, 0.75, 1.75, 2.75, 3.75])


async def test_thousands_go_on_in_their_order_and_the_loop_breathes_between() -> None:
    known, order, turns = even(), list[int](), list[int]()
    known.refused("Connection refused")

    async def wait(number: int) -> None:
        assert await known.wait("meetings.get", 900.0, probing(known, []))
        order.append(number)

    async with anyio.create_task_group() as group:
        for number in range(5_000):
            group.start_soon(wait, number)
        await asyncio.sleep(10.0)
        known.reached()
        while len(order) < 5_000:
            await asyncio.sleep(0)
            turns.append(len(order))
    assert order == sorted(order)
    assert max(later - earlier for earlier, later in zip([0, *turns], turns, strict=False)) <= 500


async def test_who_is_on_the_way_out_waits_again_if_it_goes_away_meanwhile() -> None:
    known, gone = even(), list[int]()
    known.refused("Connection refused")

    async def wait(number: int) -> None:
        await known.wait("meetings.get", 900.0, probing(known, [], back_at=20.0))
        gone.append(number)
        if len(gone) == 100:
            known.refused("Connection refused again")

    async with anyio.create_task_group() as group:
        for number in range(2_000):
            group.start_soon(wait, number)
        await asyncio.sleep(10.0)
        known.reached()
        await asyncio.sleep(1.0)
        assert len(gone) < 1_000
    assert gone == sorted(gone)


# Threads, loops, forks


def test_loops_in_threads_share_it_and_one_of_them_probes() -> None:
    """And a loop that is stopped in the middle keeps nobody."""
    known, began = even(), threading.Barrier(3)
    known.refused("Connection refused")
    probes: list[int] = []

    async def waits(name: int) -> bool:
        async def probe() -> None:
            probes.append(name)
            if len(probes) == 3:
                known.reached()
            else:
                known.probe_failed("still away")

        began.wait()
        return await known.wait("meetings.get", 60.0, probe)

    abandoned = asyncio.new_event_loop()
    task = abandoned.create_task(known.wait("meetings.get", 60.0, lambda: asyncio.sleep(60)))
    abandoned.run_until_complete(asyncio.sleep(0))
    results: list[bool] = []

    def run(name: int) -> None:
        results.append(asyncio.run(waits(name)))

    threads = [threading.Thread(target=run, args=(name,)) for name in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert results == [True] * 3
    assert len(probes) == 3
    task.cancel()
    abandoned.run_until_complete(asyncio.gather(task, return_exceptions=True))
    abandoned.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on Windows")
def test_a_forked_child_begins_ready() -> None:
    known = even()
    known.refused("Connection refused")
    child = os.fork()
    if child == 0:  # pragma: no cover - in the child
        os._exit(int(known.unavailable))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert known.unavailable


def test_it_is_the_process_s_for_each_origin_and_proxy_and_goes_with_its_users() -> None:
    direct = SessionPool().reachability("https://api.example/v1")
    assert direct is SessionPool().reachability("https://API.example/v2/other?signature=secret")
    assert direct.origin == ORIGIN
    tunnelled = SessionPool(proxy="http://user:planted@proxy.example:3128").reachability("https://api.example/v1")
    assert tunnelled is not direct
    assert "planted" not in repr(tunnelled) + repr(tunnelled.snapshot())
    direct.refused("Connection refused")
    assert not tunnelled.unavailable
    del direct
    gc.collect()
    assert not reachability(ORIGIN, "").unavailable
