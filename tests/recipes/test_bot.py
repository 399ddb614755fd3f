"""The bot among the recipes, behind a gateway that drops it, and told to stop in the middle of a call."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from aiohttp import WSCloseCode, web
from aiohttp.test_utils import TestServer
from support.programs import Program

from whereby_async.testing import FakeWhereby, Fault

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from pathlib import Path
    from typing import Self

pytestmark = pytest.mark.anyio

TOKEN = "of the bot"
INTERVAL = 0.05
PATIENCE = 20.0
MAKING = "Making a room …"


class Chat:
    """A small chat service for bots on a loopback port: commands over a websocket, messages over HTTP.

    What bots said and did is kept.

    Attributes:
        events: The commands given so far; one that connects gets those that it missed.
        again: A bot that connects gets so many more, from before: services do that after a disturbance.
        identified: What each connection identified itself with.
        beats: The heartbeats, as they came.
        channels: Each channel's messages by id, as they read now.
        private: Messages for one user alone, by user.
    """

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.again = 0
        self.identified: list[dict[str, Any]] = []
        self.beats: list[dict[str, Any]] = []
        self.channels: dict[str, dict[str, str]] = {}
        self.private: dict[str, list[str]] = {}
        self._connections: set[web.WebSocketResponse] = set()
        self._news = asyncio.Condition()
        app = web.Application()
        app.router.add_get("/gateway", self._gateway)
        app.router.add_post("/channels/{channel}/messages", self._write)
        app.router.add_patch("/channels/{channel}/messages/{message}", self._edit)
        app.router.add_post("/users/{user}/messages", self._write_to)
        self._server = TestServer(app)

    async def __aenter__(self) -> Self:
        await self._server.start_server()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.drop()
        await self._server.close()

    @property
    def variables(self) -> dict[str, str]:
        """What leads a bot to it."""
        return {
            "BOT_TOKEN": TOKEN,
            "BOT_API_URL": str(self._server.make_url("/")),
            "BOT_GATEWAY_URL": str(self._server.make_url("/gateway")),
        }

    @property
    def connected(self) -> int:
        return len(self._connections)

    async def command(self, channel: str, user: str) -> None:
        """Somebody asks for a room."""
        event = {"op": "room", "number": len(self.events) + 1, "channel": channel, "user": user}
        self.events.append(event)
        for gateway in self._connections:
            await gateway.send_json(event)

    async def drop(self) -> None:
        for gateway in list(self._connections):
            await gateway.close(code=WSCloseCode.GOING_AWAY, drain=False)

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE), self._news:
            await self._news.wait_for(lambda: bool(condition()))

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()

    async def _gateway(self, request: web.Request) -> web.WebSocketResponse:
        gateway = web.WebSocketResponse()
        await gateway.prepare(request)
        await gateway.send_json({"op": "hello", "interval": INTERVAL})
        who = await gateway.receive_json(timeout=PATIENCE)
        assert (who["op"], who["token"]) == ("identify", TOKEN)
        self.identified.append(who)
        for event in self.events[max(0, who["last"] - self.again) :]:
            await gateway.send_json(event)
        self._connections.add(gateway)
        await self._tell()
        try:
            async for message in gateway:
                self.beats.append(message.json())
                await gateway.send_json({"op": "heard"})
                await self._tell()
        finally:
            self._connections.discard(gateway)
            await self._tell()
        return gateway

    async def _write(self, request: web.Request) -> web.Response:
        messages = self.channels.setdefault(request.match_info["channel"], {})
        return await self._keep(request, messages, str(len(messages) + 1))

    async def _edit(self, request: web.Request) -> web.Response:
        return await self._keep(request, self.channels[request.match_info["channel"]], request.match_info["message"])

    async def _write_to(self, request: web.Request) -> web.Response:
        text = (await request.json())["text"]
        self.private.setdefault(request.match_info["user"], []).append(text)
        return web.json_response({"id": "1"})

    async def _keep(self, request: web.Request, messages: dict[str, str], message: str) -> web.Response:
        messages[message] = (await request.json())["text"]
        await self._tell()
        return web.json_response({"id": message})


class Setup(NamedTuple):
    """A bot that is connected, its chat and its Whereby."""

    bot: Program
    chat: Chat
    fake: FakeWhereby

    async def answered(self, channel: str) -> str:
        """What the bot's first message in a channel reads in the end."""
        await self.chat.until(lambda: self.chat.channels.get(channel, {}).get("1", MAKING) != MAKING)
        return self.chat.channels[channel]["1"]

    async def in_call(self) -> None:
        """Wait until a call of the bot has reached Whereby, which keeps it for a while."""
        async with asyncio.timeout(20):
            while not self.fake.requests:
                await asyncio.sleep(0.005)


