"""Transcriptions: create, list, get, delete, bulk-delete, access link."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..calls import NOTHING, Answer, Call, RefusalError, fields, ids_of, page, sort
from .meetings import name_matches
from .recordings import LONGEST_LINK

if TYPE_CHECKING:
    from ..wire import Wire
    from ..world import World

_DEFAULT_LINK = 3600
_SORT = fields(("roomName", "startDate", "durationInSeconds"))


def create(world: World, call: Call) -> Answer:
    """`POST /transcriptions`: of a recording that Whereby hosts."""
    recording_id = call.body().get("recordingId")
    if not isinstance(recording_id, str):
        raise RefusalError(400, "recordingId is required")
    if recording_id not in world.recordings:
        raise RefusalError(404, "Could not find recording")
    if recording_id not in world.files:
        raise RefusalError(403, "Transcriptions are available for Whereby-hosted recordings only")
    transcription = world.add_transcription(recording_id=recording_id, state="in_progress")
    return Answer(201, {"transcriptionId": transcription["transcriptionId"]})


def list_all(world: World, call: Call) -> Answer:
    """`GET /transcriptions`."""
    found = [wire for wire in list(world.transcriptions.values()) if name_matches(call, wire["roomName"])]
    return page(call, sort(call, found, _SORT))


def get(world: World, call: Call) -> Answer:
    """`GET /transcriptions/{transcriptionId}`."""
    return Answer(200, _found(world, call))


def delete(world: World, call: Call) -> Answer:
    """`DELETE /transcriptions/{transcriptionId}`: a second time is as good as the first."""
    _remove(world, call.path["transcriptionId"])
    return NOTHING


def bulk_delete(world: World, call: Call) -> Answer:
    """`POST /transcriptions/bulk-delete`: unknown ids are no error."""
    for transcription_id in ids_of(call, "transcriptionIds"):
        _remove(world, transcription_id)
    return NOTHING


def access_link(world: World, call: Call) -> Answer:
    """`GET /transcriptions/{transcriptionId}/access-link`."""
    valid_for = call.number("validForSeconds", _DEFAULT_LINK, LONGEST_LINK)
    transcription = _found(world, call)
    if transcription["storageType"] != "WHEREBY_HOSTED":
        raise RefusalError(403, "Access links are available for Whereby-hosted transcriptions only")
    if transcription["state"] != "ready":
        raise RefusalError(404, "Could not find transcription file")
    return Answer(200, world.access_link(transcription["transcriptionId"], valid_for, call.origin))


def _found(world: World, call: Call) -> Wire:
    transcription = world.transcriptions.get(call.path["transcriptionId"])
    if transcription is None:
        raise RefusalError(404, "Could not find transcription")
    return transcription


def _remove(world: World, transcription_id: str) -> None:
    if world.transcriptions.pop(transcription_id, None) is not None:
        world.files.pop(transcription_id, None)
