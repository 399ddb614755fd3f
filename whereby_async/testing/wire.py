"""How values look on the wire: dates, ids, keys, cursors. Pure but for the random source."""

from __future__ import annotations

import base64
import binascii
import secrets
import uuid
from datetime import UTC, datetime
from typing import Any, TypeAlias

import msgspec

Wire: TypeAlias = dict[str, Any]
"""A JSON object as it goes over the wire."""

_DISTINGUISHABLE = "abcdefghjkmnpqrstuvwxyz"


class _Cursor(msgspec.Struct):
    type: str
    value: str


def new_id() -> str:
    """An id such as the API gives to all but meetings."""
    return str(uuid.uuid4())


def short_name() -> str:
    """Six letters that are not taken for one another: the room name pattern `human-short`."""
    return "".join(secrets.choice(_DISTINGUISHABLE) for _ in range(6))


def room_key(meeting_id: str, role: str) -> str:
    """Something that looks like the JWT in a room link, and is not signed by anybody."""
    claims = msgspec.json.encode({"meetingId": meeting_id, "roomReference": {"roleName": role}, "iss": "fake"})
    parts = (b'{"alg":"HS256","typ":"JWT"}', claims, secrets.token_bytes(32))
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


def read_date(text: object) -> float | None:
    """Seconds since 1970 of an RFC 3339 date, UTC if it has no offset; `None` if it is no date."""
    if not isinstance(text, str) or "T" not in text.upper():
        return None
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def write_cursor(offset: int) -> str:
    """The cursor of the page that starts at `offset`."""
    return base64.b64encode(msgspec.json.encode(_Cursor("offset", str(offset)))).decode()


def read_cursor(text: str) -> int | None:
    """The offset in a cursor; `None` if it is not one of ours."""
    try:
        cursor = msgspec.json.decode(base64.b64decode(text, validate=True), type=_Cursor)
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        return None
    valid = cursor.type == "offset" and cursor.value.isascii() and cursor.value.isdigit()
    return int(cursor.value) if valid else None
