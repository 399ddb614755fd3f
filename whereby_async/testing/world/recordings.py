"""The recordings of the fake service, and the five operations on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from ..checks import require_count, require_seconds
from ..object_store import BytesBlob, PatternBlob
from .api_call import ApiAnswer, RefusalError, fields, known, page, remove, sort
from .state import Moment, State, Wire, later, length_of, new_id

if TYPE_CHECKING:
    from .api_call import ApiCall

StorageType: TypeAlias = Literal["WHEREBY_HOSTED", "SELF_HOSTED"]
"""Where a file is kept; there are access links only to those that Whereby hosts."""

_MEGABYTE = 1_000_000
_SORT = fields("roomName", "startDate", "sizeInMegaBytes") | {"duration": length_of}


class RecordingWorld(State):
    """The recordings."""

    def add_recording(  # noqa: PLR0913 - what can be said of one
        self,
        *,
        room_name: str | None = None,
        room_session_id: str | None = None,
        content: bytes | None = None,
        size: int | None = None,
        start_date: Moment | None = None,
        duration: float = 60.0,
        file_format: str = "mp4",
        storage_type: StorageType = "WHEREBY_HOSTED",
    ) -> Wire:
        """Make a recording.

        Args:
            room_name: The room; by default the session's, or a new one.
            room_session_id: The session; by default an id without one.
            content: The file's bytes.
            size: In place of `content`: a file of so many bytes, made up as it is read.
            start_date: By default `duration` ago.
            duration: Seconds.
            file_format: `mp4` or `mkv`.
            storage_type: There is no access link to a `SELF_HOSTED` one, and no transcription of it.

        Returns:
            The recording as the API lists it.

        Raises:
            ValueError: Both `content` and `size`, a size or duration below 0, or a room that is not the session's.
        """
        if content is not None and size is not None:
            raise ValueError("content= has its own size: leave out size=")
        if size is not None:
            size = require_count("size", size)
        duration = require_seconds("duration", duration)
        blob = PatternBlob(size) if size is not None else BytesBlob(b"fake video\n" if content is None else content)
        name = self._room_of(room_name, room_session_id)
        start = self.date(-duration if start_date is None else start_date)
        key = new_id()
        self.recordings[key] = {
            "recordingId": key,
            "roomSessionId": room_session_id or new_id(),
            "roomName": name,
            "filename": f"{name.lstrip('/')}-{start[:-5]}Z.{file_format}",
            "startDate": start,
            "endDate": later(start, duration),
            "sizeInMegaBytes": round(blob.size / _MEGABYTE, 2),
        }
        if storage_type == "WHEREBY_HOSTED":
            self.files[key] = blob
        return dict(self.recordings[key])


def list_all(world: RecordingWorld, call: ApiCall) -> ApiAnswer:
    """`GET /recordings`."""
    wanted = [recording for recording in list(world.recordings.values()) if call.wants(recording["roomName"])]
    return page(call, sort(call, wanted, _SORT))


def get(world: RecordingWorld, call: ApiCall) -> ApiAnswer:
    """`GET /recordings/{recordingId}`."""
    return ApiAnswer(200, known(world.recordings, call.path["recordingId"], "recording"))


def delete(world: RecordingWorld, call: ApiCall) -> ApiAnswer:
    """`DELETE /recordings/{recordingId}`: a second time is as good as the first."""
    return remove([call.path["recordingId"]], world.recordings, world.files)


def bulk_delete(world: RecordingWorld, call: ApiCall) -> ApiAnswer:
    """`POST /recordings/bulk-delete`: unknown ids are no error."""
    return remove(call.ids("recordingIds"), world.recordings, world.files)


def link(world: RecordingWorld, call: ApiCall) -> ApiAnswer:
    """`GET /recordings/{recordingId}/access-link`."""
    valid_for, recording_id = call.valid_for(), call.path["recordingId"]
    known(world.recordings, recording_id, "recording")
    if recording_id not in world.files:
        raise RefusalError(403, "Access links are available for Whereby-hosted recordings only")
    return ApiAnswer(200, world.access_link(recording_id, valid_for, call.origin))
