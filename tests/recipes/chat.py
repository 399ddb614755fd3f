"""A small chat service for bots: a gateway that sends commands over a websocket, and messages over HTTP."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from aiohttp import WSCloseCode, web
from aiohttp.test_utils import TestServer

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

TOKEN = "of the bot"
INTERVAL = 0.05
PATIENCE = 20.0


class Chat:
    """A chat service on a loopback port; what bots said and did is there to look at.

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

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
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
        """How many bots are there."""
        return len(self._connections)

    async def command(self, channel: str, user: str) -> None:
        """Somebody asks for a room."""
        event = {"op": "room", "number": len(self.events) + 1, "channel": channel, "user": user}
        self.events.append(event)
        for gateway in self._connections:
            await gateway.send_json(event)

    async def drop(self) -> None:
        """End all connections."""
        for gateway in list(self._connections):
            await gateway.close(code=WSCloseCode.GOING_AWAY, drain=False)

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until something is so."""
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
        message = str(len(messages) + 1)
        return await self._keep(request, messages, message)

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
