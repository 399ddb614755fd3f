"""The summaries of the fake service, and the four operations on them."""

from __future__ import annotations

from .api_call import ApiAnswer, ApiCall, RefusalError, fields, known, one_of, page, remove, sort
from .state import State, Wire, found, length_of, new_id
from .transcriptions import JobState

_DEFAULT_TEMPLATE = "General Bulleted"
_TEMPLATES = (
    "SOAP",
    "Extended SOAP",
    "General Narrative",
    _DEFAULT_TEMPLATE,
    "Educational Lecture",
    "Educational Tutoring",
)
_SOAP = ("subjective", "objective", "assessment", "plan")
_EXTENDED = ("chief_complaint", "subjective", "medications", "allergies", "objective", "assessment", "plan")
_SORT = fields("roomName", "startDate") | {"durationInSeconds": length_of}


class SummaryWorld(State):
    """The summaries."""

    def add_summary(
        self, transcription_id: str, *, template: str = _DEFAULT_TEMPLATE, state: JobState = "ready"
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
        key = new_id()
        self.summaries[key] = {
            "summaryId": key,
            "transcriptionId": transcription_id,
            "summary": {},
            **{name: source[name] for name in ("roomSessionId", "roomName", "startDate", "endDate")},
            "state": "in_progress",
            "createdAt": self.date(0.0),
            "modifiedAt": self.date(0.0),
            "template": template,
        }
        self._begin(key, state, self.finish_summary)
        return dict(self.summaries[key])

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
            summary["summary"] = _text(summary["template"])


def create(world: SummaryWorld, call: ApiCall) -> ApiAnswer:
    """`POST /summaries`: one per transcription at a time."""
    body = call.body()
    template = one_of(body, "template", _TEMPLATES) or _DEFAULT_TEMPLATE
    transcription_id = body.get("transcriptionId")
    if not isinstance(transcription_id, str):
        raise RefusalError(400, "transcriptionId is required")
    transcription = known(world.transcriptions, transcription_id, "transcription")
    if transcription["storageType"] != "WHEREBY_HOSTED":
        raise RefusalError(403, "Summaries are available for Whereby-hosted transcriptions only")
    if transcription["state"] != "ready":
        raise RefusalError(400, "The transcription is not ready")
    if any(summary["transcriptionId"] == transcription_id for summary in list(world.summaries.values())):
        raise RefusalError(409, "The transcription has a summary already")
    summary = world.add_summary(transcription_id, template=template, state="in_progress")
    return ApiAnswer(201, {"summaryId": summary["summaryId"]})


def list_all(world: SummaryWorld, call: ApiCall) -> ApiAnswer:
    """`GET /summaries`."""
    return page(call, sort(call, world.summaries.values(), _SORT))


def get(world: SummaryWorld, call: ApiCall) -> ApiAnswer:
    """`GET /summaries/{summaryId}`."""
    return ApiAnswer(200, known(world.summaries, call.path["summaryId"], "summary"))


def delete(world: SummaryWorld, call: ApiCall) -> ApiAnswer:
    """`DELETE /summaries/{summaryId}`: a second time is as good as the first."""
    return remove([call.path["summaryId"]], world.summaries)


def _text(template: str) -> Wire:
    """What a summary holds when it is ready: keys by template."""
    text: Wire = {"summary": "Ada and Alan checked the line.\nIt works."}
    if template == "SOAP":
        text["SOAP"] = {name: f"The {name}." for name in _SOAP}
    if template == "Extended SOAP":
        text["extended_SOAP"] = {name: f"The {name}." for name in _EXTENDED}
    return text
