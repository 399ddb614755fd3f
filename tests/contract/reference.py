"""The official specification as a test reads it, and calls that between them use every keyword of every operation.

References are followed, and the specification's known faults are allowed for.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from whereby_async.models import (
    LiveTranscriptionDestination,
    LiveTranscriptionOptions,
    RecordingDestination,
    RecordingOptions,
    RoomPreferences,
    StreamingDestination,
    StreamingOptions,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from whereby_async import WherebyClient

UNTIL = datetime(2099, 1, 1, tzinfo=UTC)
PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 32
STORAGE: dict[str, Any] = {
    "provider": "s3",
    "bucket": "b",
    "region": "eu",
    "access_key_id": "i",
    "access_key_secret": "s",
    "oidc_role_arn": "a",
}

TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "array": list,
    "object": dict,
    "null": type(None),
}


class Spec:
    """The specification, with its references followed. Operations are named by method and path: `POST /meetings`."""

    def __init__(self, content: dict[str, Any]) -> None:
        self.content = content
        self.operations: dict[str, dict[str, Any]] = {
            f"{method.upper()} {path}": operation
            for path, methods in content["paths"].items()
            for method, operation in methods.items()
            if method != "parameters"
        }

    def follow(self, node: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in node:
            found: dict[str, Any] = self.content
            for step in node["$ref"].removeprefix("#/").split("/"):
                found = found[step]
            node = found
        return node

    def parameters(self, key: str, where: str = "query") -> list[dict[str, Any]]:
        """The parameters of an operation in its query or its path."""
        found = map(self.follow, self.operations[key].get("parameters", []))
        return [parameter for parameter in found if parameter["in"] == where]

    def queries(self, key: str) -> Iterator[str]:
        """The names in the query, those of an object with their brackets."""
        for parameter in self.parameters(key):
            inner = self.follow(parameter.get("schema", {})).get("properties")
            yield from [f"{parameter['name']}[{name}]" for name in inner] if inner else [parameter["name"]]

    def bodies(self, key: str) -> dict[str, dict[str, Any]]:
        """The schemas of the bodies that an operation takes, by content type."""
        media = self.operations[key].get("requestBody", {}).get("content", {})
        return {content_type: content["schema"] for content_type, content in media.items()}

    def success(self, key: str) -> tuple[int, dict[str, Any] | None]:
        ((status, answer),) = [found for found in self.operations[key]["responses"].items() if found[0].startswith("2")]
        return int(status), answer.get("content", {}).get("application/json", {}).get("schema")

    def names(self, schema: dict[str, Any], prefix: str = "") -> Iterator[str]:
        for name, part in self.follow(schema).get("properties", {}).items():
            yield prefix + name
            yield from self.names(part, f"{prefix}{name}.")

    def example(self, node: dict[str, Any]) -> Any:
        """A schema's own example, else one put together from those of its parts."""
        schema = self.follow(node)
        if "example" in schema:
            return schema["example"]
        if schema.get("type") == "array":
            return [self.example(schema["items"])]
        parts: dict[str, Any] | None = schema.get("properties") if "type" in schema else schema
        if parts:
            return {name: self.example(part) for name, part in parts.items()}
        plain: dict[str, object] = {"string": "2025-01-01T00:00:00.000Z", "object": {}, "number": 1}
        return plain[schema["type"]]


def check(spec: Spec, node: dict[str, Any], value: Any, place: str) -> None:
    schema: dict[str, Any] = spec.follow(node)
    if "type" not in schema:  # bare 201 schema
        schema = {"type": "object", "properties": schema, "required": list(schema)}
    kinds: list[str] = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
    if place.endswith(".cursor"):  # cursor is a string
        kinds = [*kinds, "null"]
    assert any(is_a(kind, value) for kind in kinds), f"{place} is {value!r}, not {kinds}"
    if "enum" in schema:
        assert value in schema["enum"], f"{place} is {value!r}"
    if schema.get("format") == "date-time":
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", str(value)), f"{place} is {value!r}"
    if isinstance(value, list):
        check_list(spec, schema, value, place)  # pyright: ignore[reportUnknownArgumentType] - JSON
    if isinstance(value, dict):
        check_object(spec, schema, value, place)  # pyright: ignore[reportUnknownArgumentType] - JSON


