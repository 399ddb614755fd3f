"""The transcriptions of the fake service, and the six operations on them."""

from __future__ import annotations

from typing import Literal, TypeAlias

from ..object_store import BytesBlob
from .api_call import ApiAnswer, ApiCall, RefusalError, fields, known, page, remove, sort
from .recordings import StorageType
from .state import Moment, State, Wire, found, later, length_of, new_id

JobState: TypeAlias = Literal["in_progress", "ready", "failed"]
"""Where a transcription or a summary is."""

_TEXT = b"# Transcript\n\n**Ada Lovelace** (00:00): Can you hear me?\n\n**Alan Turing** (00:03): Loud and clear.\n"
_SORT = fields("roomName", "startDate", "durationInSeconds")


class TranscriptionWorld(State):
    """The transcriptions."""

    def add_transcription(  # noqa: PLR0913 - what can be said of one
        self,
        *,
        room_name: str | None = None,
        room_session_id: str | None = None,
        recording_id: str | None = None,
        state: JobState = "ready",
        storage_type: StorageType = "WHEREBY_HOSTED",
        content: bytes | None = None,
        start_date: Moment | None = None,
        duration: float = 60.0,
    ) -> Wire:
        """Make a transcription.

        Args:
            room_name: The room; by default the recording's, the session's, or a new one.
            room_session_id: The session; by default the recording's, or an id without one.
            recording_id: The recording that it is made from; without one it is a session's transcription.
            state: An `in_progress` one gets `ready` after `processing_time`, or by `finish_transcription`.
            storage_type: There is no access link to a `SELF_HOSTED` one.
            content: The file's bytes: Markdown.
            start_date: By default the recording's start, or `duration` ago.
            duration: Seconds.

        Returns:
            The transcription as the API lists it.

        Raises:
            KeyError: No such recording.
        """
        recording = found(self.recordings, recording_id, "recording") if recording_id else {}
        name = recording.get("roomName") or self._room_of(room_name, room_session_id)
        start = recording.get("startDate") or self.date(-duration if start_date is None else start_date)
        key = new_id()
        self.transcriptions[key] = {
            "transcriptionId": key,
            "roomSessionId": recording.get("roomSessionId") or room_session_id or new_id(),
            "roomName": name,
            "startDate": start,
            "endDate": recording.get("endDate") or later(start, duration),
            "state": "in_progress",
            "createdAt": self.date(0.0),
            "type": "RECORDING_TRANSCRIPTION" if recording_id else "LIVE_TRANSCRIPTION",
            "storageType": storage_type,
        }
        if storage_type == "WHEREBY_HOSTED":
            self.files[key] = BytesBlob(_TEXT if content is None else content)
        self._begin(key, state, self.finish_transcription)
        return dict(self.transcriptions[key])

    def finish_transcription(
        self, transcription_id: str, state: JobState = "ready", *, error: str | None = None
    ) -> None:
        """Let a transcription be `ready` or `failed` now.

        Args:
            transcription_id: The transcription.
            state: What becomes of it.
            error: Why it failed, for the field `error`; left out by default, since the reference does not name it.

        Raises:
            KeyError: No such transcription.
        """
        transcription = found(self.transcriptions, transcription_id, "transcription")
        self._due.pop(transcription_id, None)
        transcription["state"] = state
        if error is not None:
            transcription["error"] = error
        if state == "ready":
            name = transcription["roomName"].lstrip("/")
            transcription["filename"] = f"{name}-{transcription['startDate']}.md"
            transcription["durationInSeconds"] = round(length_of(transcription), 3)


def create(world: TranscriptionWorld, call: ApiCall) -> ApiAnswer:
    """`POST /transcriptions`: of a recording that Whereby hosts."""
    recording_id = call.body().get("recordingId")
    if not isinstance(recording_id, str):
        raise RefusalError(400, "recordingId is required")
    known(world.recordings, recording_id, "recording")
    if recording_id not in world.files:
        raise RefusalError(403, "Transcriptions are available for Whereby-hosted recordings only")
    transcription = world.add_transcription(recording_id=recording_id, state="in_progress")
    return ApiAnswer(201, {"transcriptionId": transcription["transcriptionId"]})


def list_all(world: TranscriptionWorld, call: ApiCall) -> ApiAnswer:
    """`GET /transcriptions`."""
    wanted = [wire for wire in list(world.transcriptions.values()) if call.wants(wire["roomName"])]
    return page(call, sort(call, wanted, _SORT))


def get(world: TranscriptionWorld, call: ApiCall) -> ApiAnswer:
    """`GET /transcriptions/{transcriptionId}`."""
    return ApiAnswer(200, known(world.transcriptions, call.path["transcriptionId"], "transcription"))


def delete(world: TranscriptionWorld, call: ApiCall) -> ApiAnswer:
    """`DELETE /transcriptions/{transcriptionId}`: a second time is as good as the first."""
    return remove([call.path["transcriptionId"]], world.transcriptions, world.files)


def bulk_delete(world: TranscriptionWorld, call: ApiCall) -> ApiAnswer:
    """`POST /transcriptions/bulk-delete`: unknown ids are no error."""
    return remove(call.ids("transcriptionIds"), world.transcriptions, world.files)


def link(world: TranscriptionWorld, call: ApiCall) -> ApiAnswer:
    """`GET /transcriptions/{transcriptionId}/access-link`."""
    valid_for = call.valid_for()
    transcription = known(world.transcriptions, call.path["transcriptionId"], "transcription")
    if transcription["storageType"] != "WHEREBY_HOSTED":
        raise RefusalError(403, "Access links are available for Whereby-hosted transcriptions only")
    if transcription["state"] != "ready":
        raise RefusalError(404, "Could not find transcription file")
    return ApiAnswer(200, world.access_link(transcription["transcriptionId"], valid_for, call.origin))
