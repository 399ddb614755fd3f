"""The budget in a file: where it lies, and what happens when it cannot be used. tests/redis has the rest."""

# ruff: noqa: ASYNC240 - the folders are small ones, and local

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import re
from typing import TYPE_CHECKING, Any

import pytest
from support.budgets import Listener, Server, call, callers, cancel, refuses, says, until

from whereby_async import WherebyClient
from whereby_async.errors import BudgetTimeoutError, ConfigurationError
from whereby_async.limiter import HostPointBudget
from whereby_async.testing import simulated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


PERIOD = 1.0
LIMIT = 40

pytestmark = pytest.mark.anyio


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "folder"
    folder.mkdir()
    return folder / "budget.state"


@pytest.fixture
async def two(path: Path) -> AsyncIterator[list[HostPointBudget]]:
    """Two budgets of one file, which stand for two processes."""
    budgets = [HostPointBudget(path, limit=LIMIT, period=PERIOD) for _ in range(2)]
    yield budgets
    for budget in budgets:
        await budget.aclose()


async def test_the_first_client_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name is a digest of base URL and key, it lies in the user's runtime folder, and nobody else can read it."""
    tmp_path.chmod(0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    budgets = [HostPointBudget() for _ in range(3)]
    for budget, key in zip(budgets, ("one", "one", "another"), strict=True):
        async with WherebyClient(key, base_url="https://example.org/v1", limiter=budget):
            (await budget.acquire(1)).release()
        await budget.aclose()
    files = list((tmp_path / "whereby-async").iterdir())
    assert {budget.path for budget in budgets} == {*files}
    assert budgets[0].path == budgets[1].path
    assert [file.stat().st_mode & 0o777 for file in files] == [0o600, 0o600]
    assert not [file for file in files if b"another" in file.read_bytes() or "another" in file.name]


async def test_without_a_client_a_path_is_needed() -> None:
    with pytest.raises(ConfigurationError, match="give it a path"):
        await HostPointBudget().acquire(1)


@pytest.mark.parametrize("path", ["", "a\0b", 3, b"bytes"])
def test_a_path_must_be_one(path: Any) -> None:
    with pytest.raises(ConfigurationError, match="HostPointBudget"):
        HostPointBudget(path)


@pytest.mark.parametrize("how", ["deleted", "overwritten", "damaged"])
async def test_a_file_that_is_lost_is_written_anew(
    how: str, path: Path, two: list[HostPointBudget], caplog: pytest.LogCaptureFixture
) -> None:
    """From what the processes know: nobody is refused, and windows are full again."""
    server = Server(LIMIT, PERIOD)
    async with callers(two, server) as done:
        await until(lambda: sum(done) >= 2 * LIMIT)
        if how == "deleted":
            path.unlink()
        elif how == "overwritten":
            path.write_bytes(b"mine" * 100)
        else:
            content = bytearray(path.read_bytes())
            content[20:2000] = os.urandom(1980)
            path.write_bytes(content)
        before = sum(done)
        await until(lambda: sum(done) - before >= 0.9 * LIMIT, 2.5 * PERIOD)
    assert server.refused == 0
    assert [record for record in caplog.records if record.levelname == "WARNING"] == []


async def test_the_log_tells_of_prices_freezes_and_waits(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As it does of a budget of the process's own."""
    caplog.set_level("INFO", "whereby_async")
    budget = HostPointBudget(path)
    (await budget.acquire(1)).settle(says(99))
    for left in (94, 89, 84):
        (await budget.acquire(1, operation="insights.rooms")).settle(says(left))
    await until(lambda: len(caplog.records) == 1)
    (await budget.acquire(1)).settle(refuses(200.0))
    await until(lambda: len(caplog.records) == 2)
    waiting = [asyncio.create_task(budget.acquire(1, operation="meetings.list")) for _ in range(3)]
    await until(lambda: len(caplog.records) == 3)
    assert [f"{record.levelname} {re.sub(r'[0-9.]+ s', 'N s', record.getMessage())}" for record in caplog.records] == [
        "WARNING insights.rooms costs 5 points, not 1",
        "WARNING the server answered 429: calls wait N s",
        "INFO meetings.list waits about N s for 1 point: the server asked for it",
    ]
    await cancel(*waiting)
    await budget.aclose()


@pytest.mark.parametrize("how", ["no folder", "a folder", "locked"])
async def test_a_file_that_cannot_be_used_means_a_share(how: str, path: Path, two: list[HostPointBudget]) -> None:
    """Each goes by half the limit, is told so once, and returns by itself."""
    server, listener = Server(LIMIT, PERIOD), Listener(two[0])
    gone = path.parent.with_name("gone")
    async with callers(two, server) as done, contextlib.AsyncExitStack() as stack:
        await until(lambda: sum(done) >= 2 * LIMIT)
        if how == "no folder":
            path.parent.rename(gone)
        elif how == "a folder":
            path.rename(gone)
            path.mkdir()
        else:
            fcntl.flock(stack.enter_context(path.open("rb")), fcntl.LOCK_EX)
        await until(lambda: listener.away == [True])
        assert listener.outages[0].limit == LIMIT // 2
        before = sum(done)
        await until(lambda: sum(done) - before >= LIMIT / 2, 2 * PERIOD)
        assert two[0].snapshot().state == "degraded"
        if how == "no folder":
            gone.rename(path.parent)
        elif how == "a folder":
            path.rmdir()
        else:
            await stack.aclose()
        await until(lambda: listener.away == [True, False])
        before = sum(done)
        await until(lambda: sum(done) - before >= LIMIT)
    assert server.refused <= 2
    assert two[0].snapshot().state != "degraded"


async def test_a_file_system_without_locks_is_told_once(
    path: Path, two: list[HostPointBudget], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    server, listener = Server(LIMIT, PERIOD), Listener(two[0])
    for _ in range(3):
        await call(two[0], server)
    assert listener.away == [True]
    assert "no locks" in listener.outages[0].reason
    assert two[0].snapshot().limit == 10
    warnings = [record.getMessage() for record in caplog.records]
    assert len(warnings) == 1
    assert str(path) in warnings[0]


async def test_a_locked_file_does_not_hold_up_the_loop(path: Path, two: list[HostPointBudget]) -> None:
    """Another process was stopped in the middle of a change: other tasks run, and a call that may not wait hears so."""
    (await two[0].acquire(1)).release()
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        waiting = asyncio.create_task(two[0].acquire(1, max_wait=0.2))
        turns = 0
        while not waiting.done():
            await asyncio.sleep(0.001)
            turns += 1
    assert turns > 5
    with pytest.raises(BudgetTimeoutError):
        await waiting


def test_a_simulated_loop_has_a_budget_of_its_own(path: Path) -> None:
    """Simulated time means nothing to other processes, so nothing is written to the file."""
    budget = HostPointBudget(path, limit=LIMIT, period=60.0)

    @simulated
    async def spend() -> float:
        loop = asyncio.get_running_loop()
        began = loop.time()
        for _ in range(LIMIT + 1):
            (await budget.acquire(1)).settle(None)
        return loop.time() - began

    assert 60 < spend() < 70
    assert not path.exists()


async def test_a_call_that_may_not_wait_is_served_by_the_share(path: Path) -> None:
    """The file cannot be used: there are points, so nobody need wait for them."""
    path.mkdir()
    budget = HostPointBudget(path, limit=LIMIT, period=PERIOD)
    listener = Listener(budget)
    (await budget.acquire(1, max_wait=0)).release()
    await budget.aclose()
    assert listener.away == [True]  # closing is no return


def test_a_url_is_no_path() -> None:
    """It may hold a password, which is not shown."""
    with pytest.raises(ConfigurationError, match="a URL") as refusal:
        HostPointBudget("redis://:not-a-secret@localhost/0")
    assert "not-a-secret" not in str(refusal.value)


async def test_a_transaction_that_is_cancelled_is_made_again(path: Path) -> None:
    """A program may cancel all tasks of a loop but its own: calls that wait for points are still served."""
    budget = HostPointBudget(path, limit=LIMIT)
    (await budget.acquire(1)).release()
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        before = asyncio.all_tasks()
        waiting = asyncio.create_task(budget.acquire(1))
        await until(lambda: len(asyncio.all_tasks() - before) == 2)
        for task in asyncio.all_tasks() - before - {waiting}:
            task.cancel()
    (await asyncio.wait_for(waiting, 2.0)).release()
    await budget.aclose()
