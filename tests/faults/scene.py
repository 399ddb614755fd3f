"""One cell's stage: a server, a wire with faults, a client with a real budget; and the operations that are played on it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable  # noqa: TC003 - annotations of a Struct
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
from faults.catalogue import MAX_BODY, TIMEOUT

from whereby_async import SessionPool, WherebyClient
from whereby_async.limiter import PointBudget
from whereby_async.testing import FakeWhereby, TcpProxy

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from whereby_async.hooks import RetryDetails

PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 3000
ROOM = "/standup"
UNTIL = datetime(2099, 1, 1, tzinfo=UTC)
LIMIT = 100
"""Points per minute: what the budget assumes of a server that says nothing."""


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """An operation of one kind.

    Attributes:
        name: The kind.
        call: The call.
        price: Points.
        again: It may be acted on twice.
        reads: Its answer is decoded.
        well: The body of a good answer.
        changes: How often the world shows that it was acted on; `None` if it changes nothing.
        repeats: Acting twice shows twice.
    """

    name: str
    call: Callable[[WherebyClient, Scene], Awaitable[object]]
    price: int
    again: bool = True
    reads: bool = False
    well: bytes = b'{"anything": true}'
    changes: Callable[[Scene], int] | None = None
    repeats: bool = False


class Scene:
    """The stage.

    Attributes:
        kind: The operation that is played.
        fake: The server.
        wire: The wire to it.
        pool: The client's connections.
        whereby: The client.
        accept_before_retry: Let the wire accept connections before the next attempt.
    """

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.accept_before_retry = False
        self.fake = FakeWhereby(limit=1_000_000, header_style="none", processing_time=None)
        self.wire: TcpProxy
        self.whereby: WherebyClient
        self.pool = SessionPool(max_body=MAX_BODY, keepalive=60.0)
        self.meeting: str = self.fake.add_meeting(room_name=ROOM, end_date=UNTIL)["meetingId"]
        self.recording: str = self.fake.add_recording(content=b"film")["recordingId"]
        self.transcription: str = self.fake.add_transcription()["transcriptionId"]

    def on_retry(self, details: RetryDetails) -> None:
        """The client is about to try again."""
        if self.accept_before_retry:
            self._accepting = asyncio.ensure_future(self.wire.accept())

    async def forget_connections(self) -> None:
        """Close what is kept alive, and let the client hear of it."""
        await self.wire.drop_connections()
        await asyncio.sleep(0.01)

    @property
    def acted(self) -> int:
        """How often the server acted."""
        return sum(request.acted for request in self.fake.requests)

    @property
    def spent(self) -> int:
        """Points that the client's budget holds as spent."""
        snapshot = self.whereby.limiter.snapshot()
        return snapshot.limit - snapshot.available


@contextlib.asynccontextmanager
async def staged(kind: Kind, **options: Any) -> AsyncGenerator[Scene]:
    """A scene, its client warm: one connection is kept alive, one point is spent."""
    scene = Scene(kind)
    async with scene.fake, TcpProxy(scene.fake.url) as scene.wire:
        budget = PointBudget(limit=LIMIT)
        async with scene.fake.client(
            base_url=scene.wire.url, limiter=budget, pool=scene.pool, timeout=TIMEOUT, hooks=[scene], **options
        ) as scene.whereby:
            await scene.whereby.meetings.list()
            scene.fake.clear()
            yield scene
        await scene.pool.aclose()
        await budget.aclose()


KINDS = (
    Kind(
        name="read",
        call=lambda whereby, scene: whereby.meetings.get(scene.meeting),
        price=1,
        reads=True,
        well=b'{"meetingId": "1", "roomName": "/standup"}',
    ),
    Kind(
        name="list page",
        call=lambda whereby, _: whereby.recordings.list(page_size=10).collect(),
        price=1,
        reads=True,
        well=b'{"results": [], "cursor": null}',
    ),
    Kind(
        name="delete",
        call=lambda whereby, scene: whereby.meetings.delete(scene.meeting),
        price=2,
        changes=lambda scene: int(scene.meeting not in scene.fake.meetings),
    ),
    Kind(
        name="write",
        call=lambda whereby, _: whereby.rooms.set_theme_tokens(ROOM, primary="#00FF00"),
        price=3,
        changes=lambda scene: int(scene.fake.theme(ROOM).primary is not None),
    ),
    Kind(
        name="upload",
        call=lambda whereby, _: whereby.rooms.set_logo(ROOM, PNG),
        price=3,
        changes=lambda scene: int(scene.fake.theme(ROOM).logo == PNG),
    ),
    Kind(
        name="bulk delete",
        call=lambda whereby, scene: whereby.recordings.bulk_delete([scene.recording]),
        price=3,
        changes=lambda scene: int(scene.recording not in scene.fake.recordings),
    ),
    Kind(
        name="create meeting",
        call=lambda whereby, _: whereby.meetings.create(end_date=UNTIL),
        price=3,
        again=False,
        reads=True,
        well=b'{"meetingId": "1", "roomName": "/new"}',
        changes=lambda scene: len(scene.fake.meetings) - 1,
        repeats=True,
    ),
    Kind(
        name="create transcription",
        call=lambda whereby, scene: whereby.transcriptions.create(scene.recording),
        price=3,
        again=False,
        reads=True,
        well=b'{"transcriptionId": "1"}',
        changes=lambda scene: len(scene.fake.transcriptions) - 1,
        repeats=True,
    ),
    Kind(
        name="create summary",
        call=lambda whereby, scene: whereby.summaries.create(scene.transcription),
        price=3,
        again=False,
        reads=True,
        well=b'{"summaryId": "1"}',
        changes=lambda scene: len(scene.fake.summaries),
        repeats=True,
    ),
)
