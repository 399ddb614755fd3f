"""Marks a `meetings.create` so that its room can be found again: a few letters in the room's name. Pure.

The API has no idempotency key and echoes nothing of a request but the start of the room's name. So each create of a batch
gets a marker behind the caller's own prefix: ten characters of `[a-z0-9]`, made from the job's number and the item's key, the
same in every run. Its first letter is none that a UUID has, so that no other part of a name is taken for it. The server may
lower-case the prefix, drop its spaces, or do whatever else: a room is recognised by its marker alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from hashlib import blake2b
from typing import Any, Final, cast

from ..models.dates import rfc3339

LONGEST_PREFIX: Final = 39
"""Characters. What the API takes as `roomNamePrefix`."""

MARKER_LENGTH: Final = 10
"""Characters: 51 bits, so that among 100,000 rooms a false match has a chance of one in a million."""

_FIRST: Final = "ghijklmnopqrstuvwxyz"
_REST: Final = "0123456789abcdefghijklmnopqrstuvwxyz"


def marker_of(job: str, key: str) -> str:
    """The marker of an item.

    Args:
        job: The job's random number, as the journal's first line has it.
        key: The item's key.
    """
    number = int.from_bytes(blake2b(f"{job}\0{key}".encode("utf-8", "surrogatepass"), digest_size=16).digest())
    number, first = divmod(number, len(_FIRST))
    letters = [_FIRST[first]]
    while len(letters) < MARKER_LENGTH:
        number, digit = divmod(number, len(_REST))
        letters.append(_REST[digit])
    return "".join(letters)


def marked(request: Mapping[str, Any], marker: str) -> dict[str, Any]:
    """The keywords of `meetings.create` with the marker behind the prefix.

    Raises:
        ValueError: There is no room for it: the API takes 39 characters.
        TypeError: The prefix is no string.
    """
    changed = dict(request)
    extra = changed.get("extra")
    prefix: object = changed.get("room_name_prefix")
    if isinstance(extra, Mapping) and "roomNamePrefix" in extra:  # it would win over the keyword
        rest = dict(cast("Mapping[str, Any]", extra))
        prefix = rest.pop("roomNamePrefix")
        changed["extra"] = rest
    prefix = "" if prefix is None else prefix
    if not isinstance(prefix, str):
        msg = f"room_name_prefix must be a string, not {type(prefix).__name__}"
        raise TypeError(msg)
    if len(prefix) + len(marker) > LONGEST_PREFIX:
        msg = (
            f"room_name_prefix={prefix!r} has {len(prefix)} characters; the API takes {LONGEST_PREFIX}, and a batch needs "
            f"{len(marker)} of them to find the room again after a lost answer: use at most {LONGEST_PREFIX - len(marker)}, "
            "or pass mark=False"
        )
        raise ValueError(msg)
    changed["room_name_prefix"] = prefix + marker
    return changed


def start_of_name(prefix: str) -> str:
    """How the name of a room with this prefix begins, as far as is documented: lower case, without spaces."""
    return "/" + re.sub(r"\s+", "", prefix).lower()


def end_of(request: Mapping[str, Any]) -> str | None:
    """The meeting's end as the request says it; `None` if it can not be read."""
    extra = request.get("extra")
    value: object = request.get("end_date")
    if isinstance(extra, Mapping) and "endDate" in extra:
        value = cast("Mapping[str, Any]", extra)["endDate"]
    try:
        return rfc3339("end_date", cast("str", value))
    except (TypeError, ValueError):
        return None


def moment(text: str | None) -> datetime | None:
    """The same as a datetime; `None` for none."""
    return None if text is None else datetime.fromisoformat(text.upper())


def asked_fields(request: Mapping[str, Any]) -> list[str]:
    """Which fields the answer to this create would hold beside the usual ones."""
    fields = request.get("fields") or ()
    wanted = [str(field) for field in fields if isinstance(field, str)] if not isinstance(fields, str) else []
    if request.get("template_type") == "viewerMode":
        wanted += [field for field in ("hostRoomUrl", "viewerRoomUrl") if field not in wanted]
    return wanted
