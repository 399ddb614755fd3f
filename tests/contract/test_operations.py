"""What the client sends, against the official reference: every operation, path, method, query name, body name, example.

The requests are those that came out of a socket, not what the code says it would send.
"""

from __future__ import annotations

import inspect
import json
import re
from typing import TYPE_CHECKING, Any, cast

import pytest
from contract.specimens import BY_OPERATION, SPECIMENS, Specimen

from whereby_async import WherebyClient, operations
from whereby_async.limiter import Unlimited
from whereby_async.models import Model, Page
from whereby_async.operation import Operation
from whereby_async.testing import FakeWhereby, Fault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contract.official import Spec

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
    """The table of operations by name."""
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
    """Every query name of the reference is reached by a keyword, and no other is sent but those that the docs have."""
    names = {name for request in await sent(each) for name, _ in request.query}
    extra = ONLY_IN_THE_DOCS.get(each.key, set()) if each.key.startswith("GET") else set[str]()
    assert names == set(spec.queries(each.key)) | extra


@pytest.mark.anyio
@each_specimen
async def test_body_names_are_the_references(each: Specimen, spec: Spec) -> None:
    """Every name in a JSON body of the reference is reached by a keyword, and no other but those of the docs."""
    names = {name for request in await sent(each) for name in sent_names(request.json)}
    extra = ONLY_IN_THE_DOCS.get(each.key, set()) if each.key.startswith("POST") else set[str]()
    assert names == body_names(each, spec) | extra


@pytest.mark.anyio
@each_specimen
async def test_form_names_are_the_references(each: Specimen, spec: Spec) -> None:
    """Every name in a multipart body of the reference is sent, as a file."""
    requests = await sent(each)
    files = {part.field for request in requests for part in request.files}
    assert files == body_names(each, spec, "multipart/form-data")
    assert not any(request.form for request in requests)


@pytest.mark.anyio
@each_specimen
async def test_content_types_are_the_references(each: Specimen, spec: Spec) -> None:
    """Bodies come in each of the content types of the reference, and only where it has a body."""
    kinds = {request.headers.get("content-type", "").partition(";")[0] for request in await sent(each)} - {""}
    assert kinds == spec.bodies(each.key).keys()


@pytest.mark.anyio
@each_specimen
async def test_required_names_are_in_every_request(each: Specimen, spec: Spec) -> None:
    """What the reference requires is always there, but for the one that it requires by mistake."""
    queries = {parameter["name"] for parameter in spec.parameters(each.key) if parameter.get("required")}
    queries -= REQUIRED_BUT_NOT_TOGETHER.get(each.key, set())
    bodies = set(spec.bodies(each.key).get("application/json", {}).get("required", []))
    for request in await sent(each):
        assert queries <= dict(request.query).keys()
        assert bodies <= set(sent_names(request.json))


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
    assert {row.name for row in declared().values() if not row.idempotent} == {
        "meetings.create",
        "transcriptions.create",
        "summaries.create",
    }
