"""What the server answers: a meeting, and pages of a hundred meetings and of a hundred rooms, as the reference describes them.

Only the standard library, since all environments import this.
"""

from __future__ import annotations

import json
import random
import uuid

PAGE = 100
MEETING_ID = "107585562"
CREATE = {"endDate": "2099-01-01T00:00:00Z", "fields": ["hostRoomUrl"]}
"""What a create sends."""


def _text(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _moment(dice: random.Random) -> str:
    day, hour, minute, second = dice.randint(1, 28), dice.randint(0, 23), dice.randint(0, 59), dice.randint(0, 59)
    return f"2026-{dice.randint(1, 12):02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{dice.randint(0, 999):03}Z"


def _meeting(dice: random.Random) -> dict[str, object]:
    name = f"/{uuid.UUID(int=dice.getrandbits(128))}"
    return {
        "meetingId": str(dice.randint(10**7, 10**9)),
        "startDate": _moment(dice),
        "endDate": _moment(dice),
        "roomName": name,
        "roomUrl": f"https://my-company.whereby.com{name}",
    }


def _room(dice: random.Random) -> dict[str, object]:
    return {
        "roomName": f"/{uuid.UUID(int=dice.getrandbits(128))}",
        "createdAt": _moment(dice),
        "endAt": _moment(dice),
        "firstSessionStartedAt": _moment(dice),
        "lastSessionStartedAt": _moment(dice),
        "totalParticipantMinutes": dice.randint(0, 9999),
        "totalRecorderMinutes": dice.randint(0, 999),
        "totalStreamerMinutes": dice.randint(0, 999),
        "totalUniqueParticipants": dice.randint(0, 99),
        "totalUniqueRecorders": dice.randint(0, 9),
        "totalUniqueStreamers": dice.randint(0, 9),
        "totalSessions": dice.randint(0, 99),
        "rating": round(dice.uniform(1, 5), 2),
        "totalRatings": dice.randint(0, 99),
    }


def _page(results: list[dict[str, object]], dice: random.Random) -> bytes:
    return _text({"cursor": f"{dice.getrandbits(128):032x}", "results": results})


def meeting() -> bytes:
    """One meeting."""
    return _text({**_meeting(random.Random(1)), "meetingId": MEETING_ID})


def created() -> bytes:
    """What a create returns: one meeting with the host's link."""
    key = "roomKey=" + "e" * 120
    body = _meeting(random.Random(2))
    return _text({**body, "hostRoomUrl": f"{body['roomUrl']}?{key}"})


def meetings(seed: int = 0) -> bytes:
    """A page of meetings; another seed gives another page."""
    dice = random.Random(seed)
    return _page([_meeting(dice) for _ in range(PAGE)], dice)


def rooms(seed: int = 0) -> bytes:
    """A page of rooms' insights; another seed gives another page."""
    dice = random.Random(seed)
    return _page([_room(dice) for _ in range(PAGE)], dice)
