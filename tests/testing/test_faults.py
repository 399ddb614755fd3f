"""Scripted faults, seen from the other end of a real connection."""

from __future__ import annotations

import asyncio
import socket
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import aiohttp
import msgspec
import pytest
import yarl
from testing.bare import Bare, jump, until

from whereby_async.testing import FakeWhereby, Fault

if TYPE_CHECKING:
    from whereby_async.testing import HeaderStyle

pytestmark = pytest.mark.anyio


def soon() -> dict[str, Any]:
    """The body of a meeting that ends in an hour."""
    return {"endDate": (datetime.now(UTC) + timedelta(hours=1)).isoformat()}


async def exchange(fake: FakeWhereby, request: bytes) -> bytes:
    """Send bytes, and read until the server closes; a reset raises."""
    reader, writer = await asyncio.open_connection(fake.host, fake.port)
    try:
        writer.write(request)
        return await reader.read()
    finally:
        writer.close()


def raw_request(fake: FakeWhereby, method: str = "GET", path: str = "/v1/meetings") -> bytes:
    """A request, byte for byte."""
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: fake",
        f"Authorization: Bearer {fake.api_key}",
        "Connection: close",
        "",
        "",
    ]
    return "\r\n".join(lines).encode()


async def test_status_takes_the_place_of_the_answer(call: Bare, fake: FakeWhereby) -> None:
    """The world does not act, the points are charged, and the next request is served."""
    fake.faults.add(Fault(status=503))
    refused = await call("POST", "/meetings", json=soon())
    assert (refused.status, refused.content) == (503, {"error": "Scripted fault: status 503"})
    assert refused.headers["X-RateLimit-Remaining"] == "997"
    assert not fake.meetings
    assert (await call("POST", "/meetings", json=soon())).status == 201
    assert [(record.status, record.acted, record.points) for record in fake.requests] == [
        (503, False, 3),
        (201, True, 3),
    ]
    assert len(fake.faults) == 0


async def test_fault_can_act_all_the_same(call: Bare, fake: FakeWhereby) -> None:
    """`act=True` is a server that did what it was asked to, and then failed."""
    fake.faults.add(Fault(status=500, act=True))
    assert (await call("POST", "/meetings", json=soon())).status == 500
    assert len(fake.meetings) == 1
    assert fake.requests[0].acted


async def test_fault_picks_its_requests(call: Bare, fake: FakeWhereby) -> None:
    """By operation, after so many have passed, so many times; others are served."""
    fake.faults.add(Fault(operation="meetings.list", skip=1, times=2, status=502))
    assert (await call("GET", "/recordings")).status == 200
    assert [(await call("GET", "/meetings")).status for _ in range(4)] == [200, 502, 502, 200]


async def test_fault_can_stay_until_it_is_cleared(call: Bare, fake: FakeWhereby) -> None:
    """`times=None` takes every request."""
    fake.faults.add(Fault(times=None, status=502), Fault(status=500))
    assert [(await call("GET", "/meetings")).status for _ in range(3)] == [502, 502, 502]
    assert [fault.status for fault in fake.faults] == [502, 500]
    assert repr(fake.faults) == "<FaultPlan: 2 to come>"
    fake.faults.clear()
    assert (await call("GET", "/meetings")).status == 200


async def test_fault_without_points_is_in_front_of_the_api(call: Bare, fake: FakeWhereby) -> None:
    """HTML from a proxy costs nothing and says nothing of the budget."""
    fake.faults.add(Fault(status=502, body=b"<html>Bad gateway</html>", content_type="text/html", points=0))
    answer = await call("GET", "/meetings")
    assert (answer.status, answer.content, answer.headers["Content-Type"]) == (
        502,
        b"<html>Bad gateway</html>",
        "text/html",
    )
    assert "X-RateLimit-Limit" not in answer.headers
    assert fake.points_spent == 0


