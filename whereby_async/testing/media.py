"""The part of the fake service's world that is kept: recordings, transcriptions, summaries, and their files."""

from __future__ import annotations

from typing import Literal, TypeAlias

from .checks import require_count, require_seconds
from .state import Moment, State, at_of, found, room_path
from .storage import BytesBlob, PatternBlob, signed_query
from .wire import Wire, new_id

JobState: TypeAlias = Literal["in_progress", "ready", "failed"]
"""Where a transcription or a summary is."""

StorageType: TypeAlias = Literal["WHEREBY_HOSTED", "SELF_HOSTED"]
"""Where a file is kept; there are access links only to those that Whereby hosts."""

DEFAULT_TEMPLATE = "General Bulleted"
_SOAP = ("subjective", "objective", "assessment", "plan")
_EXTENDED = ("chief_complaint", "subjective", "medications", "allergies", "objective", "assessment", "plan")
_TEXT = "# Transcript\n\n**Ada Lovelace** (00:00): Can you hear me?\n\n**Alan Turing** (00:03): Loud and clear.\n"
_MEGABYTE = 1_000_000
_KINDS = {"mp4": "video/mp4", "mkv": "video/x-matroska", "md": "text/markdown; charset=utf-8"}


class MediaWorld(State):
    """Recordings, transcriptions, summaries, and the files behind access links."""

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
            message = "content= has its own size: leave out size="
            raise ValueError(message)
        if size is not None:
            require_count("size", size)
        require_seconds("duration", duration)
        blob = PatternBlob(size) if size is not None else BytesBlob(b"fake video\n" if content is None else content)
        name = self._room_of(room_name, room_session_id)
        start = self.date(-duration if start_date is None else start_date)
        recording: Wire = {
            "recordingId": new_id(),
            "roomSessionId": room_session_id or new_id(),
            "roomName": name,
            "filename": f"{name.lstrip('/')}-{start[:-5]}Z.{file_format}",
            "startDate": start,
            "endDate": self.date(_at(start) + duration - self.now()),
            "sizeInMegaBytes": round(blob.size / _MEGABYTE, 2),
        }
        self.recordings[recording["recordingId"]] = recording
        if storage_type == "WHEREBY_HOSTED":
            self.files[recording["recordingId"]] = blob
        return dict(recording)

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
        transcription: Wire = {
            "transcriptionId": new_id(),
            "roomSessionId": recording.get("roomSessionId") or room_session_id or new_id(),
            "roomName": name,
            "startDate": start,
            "endDate": recording.get("endDate") or self.date(_at(start) + duration - self.now()),
            "state": "in_progress",
            "createdAt": self.date(0.0),
            "type": "RECORDING_TRANSCRIPTION" if recording_id else "LIVE_TRANSCRIPTION",
            "storageType": storage_type,
        }
        key = transcription["transcriptionId"]
        self.transcriptions[key] = transcription
        if storage_type == "WHEREBY_HOSTED":
            self.files[key] = BytesBlob(_TEXT.encode() if content is None else content)
        self._begin(key, state)
        return dict(transcription)

    def add_summary(
        self, transcription_id: str, *, template: str = DEFAULT_TEMPLATE, state: JobState = "ready"
    ) -> Wire:
        """Make a summary of a transcription.

        Args:
            transcription_id: The transcription.
            template: Such as `SOAP`; it decides about the keys of the text.
            state: An `in_progress` one gets `ready` after `processing_time`, or by `finish_summary`.

        Returns:
            The summary as the API lists it.

        Raises:
            KeyError: No such transcription.
        """
        source = found(self.transcriptions, transcription_id, "transcription")
        summary: Wire = {
            "summaryId": new_id(),
            "transcriptionId": transcription_id,
            "summary": {},
            **{name: source[name] for name in ("roomSessionId", "roomName", "startDate", "endDate")},
            "state": "in_progress",
            "createdAt": self.date(0.0),
            "modifiedAt": self.date(0.0),
            "template": template,
        }
        self.summaries[summary["summaryId"]] = summary
        self._begin(summary["summaryId"], state)
        return dict(summary)

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
            transcription["durationInSeconds"] = round(
                _at(transcription["endDate"]) - _at(transcription["startDate"]), 3
            )

    def finish_summary(self, summary_id: str, state: JobState = "ready") -> None:
        """Let a summary be `ready` or `failed` now.

        Raises:
            KeyError: No such summary.
        """
        summary = found(self.summaries, summary_id, "summary")
        self._due.pop(summary_id, None)
        summary["state"] = state
        summary["modifiedAt"] = self.date(0.0)
        if state == "ready":
            summary["summary"] = summary_text(summary["template"])

    def move_on(self) -> None:
        """Finish the transcriptions and summaries whose time has come; every request does this first."""
        now = self._clock.elapsed()
        for key in [key for key, due in list(self._due.items()) if due <= now]:
            if key in self.transcriptions:
                self.finish_transcription(key)
            elif key in self.summaries:
                self.finish_summary(key)
            else:
                del self._due[key]

    def access_link(self, file_id: str, valid_for: int, origin: str) -> Wire:
        """A link to a file; `expires` is in milliseconds since 1970.

        Raises:
            KeyError: No such file with this service.
        """
        self.files[file_id]  # pyright: ignore[reportUnusedExpression] - KeyError is the answer
        path = f"/storage/{file_id}"
        expires = int(self.now()) + valid_for
        return {"accessLink": f"{origin}{path}?{signed_query(path, expires)}", "expires": expires * 1000}

    def content_type(self, file_id: str) -> str:
        """The media type of a file."""
        wire = self.recordings.get(file_id) or self.transcriptions.get(file_id) or {}
        ending = wire.get("filename", "").rpartition(".")[2]
        return _KINDS.get(ending, "application/octet-stream")

    def _begin(self, key: str, state: JobState) -> None:
        if state != "in_progress":
            (self.finish_transcription if key in self.transcriptions else self.finish_summary)(key, state)
        elif self.processing_time is not None:
            self._due[key] = self._clock.elapsed() + self.processing_time

    def _room_of(self, room_name: str | None, room_session_id: str | None) -> str:
        session = self.sessions.get(room_session_id or "") or {}
        if room_name and session and room_path(room_name) != session["roomName"]:
            raise ValueError(f"the session {room_session_id!r} is of {session['roomName']!r}, not of {room_name!r}")
        return room_path(room_name or session.get("roomName") or new_id())


def _at(date: str) -> float:
    return at_of({"date": date}, "date") or 0.0


def summary_text(template: str) -> Wire:
    """What a summary holds when it is ready: keys by template."""
    text: Wire = {"summary": "Ada and Alan checked the line.\nIt works."}
    if template == "SOAP":
        text["SOAP"] = {name: f"The {name}." for name in _SOAP}
    if template == "Extended SOAP":
        text["extended_SOAP"] = {name: f"The {name}." for name in _EXTENDED}
    return text
