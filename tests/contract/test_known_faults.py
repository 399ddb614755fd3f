"""The faults of the official specification, by name. When a test fails, its fault was mended and the code may follow.

The tests beside this file read the specification as these say.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from contract.official import Spec

PATH_PARAMETERS_THAT_NO_PATH_HAS = {"POST /transcriptions": {"recordingId"}, "POST /summaries": {"transcriptionId"}}
OBJECTS_WITHOUT_STYLE = {"GET /insights/rooms": {"roomName", "createdAt"}}


def settings(spec: Spec) -> dict[str, Any]:
    """The properties of a meeting that is to be made."""
    properties: dict[str, Any] = spec.bodies("POST /meetings")["application/json"]["properties"]
    return properties


def answer(spec: Spec, key: str) -> dict[str, Any]:
    """The schema of an operation's answer."""
    schema = spec.success(key)[1]
    assert schema is not None
    return spec.follow(schema)


def test_path_parameters_that_no_path_has(spec: Spec) -> None:
    """`POST /transcriptions` and `/summaries` list a path parameter; it goes in the body only."""
    for key in spec.operations:
        listed = {parameter["name"] for parameter in spec.parameters(key, "path")}
        assert listed - set(re.findall(r"\{(\w+)\}", key)) == PATH_PARAMETERS_THAT_NO_PATH_HAS.get(key, set())


def test_participants_require_one_of_two_alternatives(spec: Spec) -> None:
    """`roomSessionId` is marked required although its words offer `externalId` instead."""
    parameters = {parameter["name"]: parameter for parameter in spec.parameters("GET /insights/participants")}
    assert parameters["roomSessionId"]["required"] is True
    assert "externalId" in json.dumps(spec.operations["GET /insights/participants"])


def test_objects_without_style(spec: Spec) -> None:
    """Without `style: deepObject` they would go out as `exact=…&from=…`; their words say `roomName[exact]=…`."""
    for key in spec.operations:
        objects = [each for each in spec.parameters(key) if each.get("schema", {}).get("type") == "object"]
        assert {parameter["name"] for parameter in objects} == OBJECTS_WITHOUT_STYLE.get(key, set())
        assert not any("style" in parameter for parameter in objects)


def test_prefix_pattern_refuses_its_own_example(spec: Spec) -> None:
    """The pattern of `roomNamePrefix` has no dash; the example, the docs and Whereby's own tests use dashes."""
    prefix = settings(spec)["roomNamePrefix"]
    assert not re.fullmatch(prefix["pattern"], prefix["example"])


def test_languages_end_with_a_comma(spec: Spec) -> None:
    """The languages carry a trailing comma, which we do not send."""
    words = settings(spec)["liveTranscription"]["properties"]["language"]["enum"]
    assert any(word.endswith(",") for word in words)


def test_required_without_properties(spec: Spec) -> None:
    """Two components say what is required and not what there is; the types are read off their examples."""
    schemas = spec.content["components"]["schemas"]
    bare = {name for name, schema in schemas.items() if "required" in schema and "properties" not in schema}
    assert bare == {"Recording", "Summary"}


def test_room_sessions_require_names_that_they_do_not_have(spec: Spec) -> None:
    """`createdAt` and `endAt` are required; `startedAt` and `endedAt` are described, and come."""
    row = spec.follow(answer(spec, "GET /insights/room-sessions")["properties"]["results"]["items"])
    assert set(row["required"]) - set(row["properties"]) == {"createdAt", "endAt"}
    assert {"startedAt", "endedAt"} <= set(row["properties"])


@pytest.mark.parametrize("key", ["POST /transcriptions", "POST /summaries"])
def test_answers_without_type(spec: Spec, key: str) -> None:
    """Two 201 answers are a bare name where a schema should be."""
    assert not {"type", "properties"} & answer(spec, key).keys()


@pytest.mark.parametrize("key", ["GET /transcriptions", "GET /summaries"])
def test_cursor_beside_the_properties(spec: Spec, key: str) -> None:
    """Two lists have their cursor beside `properties`, so that generated clients lose it."""
    page = answer(spec, key)
    assert "cursor" in page
    assert "cursor" not in page["properties"]


def test_cursor_is_never_null(spec: Spec) -> None:
    """It is a string only; its description says null at the end."""
    assert answer(spec, "GET /insights/room-sessions")["properties"]["cursor"]["type"] == "string"


def test_lists_that_are_not_found(spec: Spec) -> None:
    """Two lists have a 404, for which there is no case."""
    assert all("404" in spec.operations[key]["responses"] for key in ("GET /meetings", "GET /recordings"))


def test_no_security_is_applied(spec: Spec) -> None:
    """The bearer is defined and applied nowhere; every call sends it."""
    assert "BearerAuth" in spec.content["components"]["securitySchemes"]
    assert "security" not in spec.content
    assert not any("security" in operation for operation in spec.operations.values())


def test_one_participant_is_an_array(spec: Spec) -> None:
    """The details of *a* participant come as an array, so the method returns a list; its events have no schema."""
    details = answer(spec, "GET /insights/participant")
    assert details["type"] == "array"
    assert "events" not in spec.follow(details["items"])["properties"]
