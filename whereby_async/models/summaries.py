"""Summaries: what `client.summaries` returns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, cast, get_args

from .model import Model, Timestamp
from .transcriptions import HasState

if TYPE_CHECKING:
    from collections.abc import Iterator

_DocumentedTemplate: TypeAlias = Literal[
    "SOAP", "Extended SOAP", "General Narrative", "General Bulleted", "Educational Lecture", "Educational Tutoring"
]

SummaryTemplate: TypeAlias = _DocumentedTemplate | str
"""How a summary is laid out."""

SUMMARY_TEMPLATES: Final[tuple[str, ...]] = get_args(_DocumentedTemplate)
"""The documented values of `template`; the server's default is `General Bulleted`."""

SUMMARY_STATES: Final = ("in_progress", "ready", "completed", "failed")
"""The documented values of `Summary.state` (`ready` and `completed` mean the same); others may come."""

SUMMARY_SORT_FIELDS: Final = ("roomName", "startDate", "durationInSeconds")
"""What `GET /summaries` can be sorted by, each followed by `:asc` or `:desc`."""


class Summary(HasState, Model, frozen=True, kw_only=True, rename="camel"):
    """A summary of a transcription, in closed beta. Whereby REST API reference, Summaries.

    Attributes:
        summary_id: The summary's id.
        transcription_id: The transcription that was summed up.
        summary: The text, under keys that depend on the template: always `summary`, and `SOAP` or `extended_SOAP` with
            those. Empty while `state` is `in_progress`. `text` gives the words alone.
        room_session_id: The session that was summed up.
        room_name: The room's name with its leading slash.
        start_date: When what was transcribed began, aware, in UTC.
        end_date: When what was transcribed ended, aware, in UTC.
        state: One of `SUMMARY_STATES`, or a newer word; `is_ready`, `is_failed` and `is_done` read it.
        created_at: When the summary was asked for, aware, in UTC.
        modified_at: When it last changed, aware, in UTC.
        template: One of `SUMMARY_TEMPLATES`, or a newer word.
        error: Why it failed, if the server says so; the reference names it for the webhook `transcription.failed` only.
    """

    summary_id: str
    transcription_id: str | None = None
    summary: dict[str, Any] | str | None = None
    room_session_id: str | None = None
    room_name: str | None = None
    start_date: Timestamp | None = None
    end_date: Timestamp | None = None
    state: str | None = None
    created_at: Timestamp | None = None
    modified_at: Timestamp | None = None
    template: str | None = None
    error: str | None = None

    @property
    def text(self) -> str:
        """The words of `summary`: what is under its key `summary`, else all texts in it, with blank lines between.

        Empty if there are none, as while `state` is `in_progress`. The sections of `SOAP` stay in `summary`.
        """
        main = self.summary.get("summary") if isinstance(self.summary, dict) else self.summary
        return main if isinstance(main, str) and main.strip() else "\n\n".join(_texts(self.summary))


def _texts(value: object) -> Iterator[str]:
    """All texts in a value of JSON that are not blank, in their order, however deep they are."""
    ahead: list[Any] = [value]
    while ahead:
        each = ahead.pop()
        if isinstance(each, str) and each.strip():
            yield each
        elif isinstance(each, dict | list):
            inner = cast("dict[str, Any] | list[Any]", each)
            ahead += reversed([*(inner.values() if isinstance(inner, dict) else inner)])


class SummaryJob(Model, frozen=True, kw_only=True, rename="camel"):
    """What `POST /summaries` answers: the summary was begun. Whereby REST API reference, Summaries.

    Attributes:
        summary_id: The id to ask after, and to wait for.
    """

    summary_id: str
