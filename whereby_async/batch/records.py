"""The lines of a journal, what of a result goes into them, and how it comes back. Pure.

A line is a JSON object that a person can read:

```
{"journal":"whereby_async.batch","version":1,"job":"9f2c…","operation":"meetings.create","api":"https://api.whereby.dev/v1",…}
{"run":1,"at":"2026-03-01T09:00:00.000Z","timeout":30.0}
{"item":"c-17","state":"begun","at":"…","marker":"k3v9x2m7qa","ends":"2026-03-02T09:00:00.000Z"}
{"item":"c-17","state":"ok","at":"…","result":{"Meeting":"107585562"}}
```

Of results only ids are kept, of errors their class, status and text without links: no room key, link or secret.
"""

from __future__ import annotations

import re
from typing import Any, Final, Literal, TypeAlias

import msgspec

from .. import models
from ..redaction import MASK, redact
from .failures import EarlierFailureError
from .outcome import NOT_KEPT

FORMAT: Final = "whereby_async.batch"
VERSION: Final = 1

State: TypeAlias = Literal["begun", "ok", "failed", "unknown"]

_KEPT: Final[dict[str, tuple[type[Any], str]]] = {
    "Meeting": (models.Meeting, "meeting_id"),
    "Recording": (models.Recording, "recording_id"),
    "Transcription": (models.Transcription, "transcription_id"),
    "TranscriptionJob": (models.TranscriptionJob, "transcription_id"),
    "Summary": (models.Summary, "summary_id"),
    "SummaryJob": (models.SummaryJob, "summary_id"),
}
_LINK: Final = re.compile(r"\w+://\S+")
_LONGEST_TEXT: Final = 300


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The first line: whose journal it is.

    Attributes:
        journal: `whereby_async.batch`.
        version: Of this format.
        job: A random number, from which the markers are made.
        operation: What every item calls.
        api: The base URL.
        key: A digest of the API key.
        items: Whether items go by their `index` or by a `key`.
        made_at: When it was made.
    """

    journal: str = FORMAT
    version: int = VERSION
    job: str
    operation: str
    api: str
    key: str
    items: Literal["index", "key"]
    made_at: str


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """A process has begun to work on the job.

    Attributes:
        run: Its number, from 1.
        at: When, by its wall clock; for people only.
        timeout: Seconds that one of its attempts may take.
    """

    run: int
    at: str
    timeout: float


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What has become of an item.

    Attributes:
        item: Its key.
        state: `begun`: a call that must not be repeated is about to be sent. The rest as in `Outcome`.
        at: When, by the wall clock; for people only.
        request: A digest of the request, of items that go by their index.
        marker: What is behind the prefix of its room's name.
        ends: When its meeting ends.
        result: The id of what was made, by its kind; `{}` for a call that returns nothing; `None`: not kept.
        error: The error's class.
        status: Its HTTP status.
        message: Its text.
    """

    item: str
    state: State
    at: str
    request: str | None = None
    marker: str | None = None
    ends: str | None = None
    result: dict[str, str] | None = None
    error: str | None = None
    status: int | None = None
    message: str | None = None


_encoder = msgspec.json.Encoder()
_entries = msgspec.json.Decoder(Entry)
_runs = msgspec.json.Decoder(Run)


def line_of(record: Header | Run | Entry) -> bytes:
    """A record as a line, with its end."""
    return _encoder.encode(record) + b"\n"


def entry_of(line: bytes) -> Entry:
    """The line of an item.

    Raises:
        msgspec.MsgspecError: It is none.
    """
    return _entries.decode(line)


def record_of(line: bytes) -> Run | Entry:
    """Any line but the first.

    Raises:
        msgspec.MsgspecError: It is none.
    """
    return _runs.decode(line) if line.startswith(b'{"run":') else _entries.decode(line)


def kept(result: object) -> dict[str, str] | None:
    """What of a result goes into the journal."""
    if result is None:
        return {}
    name = type(result).__name__
    if name not in _KEPT or type(result) is not _KEPT[name][0]:
        return None
    return {name: getattr(result, _KEPT[name][1])}


def restored(result: dict[str, str] | None) -> object:
    """The result as far as the journal knows it: ids only; `NOT_KEPT` if not at all."""
    if result is None:
        return NOT_KEPT
    for name, value in result.items():
        if name not in _KEPT:
            return NOT_KEPT
        kind, field = _KEPT[name]
        return kind(**{field: value})
    return None


def told(error: BaseException) -> dict[str, Any]:
    """What of an error goes into the journal."""
    text = _LINK.sub(MASK, redact(str(error)))
    return {
        "error": type(error).__name__,
        "status": getattr(error, "status", None),
        "message": text if len(text) <= _LONGEST_TEXT else text[: _LONGEST_TEXT - 1] + "…",
    }


def failure_in(entry: Entry) -> EarlierFailureError:
    """The error of an item that failed in an earlier run."""
    text = f"item {entry.item!r} failed in an earlier run ({entry.at}): {entry.error}: {entry.message}"
    return EarlierFailureError(
        f"{text}; pass retry_failed=True to try it again", kind=entry.error or "", status=entry.status
    )
