"""The way around the typed methods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.calls import PNG, UNTIL

from whereby_async import InternalServerError, NotFoundError, ResponseDecodeError, WherebyClient
from whereby_async.models import Meeting
from whereby_async.testing import FakeWhereby, Fault

if TYPE_CHECKING:
    from pathlib import Path

    from support.recording_limiter import RecordingLimiter


pytestmark = pytest.mark.anyio


async def test_request_reaches_any_path(fake: FakeWhereby, whereby: WherebyClient, limiter: RecordingLimiter) -> None:
    """Method, path and query go out as given, the answer comes back as JSON has it, under the same limiter."""
    fake.add_meeting(room_name="/demo")
    found = await whereby.request(
        "get", "meetings", params={"limit": 1, "fields": ["dialIn"], "left": None, "b": False}
    )
    assert found["results"][0]["roomName"] == "/demo"
    assert fake.requests[0].target == "/v1/meetings?limit=1&fields=dialIn&b=false"
    (permit,) = limiter.permits
    assert (permit.operation, permit.cost, permit.ends) == ("GET /meetings", 1, ["settle"])


async def test_request_decodes_to_a_type(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """`type=` gives one of our results, or any other that msgspec knows; an empty body is `None`."""
    known = fake.add_meeting()
    meeting = await whereby.request("GET", f"/meetings/{known['meetingId']}", type=Meeting)
    assert meeting.meeting_id == known["meetingId"]
    assert await whereby.request("DELETE", f"/meetings/{known['meetingId']}") is None
    fake.faults.add(Fault(body=b'{"a": 1}'))
    with pytest.raises(ResponseDecodeError, match=r"^things: the answer can not be read"):
        await whereby.request("GET", "/meetings", operation="things", type=list[int])


async def test_request_sends_json(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """A dictionary goes out in wire spelling, dates and `None` as in the typed methods."""
    made = await whereby.request("POST", "/meetings", json={"endDate": UNTIL, "fields": None})
    assert fake.requests[0].json == {"endDate": "2099-01-01T00:00:00.000Z", "fields": None}
    assert made["meetingId"] in fake.meetings


async def test_request_sends_files(fake: FakeWhereby, whereby: WherebyClient, tmp_path: Path) -> None:
    """Bytes are named after their field, a path lends its last part and its type."""
    path = tmp_path / "logo.png"
    path.write_bytes(PNG)
    await whereby.request("PUT", "/rooms/demo/theme/logo", files={"image": path, "other": b"bytes"})
    parts = [(part.field, part.filename, part.content_type, part.content) for part in fake.requests[0].files]
    assert parts == [("image", "logo.png", "image/png", PNG), ("other", "other", "application/octet-stream", b"bytes")]
    assert fake.theme("/demo").logo == PNG


async def test_request_keeps_an_encoded_slash(fake: FakeWhereby, whereby: WherebyClient) -> None:
    await whereby.request("PUT", "/rooms/%2Fdemo/theme/tokens", json={"tokensPreset": "default"})
    assert fake.requests[0].target == "/v1/rooms/%2Fdemo/theme/tokens"
    assert fake.requests[0].operation == "rooms.set_theme_tokens"


@pytest.mark.parametrize(
    ("method", "cost"), [("GET", 1), ("HEAD", 1), ("DELETE", 2), ("PUT", 3), ("POST", 3), ("PATCH", 3)]
)
async def test_request_has_a_price(
    method: str, cost: int, fake: FakeWhereby, whereby: WherebyClient, limiter: RecordingLimiter
) -> None:
    with pytest.raises(NotFoundError):
        await whereby.request(method, "/things/1")
    with pytest.raises(NotFoundError, match=r"^things\.do: 404"):
        await whereby.request(method, "/things/1", cost=7, operation="things.do")
    assert [(permit.operation, permit.cost) for permit in limiter.permits] == [
        (f"{method} /things/1", cost),
        ("things.do", 7),
    ]


@pytest.mark.parametrize(
    ("method", "idempotent", "requests"),
    [("GET", None, 2), ("PUT", None, 2), ("DELETE", None, 2), ("POST", None, 1), ("POST", True, 2), ("PUT", False, 1)],
)
async def test_request_is_sent_again_if_it_may_be(
    method: str, idempotent: bool | None, requests: int, fake: FakeWhereby, whereby: WherebyClient
) -> None:
    path = {"GET": "/meetings", "POST": "/meetings", "DELETE": "/meetings/1", "PUT": "/rooms/x/theme/tokens"}[method]
    fake.faults.add(Fault(status=503), Fault(status=200, body=b"{}"))
    call = whereby.request(method, path, idempotent=idempotent)
    if requests == 1:
        with pytest.raises(InternalServerError):
            await call
    else:
        assert await call == {}
    assert len(fake.requests) == requests


@pytest.mark.parametrize(
    ("method", "path", "options", "error", "words"),
    [
        ("FETCH", "/meetings", {}, ValueError, "method='FETCH': pass one of DELETE, GET"),
        ("GET\r\nX: y", "/meetings", {}, ValueError, "pass one of"),
        ("GET", "https://evil.example/meetings", {}, ValueError, "must be a path below the API's root"),
        ("GET", "/meetings?limit=1", {}, ValueError, "pass query values as params="),
        ("GET", 5, {}, TypeError, "path must be a string, not int"),
        ("POST", "/meetings", {"json": {}, "files": {"a": b""}}, ValueError, "either json= or files="),
        ("POST", "/meetings", {"json": {"a": object()}}, TypeError, "a is of type object"),
        ("POST", "/meetings", {"files": {"": b""}}, ValueError, "files has a field named ''"),
        ("POST", "/meetings", {"files": {'a"b': b""}}, ValueError, "pass a plain name"),
        ("POST", "/meetings", {"files": [b"x"]}, TypeError, "files must be a dictionary by field name"),
        ("POST", "/meetings", {"files": {"a": 5}}, TypeError, "a must be bytes, a path or a binary file"),
        ("GET", "/meetings", {"cost": 0}, ValueError, "cost=0"),
        ("GET", "/meetings", {"cost": 1.5}, ValueError, "cost=1.5"),
        ("GET", "/meetings", {"params": {"a": b""}}, TypeError, "a=b''"),
    ],
)
async def test_request_refuses_what_cannot_be_sent(  # noqa: PLR0917 - a row and three fixtures
    method: str, path: Any, options: dict[str, Any], error: type[Exception], words: str, fake: FakeWhereby,
    whereby: WherebyClient, limiter: RecordingLimiter,
) -> None:  # fmt: skip
    """Before a point is asked for, naming the value and the way out."""
    with pytest.raises(error) as caught:
        await whereby.request(method, path, **options)
    assert words in str(caught.value)
    assert fake.requests == []
    assert limiter.permits == []
