"""A chat bot behind a gateway: `/room` in a channel becomes a meeting, whose link is edited into the bot's answer.

The gateway is a websocket of the usual kind: hello, identify, heartbeats, numbered events; events that were missed come
again after a reconnect. Messages go by HTTP. The channel gets the room's link; who asked gets the host's, alone.
Run it with WHEREBY_API_KEY, BOT_TOKEN, BOT_GATEWAY_URL and BOT_API_URL set: `python bot.py`.
"""

import asyncio
import logging
import math
import os
import random
import signal
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import anyio
from anyio.abc import TaskGroup

from whereby_async import Priority, Throttled, WherebyClient, WherebyError

GRACE = float(os.environ.get("BOT_GRACE", "10"))  # seconds for commands under way, once told to stop
LONGEST_PAUSE = 30.0  # seconds between two tries to reach the gateway
log = logging.getLogger("bot")


class Bot:
    def __init__(self, whereby: WherebyClient, chat: aiohttp.ClientSession) -> None:
        self.whereby = whereby
        self.chat = chat
        self.last = 0  # the number of the last event
        self.failures = 0

    async def listen(self, commands: TaskGroup) -> None:
        """Stay connected. Each command is a task of its own, which outlives the connection that brought it."""
        while True:
            try:
                async with self.chat.ws_connect(os.environ["BOT_GATEWAY_URL"]) as gateway:
                    await self.stay(gateway, commands)
            except (aiohttp.ClientError, TimeoutError, TypeError, ValueError) as error:  # away, silent, closed, garbled
                log.info("the gateway is gone: %s", type(error).__name__)
            self.failures += 1
            await asyncio.sleep(random.uniform(0, min(LONGEST_PAUSE, 0.25 * 2**self.failures)))

    async def stay(self, gateway: aiohttp.ClientWebSocketResponse, commands: TaskGroup) -> None:
        hello = await gateway.receive_json(timeout=10)
        await gateway.send_json({"op": "identify", "token": os.environ["BOT_TOKEN"], "last": self.last})
        beating = asyncio.create_task(self.beat(gateway, hello["interval"]))
        self.failures = 0
        try:
            while True:  # each heartbeat is answered, so that silence says that nobody is there
                self.take(await gateway.receive_json(timeout=3 * hello["interval"]), commands)
        finally:
            beating.cancel()

    async def beat(self, gateway: aiohttp.ClientWebSocketResponse, interval: float) -> None:
        with suppress(aiohttp.ClientError):  # the other side of the connection tells
            while True:
                await gateway.send_json({"op": "heartbeat", "last": self.last})
                await asyncio.sleep(interval)

    def take(self, event: dict[str, Any], commands: TaskGroup) -> None:
        if event["op"] == "room" and event["number"] > self.last:  # else it has come before
            self.last = event["number"]
            commands.start_soon(self.answer, event["channel"], event["user"])

    async def answer(self, channel: str, user: str) -> None:
        try:
            message = await self.say("POST", f"/channels/{channel}/messages", "Making a room …")
            words = "I had to stop: perhaps the room was made, perhaps not"
            try:
                words = await self.make_room(user)
            finally:
                with anyio.move_on_after(5, shield=True):  # stopped or not, the channel is told
                    await self.say("PATCH", f"/channels/{channel}/messages/{message}", words)
        except aiohttp.ClientError as error:
            log.warning("the chat does not take messages: %s", type(error).__name__)

    async def make_room(self, user: str) -> str:
        """A room, and the host's link for the user; what to tell the channel."""
        end_date = datetime.now(UTC) + timedelta(hours=1)
        try:
            meeting = await self.whereby.meetings.create(end_date=end_date, fields=["hostRoomUrl"])
        except Throttled as error:
            return f"Too busy: ask again in {math.ceil(error.retry_after or 1)} s"
        except WherebyError as error:
            log.warning("no room: %s", error)
            return "Perhaps the room was made, perhaps not" if error.may_have_happened else "No room, sorry"
        await self.say("POST", f"/users/{user}/messages", f"You are the host: {meeting.host_room_url}")
        return f"Come in: {meeting.room_url}"

    async def say(self, method: str, path: str, words: str) -> str:
        async with self.chat.request(method, path, json={"text": words}, raise_for_status=True) as response:
            return str((await response.json())["id"])


async def main() -> None:
    headers = {"Authorization": f"Bot {os.environ['BOT_TOKEN']}"}
    async with (
        WherebyClient(priority=Priority.INTERACTIVE, max_wait=10.0) as whereby,
        aiohttp.ClientSession(os.environ["BOT_API_URL"], headers=headers) as chat,
        anyio.create_task_group() as commands,
    ):
        with anyio.CancelScope() as listening:
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, listening.cancel)
            await Bot(whereby, chat).listen(commands)
        commands.cancel_scope.deadline = anyio.current_time() + GRACE


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    asyncio.run(main())