def check_list(spec: Spec, schema: dict[str, Any], value: list[Any], place: str) -> None:
    """Every item of a list is what it should be, and there is one."""
    assert value, f"{place} is empty: nothing to check"
    anything: dict[str, Any] = {"type": list(TYPES)}
    for number, item in enumerate(value):
        check(spec, schema.get("items", anything), item, f"{place}[{number}]")


def check_object(spec: Spec, schema: dict[str, Any], value: dict[str, Any], place: str) -> None:
    """An object has what is required, and its properties are what they should be."""
    properties = dict(schema.get("properties", {}))
    if "cursor" in schema:  # cursor beside properties
        properties["cursor"] = schema["cursor"]
    required = set(schema.get("required", []))
    if "startedAt" in properties:  # room-sessions requires createdAt and endAt
        required = required - {"createdAt", "endAt"} | {"startedAt", "endedAt"}
    assert required <= set(value), f"{place} lacks {required - set(value)}"
    example = schema.get("example", {})
    for name, content in value.items():
        if name in properties:
            check(spec, properties[name], content, f"{place}.{name}")
        elif name in example:  # required without properties
            alike = [kind for kind in TYPES if is_a(kind, example[name])]
            assert any(is_a(kind, content) for kind in alike), f"{place}.{name} is {content!r}"


def is_a(kind: str, value: object) -> bool:
    """A value has a JSON type; true is no number."""
    return isinstance(value, TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))


# Calls


class Specimen(NamedTuple):
    """Calls of one method that between them use every keyword it has.

    Attributes:
        key: Method and path in the reference.
        operation: What the client calls it.
        calls: The calls.
    """

    key: str
    operation: str
    calls: tuple[Callable[[WherebyClient], Awaitable[object]], ...]


def specimen(key: str, operation: str, *calls: Callable[[WherebyClient], Awaitable[object]]) -> Specimen:
    return Specimen(key, operation, calls)


async def _create_meeting(client: WherebyClient) -> object:
    return await client.meetings.create(
        end_date=UNTIL,
        start_date=UNTIL,
        is_locked=True,
        room_mode="group",
        room_name_prefix="example-prefix",
        room_name_pattern="human-short",
        template_type="viewerMode",
        recording=RecordingOptions(
            type="cloud",
            destination=RecordingDestination(authentication_type="accessKey", file_format="mkv", **STORAGE),
            start_trigger="prompt",
        ),
        live_transcription=LiveTranscriptionOptions(
            destination=LiveTranscriptionDestination(authentication_type="roleBased", **STORAGE),
            start_trigger="manual",
            language="en",
            live_captions=True,
        ),
        streaming=StreamingOptions(destination=StreamingDestination(url="rtmp://x/y"), start_trigger="prompt"),
        is_dial_in_enabled=True,
        room_preferences=RoomPreferences(streaming=False, room_integrations=False, dial_in=True),
        fields=["hostRoomUrl", "viewerRoomUrl", "dialIn"],
    )


