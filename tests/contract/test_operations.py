"""What the client sends, against the official reference: every operation, path, method, query name, body name, example.

The requests are those that came out of a socket, not what the code says it would send.
"""

from __future__ import annotations

import inspect
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import pytest

from whereby_async import WherebyClient, operations
from whereby_async.limiter import Unlimited
from whereby_async.models import (
    LiveTranscriptionDestination,
    LiveTranscriptionOptions,
    Model,
    Page,
    RecordingDestination,
    RecordingOptions,
    RoomPreferences,
    StreamingDestination,
    StreamingOptions,
)
from whereby_async.operation import Operation
from whereby_async.testing import FakeWhereby, Fault

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from whereby_async.testing import RecordedRequest

SPEC = Path(__file__).parents[3] / "shared" / "api" / "openapi.json"

UNTIL = datetime(2099, 1, 1, tzinfo=UTC)
PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 32


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
    """A row of the table below."""
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
            destination=RecordingDestination(
                provider="s3",
                authentication_type="accessKey",
                bucket="b",
                access_key_id="i",
                access_key_secret="s",
                file_format="mkv",
                oidc_role_arn="a",
                region="eu",
            ),
            start_trigger="prompt",
        ),
        live_transcription=LiveTranscriptionOptions(
            destination=LiveTranscriptionDestination(
                provider="s3",
                authentication_type="roleBased",
                bucket="b",
                access_key_id="i",
                access_key_secret="s",
                region="eu",
                oidc_role_arn="a",
            ),
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

ONLY_IN_THE_DOCS = {
    "POST /meetings": {
        "isDialInEnabled",  # the dial-in page
        "roomPreferences",  # the pages on HIPAA and on dial-in
        "roomPreferences.streaming",
        "roomPreferences.roomIntegrations",
        "roomPreferences.dialIn",
        "recording.destination.region",  # the reference asks for it in words, but has no such property
    },
    "GET /meetings": {"roomName[startsWith]"},  # the name-prefixes page
}
"""Names that the client sends and the reference does not have."""

FIELDS_ONLY_IN_THE_DOCS = {"dialIn"}
"""Values of `fields` that the reference does not have: the dial-in page."""

PATH_PARAMETERS_THAT_NO_PATH_HAS = {"POST /transcriptions": {"recordingId"}, "POST /summaries": {"transcriptionId"}}
"""The reference lists them, but they go in the body."""

REQUIRED_BUT_NOT_TOGETHER = {"GET /insights/participants": {"roomSessionId"}}
"""The reference calls it required, but its words say: either this or `externalId`."""

OBJECTS_WITHOUT_STYLE = {"GET /insights/rooms": {"roomName", "createdAt"}}
"""Without `style: deepObject` they would go out as `exact=…&from=…`; its words say `roomName[exact]=…`."""

PATTERN_THAT_ITS_EXAMPLE_BREAKS = "roomNamePrefix"
"""The pattern has no dash; the example, the docs and Whereby's own tests use dashes."""

REQUIRED_WITHOUT_PROPERTIES = {"Recording", "Summary"}
REQUIRED_UNDER_ANOTHER_NAME = {"createdAt", "endAt"}
"""Required of a room session, whose properties are called `startedAt` and `endedAt`."""

ANSWERS_WITHOUT_TYPE = {"POST /transcriptions", "POST /summaries"}
LISTS_WITH_CURSOR_BESIDE_THE_PROPERTIES = {"GET /transcriptions", "GET /summaries"}


@pytest.fixture(scope="module")
def spec() -> dict[str, Any]:
    """The official reference."""
    if not SPEC.exists():
        pytest.skip("the official reference (openapi.json) is not beside this repository")
    found: dict[str, Any] = json.loads(SPEC.read_text())
    return found


def resolved(node: dict[str, Any], spec: dict[str, Any]) -> dict[str, Any]:
    """What a `$ref` points to, or the node itself."""
    if "$ref" not in node:
        return node
    found: Any = spec
    for part in node["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    return cast("dict[str, Any]", found)


def operations_of(spec: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Every operation of the reference by method and path."""
    return {
        f"{method.upper()} {path}": operation
        for path, methods in spec["paths"].items()
        for method, operation in methods.items()
        if method != "parameters"
    }


def parameters_of(key: str, spec: dict[str, Any]) -> list[dict[str, Any]]:
    """The parameters of an operation, in path and query."""
    return [resolved(parameter, spec) for parameter in operations_of(spec)[key].get("parameters", [])]


def query_names(key: str, spec: dict[str, Any]) -> set[str]:
    """Query names as they go on the wire: those of an object with brackets."""
    names: set[str] = set()
    for parameter in parameters_of(key, spec):
        if parameter["in"] == "query":
            parts = parameter.get("schema", {}).get("properties")
            names |= {f"{parameter['name']}[{part}]" for part in parts} if parts else {parameter["name"]}
    return names


def names_in(schema: dict[str, Any], spec: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Names of a schema and of what it holds, with dots."""
    for name, part in resolved(schema, spec).get("properties", {}).items():
        yield prefix + name
        yield from names_in(part, spec, f"{prefix}{name}.")


def body_names(key: str, spec: dict[str, Any], content_type: str = "application/json") -> set[str]:
    """Names in a body of that type; none if the operation has no such body."""
    content = operations_of(spec)[key].get("requestBody", {}).get("content", {})
    return set(names_in(content[content_type]["schema"], spec)) if content_type in content else set()


def sent_names(body: object, prefix: str = "") -> Iterator[str]:
    """Names in a body that was sent, and in what it holds, with dots."""
    if isinstance(body, dict):
        for name, value in cast("dict[str, object]", body).items():
            yield prefix + name
            yield from sent_names(value, f"{prefix}{name}.")


async def sent(each: Specimen) -> list[RecordedRequest]:
    """What the calls of a specimen put on the wire; the server answers them with an empty page or object."""
    async with FakeWhereby() as fake, fake.client(limiter=Unlimited()) as client:
        fake.faults.add(
            Fault(times=None, body=ANSWERS.get(each.operation, b'{"results": [], "cursor": null}'), act=False)
        )
        for call in each.calls:
            await call(client)
        return fake.requests


ANSWERS = {
    "meetings.create": b'{"meetingId": "1", "roomUrl": "https://x.whereby.com/y", "endDate": "2099-01-01T00:00:00Z"}',
    "meetings.get": b'{"meetingId": "1", "roomUrl": "https://x.whereby.com/y", "endDate": "2099-01-01T00:00:00Z"}',
    "recordings.get": b'{"recordingId": "1"}',
    "recordings.access_link": b'{"accessLink": "https://x/y", "expires": 1740819600000}',
    "transcriptions.create": b'{"transcriptionId": "1"}',
    "transcriptions.get": b'{"transcriptionId": "1"}',
    "transcriptions.access_link": b'{"accessLink": "https://x/y", "expires": 1740819600000}',
    "summaries.create": b'{"summaryId": "1"}',
    "summaries.get": b'{"summaryId": "1"}',
    "insights.participant": b"[]",
}

each_specimen = pytest.mark.parametrize("each", SPECIMENS, ids=[each.operation for each in SPECIMENS])


def declared() -> dict[str, Operation[Any]]:
    """The table of operations by name."""
    rows: list[Operation[Any]] = [value for value in vars(operations).values() if isinstance(value, Operation)]
    return {row.name: row for row in rows}


def test_the_table_has_the_27_operations_of_the_reference(spec: dict[str, Any]) -> None:
    """Method and path of each row are those of one operation of the reference, none is missing and none is twice."""

    def without_names(key: str) -> str:
        return re.sub(r"\{\w+\}", "{}", key)

    ours = [without_names(f"{row.method} {row.path}") for row in declared().values()]
    assert sorted(ours) == sorted(map(without_names, operations_of(spec)))
    assert len(ours) == len(set(ours)) == 27
    assert {each.key for each in SPECIMENS} == operations_of(spec).keys()
    assert BY_OPERATION.keys() == declared().keys()


@pytest.mark.anyio
@each_specimen
async def test_method_and_path_are_the_references(each: Specimen, spec: dict[str, Any]) -> None:
    """What arrives has the method and the path of the reference, each parameter one segment."""
    method, _, path = each.key.partition(" ")
    pattern = re.sub(r"\{\w+\}", "[^/]+", path)
    requests = await sent(each)
    assert len(requests) == len(each.calls)
    for request in requests:
        assert request.method == method
        assert re.fullmatch("/v1" + pattern, request.path)
        assert request.operation == each.operation
        assert request.headers["authorization"]


@pytest.mark.anyio
@each_specimen
async def test_query_names_are_the_references(each: Specimen, spec: dict[str, Any]) -> None:
    """Every query name of the reference is reached by a keyword, and no other is sent but those that the docs have."""
    names = {name for request in await sent(each) for name, _ in request.query}
    extra = ONLY_IN_THE_DOCS.get(each.key, set()) if each.key.startswith("GET") else set[str]()
    assert names == query_names(each.key, spec) | extra


@pytest.mark.anyio
@each_specimen
async def test_body_names_are_the_references(each: Specimen, spec: dict[str, Any]) -> None:
    """Every name in a JSON body of the reference is reached by a keyword, and no other is sent but those of the docs."""
    names = {name for request in await sent(each) for name in sent_names(request.json)}
    extra = ONLY_IN_THE_DOCS.get(each.key, set()) if each.key.startswith("POST") else set[str]()
    assert names == body_names(each.key, spec) | extra


@pytest.mark.anyio
@each_specimen
async def test_form_names_are_the_references(each: Specimen, spec: dict[str, Any]) -> None:
    """Every name in a multipart body of the reference is sent, as a file."""
    requests = await sent(each)
    files = {part.field for request in requests for part in request.files}
    assert files == body_names(each.key, spec, "multipart/form-data")
    assert not any(request.form for request in requests)


@pytest.mark.anyio
@each_specimen
async def test_content_types_are_the_references(each: Specimen, spec: dict[str, Any]) -> None:
    """Bodies come in each of the content types of the reference, and only where it has a body."""
    kinds = {request.headers.get("content-type", "").partition(";")[0] for request in await sent(each)} - {""}
    assert kinds == set(operations_of(spec)[each.key].get("requestBody", {}).get("content", {}))


@pytest.mark.anyio
@each_specimen
async def test_required_names_are_in_every_request(each: Specimen, spec: dict[str, Any]) -> None:
    """What the reference requires is always there, but for the one that it requires by mistake."""
    queries = {p["name"] for p in parameters_of(each.key, spec) if p["in"] == "query" and p.get("required")}
    queries -= REQUIRED_BUT_NOT_TOGETHER.get(each.key, set())
    content = operations_of(spec)[each.key].get("requestBody", {}).get("content", {})
    bodies = set(content.get("application/json", {}).get("schema", {}).get("required", []))
    for request in await sent(each):
        assert queries <= dict(request.query).keys()
        assert bodies <= set(sent_names(request.json))


@pytest.mark.anyio
async def test_query_values_have_the_form_of_the_reference(spec: dict[str, Any]) -> None:
    """Brackets are written by hand, `fields` is one comma list, numbers are plain, a room name keeps its slash."""
    (rooms,) = await sent(BY_OPERATION["insights.rooms"])
    assert dict(rooms.query)["roomName[exact]"] == "/x"
    assert dict(rooms.query)["createdAt[from]"] == "2099-01-01T00:00:00.000Z"
    (meeting,) = await sent(BY_OPERATION["meetings.create"])
    assert meeting.json["fields"] == ["hostRoomUrl", "viewerRoomUrl", "dialIn"]
    (meetings,) = await sent(BY_OPERATION["meetings.list"])
    assert dict(meetings.query)["fields"] == "hostRoomUrl"
    assert dict(meetings.query)["limit"] == "7"
    documented = resolved(spec["components"]["schemas"]["Fields"], spec)
    allowed = set(re.findall(r"\w+RoomUrl", json.dumps(documented)))
    assert set(meeting.json["fields"]) - allowed == FIELDS_ONLY_IN_THE_DOCS


@pytest.mark.anyio
async def test_participants_sends_the_one_id_that_was_given() -> None:
    """Never both, and never an empty other one."""
    by_session, by_person = await sent(BY_OPERATION["insights.participants"])
    assert "externalId" not in dict(by_session.query)
    assert "roomSessionId" not in dict(by_person.query)


@pytest.mark.anyio
@each_specimen
async def test_the_examples_of_the_reference_come_back_as_results(each: Specimen, spec: dict[str, Any]) -> None:
    """The method returns the example answer of its operation, over a socket; a 204 is `None`."""
    status, answer = next(
        (status, answer)
        for status, answer in operations_of(spec)[each.key]["responses"].items()
        if status.startswith("2")
    )
    example = None
    if "content" in answer:
        example = example_of(answer["content"]["application/json"]["schema"], spec)
    async with FakeWhereby() as fake, fake.client(limiter=Unlimited()) as client:
        body = b"" if example is None else json.dumps(example).encode()
        fake.faults.add(Fault(times=None, status=int(status), body=body, act=False))
        result = await each.calls[0](client)
    if example is None:
        assert result is None
    else:
        assert_is_told(result, example)


def example_of(schema: dict[str, Any], spec: dict[str, Any]) -> Any:
    """The schema's own example, else one put together from those of its parts."""
    schema = resolved(schema, spec)
    if "example" in schema:
        return schema["example"]
    if schema.get("type") == "array":
        return [example_of(schema["items"], spec)]
    parts = schema if "type" not in schema else schema.get("properties")
    if parts:
        return {name: example_of(part, spec) for name, part in parts.items()}
    plain: dict[str, object] = {"string": "2025-01-01T00:00:00.000Z", "object": {}, "number": 1}
    return plain[schema["type"]]


def assert_is_told(result: object, example: Any) -> None:
    """The result is of one of our types and tells the ids of the example."""
    if isinstance(result, list):
        for told, item in zip(cast("list[object]", result), example, strict=True):
            assert_is_told(told, item)
    elif isinstance(result, Page):
        assert_is_told(list(cast("Page[object]", result)), example["results"])
        assert result.cursor == (example.get("cursor") or None)
    else:
        assert isinstance(result, Model)
        names = [name for name in example if name.endswith("Id") or name in {"accessLink", "roomName", "displayName"}]
        assert names
        for name in names:
            assert getattr(result, re.sub("[A-Z]", lambda match: "_" + match[0].lower(), name)) == example[name]


def test_every_keyword_is_used_by_a_specimen() -> None:
    """No method has a keyword that the contract tests do not know; so none can go on the wire unchecked."""
    client = WherebyClient("key", limiter=Unlimited())
    shared = {"extra", "prefetch"}
    for each in SPECIMENS:
        resource, name = each.operation.split(".")
        method = getattr(getattr(client, resource), name)
        keywords = {n for n, p in inspect.signature(method).parameters.items() if p.kind is p.KEYWORD_ONLY} - shared
        used = {word for call in each.calls for word in (*call.__code__.co_consts, *call.__code__.co_names)}
        flat = {
            name for word in used for name in (cast("tuple[object, ...]", word) if isinstance(word, tuple) else (word,))
        }
        assert keywords <= flat, (each.operation, keywords - flat)


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


def test_bounds_are_the_references(spec: dict[str, Any]) -> None:
    """Page sizes, link lives and the prefix's length are bounded as the reference bounds them."""
    for key in operations_of(spec):
        for parameter in parameters_of(key, spec):
            schema = resolved(parameter.get("schema", {}), spec)
            if parameter["name"] == "limit":
                assert (schema["minimum"], schema["maximum"]) == (1, 100)
            if parameter["name"] == "validForSeconds":
                assert (schema["minimum"], schema["maximum"], schema["default"]) == (1, 43_200, 3600)
    schema = operations_of(spec)["POST /meetings"]["requestBody"]["content"]["application/json"]["schema"]
    assert schema["properties"]["roomNamePrefix"]["maxLength"] == 39


def test_seed_prices_follow_the_method() -> None:
    """Reads cost 1 point, deletes 2, writes 3 until learned otherwise; only the three creates may not be repeated."""
    prices = {"GET": 1, "DELETE": 2, "POST": 3, "PUT": 3}
    assert all(row.cost == prices[row.method] for row in declared().values())
    assert {row.name for row in declared().values() if not row.idempotent} == {
        "meetings.create",
        "transcriptions.create",
        "summaries.create",
    }
