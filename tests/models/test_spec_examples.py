"""Every example of the official reference, of every endpoint, decodes, and nothing that it holds gets lost."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from contract.reference import Spec

from whereby_async import operations
from whereby_async.models import (
    LANGUAGES,
    LiveTranscriptionDestination,
    LiveTranscriptionOptions,
    Model,
    RecordingDestination,
    RecordingOptions,
    StreamingDestination,
    StreamingOptions,
)
from whereby_async.operation import Operation

DECLARED: list[Operation[Any]] = [each for each in vars(operations).values() if isinstance(each, Operation)]

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
    file = Path(__file__).parents[3] / "shared" / "api" / "openapi.json"
    if not file.exists():
        pytest.skip("the official reference (openapi.json) is not beside this repository")
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def without_names(key: str) -> str:
    return re.sub(r"\{\w+\}", "{}", key)


@pytest.mark.parametrize("operation", DECLARED, ids=lambda operation: operation.name)
def test_example_of_operation_decodes(operation: Operation[Any], spec: dict[str, Any]) -> None:
    """The example of its answer decodes, and each of its keys is an attribute that is filled; a 204 is `None`."""
    documented = {without_names(key): each for key, each in Spec(spec).operations.items()}
    responses = documented[without_names(f"{operation.method} {operation.path}")]["responses"]
    (answer,) = (response for status, response in responses.items() if status.startswith("2"))
    if "content" not in answer:
        assert operation.decode(b"") is None
        return
    example = Spec(spec).example(answer["content"]["application/json"]["schema"])
    assert_holds(operation.decode(json.dumps(example).encode()), example)


def creation(spec: dict[str, Any]) -> Any:
    return spec["paths"]["/meetings"]["post"]["requestBody"]["content"]["application/json"]["schema"]


@pytest.mark.parametrize("path", BODIES)
def test_request_structs_know_every_property_of_the_reference(path: str, spec: dict[str, Any]) -> None:
    schema = creation(spec)
    for part in path.split("."):
        schema = schema["properties"][part]
    assert set(schema["properties"]) <= set(BODIES[path].__struct_encode_fields__)


def test_languages_are_those_of_the_reference_without_its_comma_and_the_two_withdrawn(spec: dict[str, Any]) -> None:
    words = creation(spec)["properties"]["liveTranscription"]["properties"]["language"]["enum"]
    assert set(LANGUAGES) == {word.rstrip(",") for word in words} - {"en-US", "en-GB"}
    assert len(LANGUAGES) == 31


def assert_holds(result: Any, example: Any) -> None:
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
