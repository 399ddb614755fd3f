"""The bot among the recipes, behind a gateway that drops it, and told to stop in the middle of a call."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

import pytest
from recipes.chat import Chat
from support.programs import Program

from whereby_async.testing import FakeWhereby, Fault

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

pytestmark = pytest.mark.anyio

MAKING = "Making a room …"


class Scene(NamedTuple):
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
async def connected(place: Path, **variables: str) -> AsyncGenerator[Scene]:
    """A bot that is connected."""
    async with FakeWhereby(limit=100) as fake, Chat() as chat:
        told = {"WHEREBY_API_KEY": fake.api_key, "WHEREBY_BASE_URL": fake.url, **chat.variables, **variables}
        with Program("-m", "bot", place=place, variables=told) as bot:
            await chat.until(lambda: chat.connected)
            yield Scene(bot, chat, fake)


async def test_room_is_made_and_links_go_to_whom_they_are_for(tmp_path: Path) -> None:
    """The channel's message becomes the room's link, without a key; the host's link goes to who asked and to nobody else."""
    async with connected(tmp_path) as scene:
        bot, chat, fake = scene
        await asyncio.gather(chat.command("general", "ada"), chat.command("support", "bo"))
        public = {await scene.answered("general"), await scene.answered("support")}
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
    """Dropped in mid-call, the bot ends that call and comes back; what it missed it does, and what comes again it does not."""
    async with connected(tmp_path) as scene:
        bot, chat, fake = scene
        fake.faults.add(Fault(operation="meetings.create", delay=0.4))
        await chat.command("general", "ada")
        await scene.in_call()
        chat.again = 1
        await chat.drop()
        await chat.until(lambda: not chat.connected)
        await chat.command("support", "bo")
        assert {(await scene.answered(channel))[:8] for channel in ("general", "support")} == {"Come in:"}
        assert [who["last"] for who in chat.identified] == [0, 1]
        assert (len(fake.meetings), fake.throttled) == (2, 0)
        assert await asyncio.to_thread(bot.end) == 0
        assert bot.complaints() == []


async def test_without_points_the_channel_is_told_when_to_ask_again(tmp_path: Path) -> None:
    """When the window's points are spent, the answer is a time, and no room is made."""
    async with connected(tmp_path) as scene:
        _, chat, fake = scene
        fake.spend(100)
        await chat.command("general", "ada")
        words, seconds = (await scene.answered("general")).removesuffix(" s").rsplit(" ", 1)
        assert words == "Too busy: ask again in"
        assert 30 < int(seconds) <= 61
        assert not fake.meetings


async def test_told_to_stop_in_mid_call_the_bot_ends_the_call_first(tmp_path: Path) -> None:
    """SIGTERM while a room is being made: the bot leaves the gateway, gives out the link, and then ends, with code 0."""
    async with connected(tmp_path) as scene:
        bot, chat, fake = scene
        fake.faults.add(Fault(operation="meetings.create", delay=0.5))
        await chat.command("general", "ada")
        await scene.in_call()
        ended = asyncio.create_task(asyncio.to_thread(bot.end))
        await chat.until(lambda: not chat.connected)
        assert chat.channels == {"general": {"1": MAKING}}
        (answer, code) = (await scene.answered("general"), await ended)
        (meeting,) = fake.meetings.values()
        assert (answer, code) == (f"Come in: {meeting['roomUrl']}", 0)
        assert bot.complaints() == []


async def test_call_that_outlasts_the_grace_is_told_as_unknown(tmp_path: Path) -> None:
    """SIGTERM while Whereby takes too long: the call is given up, the channel hears that nobody knows, and the bot ends with 0."""
    async with connected(tmp_path, BOT_GRACE="0.2") as scene:
        bot, chat, fake = scene
        fake.faults.add(Fault(operation="meetings.create", delay=30))
        await chat.command("general", "ada")
        await scene.in_call()
        code = await asyncio.to_thread(bot.end)
        assert code == 0
        assert await scene.answered("general") == "I had to stop: perhaps the room was made, perhaps not"
        assert bot.complaints() == []
