"""The recipes of several processes that share one budget of points: web workers, and a forking worker's jobs."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from time import monotonic, sleep
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import aiohttp
import pytest
import redis
import rq
from support.fleet import Store
from support.programs import Program

from whereby_async.testing import FakeWhereby, Fault

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

LIMIT = 100
PRICE = 3
SERVED = LIMIT // PRICE
"""Rooms that a window has points for."""

COMMANDS = {
    "uvicorn": ["-m", "uvicorn", "--port", "0", "--workers", "2", "workers_app:app"],
    "gunicorn": ["-m", "gunicorn", "-b", "127.0.0.1:0", "-k", "asgi", "--workers", "2", "workers_app:app"],
}


SHORT_MINUTE = """
from recipes.programs import workers_app
from whereby_async.limiter import HostPointBudget

workers_app.shared_budget = lambda: HostPointBudget(period={period})
app = workers_app.app
"""
"""The recipe against a Whereby whose minute is shorter."""


@pytest.fixture
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a running Valkey that holds nothing yet."""
    with Store(tmp_path_factory.mktemp("store")) as running:
        yield running.url


async def _ask(session: aiohttp.ClientSession, url: str) -> tuple[int, str]:
    """Ask for a room: the answer's status, and the worker that made it or the seconds to stay away."""
    async with session.post(f"{url}/rooms") as response:
        if response.status == 201:
            return 201, str((await response.json())["worker"])
        return response.status, response.headers["Retry-After"]