async def test_body_takes_the_place_of_the_real_one(call: Bare, fake: FakeWhereby) -> None:
    """A 200 with garbage, after the server acted; headers go over its own."""
    fake.faults.add(Fault(body=b"\xef\xbb\xbf{", headers={"X-Extra": "1"}))
    async with call.session.post(
        fake.url + "/meetings", json=soon(), headers={"Authorization": f"Bearer {fake.api_key}"}
    ) as response:
        assert (response.status, await response.read(), response.headers["X-Extra"]) == (200, b"\xef\xbb\xbf{", "1")
    assert fake.requests[0].acted


async def test_garbage_takes_the_place_of_the_rate_limit_headers(call: Bare, fake: FakeWhereby) -> None:
    """Only those that are given are sent, on a 429 too."""
    fake.set_limit(1)
    fake.faults.add(Fault(garbage_headers={"X-RateLimit-Remaining": "-1e999"}, times=2))
    for status in (200, 429):
        answer = await call("GET", "/meetings")
        told = {name: value for name, value in answer.headers.items() if name.startswith(("X-Rate", "Retry"))}
        assert (answer.status, told) == (status, {"X-RateLimit-Remaining": "-1e999"})


@pytest.mark.parametrize("style", ["draft_6", "draft_7", "draft_10"])
async def test_garbage_takes_the_place_of_the_ietf_fields(style: HeaderStyle) -> None:
    """So that nothing of what the server knows is left to read."""
    async with FakeWhereby(header_style=style) as fake, Bare(fake) as call:
        fake.faults.add(Fault(garbage_headers={"RateLimit": "soon"}))
        answer = await call("GET", "/meetings")
        assert {name: value for name, value in answer.headers.items() if "Rate" in name} == {"RateLimit": "soon"}


async def test_redirect_points_elsewhere(call: Bare, fake: FakeWhereby) -> None:
    """302 unless another status is given; nothing is done."""
    fake.faults.add(Fault(redirect="http://elsewhere.invalid/"), Fault(redirect="/v1/meetings", status=307))
    first, second = await call("DELETE", "/meetings/1"), await call("DELETE", "/meetings/1")
    assert (first.status, first.headers["Location"]) == (302, "http://elsewhere.invalid/")
    assert (second.status, second.headers["Location"]) == (307, "/v1/meetings")
    assert not any(record.acted for record in fake.requests)


@pytest.mark.parametrize(("drop", "meetings"), [("before", 0), ("after", 1)])
async def test_drop_resets_the_connection(call: Bare, fake: FakeWhereby, drop: Any, meetings: int) -> None:
    """The client sees a connection error, before or after the server acted."""
    fake.faults.add(Fault(drop=drop))
    with pytest.raises(aiohttp.ClientOSError):
        await call("POST", "/meetings", json=soon())
    assert len(fake.meetings) == meetings
    (record,) = fake.requests
    assert (record.status, record.acted, record.points) == (0, bool(meetings), 3)


async def test_drop_is_a_reset_and_not_an_end(fake: FakeWhereby) -> None:
    """The socket says `ECONNRESET`."""
    fake.faults.add(Fault(drop="before"))
    with pytest.raises(ConnectionResetError):
        await exchange(fake, raw_request(fake))


async def test_truncated_body_is_shorter_than_announced(fake: FakeWhereby) -> None:
    """Exactly so many bytes of the body come, and then the end."""
    fake.faults.add(Fault(truncate=5))
    head, _, body = (await exchange(fake, raw_request(fake))).partition(b"\r\n\r\n")
    assert body == b'{"res'
    assert b"Content-Length: 28" in head
    (record,) = fake.requests
    assert (record.status, record.acted) == (200, True)


async def test_raw_bytes_take_the_place_of_an_answer(fake: FakeWhereby) -> None:
    """Whatever is given is what the client reads, malformed or not."""
    raw = b"HTTP/1.1 200 OK\r\nContent-Le"
    fake.faults.add(Fault(raw=raw))
    assert await exchange(fake, raw_request(fake)) == raw
    assert fake.requests[0].status == 0


async def test_body_can_drip(fake: FakeWhereby) -> None:
    """One byte at a time, and no more than the truncation allows."""
    fake.faults.add(Fault(drip=60.0, truncate=3))
    reader, writer = await asyncio.open_connection(fake.host, fake.port)
    writer.write(raw_request(fake))
    head = await reader.readuntil(b"\r\n\r\n")
    assert b"200 OK" in head
    for byte in b'{"r':
        assert await reader.readexactly(1) == bytes([byte])
        await asyncio.sleep(0)
        jump(60.0)
    assert await reader.read() == b""
    writer.close()