@asynccontextmanager
async def connected(place: Path, **variables: str) -> AsyncGenerator[Setup]:
    async with FakeWhereby(limit=100) as fake, Chat() as chat:
        told = {"WHEREBY_API_KEY": fake.api_key, "WHEREBY_BASE_URL": fake.url, **chat.variables, **variables}
        with Program("-m", "bot", place=place, variables=told) as bot:
            await chat.until(lambda: chat.connected)
            yield Setup(bot, chat, fake)


async def test_room_is_made_and_links_go_to_whom_they_are_for(tmp_path: Path) -> None:
    """The channel's message becomes the room's link, without a key; the host's link goes to who asked only."""
    async with connected(tmp_path) as setup:
        bot, chat, fake = setup
        await asyncio.gather(chat.command("general", "ada"), chat.command("support", "bo"))
        public = {await setup.answered("general"), await setup.answered("support")}
        assert public == {f"Come in: {meeting['roomUrl']}" for meeting in fake.meetings.values()}
        hosts = {user: texts[0].partition(": ")[2] for user, texts in chat.private.items()}
        assert hosts.keys() == {"ada", "bo"}
        assert {"roomKey=" in link for link in hosts.values()} == {True}
        assert len(set(hosts.values())) == 2
        assert "roomKey" not in f"{chat.channels}{bot.out}"


async def test_heartbeats_say_what_was_taken(tmp_path: Path) -> None:
    """As long as it is connected, the bot sends heartbeats that name the last event."""
    async with connected(tmp_path) as (_, chat, _):
        await chat.until(lambda: chat.beats)
        assert chat.beats[0] == {"op": "heartbeat", "last": 0}
        await chat.command("general", "ada")
        await chat.until(lambda: chat.beats[-1]["last"] == 1)


async def test_gateway_that_drops_the_bot_loses_no_command_and_doubles_none(tmp_path: Path) -> None:
    """Dropped in mid-call, the bot ends that call and comes back; it does what it missed, and nothing twice."""
    async with connected(tmp_path) as setup:
        bot, chat, fake = setup
        fake.faults.add(Fault(operation="meetings.create", delay=0.4))
        await chat.command("general", "ada")
        await setup.in_call()
        chat.again = 1
        await chat.drop()
        await chat.until(lambda: not chat.connected)
        await chat.command("support", "bo")
        assert {(await setup.answered(channel))[:8] for channel in ("general", "support")} == {"Come in:"}
        assert [who["last"] for who in chat.identified] == [0, 1]
        assert (len(fake.meetings), fake.throttled) == (2, 0)
        assert await asyncio.to_thread(bot.end) == 0
        assert bot.complaints() == []


async def test_without_points_the_channel_is_told_when_to_ask_again(tmp_path: Path) -> None:
    """When the window's points are spent, the answer is a time, and no room is made."""
    async with connected(tmp_path) as setup:
        _, chat, fake = setup
        fake.spend(100)
        await chat.command("general", "ada")
        words, seconds = (await setup.answered("general")).removesuffix(" s").rsplit(" ", 1)
        assert words == "Too busy: ask again in"
        assert 30 < int(seconds) <= 61
        assert not fake.meetings


async def test_told_to_stop_in_mid_call_the_bot_ends_the_call_first(tmp_path: Path) -> None:
    """SIGTERM while a room is being made: the bot leaves the gateway, gives out the link, and ends with code 0."""
    async with connected(tmp_path) as setup:
        bot, chat, fake = setup
        fake.faults.add(Fault(operation="meetings.create", delay=0.5))
        await chat.command("general", "ada")
        await setup.in_call()
        ended = asyncio.create_task(asyncio.to_thread(bot.end))
        await chat.until(lambda: not chat.connected)
        assert chat.channels == {"general": {"1": MAKING}}
        (answer, code) = (await setup.answered("general"), await ended)
        (meeting,) = fake.meetings.values()
        assert (answer, code) == (f"Come in: {meeting['roomUrl']}", 0)
        assert bot.complaints() == []


async def test_call_that_outlasts_the_grace_is_told_as_unknown(tmp_path: Path) -> None:
    """SIGTERM while Whereby takes too long: the call is given up, the channel is told so, and the bot ends with 0."""
    async with connected(tmp_path, BOT_GRACE="0.2") as setup:
        bot, chat, fake = setup
        fake.faults.add(Fault(operation="meetings.create", delay=30))
        await chat.command("general", "ada")
        await setup.in_call()
        code = await asyncio.to_thread(bot.end)
        assert code == 0
        assert await setup.answered("general") == "I had to stop: perhaps the room was made, perhaps not"
        assert bot.complaints() == []
