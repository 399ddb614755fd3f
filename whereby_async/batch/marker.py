"""The marker in the name of a room that a batch makes, so that the room can be found again. Pure.

The API has no idempotency key and echoes nothing of a request but the start of the room's name. So each create of a
batch gets a marker behind the caller's own prefix: ten characters of `[a-z0-9]`, made from the job's number and the
item's key, the same in every run. Its first letter is none that a UUID has, so that no other part of a name is taken
for it. The server may lower-case the prefix, drop its spaces, or do whatever else: a room is recognised by its marker
alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, Final, NamedTuple, cast

from ..models.dates import rfc3339

_LONGEST_PREFIX: Final = 39
"""Characters that the API takes as `roomNamePrefix`."""
_LENGTH: Final = 10
"""Characters of a marker: 51 bits, so that among 100,000 rooms a false match has a chance of one in a million."""
_FIRST: Final = "ghijklmnopqrstuvwxyz"
_REST: Final = "0123456789abcdefghijklmnopqrstuvwxyz"


class MarkedRequest(NamedTuple):
    """A call as it is sent.

    Attributes:
        request: Its keywords.
        marker: What is behind the prefix of its room's name; `None` if the room has no marker.
        ends: When its meeting ends, RFC 3339; `None` if that can not be read, or if the room has no marker.
    """

    request: dict[str, Any]
    marker: str | None = None
    ends: str | None = None


def marker_of(job: str, key: str) -> str:
    """The marker of an item, from the job's random number and the item's key."""
    number = int.from_bytes(blake2b(f"{job}\0{key}".encode("utf-8", "surrogatepass"), digest_size=16).digest())
    number, first = divmod(number, len(_FIRST))
    letters = [_FIRST[first]]
    while len(letters) < _LENGTH:
        number, digit = divmod(number, len(_REST))
        letters.append(_REST[digit])
    return "".join(letters)


def marked(request: Mapping[str, Any], marker: str) -> MarkedRequest:
    """The call of a `meetings.create` with the marker behind the prefix.

    Raises:
        ValueError: There is no space for it: the API takes 39 characters.
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
        raise TypeError(f"room_name_prefix must be a string, not {type(prefix).__name__}")
    longest = _LONGEST_PREFIX - len(marker)
    if len(prefix) > longest:
        msg = (
            f"room_name_prefix={prefix!r} has {len(prefix)} characters; the API takes {_LONGEST_PREFIX}, and a batch "
            f"needs {len(marker)} of them to find the room again after a lost answer: use at most {longest}, or pass "
            "mark=False"
        )
        raise ValueError(msg)
    changed["room_name_prefix"] = prefix + marker
    return MarkedRequest(changed, marker, _end_of(changed))


def start_of_name(prefix: str) -> str:
    """The start of a room's name with this prefix, as far as is documented: lower case, without spaces."""
    return "/" + re.sub(r"\s+", "", prefix).lower()


def _end_of(request: Mapping[str, Any]) -> str | None:
    """The meeting's end as the request says it; `None` if it can not be read."""
    extra = request.get("extra")
    value: object = request.get("end_date")
    if isinstance(extra, Mapping) and "endDate" in extra:
        value = cast("Mapping[str, Any]", extra)["endDate"]
    try:
        return rfc3339("end_date", cast("str", value))
    except (TypeError, ValueError):
        return None


def asked_fields(request: Mapping[str, Any]) -> list[str]:
    """The fields that the answer to this create would hold beside the usual ones."""
    fields = request.get("fields") or ()
    wanted = [str(field) for field in fields if isinstance(field, str)] if not isinstance(fields, str) else []
    if request.get("template_type") == "viewerMode":
        wanted += [field for field in ("hostRoomUrl", "viewerRoomUrl") if field not in wanted]
    return wanted
