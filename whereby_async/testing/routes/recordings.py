"""Recordings: list, get, delete, bulk-delete, access link."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..calls import NOTHING, Answer, Call, RefusalError, fields, ids_of, page, sort
from ..state import at_of
from .meetings import name_matches

if TYPE_CHECKING:
    from ..wire import Wire
    from ..world import World

LONGEST_LINK = 43_200
"""Seconds for which an access link can be valid at most."""

_DEFAULT_LINK = 3600


def duration(wire: Wire) -> float:
    """Seconds between a thing's start and its end."""
    return (at_of(wire, "endDate") or 0.0) - (at_of(wire, "startDate") or 0.0)


_SORT = fields(("roomName", "startDate", "sizeInMegaBytes")) | {"duration": duration}


def list_all(world: World, call: Call) -> Answer:
    """`GET /recordings`."""
    found = [recording for recording in list(world.recordings.values()) if name_matches(call, recording["roomName"])]
    return page(call, sort(call, found, _SORT))


def get(world: World, call: Call) -> Answer:
    """`GET /recordings/{recordingId}`."""
    return Answer(200, _found(world, call))


def delete(world: World, call: Call) -> Answer:
    """`DELETE /recordings/{recordingId}`: a second time is as good as the first."""
    _remove(world, call.path["recordingId"])
    return NOTHING


def bulk_delete(world: World, call: Call) -> Answer:
    """`POST /recordings/bulk-delete`: unknown ids are no error."""
    for recording_id in ids_of(call, "recordingIds"):
        _remove(world, recording_id)
    return NOTHING


def access_link(world: World, call: Call) -> Answer:
    """`GET /recordings/{recordingId}/access-link`."""
    valid_for = call.number("validForSeconds", _DEFAULT_LINK, LONGEST_LINK)
    recording_id = _found(world, call)["recordingId"]
    if recording_id not in world.files:
        raise RefusalError(403, "Access links are available for Whereby-hosted recordings only")
    return Answer(200, world.access_link(recording_id, valid_for, call.origin))


def _found(world: World, call: Call) -> Wire:
    recording = world.recordings.get(call.path["recordingId"])
    if recording is None:
        raise RefusalError(404, "Could not find recording")
    return recording


def _remove(world: World, recording_id: str) -> None:
    if world.recordings.pop(recording_id, None) is not None:
        world.files.pop(recording_id, None)
