"""Every example of the official reference, of every endpoint, decodes, and nothing that it holds gets lost."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from whereby_async.models import (
    LANGUAGES,
    AccessLink,
    LiveTranscriptionDestination,
    LiveTranscriptionOptions,
    Meeting,
    Model,
    Page,
    ParticipantDetails,
    ParticipantInsights,
    Recording,
    RecordingDestination,
    RecordingOptions,
    RoomInsights,
    RoomSessionInsights,
    StreamingDestination,
    StreamingOptions,
    Summary,
    SummaryJob,
    Transcription,
    TranscriptionJob,
    decoder,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

SPEC = Path(__file__).parents[3] / "shared" / "api" / "openapi.json"

RESULTS: dict[str, Any] = {
    "POST /meetings": Meeting,
    "GET /meetings": Page[Meeting],
    "GET /meetings/{meetingId}": Meeting,
    "GET /recordings": Page[Recording],
    "GET /recordings/{recordingId}": Recording,
    "GET /recordings/{recordingId}/access-link": AccessLink,
    "POST /transcriptions": TranscriptionJob,
    "GET /transcriptions": Page[Transcription],
    "GET /transcriptions/{transcriptionId}": Transcription,
    "GET /transcriptions/{transcriptionId}/access-link": AccessLink,
    "POST /summaries": SummaryJob,
    "GET /summaries": Page[Summary],
    "GET /summaries/{summaryId}": Summary,
    "GET /insights/rooms": Page[RoomInsights],
    "GET /insights/room-sessions": Page[RoomSessionInsights],
    "GET /insights/participants": Page[ParticipantInsights],
    "GET /insights/participant": list[ParticipantDetails],
}

PAGES: dict[str, Any] = {
    "Meeting": Page[Meeting],
    "Recording": Page[Recording],
    "Transcription": Page[Transcription],
    "Summary": Page[Summary],
}

BODIES: dict[str, type[Model]] = {
    "recording": RecordingOptions,
    "recording.destination": RecordingDestination,
    "liveTranscription": LiveTranscriptionOptions,
    "liveTranscription.destination": LiveTranscriptionDestination,
    "streaming": StreamingOptions,
    "streaming.destination": StreamingDestination,
}


@pytest.fixture(scope="module")
def spec() -> dict[str, Any]:
    """The official reference."""
    if not SPEC.exists():
        pytest.skip("the official reference (openapi.json) is not beside this repository")
    found: dict[str, Any] = json.loads(SPEC.read_text())
    return found


def answers(spec: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each operation with each of its successful answers."""
    for path, methods in spec["paths"].items():
        for method, operation in methods.items():
            if method != "parameters":
                yield from (
                    (f"{method.upper()} {path}", answer)
                    for status, answer in operation["responses"].items()
                    if status.startswith("2")
                )


def example_of(schema: dict[str, Any], spec: dict[str, Any]) -> Any:
    """The schema's own example, else one put together from those of its parts."""
    if "$ref" in schema:
        return example_of(spec["components"]["schemas"][schema["$ref"].rpartition("/")[2]], spec)
    if "example" in schema:
        return schema["example"]
    if schema.get("type") == "array":
        return [example_of(schema["items"], spec)]
    if "type" not in schema:  # two answers name their only property where its type should stand
        return {name: example_of(part, spec) for name, part in schema.items()}
    if "properties" in schema:
        return {name: example_of(part, spec) for name, part in schema["properties"].items()}
    default: dict[str, object] = {"string": "2025-01-01T00:00:00.000Z", "object": {}, "number": 1}
    return default[schema["type"]]


@pytest.mark.parametrize("operation", RESULTS)
def test_example_of_operation_decodes(operation: str, spec: dict[str, Any]) -> None:
    """The example of this operation's answer decodes, and each of its keys is an attribute that is filled."""
    answer = dict(answers(spec))[operation]
    example = example_of(answer["content"]["application/json"]["schema"], spec)
    result = decoder(RESULTS[operation])(json.dumps(example).encode())
    assert_holds(result, example)


def test_every_operation_with_a_body_in_its_answer_is_covered(spec: dict[str, Any]) -> None:
    """No answer with content is missing from this module, and all the others are 204."""
    with_content = {name for name, answer in answers(spec) if "content" in answer}
    assert with_content == set(RESULTS)
    without = [name for name, answer in answers(spec) if "content" not in answer]
    assert len(with_content) + len(without) == 27


@pytest.mark.parametrize("name", ["Meeting", "Recording", "Transcription", "Summary"])
def test_example_of_component_decodes(name: str, spec: dict[str, Any]) -> None:
    """The example of each component decodes in a page."""
    example = spec["components"]["schemas"][name]["example"]
    (item, *_) = page = decoder(PAGES[name])(json.dumps({"results": [example] * 3, "cursor": None}).encode())
    assert_holds(item, example)
    assert len(page) == 3


def test_request_structs_know_every_property_of_the_reference(spec: dict[str, Any]) -> None:
    """Each documented key of a nested body is a field of its Struct."""
    body = spec["paths"]["/meetings"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    for path, kind in BODIES.items():
        schema = body
        for part in path.split("."):
            schema = schema["properties"][part]
        assert set(schema["properties"]) <= set(kind.__struct_encode_fields__), path


def test_languages_are_those_of_the_reference_without_its_comma_and_the_two_withdrawn(spec: dict[str, Any]) -> None:
    """The 31 languages are the reference's, minus the trailing commas and the two that were withdrawn."""
    body = spec["paths"]["/meetings"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    documented = {
        word.rstrip(",") for word in body["properties"]["liveTranscription"]["properties"]["language"]["enum"]
    }
    assert set(LANGUAGES) == documented - {"en-US", "en-GB"}
    assert len(LANGUAGES) == 31


def assert_holds(result: Any, example: Any) -> None:
    """All that the example holds is in the result."""
    if isinstance(example, list):
        for item, expected in zip(result, cast("Any", example), strict=True):
            assert_holds(item, expected)
    elif isinstance(result, Model):
        for key, expected in example.items():
            assert_holds(getattr(result, re.sub("[A-Z]", lambda match: "_" + match[0].lower(), key)), expected)
    elif isinstance(result, datetime):
        text = isinstance(example, str)
        assert result == (datetime.fromisoformat(example) if text else datetime.fromtimestamp(example / 1000, UTC))
    else:
        assert result == example
