"""The fake server against the official specification, so that the two cannot drift apart.

The specification is wrong in places. Where it is, the fault is named in `KNOWN_FAULTS`, and the test says how it reads it.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import yarl
from contract.official import Spec, check

from whereby_async.testing import FakeWhereby
from whereby_async.testing.world import ROUTES, Route

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.anyio

SPEC_FILE = Path(__file__).parents[2].parent / "shared" / "api" / "openapi.json"

KNOWN_FAULTS = {
    "room-sessions requires createdAt and endAt": "its properties, and reality, say startedAt and endedAt",
    "cursor is a string": "its description says null at the end",
    "cursor beside properties": "lists of transcriptions and summaries have it there; it is read as a property",
    "path parameter in a body": "POST /transcriptions and POST /summaries list a path parameter that their path lacks",
    "bare 201 schema": "POST /transcriptions and POST /summaries give properties without type or properties",
    "required without properties": "Recording and Summary have only a list and an example; types are read off that",
    "events without a schema": "it is required in participant details, and not described",
    "participants requires roomSessionId": "its description says: or externalId",
    "language with a trailing comma": "the enumeration's values end with one",
    "lists that are not found": "GET /meetings and GET /recordings list a 404",
    "deep objects without a style": "roomName and createdAt of insights/rooms are meant with brackets",
}
"""What the specification says, and why it cannot be meant so."""

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def spec() -> Spec:
    """The specification; without it these tests are skipped."""
    if not SPEC_FILE.exists():
        pytest.skip(f"the official specification is not at {SPEC_FILE}")
    return Spec(json.loads(SPEC_FILE.read_text(encoding="utf-8")))


class Played:
    """A fake server with something of everything in its world, and a session to it."""

    def __init__(self, fake: FakeWhereby, session: aiohttp.ClientSession) -> None:
        self.fake = fake
        self.session = session
        meeting = fake.add_meeting(room_name_prefix="team-")
        room = meeting["roomName"]
        visit = fake.add_session(room, participants=0)["roomSessionId"]
        person = fake.add_participant(
            visit, external_id="u-1", rating=5.0, tags=["audio"], comment="good", left_at=-60.0
        )
        recording = fake.add_recording(room_session_id=visit)["recordingId"]
        self.summarised = fake.add_transcription(room_name=room)["transcriptionId"]
        fake.add_transcription(recording_id=recording)
        self.plain = fake.add_transcription(room_name=room)["transcriptionId"]
        self.values: dict[str, str] = {
            "meetingId": meeting["meetingId"],
            "recordingId": recording,
            "transcriptionId": self.plain,
            "summaryId": fake.add_summary(self.summarised)["summaryId"],
            "roomName": room,
            "roomSessionId": visit,
            "participantId": person["participantId"],
            "externalId": "u-1",
            "roomName[exact]": room,
            "roomName[startsWith]": "/team",
            "roomName[contains]": "eam-",
            "createdAt[from]": "2020-01-01T00:00:00.000Z",
            "createdAt[to]": "2999-01-01T00:00:00.000Z",
            "fields": "hostRoomUrl,viewerRoomUrl",
            "validForSeconds": "60",
            "limit": "1",
            "cursor": "eyJ0eXBlIjoib2Zmc2V0IiwidmFsdWUiOiIwIn0=",
        }
        self.sorts = {"insights.rooms": "totalSessions", "insights.participants": "joinedAt"}

    def path(self, route: Route) -> str:
        """A path with the ids of things that there are."""
        return re.sub(r"\{(\w+)\}", lambda found: self.value(route, found[1]).lstrip("/"), route.template)

    def value(self, route: Route, name: str) -> str:
        """A value that makes sense."""
        if name == "sortBy":
            default = "totalUniqueParticipants" if route.operation == "insights.room_sessions" else "roomName"
            return self.sorts.get(route.operation, default) + ":asc"
        return self.values[name]

    def needed(self, route: Route) -> dict[str, str]:
        """The query without which there is no answer."""
        names = {
            "insights.room_sessions": ["roomName"],
            "insights.participants": ["roomSessionId"],
            "insights.participant": ["roomSessionId", "participantId"],
        }
        return {name: self.values[name] for name in names.get(route.operation, [])}

    async def ask(self, route: Route, query: dict[str, str], **options: Any) -> tuple[int, Any]:
        """The status and the body."""
        url = yarl.URL(self.fake.url + self.path(route), encoded=True).with_query(query)
        options.setdefault("headers", {"Authorization": f"Bearer {self.fake.api_key}"})
        async with self.session.request(route.method, url, **options) as response:
            body = await response.read()
            return response.status, json.loads(body) if body else None

    def body(self, spec: Spec, route: Route) -> dict[str, Any]:
        """The body with every property that the specification lists; empty if it has none."""
        media = spec.operation(route).get("requestBody", {}).get("content", {})
        if "application/json" not in media:
            return {}
        return {"json": self._sample(spec, media["application/json"]["schema"], "")}

    def _sample(self, spec: Spec, node: dict[str, Any], name: str) -> Any:
        schema = spec.follow(node)
        if schema["type"] == "object":
            return {key: self._sample(spec, inner, key) for key, inner in schema["properties"].items()}
        if schema["type"] == "array":
            return [self._sample(spec, schema["items"], "")]
        if schema["type"] == "boolean":
            return True
        if schema.get("format") == "date-time":
            return (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        if "enum" in schema:
            return schema["enum"][0]
        return self.values.get(name) or ("#1a2B3c" if schema.get("pattern") == "#[a-fA-F0-9]{6}" else "sample")


@pytest.fixture
async def played() -> AsyncIterator[Played]:
    """A fake server to ask."""
    async with FakeWhereby(limit=10_000) as fake, aiohttp.ClientSession() as session:
        yield Played(fake, session)


async def test_every_operation_is_there_and_no_other(spec: Spec) -> None:
    """The fake server has the 27 operations of the specification: the same paths and methods."""
    listed = {
        (method.upper(), path)
        for path, item in spec.content["paths"].items()
        for method in item
        if method != "parameters"
    }
    assert {(route.method, route.template) for route in ROUTES} == listed
    assert len(ROUTES) == len({route.operation for route in ROUTES}) == 27


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.operation)
async def test_success_is_what_the_specification_says(spec: Spec, played: Played, route: Route) -> None:
    """The status, and every property of the answer, required or not, with a body of every documented property."""
    expected, schema = spec.success(route)
    status, content = await played.ask(route, played.needed(route), **played.body(spec, route))
    assert status == expected, content
    if schema is None:
        assert content is None
    else:
        check(spec, schema, content, "answer")
    assert played.fake.requests[-1].acted


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.operation)
async def test_query_names_are_known(spec: Spec, played: Played, route: Route) -> None:
    """Each documented name, one at a time, is taken with a sensible value."""
    for name in spec.queries(route):
        query = {**played.needed(route), name: played.value(route, name)}
        if name == "externalId":  # participants requires roomSessionId
            del query["roomSessionId"]
        status, content = await played.ask(route, query)
        assert status == spec.success(route)[0], (name, content)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.operation)
async def test_query_names_are_heeded(spec: Spec, played: Played, route: Route) -> None:
    """Each documented name with nonsense in it is refused, or changes what is found."""
    plain = await played.ask(route, played.needed(route))
    for name in spec.queries(route):
        nonsense = await played.ask(route, {**played.needed(route), name: "nonsense"})
        assert nonsense[0] == 400 or nonsense[1] != plain[1], name


@pytest.mark.parametrize(
    "route", [route for route in ROUTES if route.method == "PUT"], ids=lambda route: route.operation
)
async def test_forms_are_taken_where_they_are_listed(spec: Spec, played: Played, route: Route) -> None:
    """Multipart with the documented field works for exactly the routes that list it; other content is a 400."""
    media = spec.operation(route)["requestBody"]["content"]
    form = aiohttp.FormData()
    form.add_field("image", PNG, filename="a.png", content_type="image/png")
    status, _ = await played.ask(route, {}, data=form)
    assert (status == 204) == ("multipart/form-data" in media)
    if "400" in spec.operation(route)["responses"]:
        headers = {"Authorization": f"Bearer {played.fake.api_key}", "Content-Type": "image/png"}
        status, content = await played.ask(route, {}, data=PNG, headers=headers)
        assert (status, list(content)) == (400, ["error"])


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.operation)
async def test_documented_errors_can_be_met(spec: Spec, played: Played, route: Route) -> None:
    """401, 404 and 429 come where they are listed, with the documented body; 404 of an unknown id nowhere else."""
    responses = spec.operation(route)["responses"]
    assert {"401", "429"} <= set(responses)
    status, content = await played.ask(route, played.needed(route), headers={})
    assert (status, list(content)) == (401, ["error"])

    known = dict(played.values)
    played.values.update(dict.fromkeys(("meetingId", "recordingId", "transcriptionId", "summaryId"), "unknown"))
    status, _ = await played.ask(route, played.needed(route), **played.body(spec, route))
    lists = route.operation in {"meetings.list", "recordings.list"}  # lists that are not found
    assert (status == 404) == ("404" in responses and not lists)
    played.values = known

    played.fake.spend(10_000)
    status, content = await played.ask(route, played.needed(route))
    assert status == 429
    check(spec, responses_schema(spec, "ThrottleError"), content, "answer")


def responses_schema(spec: Spec, name: str) -> dict[str, Any]:
    """The schema of a shared error."""
    found: dict[str, Any] = spec.content["components"]["responses"][name]["content"]["application/json"]["schema"]
    return found


async def test_known_faults_are_still_there(spec: Spec) -> None:
    """A fault that was put right in the specification should leave the list: each one that a test allows for is looked up."""
    paths = spec.content["paths"]
    sessions = paths["/insights/room-sessions"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    row = sessions["properties"]["results"]["items"]
    details = paths["/insights/participant"]["get"]["responses"]["200"]["content"]["application/json"]["schema"][
        "items"
    ]
    pages = paths["/transcriptions"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    made = paths["/transcriptions"]["post"]["responses"]["201"]["content"]["application/json"]["schema"]
    settings = paths["/meetings"]["post"]["requestBody"]["content"]["application/json"]["schema"]["properties"]
    filters = {item["name"]: item for item in paths["/insights/rooms"]["get"]["parameters"]}
    people = {item["name"]: item for item in paths["/insights/participants"]["get"]["parameters"]}
    found = {
        "room-sessions requires createdAt and endAt": "createdAt" in row["required"],
        "cursor is a string": sessions["properties"]["cursor"]["type"] == "string",
        "cursor beside properties": "cursor" in pages,
        "path parameter in a body": bool(paths["/transcriptions"]["post"]["parameters"]),
        "bare 201 schema": "type" not in made,
        "required without properties": "properties" not in spec.content["components"]["schemas"]["Recording"],
        "events without a schema": "events" not in details["properties"],
        "participants requires roomSessionId": people["roomSessionId"]["required"],
        "language with a trailing comma": settings["liveTranscription"]["properties"]["language"]["enum"][0].endswith(
            ","
        ),
        "lists that are not found": "404" in paths["/meetings"]["get"]["responses"],
        "deep objects without a style": "style" not in filters["roomName"],
    }
    assert found == dict.fromkeys(KNOWN_FAULTS, True)
