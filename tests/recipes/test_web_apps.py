"""The web apps among the recipes, each in a process of its own: they do over sockets all that their texts promise.

At the end people are served at once while a batch spends all the points that there are. The window has 6 s there. With
the real minute, and with the figures printed: `WHEREBY_RECIPE_PERIOD=60 python -m pytest -s tests/recipes/test_web_apps.py`
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import aiohttp
import pytest
from support.programs import SECRET, Program
from yarl import URL

from whereby_async.testing import FakeWhereby, Fault

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator, Iterator
    from pathlib import Path

    from whereby_async.testing import WebhookSender

pytestmark = pytest.mark.anyio

COMMANDS = {
    "fastapi": ("-m", "uvicorn", "--port", "0", "fastapi_app:app"),
    "starlette": ("-m", "uvicorn", "--port", "0", "starlette_app:app"),
    "litestar": ("-m", "uvicorn", "--port", "0", "litestar_app:app"),
    "aiohttp": ("-m", "aiohttp_app"),
    "quart": ("-m", "hypercorn", "--bind", "127.0.0.1:0", "quart_app:app"),
    "django": ("-m", "uvicorn", "--port", "0", "django_app:application"),
}
# What a server ends with after SIGTERM: uvicorn shuts down in order and then lets the signal have its way.
CODES = {"uvicorn": -signal.SIGTERM, "hypercorn": 0, "aiohttp_app": 0}


class App(NamedTuple):
    """A web app that serves, and the API that it calls."""

    program: Program
    fake: FakeWhereby
    code: int

    def sender(self) -> WebhookSender:
        return self.fake.webhook_sender(f"{self.program.url}/webhooks", secret=SECRET)


@contextmanager
def serving(name: str, tmp_path_factory: pytest.TempPathFactory) -> Generator[App]:
    with FakeWhereby().in_thread() as fake:
        variables = {
            "WHEREBY_API_KEY": fake.api_key,
            "WHEREBY_BASE_URL": fake.url,
            "DJANGO_SECRET_KEY": "of this run",
            "PORT": "0",
        }
        with Program(*COMMANDS[name], place=tmp_path_factory.mktemp(name), variables=variables) as program:
            yield App(program.serving(), fake, CODES[COMMANDS[name][1]])


@pytest.fixture(scope="module", params=COMMANDS)
def app(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """Each of the apps; the tests below share it in their order."""
    with serving(request.param, tmp_path_factory) as app:
        yield app


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """A user's browser."""
    async with aiohttp.ClientSession() as session:
        yield session


async def test_room_that_is_asked_for_is_made(app: App, session: aiohttp.ClientSession) -> None:
    """The room that the app answers with exists at Whereby, and is in the app's list."""
    async with session.post(f"{app.program.url}/rooms") as response:
        assert response.status == 201
        room = await response.json()
    assert app.fake.meetings[room["id"]]["roomUrl"] == room["url"]
    async with session.get(f"{app.program.url}/rooms") as response:
        assert room["url"] in await response.json()


async def test_room_is_read_by_its_id(app: App, session: aiohttp.ClientSession) -> None:
    """A room that is there, one that is not, and texts that are no id: those are told, and cost no call."""
    meeting = app.fake.add_meeting()

    async def read(room_id: str) -> tuple[int, str]:
        async with session.get(URL(f"{app.program.url}/rooms/{room_id}", encoded=True)) as response:
            return response.status, await response.text()

    status, text = await read(meeting["meetingId"])
    assert (status, json.loads(text)["url"]) == (200, meeting["roomUrl"])
    assert (await read("107585000000"))[0] == 404
    calls = len(app.fake.requests)
    for room_id in ("%20", "a%5Cb", "a%00b"):
        status, text = await read(room_id)
        assert (status, "meeting_id=" in text) == (422, True)
    assert len(app.fake.requests) == calls