@contextmanager
def _stopped(worker: int) -> Generator[None]:
    """Let a worker do nothing meanwhile."""
    os.kill(worker, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(worker, signal.SIGCONT)


@pytest.mark.anyio
@pytest.mark.parametrize("server", COMMANDS)
@pytest.mark.parametrize("where", ["file", "store"])
async def test_workers_share_one_budget(
    server: str, where: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Two workers serve all that the window has points for; the rest is told 503 and when to come, without any 429."""
    async with FakeWhereby(limit=LIMIT) as fake:
        variables = {"WHEREBY_API_KEY": fake.api_key, "WHEREBY_BASE_URL": fake.url}
        if where == "store":
            variables["REDIS_URL"] = request.getfixturevalue("store")
        with Program(*COMMANDS[server], place=tmp_path, variables=variables) as program:
            await asyncio.to_thread(program.serving, workers=2)
            # One connection for each request, since a kept one stays with its worker.
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
                first = await _ask(session, program.url)
                with _stopped(int(first[1])):  # one alone may take all that come at once
                    second = await _ask(session, program.url)
                rest = await asyncio.gather(*(_ask(session, program.url) for _ in range(2 * SERVED - 2)))
            code = await asyncio.to_thread(program.end)

        statuses = Counter(status for status, _ in (first, second, *rest))
        waits = [int(seconds) for status, seconds in rest if status == 503]
        assert (fake.throttled, len(fake.meetings), statuses) == (0, SERVED, {201: SERVED, 503: SERVED})
        assert first[1] != second[1]
        assert all(30 < seconds <= 61 for seconds in waits), waits
        assert (code, _complaints(program)) == (0, [])


def _complaints(program: Program) -> list[str]:
    """But for uvicorn's first process, which serves nothing itself and ends with its listening socket open.

    And but for gunicorn's control socket, which cannot be where the path of the temporary directory is long.
    """
    port = program.url.rpartition(":")[2]
    return program.complaints(but=rf"unclosed .* laddr=\('127.0.0.1', {port}\)>|AF_UNIX path too long")


@pytest.mark.anyio
@pytest.mark.parametrize("server", COMMANDS)
async def test_four_workers_under_load_are_never_refused(server: str, tmp_path: Path) -> None:
    """More people than three windows have points for, at four workers with the budget in a file: all are served."""
    period = 2.0
    rooms = round(3.2 * SERVED)
    (tmp_path / "short_minute.py").write_text(SHORT_MINUTE.format(period=period))
    command = [word.replace("workers_app:app", "short_minute:app") for word in COMMANDS[server]]
    command[command.index("--workers") + 1] = "4"
    async with FakeWhereby(limit=LIMIT, period=period) as fake:
        variables = {"WHEREBY_API_KEY": fake.api_key, "WHEREBY_BASE_URL": fake.url}
        with Program(*command, place=tmp_path, variables=variables) as program:
            await asyncio.to_thread(program.serving, workers=4)
            served: Counter[str] = Counter()

            async def person(session: aiohttp.ClientSession) -> None:
                while (answer := await _ask(session, program.url))[0] != 201:
                    await asyncio.sleep(0.2)
                served[answer[1]] += 1

            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=True)) as session:
                await asyncio.wait_for(asyncio.gather(*(person(session) for _ in range(rooms))), 30 * period)
            code = await asyncio.to_thread(program.end)
        assert (fake.throttled, len(fake.meetings)) == (0, rooms), program.out
        assert len(served) == 4
        assert (code, _complaints(program)) == (0, [])


WORKER = ("-m", "rq.cli", "worker", "--config", "rq_jobs", "--with-scheduler")


@contextmanager
def _workers(count: int, fake: FakeWhereby, store: str, place: Path) -> Generator[tuple[rq.Queue, list[Program]]]:
    """Workers that are up, and their queue."""
    variables = {"WHEREBY_API_KEY": fake.api_key, "WHEREBY_BASE_URL": fake.url, "REDIS_URL": store}
    with ExitStack() as stack:
        broker = stack.enter_context(redis.Redis.from_url(store))  # pyright: ignore[reportUnknownMemberType] - untyped
        workers = [stack.enter_context(Program(*WORKER, place=place, variables=variables)) for _ in range(count)]
        for worker in workers:
            worker.until("Listening on default")
        yield rq.Queue(connection=broker), workers


def _enqueue(queue: rq.Queue, name: str) -> rq.job.Job:
    return queue.enqueue("rq_jobs.make_room", name)  # pyright: ignore[reportUnknownMemberType] - untyped


def _end(workers: list[Program], store: str) -> None:
    """Stop workers; each ends in order, and without complaint but for the connection that rq itself leaves open."""
    port = urlsplit(store).port
    for worker in workers:
        assert (worker.end(), worker.complaints(but=rf"unclosed .* raddr=\('127.0.0.1', {port}\)>")) == (0, []), (
            worker.out
        )


def _settled(jobs: list[rq.job.Job]) -> list[str]:
    """Wait until each job is done, or put off; what became of them."""
    deadline = monotonic() + 20
    while True:
        states = [str(job.get_status(refresh=True).value) for job in jobs]
        if not {"queued", "started", "deferred"} & set(states):
            return states
        assert monotonic() < deadline, states
        sleep(0.05)


def test_jobs_share_one_budget_and_come_again_when_there_are_points(store: str, tmp_path: Path) -> None:
    """Two workers, a process for each job: the window's points become rooms; other jobs are put off until the next."""
    with FakeWhereby(limit=30).in_thread() as fake, _workers(2, fake, store, tmp_path) as (queue, workers):
        jobs = [_enqueue(queue, f"fair-{number}") for number in range(14)]
        states = Counter(_settled(jobs))
        links = {job.return_value() for job in jobs if job.is_finished}
        again = [queue.scheduled_job_registry.get_scheduled_time(job) for job in jobs if job.is_scheduled]
        _end(workers, store)
        assert (states, fake.throttled) == ({"finished": 10, "scheduled": 4}, 0)
        assert links == {meeting["roomUrl"] for meeting in fake.meetings.values()}
        assert all(30 < (at - datetime.now(UTC)).total_seconds() <= 61 for at in again), again


def test_worker_that_is_told_to_stop_ends_its_job_first(store: str, tmp_path: Path) -> None:
    """SIGTERM in mid-call: the job has its room, and the worker ends with 0."""
    with FakeWhereby().in_thread() as fake, _workers(1, fake, store, tmp_path) as (queue, workers):
        fake.faults.add(Fault(operation="meetings.create", delay=0.5))
        job = _enqueue(queue, "fair")
        while not fake.requests:
            sleep(0.01)
        _end(workers, store)
        assert [job.return_value()] == [meeting["roomUrl"] for meeting in fake.meetings.values()]
