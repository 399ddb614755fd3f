"""Summaries: create, list, get, delete."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..calls import NOTHING, Answer, Call, RefusalError, fields, one_of, page, sort
from ..media import DEFAULT_TEMPLATE
from .recordings import duration

if TYPE_CHECKING:
    from ..world import World

TEMPLATES = (
    "SOAP",
    "Extended SOAP",
    "General Narrative",
    "General Bulleted",
    "Educational Lecture",
    "Educational Tutoring",
)
"""The templates that a summary can be made from."""

_SORT = fields(("roomName", "startDate")) | {"durationInSeconds": duration}


def create(world: World, call: Call) -> Answer:
    """`POST /summaries`: one per transcription at a time."""
    body = call.body()
    template = one_of(body, "template", TEMPLATES) or DEFAULT_TEMPLATE
    transcription_id = body.get("transcriptionId")
    if not isinstance(transcription_id, str):
        raise RefusalError(400, "transcriptionId is required")
    transcription = world.transcriptions.get(transcription_id)
    if transcription is None:
        raise RefusalError(404, "Could not find transcription")
    if transcription["storageType"] != "WHEREBY_HOSTED":
        raise RefusalError(403, "Summaries are available for Whereby-hosted transcriptions only")
    if transcription["state"] != "ready":
        raise RefusalError(400, "The transcription is not ready")
    if any(summary["transcriptionId"] == transcription_id for summary in list(world.summaries.values())):
        raise RefusalError(409, "The transcription has a summary already")
    summary = world.add_summary(transcription_id, template=template, state="in_progress")
    return Answer(201, {"summaryId": summary["summaryId"]})


def list_all(world: World, call: Call) -> Answer:
    """`GET /summaries`."""
    return page(call, sort(call, world.summaries.values(), _SORT))


def get(world: World, call: Call) -> Answer:
    """`GET /summaries/{summaryId}`."""
    summary = world.summaries.get(call.path["summaryId"])
    if summary is None:
        raise RefusalError(404, "Could not find summary")
    return Answer(200, summary)


def delete(world: World, call: Call) -> Answer:
    """`DELETE /summaries/{summaryId}`: a second time is as good as the first."""
    world.summaries.pop(call.path["summaryId"], None)
    return NOTHING
