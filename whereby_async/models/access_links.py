"""Links that fetch a recording's or a transcription's file."""

from __future__ import annotations

from typing import ClassVar

from .model import Model, Timestamp


class AccessLink(Model, frozen=True, kw_only=True, rename="camel"):
    """A presigned link to a file that Whereby hosts. Whoever has it can fetch the file: it does not show in a `repr`.

    Fetch it with a plain GET and no `Authorization` header; `download` of the recordings and transcriptions does that.
    Documented under `GET /recordings/{recordingId}/access-link` and `GET /transcriptions/{transcriptionId}/access-link`
    in the Whereby REST API reference.

    Attributes:
        access_link: The link itself. Secret.
        expires: When the link stops to work, aware, in UTC (milliseconds since 1970 on the wire).
    """

    _secrets: ClassVar[frozenset[str]] = frozenset({"access_link"})

    access_link: str
    expires: Timestamp | None = None
