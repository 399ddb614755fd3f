"""The faults of the reference, by name: when one of these fails, the reference was mended and the code may follow."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from contract.reference import (
    SPEC,
    operations_of,
    parameters_of,
    resolved,
)


@pytest.fixture(scope="module")
def spec() -> dict[str, Any]:
    """The official reference."""
    if not SPEC.exists():
        pytest.skip("the official reference (openapi.json) is not beside this repository")
    found: dict[str, Any] = json.loads(SPEC.read_text())
    return found


PATH_PARAMETERS_THAT_NO_PATH_HAS = {"POST /transcriptions": {"recordingId"}, "POST /summaries": {"transcriptionId"}}
"""The reference lists them, but they go in the body."""


OBJECTS_WITHOUT_STYLE = {"GET /insights/rooms": {"roomName", "createdAt"}}
"""Without `style: deepObject` they would go out as `exact=…&from=…`; its words say `roomName[exact]=…`."""


PATTERN_THAT_ITS_EXAMPLE_BREAKS = "roomNamePrefix"
"""The pattern has no dash; the example, the docs and Whereby's own tests use dashes."""


REQUIRED_WITHOUT_PROPERTIES = {"Recording", "Summary"}


REQUIRED_UNDER_ANOTHER_NAME = {"createdAt", "endAt"}
"""Required of a room session, whose properties are called `startedAt` and `endedAt`."""


ANSWERS_WITHOUT_TYPE = {"POST /transcriptions", "POST /summaries"}


LISTS_WITH_CURSOR_BESIDE_THE_PROPERTIES = {"GET /transcriptions", "GET /summaries"}


# The faults of the reference, by name: when one of these fails, the reference was mended and the code may follow.


def test_fault_path_parameters_that_no_path_has(spec: dict[str, Any]) -> None:
    """POST /transcriptions and /summaries list a path parameter; we send it in the body only."""
    for key in operations_of(spec):
        listed = {p["name"] for p in parameters_of(key, spec) if p["in"] == "path"}
        assert listed - set(re.findall(r"\{(\w+)\}", key)) == PATH_PARAMETERS_THAT_NO_PATH_HAS.get(key, set())


def test_fault_participants_requires_one_of_two_alternatives(spec: dict[str, Any]) -> None:
    """`roomSessionId` is marked required although its words offer `externalId` instead."""
    (parameter,) = [p for p in parameters_of("GET /insights/participants", spec) if p["name"] == "roomSessionId"]
    assert parameter["required"] is True
    assert "externalId" in json.dumps(operations_of(spec)["GET /insights/participants"])


def test_fault_objects_without_style(spec: dict[str, Any]) -> None:
    """The bracketed filters have no `style: deepObject`."""
    for key in operations_of(spec):
        objects = [p for p in parameters_of(key, spec) if p.get("schema", {}).get("type") == "object"]
        assert {parameter["name"] for parameter in objects} == OBJECTS_WITHOUT_STYLE.get(key, set())
        assert not any("style" in parameter for parameter in objects)


def test_fault_prefix_pattern(spec: dict[str, Any]) -> None:
    """The pattern of `roomNamePrefix` refuses its own example."""
    schema = operations_of(spec)["POST /meetings"]["requestBody"]["content"]["application/json"]["schema"]
    prefix = schema["properties"][PATTERN_THAT_ITS_EXAMPLE_BREAKS]
    assert not re.fullmatch(prefix["pattern"], prefix["example"])


def test_fault_languages_with_a_comma(spec: dict[str, Any]) -> None:
    """The languages carry a trailing comma, which we do not send."""
    schema = operations_of(spec)["POST /meetings"]["requestBody"]["content"]["application/json"]["schema"]
    words = schema["properties"]["liveTranscription"]["properties"]["language"]["enum"]
    assert any(word.endswith(",") for word in words)


def test_fault_required_without_properties(spec: dict[str, Any]) -> None:
    """Two components say what is required and not what there is."""
    schemas = spec["components"]["schemas"]
    assert {n for n, s in schemas.items() if "required" in s and "properties" not in s} == REQUIRED_WITHOUT_PROPERTIES


def test_fault_room_sessions_require_names_that_they_do_not_have(spec: dict[str, Any]) -> None:
    """`createdAt` and `endAt` are required, `startedAt` and `endedAt` are described."""
    answer = operations_of(spec)["GET /insights/room-sessions"]["responses"]["200"]
    page = resolved(answer["content"]["application/json"]["schema"], spec)
    row = resolved(page["properties"]["results"]["items"], spec)
    assert set(row["required"]) - set(row["properties"]) == REQUIRED_UNDER_ANOTHER_NAME
    assert {"startedAt", "endedAt"} <= set(row["properties"])


def test_fault_answers_without_type(spec: dict[str, Any]) -> None:
    """Two 201 answers are a bare name where a schema should be."""
    for key in ANSWERS_WITHOUT_TYPE:
        schema = operations_of(spec)[key]["responses"]["201"]["content"]["application/json"]["schema"]
        assert "type" not in schema
        assert "properties" not in schema


def test_fault_cursor_beside_the_properties(spec: dict[str, Any]) -> None:
    """Two lists have their cursor beside `properties`, so that generated clients lose it."""
    for key in LISTS_WITH_CURSOR_BESIDE_THE_PROPERTIES:
        page = resolved(operations_of(spec)[key]["responses"]["200"]["content"]["application/json"]["schema"], spec)
        assert "cursor" in page
        assert "cursor" not in page["properties"]


def test_fault_no_security_is_applied(spec: dict[str, Any]) -> None:
    """The bearer is defined and applied nowhere; we send it with every call (asserted above)."""
    assert "BearerAuth" in spec["components"]["securitySchemes"]
    assert "security" not in spec
    assert not any("security" in operation for operation in operations_of(spec).values())


def test_fault_one_participant_is_an_array(spec: dict[str, Any]) -> None:
    """The details of *a* participant come as an array, so the method returns a list."""
    answer = operations_of(spec)["GET /insights/participant"]["responses"]["200"]
    assert resolved(answer["content"]["application/json"]["schema"], spec)["type"] == "array"
