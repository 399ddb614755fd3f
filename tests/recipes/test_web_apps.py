"""The web apps among the recipes, each in a process of its own: they do over sockets all that their texts promise."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import aiohttp
import pytest
from support.programs import SECRET, Program

from whereby_async.testing import FakeWhereby, Fault

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator, Iterator

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
        """Sends it webhooks as Whereby does."""
        return self.fake.webhook_sender(f"{self.program.url}/webhooks", secret=SECRET)


@contextmanager
def serving(name: str, tmp_path_factory: pytest.TempPathFactory) -> Generator[App]:
    """One of the apps."""
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


async def test_signed_webhook_is_taken(app: App) -> None:
    """An event that Whereby signed is answered with 204 at once, and its words arrive whole."""
    delivery = await app.sender().send(app.fake.events.client_joined("/weekly", display_name="Zoë"))
    assert [attempt.status for attempt in delivery.attempts] == [204]
    await app.program.told("Zoë joined /weekly")


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
