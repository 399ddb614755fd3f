"""The demo's tour: all 27 operations, one after another, on rooms and files of a fake server."""

from __future__ import annotations

import asyncio
import base64
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from .sample import ROOM

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sized

    from .. import WherebyClient
    from ..models import Meeting, Summary, Transcription
    from .guide import Guide

_LOGO: Final = base64.b64decode(
    b"iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)
_POLL: Final = 0.15
"""Seconds between two looks at a job; the fake server's jobs are quick."""


class Tour:
    """The way through the API; each stop shows its calls.

    Args:
        client: A client of the fake server.
        guide: Shows the calls.
    """

    def __init__(self, client: WherebyClient, guide: Guide) -> None:
        self._client = client
        self._show = guide.show
        self._say = guide.display.say

    async def run(self) -> Meeting:
        """Touch every operation; what it made is deleted again, but for one meeting, which is returned."""
        kept, *others = await self._meetings()
        await self._rooms(kept.room_name or "")
        recordings = await self._recordings()
        transcription = await self._transcriptions(recordings[0])
        await self._summaries(transcription)
        await self._insights()
        self._say("step", "Clean up")
        for meeting in others:
            await self._show(self._client.meetings.delete(meeting.meeting_id), f"{meeting.room_name} is gone")
        await self._show(self._client.recordings.delete(recordings[0]), "1 deleted")
        await self._show(self._client.recordings.bulk_delete(recordings[1:]), f"{len(recordings) - 1} in one call")
        await self._show(self._client.transcriptions.delete(transcription), "1 deleted")
        rest = [row.transcription_id for row in await self._show(self._client.transcriptions.list().collect(), _rows)]
        await self._show(self._client.transcriptions.bulk_delete(rest), f"{len(rest)} in one call")
        return kept

    async def _meetings(self) -> list[Meeting]:
        meetings = self._client.meetings
        self._say("step", "Meetings")
        end_date = datetime.now(UTC) + timedelta(hours=1)
        made = [
            await self._show(
                meetings.create(end_date=end_date, room_name_prefix="demo-", room_name_pattern="human-short"),
                lambda meeting: f"{meeting.room_name}, 1 hour",
            )
            for _ in range(2)
        ]
        await self._show(meetings.get(made[0].meeting_id, fields=["hostRoomUrl"]), "the host's link: ***")
        await self._show(meetings.list().collect(), _rows)
        return made

    async def _rooms(self, room: str) -> None:
        rooms = self._client.rooms
        self._say("step", f"The looks of {room}")
        await self._show(rooms.set_theme_tokens(room, primary="#0A2540", secondary="#F6F9FC"), "#0A2540, #F6F9FC")
        await self._show(rooms.set_logo(room, _LOGO), f"a PNG of {len(_LOGO)} bytes")
        await self._show(rooms.set_background(room, palette="grey", theme="mountains"), "grey mountains")
        await self._show(rooms.set_knock_background(room, _LOGO), "a PNG")
        await self._show(rooms.reset_knock_background(room), "as it was")

    async def _recordings(self) -> list[str]:
        recordings = self._client.recordings
        self._say("step", "Recordings")
        rows = await self._show(recordings.list(room_name=ROOM, sort_by="startDate:desc").collect(), _rows)
        first = rows[0].recording_id
        await self._show(recordings.get(first), lambda row: f"{row.size_in_mega_bytes:g} MB")
        await self._show(recordings.access_link(first, valid_for=60), "a link for 60 s: ***")
        return [row.recording_id for row in rows]

    async def _transcriptions(self, recording_id: str) -> str:
        transcriptions = self._client.transcriptions
        self._say("step", "Transcriptions")
        job = await self._show(transcriptions.create(recording_id), "started")
        await self._until_ready(lambda: transcriptions.get(job.transcription_id))
        await self._show(transcriptions.list(room_name=ROOM).collect(), _rows)
        link = transcriptions.access_link(job.transcription_id, valid_for=60)
        await self._show(link, "a link for 60 s: ***")
        return job.transcription_id

    async def _summaries(self, transcription_id: str) -> None:
        summaries = self._client.summaries
        self._say("step", "Summaries")
        job = await self._show(summaries.create(transcription_id, template="SOAP"), "started")
        await self._until_ready(lambda: summaries.get(job.summary_id))
        await self._show(summaries.list().collect(), _rows)
        await self._show(summaries.delete(job.summary_id), "1 deleted")

    async def _insights(self) -> None:
        insights = self._client.insights
        self._say("step", "Insights")
        await self._show(insights.rooms(sort_by="totalSessions:desc").collect(), _rows)
        sessions = await self._show(insights.room_sessions(ROOM).collect(), _rows)
        session = sessions[0].room_session_id
        people = await self._show(
            insights.participants(room_session_id=session).collect(),
            lambda rows: ", ".join((row.display_name or "?").partition(" ")[0] for row in rows),
        )
        await self._show(
            insights.participant(session, people[0].participant_id), lambda rows: f"{len(rows)} connection"
        )

    async def _until_ready(self, read: Callable[[], Awaitable[Transcription | Summary]]) -> None:
        while (await self._show(read(), lambda job: str(job.state))).state == "in_progress":  # noqa: ASYNC110 - the job is the server's
            await asyncio.sleep(_POLL)


def _rows(rows: Sized) -> str:
    return f"{len(rows)} rows"