SPECIMENS = (
    specimen("POST /meetings", "meetings.create", _create_meeting),
    specimen(
        "GET /meetings",
        "meetings.list",
        lambda c: c.meetings.list(fields=["hostRoomUrl"], name_starts_with="/x", page_size=7, cursor="abc"),
    ),
    specimen("GET /meetings/{meetingId}", "meetings.get", lambda c: c.meetings.get("1", fields=["viewerRoomUrl"])),
    specimen("DELETE /meetings/{meetingId}", "meetings.delete", lambda c: c.meetings.delete("1")),
    specimen(
        "GET /recordings",
        "recordings.list",
        lambda c: c.recordings.list(room_name="/x", sort_by="startDate:desc", page_size=7, cursor="abc"),
    ),
    specimen("GET /recordings/{recordingId}", "recordings.get", lambda c: c.recordings.get("1")),
    specimen("DELETE /recordings/{recordingId}", "recordings.delete", lambda c: c.recordings.delete("1")),
    specimen(
        "GET /recordings/{recordingId}/access-link",
        "recordings.access_link",
        lambda c: c.recordings.access_link("1", valid_for=60),
    ),
    specimen("POST /recordings/bulk-delete", "recordings.bulk_delete", lambda c: c.recordings.bulk_delete(["1", "2"])),
    specimen("POST /transcriptions", "transcriptions.create", lambda c: c.transcriptions.create("1")),
    specimen(
        "GET /transcriptions",
        "transcriptions.list",
        lambda c: c.transcriptions.list(room_name="/x", sort_by="startDate:desc", page_size=7, cursor="abc"),
    ),
    specimen("GET /transcriptions/{transcriptionId}", "transcriptions.get", lambda c: c.transcriptions.get("1")),
    specimen(
        "DELETE /transcriptions/{transcriptionId}", "transcriptions.delete", lambda c: c.transcriptions.delete("1")
    ),
    specimen(
        "GET /transcriptions/{transcriptionId}/access-link",
        "transcriptions.access_link",
        lambda c: c.transcriptions.access_link("1", valid_for=60),
    ),
    specimen(
        "POST /transcriptions/bulk-delete",
        "transcriptions.bulk_delete",
        lambda c: c.transcriptions.bulk_delete(["1", "2"]),
    ),
    specimen("POST /summaries", "summaries.create", lambda c: c.summaries.create("1", template="SOAP")),
    specimen(
        "GET /summaries",
        "summaries.list",
        lambda c: c.summaries.list(sort_by="startDate:desc", page_size=7, cursor="abc"),
    ),
    specimen("GET /summaries/{summaryId}", "summaries.get", lambda c: c.summaries.get("1")),
    specimen("DELETE /summaries/{summaryId}", "summaries.delete", lambda c: c.summaries.delete("1")),
    specimen(
        "PUT /rooms/{roomName}/theme/tokens",
        "rooms.set_theme_tokens",
        lambda c: c.rooms.set_theme_tokens("/x", primary="#000000", secondary="#000000", focus="#000000"),
        lambda c: c.rooms.reset_theme_tokens("/x"),
    ),
    specimen(
        "PUT /rooms/{roomName}/theme/logo",
        "rooms.set_logo",
        lambda c: c.rooms.set_logo("/x", PNG),
        lambda c: c.rooms.reset_logo("/x"),
    ),
    specimen(
        "PUT /rooms/{roomName}/theme/room-background",
        "rooms.set_background",
        lambda c: c.rooms.set_background("/x", PNG),
        lambda c: c.rooms.set_background("/x", palette="grey", theme="rocks"),
        lambda c: c.rooms.reset_background("/x"),
    ),
    specimen(
        "PUT /rooms/{roomName}/theme/room-knock-page-background",
        "rooms.set_knock_background",
        lambda c: c.rooms.set_knock_background("/x", PNG),
        lambda c: c.rooms.set_knock_background("/x", palette="grey", theme="rocks"),
        lambda c: c.rooms.reset_knock_background("/x"),
    ),
    specimen(
        "GET /insights/rooms",
        "insights.rooms",
        lambda c: c.insights.rooms(
            name="/x",
            name_starts_with="/x",
            name_contains="x",
            created_from=UNTIL,
            created_to=UNTIL,
            sort_by="totalSessions:asc",
            page_size=7,
            cursor="abc",
        ),
    ),
    specimen(
        "GET /insights/room-sessions",
        "insights.room_sessions",
        lambda c: c.insights.room_sessions(
            "/x", room_session_id="1", sort_by="totalUniqueParticipants:asc", page_size=7, cursor="abc"
        ),
    ),
    specimen(
        "GET /insights/participants",
        "insights.participants",
        lambda c: c.insights.participants(room_session_id="1", sort_by="joinedAt:asc", page_size=7, cursor="abc"),
        lambda c: c.insights.participants(external_id="1", sort_by="leftAt:desc", page_size=7, cursor="abc"),
    ),
    specimen("GET /insights/participant", "insights.participant", lambda c: c.insights.participant("1", "2")),
)


BY_OPERATION = {each.operation: each for each in SPECIMENS}