async def test_signed_webhook_is_taken(app: App) -> None:
    """An event that Whereby signed is answered with 204 at once, and its words arrive whole."""
    delivery = await app.sender().send(app.fake.events.client_joined("/weekly", display_name="Zoë"))
    assert [attempt.status for attempt in delivery.attempts] == [204]
    await asyncio.to_thread(app.program.until, "Zoë joined /weekly")


async def test_event_of_a_type_to_come_is_taken(app: App) -> None:
    """An event whose type nobody knows yet is answered with 204, so that Whereby does not send it again."""
    delivery = await app.sender().send(app.fake.events.event("room.client.waved"))
    assert delivery.status == 204


@pytest.mark.parametrize("wrong", [{"tampered": True}, {"secret": "another"}, {"skew": -600.0}, {"signature": ""}])
async def test_forged_webhook_is_refused(app: App, wrong: dict[str, object]) -> None:
    """A body changed on the way, another secret, an old signature, none: 400, and Whereby does not try again."""
    joined = app.fake.events.client_joined("/weekly", display_name="Mallory")
    delivery = await app.sender().send(joined, **wrong)  # type: ignore[arg-type]  # each has its own type
    assert [attempt.status for attempt in delivery.attempts] == [400]
    assert "Mallory" not in app.program.out


async def test_create_without_an_answer_is_a_bad_gateway(app: App, session: aiohttp.ClientSession) -> None:
    """When Whereby drops the connection of a create, the app answers 502, and the call is not made twice."""
    rooms = len(app.fake.meetings)
    app.fake.faults.add(Fault(operation="meetings.create", drop="after"))
    async with session.post(f"{app.program.url}/rooms") as response:
        assert response.status == 502
    assert len(app.fake.meetings) == rooms + 1


async def test_when_the_points_are_spent_the_app_says_when_to_come_back(
    app: App, session: aiohttp.ClientSession
) -> None:
    """With the window's points gone, the answer is 503 at once, with the seconds until the next window."""
    app.fake.spend(app.fake.limit - app.fake.points_spent)
    for _ in range(2):  # the first one learns it, the second one knows
        async with session.post(f"{app.program.url}/rooms") as response:
            assert response.status == 503
            assert 30 < int(response.headers["Retry-After"]) <= 61
    assert app.fake.throttled == 1


async def test_sigterm_ends_the_app_without_complaint(app: App) -> None:
    """Told to stop, the app ends as its server does, with no warning, traceback or resource that nobody closed."""
    assert app.program.end() == app.code, app.program.out
    assert app.program.complaints() == []


# Under load

PERIOD = float(os.environ.get("WHEREBY_RECIPE_PERIOD", "6"))
LIMIT = 1000
ROOMS = 667
"""At 3 points each they are 2,000 points: what two windows have."""
HELD_UP = 230
"""Rooms after which the batch has had nearly all that it may have at once: 70 % of the window."""
AT_ONCE = 200
LATER = 100
"""People, over two windows; a window's people stay within what the recipe reserves for them: 300 points."""
SMALL = 1 / 3
"""The part of a window, or of what the batch waits if a busy machine draws that out, that people may wait.

Without priorities it would be all of it, and several windows.
"""


SHORT_MINUTE = f"""
from recipes.programs import fastapi_batch
from whereby_async.limiter import PointBudget

fastapi_batch.budget = PointBudget(reserve=0.3, period={PERIOD})
app = fastapi_batch.app
"""
"""The recipe against a Whereby whose minute is shorter."""


def _waits(program: Program, operation: str) -> list[float]:
    """What the recipe's log says of the waits for points, in order of length."""
    return sorted(float(wait) for wait in re.findall(rf"{re.escape(operation)}: ok, waited ([\d.]+) s", program.out))


async def _look(session: aiohttp.ClientSession, url: str, *, later: float = 0.0) -> int:
    await asyncio.sleep(later)
    async with session.get(f"{url}/rooms") as response:
        return response.status


