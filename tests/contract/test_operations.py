"""What the client sends, against the official reference: every operation, path, method, query name, body name, example.

The requests are those that came out of a socket, not what the code says it would send. The faults of the reference
stand at the end.
"""

from __future__ import annotations

import inspect
import json
import re
from typing import TYPE_CHECKING, Any, cast

import pytest
from contract.reference import BY_OPERATION, SPECIMENS, Specimen

from whereby_async import WherebyClient, operations
from whereby_async.limiter import Unlimited
from whereby_async.models import Model, Page
from whereby_async.operation import Operation
from whereby_async.testing import FakeWhereby, Fault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contract.reference import Spec

    from whereby_async.testing import RecordedRequest

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

REQUIRED_BUT_NOT_TOGETHER = {"GET /insights/participants": {"roomSessionId"}}
"""The reference calls it required, but its words say: either this or `externalId`."""


ANSWER: dict[str, Any] = {
    "results": [],
    "cursor": None,
    "meetingId": "1",
    "roomUrl": "https://x.whereby.com/y",
    "recordingId": "1",
    "transcriptionId": "1",
    "summaryId": "1",
    "accessLink": "https://x/y",
    "expires": "2099-01-01T00:00:00Z",
}
"""It is the answer to every operation but one: what a result does not know of it, it leaves out."""


async def sent(each: Specimen) -> list[RecordedRequest]:
    """What the calls of a specimen put on the wire."""
    async with FakeWhereby() as fake, fake.client(limiter=Unlimited()) as client:
        body = b"[]" if each.operation == "insights.participant" else json.dumps(ANSWER).encode()
        fake.faults.add(Fault(times=None, body=body, act=False))
        for call in each.calls:
            await call(client)
        return fake.requests


each_specimen = pytest.mark.parametrize("each", SPECIMENS, ids=lambda each: each.operation)


def sent_names(body: object, prefix: str = "") -> Iterator[str]:
    """The names in a body that was sent, and in what it holds, with dots."""
    if isinstance(body, dict):
        for name, value in cast("dict[str, object]", body).items():
            yield prefix + name
            yield from sent_names(value, f"{prefix}{name}.")


def body_names(each: Specimen, spec: Spec, content_type: str = "application/json") -> set[str]:
    """The names in a body of that type; none if the operation takes no such body."""
    return set(spec.names(spec.bodies(each.key).get(content_type, {})))


def declared() -> dict[str, Operation[Any]]:
    rows: list[Operation[Any]] = [value for value in vars(operations).values() if isinstance(value, Operation)]
    return {row.name: row for row in rows}


def test_the_table_has_the_operations_of_the_reference(spec: Spec) -> None:
    """Method and path of each row are those of one operation of the reference, none is missing and none is twice."""

    def without_names(key: str) -> str:
        return re.sub(r"\{\w+\}", "{}", key)

    ours = [without_names(f"{row.method} {row.path}") for row in declared().values()]
    assert sorted(ours) == sorted(map(without_names, spec.operations))
    assert {each.key for each in SPECIMENS} == spec.operations.keys()
    assert BY_OPERATION.keys() == declared().keys()


@pytest.mark.anyio
@each_specimen
async def test_method_and_path_are_the_references(each: Specimen, spec: Spec) -> None:
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
async def test_query_names_are_the_references(each: Specimen, spec: Spec) -> None:
    """Every query name of the reference is reached by a keyword, and no other is sent but those that the docs have.

    What the reference requires is always there, but for the one that it requires by mistake.
    """
    queries = [dict(request.query) for request in await sent(each)]
    extra = ONLY_IN_THE_DOCS.get(each.key, set()) if each.key.startswith("GET") else set[str]()
    assert set().union(*queries) == set(spec.queries(each.key)) | extra
    required = {parameter["name"] for parameter in spec.parameters(each.key) if parameter.get("required")}
    required -= REQUIRED_BUT_NOT_TOGETHER.get(each.key, set())
    assert all(required <= query.keys() for query in queries)