async def test_body_can_be_endless(fake: FakeWhereby) -> None:
    """The body comes again and again in chunks until the client goes, which ends it at the server too."""
    idle = len(asyncio.all_tasks())
    fake.faults.add(Fault(body=b"again." * 10_000, endless=True))
    reader, writer = await asyncio.open_connection(fake.host, fake.port)
    writer.write(raw_request(fake))
    head = await reader.readuntil(b"\r\n\r\n")
    assert b"Transfer-Encoding: chunked" in head
    chunk = b"ea60\r\n" + b"again." * 10_000 + b"\r\n"
    assert await reader.readexactly(len(chunk) * 20) == chunk * 20
    writer.transport.abort()
    assert fake.requests[0].acted
    assert len(asyncio.all_tasks()) > idle
    await until(lambda: len(asyncio.all_tasks()) == idle)


async def test_delayed_request_acts_late_though_the_client_has_gone(call: Bare, fake: FakeWhereby) -> None:
    """It is charged on arrival and lies with the server; a client that gives up does not stop it."""
    fake.faults.add(Fault(delay=60.0))
    waiting = asyncio.ensure_future(call("POST", "/meetings", json=soon()))
    await until(lambda: fake.requests and fake.requests[0].points)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert not fake.meetings
    jump(60.0)
    await until(lambda: fake.meetings)
    assert fake.requests[0].acted


async def test_answer_can_come_late(call: Bare, fake: FakeWhereby) -> None:
    """The server acts at once and answers after the delay."""
    fake.faults.add(Fault(answer_delay=60.0))
    waiting = asyncio.ensure_future(call("POST", "/meetings", json=soon()))
    await until(lambda: fake.meetings)
    assert fake.requests[0].status == 0
    jump(60.0)
    assert (await waiting).status == 201


async def test_storage_has_faults_of_its_own(call: Bare, fake: FakeWhereby) -> None:
    """A fault for any operation leaves downloads alone; one for `storage` takes them."""
    recording = fake.add_recording(content=b"0123456789")["recordingId"]
    link = (await call("GET", f"/recordings/{recording}/access-link")).content["accessLink"]
    fake.faults.add(Fault(status=500), Fault(operation="storage", truncate=4))
    with pytest.raises(aiohttp.ClientPayloadError):
        await call.fetch("GET", yarl.URL(link, encoded=True))
    assert (await call.fetch("GET", yarl.URL(link, encoded=True))).content == b"0123456789"
    assert len(fake.faults) == 1


async def test_fault_on_a_connection_that_is_gone_is_harmless(fake: FakeWhereby) -> None:
    """A drop, raw bytes and a truncation find no connection any more, and nothing breaks."""
    for fault in (Fault(drop="after"), Fault(raw=b"x"), Fault(truncate=1), Fault(drip=1.0)):
        fake.clear()
        fake.faults.add(msgspec.structs.replace(fault, delay=60.0))
        _, writer = await asyncio.open_connection(fake.host, fake.port)
        writer.write(raw_request(fake))
        await until(lambda: fake.requests and fake.requests[0].points)
        peer: socket.socket = writer.get_extra_info("socket")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        writer.transport.abort()
        for _ in range(5):
            await asyncio.sleep(0)
        jump(60.0)
        await until(lambda: fake.requests[0].acted)
        for _ in range(5):
            await asyncio.sleep(0)


def test_which_faults_act() -> None:
    """By default all that are not an error, a redirect or a drop before acting."""
    acting = [
        Fault(),
        Fault(delay=1.0),
        Fault(drop="after"),
        Fault(body=b""),
        Fault(status=299),
        Fault(truncate=0),
        Fault(raw=b""),
    ]
    idle = [Fault(status=300), Fault(redirect="/"), Fault(drop="before"), Fault(act=False)]
    assert [fault.acts for fault in acting + idle] == [True] * len(acting) + [False] * len(idle)
