"""The fake server against the official specification, so that the two cannot drift apart.

The specification is wrong in places, and `test_operations.py` says where. A comment here names the fault that a test
allows for.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import yarl
from contract.reference import PNG, SPECIMENS, Spec, Specimen, check

from whereby_async.testing import FakeWhereby

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.anyio

each_operation = pytest.mark.parametrize("each", SPECIMENS, ids=lambda each: each.operation)


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

    def value(self, each: Specimen, name: str) -> str:
        if name == "sortBy":
            default = "totalUniqueParticipants" if each.operation == "insights.room_sessions" else "roomName"
            return self.sorts.get(each.operation, default) + ":asc"
        return self.values[name]

    def needed(self, each: Specimen) -> dict[str, str]:
        """The query without which there is no answer."""
        names = {
            "insights.room_sessions": ["roomName"],
            "insights.participants": ["roomSessionId"],
            "insights.participant": ["roomSessionId", "participantId"],
        }
        return {name: self.values[name] for name in names.get(each.operation, [])}

    async def ask(self, key: str, query: dict[str, str], **options: Any) -> tuple[int, Any]:
        """The status and the body that come of a method and a path, whose ids are those of things that there are."""
        method, _, template = key.partition(" ")
        path = re.sub(r"\{(\w+)\}", lambda found: self.values[found[1]].lstrip("/"), template)
        url = yarl.URL(self.fake.url + path, encoded=True).with_query(query)
        options.setdefault("headers", {"Authorization": f"Bearer {self.fake.api_key}"})
        async with self.session.request(method, url, **options) as response:
            body = await response.read()
            return response.status, json.loads(body) if body else None

    def body(self, spec: Spec, each: Specimen) -> dict[str, Any]:
        """The body with every property that the specification lists; empty if it has none."""
        schema = spec.bodies(each.key).get("application/json")
        return {} if schema is None else {"json": self._sample(spec, schema, "")}

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
    async with FakeWhereby(limit=10_000) as fake, aiohttp.ClientSession() as session:
        yield Played(fake, session)


async def test_no_other_operation_is_there(spec: Spec, played: Played) -> None:
    """The paths of the specification take no method that it does not list. The tests below ask for the others."""
    assert {each.key for each in SPECIMENS} == spec.operations.keys()
    paths = [path for path in spec.content["paths"] if not path.endswith("/bulk-delete")]  # that would be an id, too
    keys = {f"{method} {path}" for path in paths for method in ("GET", "POST", "PUT", "PATCH", "DELETE")}
    for key in keys - spec.operations.keys():
        assert (await played.ask(key, {}))[0] in {404, 405}, key


@each_operation
async def test_success_is_what_the_specification_says(spec: Spec, played: Played, each: Specimen) -> None:
    """The status, and every property of the answer, required or not, with a body of every documented property."""
    expected, schema = spec.success(each.key)
    status, content = await played.ask(each.key, played.needed(each), **played.body(spec, each))
    assert status == expected, content
    if schema is None:
        assert content is None
    else:
        check(spec, schema, content, "answer")
    assert played.fake.requests[-1].acted
    assert played.fake.requests[-1].operation == each.operation


@each_operation
async def test_query_names_are_known_and_heeded(spec: Spec, played: Played, each: Specimen) -> None:
    """Each documented name is taken with a sensible value; with nonsense it is refused, or changes what is found."""
    plain = await played.ask(each.key, played.needed(each))
    for name in spec.queries(each.key):
        nonsense = await played.ask(each.key, {**played.needed(each), name: "nonsense"})
        assert nonsense[0] == 400 or nonsense[1] != plain[1], name
        query = {**played.needed(each), name: played.value(each, name)}
        if name == "externalId":  # participants require one of two alternatives
            del query["roomSessionId"]
        status, content = await played.ask(each.key, query)
        assert status == spec.success(each.key)[0], (name, content)


@pytest.mark.parametrize(
    "each", [each for each in SPECIMENS if each.key.startswith("PUT")], ids=lambda each: each.operation
)
async def test_forms_are_taken_where_they_are_listed(spec: Spec, played: Played, each: Specimen) -> None:
    """Multipart with the documented field works for exactly the operations that list it; other content is a 400."""
    form = aiohttp.FormData()
    form.add_field("image", PNG, filename="a.png", content_type="image/png")
    status, _ = await played.ask(each.key, {}, data=form)
    assert (status == 204) == ("multipart/form-data" in spec.bodies(each.key))
    if "400" in spec.operations[each.key]["responses"]:
        headers = {"Authorization": f"Bearer {played.fake.api_key}", "Content-Type": "image/png"}
        status, content = await played.ask(each.key, {}, data=PNG, headers=headers)
        assert (status, list(content)) == (400, ["error"])


@each_operation
async def test_documented_errors_can_be_met(spec: Spec, played: Played, each: Specimen) -> None:
    """401, 404 and 429 come where they are listed, with the documented body; 404 of an unknown id nowhere else."""
    responses = spec.operations[each.key]["responses"]
    assert {"401", "429"} <= set(responses)
    status, content = await played.ask(each.key, played.needed(each), headers={})
    assert (status, list(content)) == (401, ["error"])

    known = dict(played.values)
    played.values.update(dict.fromkeys(("meetingId", "recordingId", "transcriptionId", "summaryId"), "unknown"))
    status, _ = await played.ask(each.key, played.needed(each), **played.body(spec, each))
    is_list = each.operation in {"meetings.list", "recordings.list"}  # lists that are not found
    assert (status == 404) == ("404" in responses and not is_list)
    played.values = known

    played.fake.spend(10_000)
    status, content = await played.ask(each.key, played.needed(each))
    assert status == 429
    throttled = spec.content["components"]["responses"]["ThrottleError"]["content"]["application/json"]["schema"]
    check(spec, throttled, content, "answer")
