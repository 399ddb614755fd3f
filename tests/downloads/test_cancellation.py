"""A download that is cancelled at any of its awaits leaves a part that can be gone on with, and nothing else."""

from __future__ import annotations

import asyncio
import io
import threading
from typing import TYPE_CHECKING

import anyio
import pytest
from support.budgets import turns
from support.cancellation import Meddling, Moment, assert_idle, awaiting, run_cleanly

from whereby_async import Download, RetryPolicy, SessionPool, WherebyError
from whereby_async.downloads.sinks import in_thread
from whereby_async.limiter import PointBudget
from whereby_async.testing import FakeWhereby, Fault
from whereby_async.testing.object_store import PatternBlob

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio

SIZE = 2_500_000
WHOLE = PatternBlob(SIZE).read(0, SIZE)
MOST_AWAITS = 400
MOMENTS: tuple[Moment, ...] = ("early", "late")


async def meddled(path: Path, nth: int, moment: Moment, *, close: bool) -> tuple[bool, object]:
    """A download with two breaks, cancelled (or closed on) at its await number `nth`; then one to the end."""
    budget, pool = PointBudget(1000), SessionPool()
    async with FakeWhereby() as fake:
        recording = fake.add_recording(size=SIZE)["recordingId"]
        fake.faults.add(Fault(operation="storage", truncate=1_200_000), Fault(operation="storage", status=503))
        client = fake.client(limiter=budget, pool=pool, retry=RetryPolicy(base=0.01))
        closing: list[asyncio.Task[None]] = []

        def act() -> None:
            if close:
                closing.append(asyncio.ensure_future(client.aclose()))
                closing.append(asyncio.ensure_future(pool.aclose()))
            else:
                task.cancel()

        meddling = Meddling(client.recordings.download(recording, path), nth, moment, act)
        task = asyncio.ensure_future(awaiting(meddling))
        (outcome,) = await asyncio.gather(task, return_exceptions=True)
        await asyncio.gather(*closing)
        assert_idle(budget, pool)
        assert sorted(each.name for each in path.parent.iterdir()) in (["film"], ["film.part", "film.part.json"], [])
        fake.faults.clear()
        async with fake.client(limiter=budget) as again:
            if isinstance(outcome, BaseException):
                assert isinstance(outcome, WherebyError | asyncio.CancelledError)
                await again.recordings.download(recording, path, overwrite=True)
        await client.aclose()
        await pool.aclose()
    return meddling.reached, outcome


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("close", [False, True])
def test_a_cancel_at_any_await_leaves_a_part_at_most(tmp_path: Path, moment: Moment, *, close: bool) -> None:
    """No descriptor, no slot, no task, no half file under the final name; and the next download completes it."""
    for nth in range(MOST_AWAITS):
        reached, outcome = run_cleanly(meddled(tmp_path / "film", nth, moment, close=close))
        assert (tmp_path / "film").read_bytes() == WHOLE
        (tmp_path / "film").unlink()
        if not reached:
            assert isinstance(outcome, Download)
            assert nth > 15
            return
    pytest.fail("it never came to its end")


async def test_nobody_writes_after_a_cancel(fake: FakeWhereby) -> None:
    """A write that is under way in a thread ends before the cancel goes on, cancelled once, twice, or by anyio."""
    entered, go_on = threading.Event(), threading.Event()

    class Gated(io.BytesIO):
        def write(self, data: object, /) -> int:
            entered.set()
            assert go_on.wait(10)
            return super().write(data)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

    recording = fake.add_recording(content=b"film")["recordingId"]
    async with fake.client() as client:
        task = asyncio.create_task(client.recordings.download(recording, target := Gated()))
        while not entered.is_set():
            await asyncio.sleep(0)
        for _ in range(2):
            task.cancel()
            await turns()
        assert not task.done()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert target.getvalue() == b"film"
        entered.clear()
        go_on.clear()
        with anyio.move_on_after(60) as scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(client.recordings.download, recording, target)
                while not entered.is_set():
                    await asyncio.sleep(0)
                scope.cancel()
                with anyio.CancelScope(shield=True):
                    await turns()
                go_on.set()
        assert target.getvalue() == b"filmfilm"


async def test_a_cancel_goes_before_an_error_of_the_thread() -> None:
    """Nobody complains of the error that is lost."""
    entered, go_on = threading.Event(), threading.Event()

    def work() -> None:
        entered.set()
        assert go_on.wait(10)
        raise ZeroDivisionError

    task = asyncio.create_task(in_thread(work))
    while not entered.is_set():
        await asyncio.sleep(0)
    task.cancel()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(ZeroDivisionError):
        await in_thread(work)