@pytest.mark.anyio
@each_specimen
async def test_bodies_are_the_references(each: Specimen, spec: Spec) -> None:
    """Bodies come in each of the content types of the reference, and only where it has a body.

    Every name in a JSON body of the reference is reached by a keyword, and no other but those of the docs; those that it
    requires are always there. Every name in a multipart body is sent, as a file.
    """
    requests = await sent(each)
    assert {request.headers.get("content-type", "").partition(";")[0] for request in requests} - {""} == (
        spec.bodies(each.key).keys()
    )
    names = [set(sent_names(request.json)) for request in requests]
    extra = ONLY_IN_THE_DOCS.get(each.key, set()) if each.key.startswith("POST") else set[str]()
    assert set().union(*names) == body_names(each, spec) | extra
    required = set(spec.bodies(each.key).get("application/json", {}).get("required", []))
    assert all(required <= found for found in names)
    files = {part.field for request in requests for part in request.files}
    assert files == body_names(each, spec, "multipart/form-data")
    assert not any(request.form for request in requests)


@pytest.mark.anyio
async def test_query_values_have_the_form_of_the_reference(spec: Spec) -> None:
    """Brackets are written by hand, `fields` is one comma list, numbers are plain, a room name keeps its slash."""
    (rooms,) = await sent(BY_OPERATION["insights.rooms"])
    assert dict(rooms.query)["roomName[exact]"] == "/x"
    assert dict(rooms.query)["createdAt[from]"] == "2099-01-01T00:00:00.000Z"
    (meeting,) = await sent(BY_OPERATION["meetings.create"])
    assert meeting.json["fields"] == ["hostRoomUrl", "viewerRoomUrl", "dialIn"]
    (meetings,) = await sent(BY_OPERATION["meetings.list"])
    assert dict(meetings.query)["fields"] == "hostRoomUrl"
    assert dict(meetings.query)["limit"] == "7"
    documented = spec.content["components"]["schemas"]["Fields"]
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
async def test_the_examples_of_the_reference_come_back_as_results(each: Specimen, spec: Spec) -> None:
    """The method returns the example answer of its operation, over a socket; a 204 is `None`."""
    status, schema = spec.success(each.key)
    example = None if schema is None else spec.example(schema)
    async with FakeWhereby() as fake, fake.client(limiter=Unlimited()) as client:
        body = b"" if example is None else json.dumps(example).encode()
        fake.faults.add(Fault(times=None, status=status, body=body, act=False))
        result = await each.calls[0](client)
    if example is None:
        assert result is None
    else:
        assert_is_told(result, example)


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


def test_bounds_are_the_references(spec: Spec) -> None:
    """Page sizes, link lives and the prefix's length are bounded as the reference bounds them."""
    for key in spec.operations:
        for parameter in spec.parameters(key):
            schema = spec.follow(parameter.get("schema", {}))
            if parameter["name"] == "limit":
                assert (schema["minimum"], schema["maximum"]) == (1, 100)
            if parameter["name"] == "validForSeconds":
                assert (schema["minimum"], schema["maximum"], schema["default"]) == (1, 43_200, 3600)
    assert spec.bodies("POST /meetings")["application/json"]["properties"]["roomNamePrefix"]["maxLength"] == 39


def test_seed_prices_follow_the_method() -> None:
    """Reads cost 1 point, deletes 2, writes 3 until learned otherwise; only the three creates may not be repeated."""
    prices = {"GET": 1, "DELETE": 2, "POST": 3, "PUT": 3}
    assert all(row.cost == prices[row.method] for row in declared().values())
    creates = {f"{resource}.create" for resource in ("meetings", "transcriptions", "summaries")}
    assert {row.name for row in declared().values() if not row.idempotent} == creates


# The faults of the specification, by name. When a test fails, its fault was mended and the code may follow.

PATH_PARAMETERS_THAT_NO_PATH_HAS = {"POST /transcriptions": {"recordingId"}, "POST /summaries": {"transcriptionId"}}
OBJECTS_WITHOUT_STYLE = {"GET /insights/rooms": {"roomName", "createdAt"}}


def answer(spec: Spec, key: str) -> dict[str, Any]:
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
    prefix = spec.bodies("POST /meetings")["application/json"]["properties"]["roomNamePrefix"]
    assert not re.fullmatch(prefix["pattern"], prefix["example"])


def test_languages_end_with_a_comma(spec: Spec) -> None:
    """The languages carry a trailing comma, which we do not send."""
    options = spec.bodies("POST /meetings")["application/json"]["properties"]["liveTranscription"]
    words = options["properties"]["language"]["enum"]
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
