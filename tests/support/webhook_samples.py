"""A delivery of each documented type, with all the fields that the docs name."""

from __future__ import annotations

import json
from typing import Any

SECRET = "whereby-webhook-secret"
AT = 1710000000

VECTOR = (
    b'{"id":"event_123","apiVersion":"1.0","createdAt":"2026-06-17T12:00:00.000Z","type":"room.client.joined",'
    b'"data":{"meetingId":"meeting_123","roomName":"/support-abc","subdomain":"example",'
    b'"participantId":"participant_123","displayName":"Customer"}}'
)
VECTOR_DIGEST = "ad9f3f99bc03d15f9e36f5bc2d59087c4e8fd6b1138c10563862c60d3b23d5f5"
VECTOR_HEADER = f"t={AT},v1={VECTOR_DIGEST}"

ROOM = {"meetingId": "107585562", "roomName": "/r", "subdomain": "example", "roomSessionId": "s-1"}
WHO = {**ROOM, "displayName": "Zoë 🎥", "participantId": "p-1", "metadata": "m", "externalId": None}
PRESENCE = {
    **WHO,
    "roleName": "granted_visitor",
    "numClients": 2,
    "numClientsByRoleName": {"host": 1, "granted_visitor": 1},
    "isDialIn": False,
}
TRANSCRIPTION = {
    "roomName": "/r",
    "roomSessionId": "s-1",
    "transcriptionId": "t-1",
    "type": "RECORDING_TRANSCRIPTION",
    "status": "in_progress",
}
FILE = {"filename": "r.md", "storageType": "WHEREBY_HOSTED", "durationInSeconds": 61.5, "recordingId": "rec-1"}

DATA: dict[str, dict[str, Any]] = {
    "room.client.joined": PRESENCE,
    "room.client.left": PRESENCE,
    "room.client.knocked": WHO,
    "room.client.knockCancelled": WHO,
    "room.session.started": ROOM,
    "room.session.ended": {**ROOM, "roomSessionId": None},
    "transcription.started": TRANSCRIPTION,
    "transcription.finished": {**TRANSCRIPTION, "status": "ready", **FILE},
    "transcription.failed": {**TRANSCRIPTION, "status": "failed", "error": "no speech"},
    "recording.finished": {"filename": "r.mkv", "recordingId": "rec-1", "roomName": "/r", "status": "completed"},
    "assistant.requested": ROOM,
}


def event(type_: str, data: Any = None, **changes: Any) -> bytes:
    """A body of this type; data that is `None` is the sample's own."""
    envelope = {
        "id": "6b1f",
        "apiVersion": "1.0",
        "createdAt": "2026-06-17T12:00:00.000Z",
        "type": type_,
        "data": DATA.get(type_) if data is None else data,
    }
    return json.dumps(envelope | changes, ensure_ascii=False).encode()
