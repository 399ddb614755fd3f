"""A command line for every command, on a world that has what it needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from whereby_async.cli.app import app
from whereby_async.webhooks import sign

if TYPE_CHECKING:
    from pathlib import Path

    from whereby_async.testing import FakeWhereby

ROOM = "/weekly"
SECRET = "whsec-of-the-tests"
UNBELIEVED: tuple[object, ...] = (
    "Invalid date",
    "0001-01-01T00:00:00Z",
    "1970-01-20T17:13:19.799Z",
    -62135596800000,
    0,
)
"""Dates in answers that no job goes by."""
BODY = b'{"id":"e1","apiVersion":"1.0","createdAt":"2026-11-23T04:53:00.000Z","type":"room.session.ended","data":{"roomName":"/weekly"}}'
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010804000000b51c0c02"
    "0000000b4944415478da6364f80f00010501012718e3660000000049454e44ae426082"
)


def all_commands() -> list[list[str]]:
    """The words of each command of the app, such as `["meetings", "list"]`."""
    whereby = app()
    groups = {name: [word for word in whereby[name] if word[0] != "-"] for name in whereby if name[0] != "-"}
    return [[name, *rest] for name, words in groups.items() for rest in ([[word] for word in words] or [[]])]


def command_lines(fake: FakeWhereby, place: Path) -> dict[str, list[str]]:
    """Fill the server's world; a command line by the operation that it makes, or by its own words if it makes several.

    Args:
        fake: The server.
        place: A directory for an image.
    """
    image = place / "image.png"
    image.write_bytes(PNG)
    meetings = [fake.add_meeting(room_name=ROOM), fake.add_meeting()]
    session = fake.add_session(ROOM, participants=("Ada Lovelace", "Alan Turing"))["roomSessionId"]
    recordings = [fake.add_recording(room_session_id=session)["recordingId"] for _ in range(4)]
    *transcriptions, fresh = [fake.add_transcription(room_name=ROOM)["transcriptionId"] for _ in range(5)]
    summaries = [fake.add_summary(transcriptions[0])["summaryId"] for _ in range(2)]
    rows = place / "rooms.csv"
    rows.write_text("customer,endDate\nacme,2099-01-01T00:00:00Z\n")
    body = place / "body.json"
    body.write_bytes(BODY)
    participant = fake.participants[session][0]["participantId"]
    fake.add_recording(room_name="/kept")
    fake.add_recording(room_name="/old")
    fake.add_transcription(room_name="/old")
    fake.add_meeting(room_name="/old-one")
    first = str(meetings[0]["meetingId"])
    return {
        "meetings.create": ["meetings", "create", "--end-date", "+2h", "--field", "hostRoomUrl"],
        "meetings.list": ["meetings", "list"],
        "meetings.get": ["meetings", "get", first],
        "meetings.delete": ["meetings", "delete", str(meetings[1]["meetingId"]), "--yes"],
        "recordings.list": ["recordings", "list", "--room-name", ROOM],
        "recordings.get": ["recordings", "get", recordings[0]],
        "recordings.access_link": ["recordings", "access-link", recordings[0], "--valid-for", "60"],
        "recordings.delete": ["recordings", "delete", recordings[1], "--yes"],
        "recordings.bulk_delete": ["recordings", "bulk-delete", *recordings[2:], "--yes"],
        "transcriptions.create": ["transcriptions", "create", recordings[0]],
        "transcriptions.list": ["transcriptions", "list", "--sort-by", "startDate:desc"],
        "transcriptions.get": ["transcriptions", "get", transcriptions[0]],
        "transcriptions.access_link": ["transcriptions", "access-link", transcriptions[0]],
        "transcriptions.delete": ["transcriptions", "delete", transcriptions[1], "--yes"],
        "transcriptions.bulk_delete": ["transcriptions", "bulk-delete", *transcriptions[2:], "--yes"],
        "summaries.create": ["summaries", "create", fresh, "--template", "SOAP"],
        "summaries.list": ["summaries", "list"],
        "summaries.get": ["summaries", "get", summaries[0]],
        "summaries.delete": ["summaries", "delete", summaries[1], "--yes"],
        "rooms.set_theme_tokens": ["rooms", "set-theme-tokens", ROOM, "--primary", "#0A2540"],
        "rooms.set_theme_tokens again": ["rooms", "reset-theme-tokens", ROOM],
        "rooms.set_logo": ["rooms", "set-logo", ROOM, str(image)],
        "rooms.set_logo again": ["rooms", "reset-logo", ROOM],
        "rooms.set_background": ["rooms", "set-background", ROOM, "--palette", "grey", "--theme", "rocks"],
        "rooms.set_background again": ["rooms", "reset-background", ROOM],
        "rooms.set_knock_background": ["rooms", "set-knock-background", ROOM, str(image)],
        "rooms.set_knock_background again": ["rooms", "reset-knock-background", ROOM],
        "insights.rooms": ["insights", "rooms", "--name-starts-with", "/week"],
        "insights.room_sessions": ["insights", "room-sessions", ROOM],
        "insights.participants": ["insights", "participants", "--room-session-id", session],
        "budget": ["budget"],
        "completion": ["--install-completion", "--shell", "fish"],
        "meetings import": ["meetings", "import", str(rows), "--key", "customer"],
        "meetings purge": ["meetings", "purge", "--name-starts-with", "/old-", "--yes"],
        "probe": ["probe"],
        "recordings download": ["recordings", "download", recordings[0], str(place / "one.mp4")],
        "recordings purge": ["recordings", "purge", "--room-name", "old", "--yes"],
        "recordings sync": ["recordings", "sync", str(place / "all"), "--room-name", "/kept"],
        "transcriptions download": ["transcriptions", "download", transcriptions[0], str(place / "one.md")],
        "transcriptions purge": ["transcriptions", "purge", "--room-name", "old", "--yes"],
        "transcriptions wait": ["transcriptions", "wait", transcriptions[0]],
        "summaries wait": ["summaries", "wait", summaries[0]],
        "insights export": ["insights", "export", str(place / "insights")],
        "webhooks verify": ["webhooks", "verify", str(body), "--signature", sign(BODY, SECRET)],
        "insights.participant": ["insights", "participant", session, participant],
    }
