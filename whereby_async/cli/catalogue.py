"""The commands that are one operation each: a row says where it stands, how it is called, and what a table of its rows shows.

Everything else follows from the method of the client that it calls: its options, its help, its price.
"""

from __future__ import annotations

from typing import Final, NamedTuple

GROUPS: Final = {
    "meetings": "Make, read, list and delete meetings and their rooms.",
    "recordings": "Read, list, download and delete recordings.",
    "transcriptions": "Start, read, list, download and delete transcriptions.",
    "summaries": "Start, read, list and delete summaries (closed beta).",
    "rooms": "The looks of rooms: colours, logo, backgrounds.",
    "insights": "Who met where, for how long, and how well.",
}
"""The six groups, and what they are for."""


class Entry(NamedTuple):
    """One command.

    Attributes:
        operation: The method that it calls, such as `meetings.create`.
        examples: How it is called, after `whereby meetings create`.
        columns: What a table of its rows shows, by wire name, the most important first; none if it gives no rows.
        note: What else one should know before.
    """

    operation: str
    examples: tuple[str, ...]
    columns: tuple[str, ...] = ()
    note: str = ""

    @property
    def group(self) -> str:
        """The resource, such as `meetings`."""
        return self.operation.partition(".")[0]

    @property
    def method(self) -> str:
        """The resource's method, such as `bulk_delete`."""
        return self.operation.partition(".")[2]

    @property
    def word(self) -> str:
        """The command's name in its group, such as `bulk-delete`."""
        return self.method.replace("_", "-")


_MEETING = "107585000"
_ID = "b1f0c1a2-6f6c-4c55-9f0e"
_ONCE = "It is sent once only: if no answer comes, look before you do it again."

CATALOGUE: Final = (
    Entry(
        "meetings.create",
        (
            "--end-date +2h",
            "--end-date 2026-12-01T10:00:00Z --room-mode group",
            "--end-date +1h --room-name-prefix support- --field hostRoomUrl",
            "--end-date +1h --recording @bucket.json --json",
        ),
        note=_ONCE + " A nested option that holds a secret, such as the keys of a bucket, is taken from a file only.",
    ),
    Entry("meetings.get", (_MEETING, f"{_MEETING} --field hostRoomUrl --json")),
    Entry(
        "meetings.list",
        ("", "--name-starts-with /support --max-items 20", "--json | jq -r .meetingId"),
        ("meetingId", "roomName", "endDate", "startDate"),
    ),
    Entry("meetings.delete", (_MEETING,)),
    Entry("recordings.get", (_ID,)),
    Entry(
        "recordings.list",
        ("", "--room-name /weekly --sort-by startDate:desc", "--json | jq -r .recordingId"),
        ("recordingId", "roomName", "startDate", "sizeInMegaBytes", "filename", "endDate"),
    ),
    Entry("recordings.delete", (_ID,)),
    Entry(
        "recordings.bulk_delete",
        (_ID, "@ids.txt"),
    ),
    Entry("recordings.access_link", (f"{_ID} --valid-for 600",)),
    Entry(
        "transcriptions.create",
        (_ID,),
        note=_ONCE + " It takes a while: see whereby transcriptions wait.",
    ),
    Entry("transcriptions.get", (_ID,)),
    Entry(
        "transcriptions.list",
        ("", "--room-name /weekly --sort-by durationInSeconds:desc"),
        ("transcriptionId", "state", "roomName", "startDate", "durationInSeconds", "filename", "type"),
    ),
    Entry("transcriptions.delete", (_ID,)),
    Entry("transcriptions.bulk_delete", (_ID, "@ids.txt")),
    Entry("transcriptions.access_link", (_ID,)),
    Entry(
        "summaries.create",
        (_ID, f"{_ID} --template SOAP"),
        note=_ONCE + " It takes about a minute: see whereby summaries wait.",
    ),
    Entry("summaries.get", (_ID,)),
    Entry(
        "summaries.list",
        ("", "--sort-by startDate:desc"),
        ("summaryId", "state", "roomName", "startDate", "template", "transcriptionId"),
    ),
    Entry("summaries.delete", (_ID,)),
    Entry("rooms.set_theme_tokens", ("/weekly --primary '#0A2540' --focus '#00A3FF'",)),
    Entry("rooms.reset_theme_tokens", ("/weekly",)),
    Entry("rooms.set_logo", ("/weekly logo.png",)),
    Entry("rooms.reset_logo", ("/weekly",)),
    Entry("rooms.set_background", ("/weekly beach.png", "/weekly --palette grey --theme mountains")),
    Entry("rooms.reset_background", ("/weekly",)),
    Entry("rooms.set_knock_background", ("/weekly door.png", "/weekly --palette purple")),
    Entry("rooms.reset_knock_background", ("/weekly",)),
    Entry(
        "insights.rooms",
        ("", "--name-starts-with /support --sort-by totalSessions:desc", "--created-from=-7d --json"),
        (
            "roomName",
            "totalSessions",
            "totalParticipantMinutes",
            "lastSessionStartedAt",
            "totalUniqueParticipants",
            "rating",
            "createdAt",
        ),
    ),
    Entry(
        "insights.room_sessions",
        ("/weekly", "/weekly --sort-by totalUniqueParticipants:desc"),
        (
            "roomSessionId",
            "startedAt",
            "endedAt",
            "totalUniqueParticipants",
            "totalParticipantMinutes",
            "rating",
            "roomName",
        ),
    ),
    Entry(
        "insights.participants",
        (f"--room-session-id {_ID}", "--external-id customer-17"),
        ("participantId", "displayName", "joinedAt", "leftAt", "roleName", "rating", "roomSessionId"),
    ),
    Entry("insights.participant", (f"{_ID} {_ID}",)),
)
"""All of them."""
