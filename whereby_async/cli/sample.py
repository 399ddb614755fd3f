"""A small world to look at: what the demo's and the sandbox's servers hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..testing import FakeWhereby

ROOM = "/weekly"
"""The room that has sessions, recordings and transcriptions."""

_HOUR = 3600.0
_DAY = 24 * _HOUR
_GUESTS = ("Ada Lovelace", "Alan Turing", "Grace Hopper")


def fill(fake: FakeWhereby) -> None:
    """Put meetings, sessions, recordings, transcriptions and a summary into the server's world."""
    for name in (ROOM, "/support-desk", "/interview"):
        fake.add_meeting(room_name=name, start_date=-_DAY, end_date=_DAY)
    transcriptions = [_weekly_session(fake, days_ago) for days_ago in (3, 2, 1)]
    fake.add_summary(transcriptions[-1])
    fake.add_session("/support-desk", participants=2, ended=False, duration=600.0)


def _weekly_session(fake: FakeWhereby, days_ago: int) -> str:
    """A session that was recorded, and the recording transcribed; the transcription's id."""
    started_at = -days_ago * _DAY
    session = fake.add_session(ROOM, participants=_GUESTS, started_at=started_at, duration=0.75 * _HOUR)
    recording = fake.add_recording(
        room_session_id=session["roomSessionId"],
        start_date=started_at,
        duration=0.5 * _HOUR,
        size=days_ago * 40_000_000,
    )
    transcription_id: str = fake.add_transcription(recording_id=recording["recordingId"])["transcriptionId"]
    return transcription_id