async def _put_event(program: Program, *, rooms: int) -> None:
    asked = {"rooms": str(rooms), "ends": "2099-01-01T00:00:00Z"}
    async with aiohttp.ClientSession() as session, session.put(f"{program.url}/events/fair", params=asked) as response:
        assert response.status == 202


@pytest.mark.timeout(90 + 5 * PERIOD)
async def test_people_hardly_wait_while_a_batch_spends_the_points(tmp_path: Path) -> None:
    """Beside a batch of 2,000 points, 200 people at once and 100 over two windows hardly wait for points."""
    with FakeWhereby(limit=LIMIT, period=PERIOD).in_thread() as fake:
        (tmp_path / "short_minute.py").write_text(SHORT_MINUTE)
        command = ("-m", "uvicorn", "--port", "0", "--no-access-log", "short_minute:app")
        variables = {"WHEREBY_API_KEY": fake.api_key, "WHEREBY_BASE_URL": fake.url}
        with Program(*command, place=tmp_path, variables=variables) as program:
            await asyncio.to_thread(program.serving)
            url = program.url
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=True)) as session:
                await _put_event(program, rooms=ROOMS)
                await asyncio.to_thread(program.until, "meetings.create: ok", times=HELD_UP)
                at_once = await asyncio.gather(*(_look(session, url) for _ in range(AT_ONCE)))
                between = 2 * PERIOD / LATER
                over_time = await asyncio.gather(*(_look(session, url, later=i * between) for i in range(LATER)))
            await asyncio.to_thread(program.until, f"fair: {ROOMS} of {ROOMS} rooms are there", patience=4 * PERIOD)
            code = await asyncio.to_thread(program.end)

        waits = _waits(program, "meetings.list")
        jobs = _waits(program, "meetings.create")
        p99 = waits[round(0.99 * len(waits)) - 1]
        print(  # noqa: T201 - the figure, for who runs it with -s
            f"{len(waits)} people: p99 {p99:.3f} s, longest {waits[-1]:.3f} s; "
            f"batch: longest {jobs[-1]:.3f} s; window {PERIOD:g} s"
        )
        assert (Counter(at_once), Counter(over_time)) == ({200: AT_ONCE}, {200: LATER})
        assert (fake.throttled, len(fake.meetings), len(waits)) == (0, ROOMS, AT_ONCE + LATER)
        assert p99 < SMALL * max(PERIOD, jobs[-1])
        assert jobs[-1] > SMALL * PERIOD, "the batch had all the points that it wanted: nothing was shown"
        assert (code, program.complaints()) == (-15, [])


async def test_job_that_was_cut_off_goes_on_where_it_was(tmp_path: Path) -> None:
    """SIGTERM while a batch waits ends it without complaint; asked for again, it makes what is missing and no more."""
    with FakeWhereby(limit=LIMIT).in_thread() as fake:
        variables = {"WHEREBY_API_KEY": fake.api_key, "WHEREBY_BASE_URL": fake.url}

        async def run(words: str, times: int, patience: float = 30.0) -> int:
            command = ("-m", "uvicorn", "--port", "0", "fastapi_batch:app")
            with Program(*command, place=tmp_path, variables=variables) as program:
                await asyncio.to_thread(program.serving)
                await _put_event(program, rooms=400)
                await asyncio.to_thread(program.until, words, times=times, patience=patience)
                code = await asyncio.to_thread(program.end)
            assert (code, program.complaints()) == (-15, [])
            return len(fake.meetings)

        # 210 rooms have their points at once: 70 % of the window.
        assert 210 <= await run("meetings.create: ok", 210) < 333
        fake.set_limit(10 * LIMIT)
        # A call that SIGTERM cut off is looked up in the list, once its timeout has passed.
        assert await run("fair: 400 of 400 rooms are there", 1, patience=100.0) == 400
        assert fake.throttled == 0
