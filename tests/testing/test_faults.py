"""Scripted faults, seen from the other end of a real connection; and scripts that make no sense."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import aiohttp
import msgspec
import pytest
import yarl
from support.bare import Bare, jump, until

from whereby_async.testing import FAKE_API_KEY, FakeWhereby, Fault, run_simulated

if TYPE_CHECKING:
    from whereby_async.testing import HeaderStyle, RecordedRequest

pytestmark = pytest.mark.anyio

HEAD = f"HTTP/1.1\r\nHost: fake\r\nAuthorization: Bearer {FAKE_API_KEY}\r\nConnection: close\r\n"
REQUEST = f"GET /v1/meetings {HEAD}\r\n".encode()
HALF_A_REQUEST = f"POST /v1/meetings {HEAD}Content-Length: 20\r\n\r\n{{".encode()


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


async def test_status_takes_the_place_of_the_answer(call: Bare, fake: FakeWhereby) -> None:
    fake.faults.add(Fault(status=503))
    refused = await call("POST", "/meetings", json=soon())
    assert (refused.status, refused.content) == (503, {"error": "Scripted fault: status 503"})
    assert refused.headers["X-RateLimit-Remaining"] == "997"
    assert not fake.meetings
    assert (await call("POST", "/meetings", json=soon())).status == 201
    assert [(each.status, each.acted, each.points) for each in fake.requests] == [(503, False, 3), (201, True, 3)]
    assert len(fake.faults) == 0


async def test_fault_can_act_all_the_same(call: Bare, fake: FakeWhereby) -> None:
    """`act=True` is a server that did what it was asked to, and then failed."""
    fake.faults.add(Fault(status=500, act=True))
    assert (await call("POST", "/meetings", json=soon())).status == 500
    assert len(fake.meetings) == 1
    assert fake.requests[0].acted


async def test_fault_picks_its_requests(call: Bare, fake: FakeWhereby) -> None:
    fake.faults.add(Fault(operation="meetings.list", skip=1, times=2, status=502))
    assert (await call("GET", "/recordings")).status == 200
    assert [(await call("GET", "/meetings")).status for _ in range(4)] == [200, 502, 502, 200]


async def test_fault_can_stay_until_it_is_cleared(call: Bare, fake: FakeWhereby) -> None:
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
    assert (answer.status, answer.content) == (502, b"<html>Bad gateway</html>")
    assert answer.headers["Content-Type"] == "text/html"
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


@pytest.mark.parametrize("style", ["iso", "draft_6", "draft_7", "draft_10"])
@pytest.mark.parametrize("garbage", [{"X-RateLimit-Remaining": "-1e999"}, {"RateLimit": "soon"}])
async def test_garbage_takes_the_place_of_the_rate_limit_headers(style: HeaderStyle, garbage: dict[str, str]) -> None:
    async with FakeWhereby(limit=1, header_style=style) as fake, Bare(fake) as call:
        fake.faults.add(Fault(garbage_headers=garbage, times=2))
        for status in (200, 429):
            answer = await call("GET", "/meetings")
            told = {name: value for name, value in answer.headers.items() if "Rate" in name or name == "Retry-After"}
            assert (answer.status, told) == (status, garbage)


async def test_redirect_points_elsewhere(call: Bare, fake: FakeWhereby) -> None:
    fake.faults.add(Fault(redirect="http://elsewhere.invalid/"), Fault(redirect="/v1/meetings", status=307))
    first, second = await call("DELETE", "/meetings/1"), await call("DELETE", "/meetings/1")
    assert (first.status, first.headers["Location"]) == (302, "http://elsewhere.invalid/")
    assert (second.status, second.headers["Location"]) == (307, "/v1/meetings")
    assert not any(record.acted for record in fake.requests)


@pytest.mark.parametrize(("drop", "meetings"), [("before", 0), ("after", 1)])
async def test_drop_resets_the_connection(call: Bare, fake: FakeWhereby, drop: Any, meetings: int) -> None:
    fake.faults.add(Fault(drop=drop))
    with pytest.raises(aiohttp.ClientOSError):
        await call("POST", "/meetings", json=soon())
    assert len(fake.meetings) == meetings
    (record,) = fake.requests
    assert (record.status, record.acted, record.points) == (0, bool(meetings), 3)

    fake.faults.add(Fault(drop=drop))
    with pytest.raises(ConnectionResetError):
        await exchange(fake, REQUEST)


async def test_truncated_body_is_shorter_than_announced(fake: FakeWhereby) -> None:
    fake.faults.add(Fault(truncate=5))
    head, _, body = (await exchange(fake, REQUEST)).partition(b"\r\n\r\n")
    assert body == b'{"res'
    assert b"Content-Length: 28" in head
    (record,) = fake.requests
    assert (record.status, record.acted) == (200, True)


async def test_raw_bytes_take_the_place_of_an_answer(fake: FakeWhereby) -> None:
    raw = b"HTTP/1.1 200 OK\r\nContent-Le"
    fake.faults.add(Fault(raw=raw))
    assert await exchange(fake, REQUEST) == raw
    assert fake.requests[0].status == 0


async def test_body_can_drip(fake: FakeWhereby) -> None:
    fake.faults.add(Fault(drip=60.0, truncate=3))
    reader, writer = await asyncio.open_connection(fake.host, fake.port)
    writer.write(REQUEST)
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
    writer.write(REQUEST)
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
    fake.faults.add(Fault(answer_delay=60.0))
    waiting = asyncio.ensure_future(call("POST", "/meetings", json=soon()))
    await until(lambda: fake.meetings)
    assert fake.requests[0].status == 0
    jump(60.0)
    assert (await waiting).status == 201


async def test_storage_has_faults_of_its_own(call: Bare, fake: FakeWhereby) -> None:
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
        writer.write(REQUEST)
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
    acting = [Fault(), Fault(delay=1.0), Fault(drop="after"), Fault(body=b""), Fault(status=299), Fault(truncate=0)]
    acting.append(Fault(raw=b""))
    idle = [Fault(status=300), Fault(redirect="/"), Fault(drop="before"), Fault(act=False)]
    assert [fault.acts for fault in acting + idle] == [True] * len(acting) + [False] * len(idle)


def locks(request: RecordedRequest) -> bool:
    """A `when` that raises where there is no body."""
    return bool(request.json["isLocked"])


async def test_fault_picks_requests_by_what_they_say(call: Bare, fake: FakeWhereby) -> None:
    """`when` sees the request as it came; those of which it is false neither take nor use up a turn."""
    fake.faults.add(Fault(operation="meetings.create", when=locks, skip=1, status=503))
    bodies = [{**soon(), "isLocked": locked} for locked in (False, True, False, True, True)]
    statuses = [(await call("POST", "/meetings", json=body)).status for body in bodies]
    assert statuses == [201, 201, 201, 503, 201]


@pytest.mark.parametrize("own", [None, ZeroDivisionError()])
async def test_error_in_when_is_raised_at_the_exit_unless_the_block_has_one_of_its_own(own: Exception | None) -> None:
    fake = FakeWhereby()

    async def block() -> None:
        async with fake, Bare(fake) as call:
            fake.faults.add(Fault(when=locks, status=503))
            assert [(await call("GET", "/meetings")).status for _ in range(2)] == [200, 200]
            if own:
                raise own

    with pytest.raises(type(own) if own else TypeError) as caught:
        await block()
    if own is None:
        assert caught.value.__notes__[0].startswith("raised by `when` of Fault(when=<function ")
        fake.faults.raise_problem()  # once is enough


@pytest.mark.parametrize("odd", [Fault, [Fault()], {"status": 503}, None, 503])
def test_only_faults_are_scripted(odd: Any) -> None:
    fake = FakeWhereby()
    with pytest.raises(TypeError, match=r"faults\.add takes Fault"):
        fake.faults.add(Fault(), odd)
    assert len(fake.faults) == 0


@pytest.mark.parametrize(
    "answer", [{"drop": "before"}, {"drop": "after"}, {"status": 504}, {"body": b"{}"}, {"raw": b""}, {"redirect": "/"}]
)
async def test_act_can_come_after_the_answer(call: Bare, fake: FakeWhereby, answer: dict[str, Any]) -> None:
    """The answer goes out or the connection ends at once; the world changes only seconds later, once."""
    fake.faults.add(Fault(acts_in=60.0, **answer))
    with contextlib.suppress(aiohttp.ClientError):
        await call("POST", "/meetings", json=soon())
    (record,) = fake.requests
    assert (record.acted, record.points, len(fake.meetings)) == (False, 3, 0)
    await pass_by(30.0)
    assert not fake.meetings
    jump(31.0)
    await until(lambda: fake.meetings)
    assert fake.requests[0].acted
    assert (await call("GET", "/meetings")).content["results"][0]["meetingId"] in fake.meetings
    assert len(fake.meetings) == 1


async def test_refused_request_does_not_act_late(call: Bare, fake: FakeWhereby) -> None:
    fake.set_limit(1)
    fake.faults.add(Fault(acts_in=60.0, drop="before"))
    with pytest.raises(aiohttp.ClientError):
        await call("POST", "/meetings", json=soon())
    await pass_by(90.0)
    assert (fake.meetings, fake.throttled) == ({}, 1)


async def pass_by(seconds: float) -> None:
    """Move the clock on, and let all happen that is due then."""
    jump(seconds)
    for _ in range(5):
        await asyncio.sleep(0)


async def test_server_that_stops_does_not_act_late() -> None:
    fake = FakeWhereby()
    async with fake, Bare(fake) as call:
        fake.faults.add(Fault(acts_in=60.0, status=504))
        assert (await call("POST", "/meetings", json=soon())).status == 504
    await pass_by(90.0)
    assert not fake.meetings


def test_late_answer_is_overtaken() -> None:
    async def main() -> list[int]:
        arrived: list[int] = []
        async with FakeWhereby() as fake, Bare(fake) as call:
            fake.faults.add(Fault(answer_delay=3.0), Fault(answer_delay=2.0), Fault(answer_delay=1.0))

            async def ask(number: int) -> None:
                await call("POST", "/meetings", json=soon())
                arrived.append(number)

            asked: list[asyncio.Task[None]] = []
            for number in range(3):
                asked.append(asyncio.ensure_future(ask(number)))
                await until(lambda: len(fake.meetings) == number + 1)  # noqa: B023 - awaited in its turn
            await asyncio.gather(*asked)
        return arrived

    assert run_simulated(main()) == [2, 1, 0]


def test_fault_shows_what_was_said_of_it() -> None:
    assert repr(Fault()) == "Fault()"
    assert repr(Fault(status=503, garbage_headers={})) == "Fault(status=503, garbage_headers={})"
    assert len(repr(Fault(body=b"x" * 10_000))) < 100


async def test_plan_knows_what_was_not_used(call: Bare, fake: FakeWhereby) -> None:
    endless, twice = Fault(operation="meetings.list", times=None), Fault(operation="meetings.get", times=2)
    fake.faults.add(Fault(times=0), endless, twice)
    assert fake.faults.unused == [endless, twice]
    await call("GET", "/meetings")
    await call("GET", "/meetings/1")
    assert fake.faults.unused == [twice]
    await call("GET", "/meetings/1")
    assert fake.faults.unused == []


@pytest.mark.parametrize("sent", [HALF_A_REQUEST, REQUEST])
def test_a_client_that_goes_away_is_no_error(sent: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """Gone before the body of its request, or while its answer drips."""

    async def main() -> None:
        async with FakeWhereby() as fake, fake.client() as client:
            fake.faults.add(Fault(operation="meetings.list", drip=0.1))
            _, writer = await asyncio.open_connection("127.0.0.1", fake.port)
            writer.write(sent)
            await asyncio.sleep(1)
            assert len(fake.requests) == (sent is REQUEST)
            writer.close()
            await writer.wait_closed()
            await asyncio.sleep(60)
            await client.recordings.list()

    with caplog.at_level(logging.DEBUG):
        run_simulated(main())
    assert [record for record in caplog.records if record.name.startswith("aiohttp")] == []


@pytest.mark.parametrize(
    "script",
    [
        {"status": "503"},
        {"status": True},
        {"times": 1.5},
        {"skip": None},
        {"delay": "1"},
        {"delay": None},
        {"headers": None},
        {"headers": [("a", "b")]},
        {"headers": {"Retry-After": 5}},
        {"garbage_headers": {1: "x"}},
        {"body": "text"},
        {"body": {"a": 1}},
        {"raw": "text"},
        {"redirect": b"/"},
        {"content_type": 1},
        {"operation": 5},
        {"when": True},
        {"endless": 1},
        {"act": "no"},
        {"points": 1.0},
    ],
    ids=str,
)
def test_part_of_another_type_is_refused(script: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="headers" if "garbage_headers" in script else next(iter(script))):
        Fault(**script)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ({"operation": "meeting.create"}, "no operation 'meeting.create': did you mean 'meetings.create'"),
        ({"operation": "x"}, "no operation 'x': one of meetings.create, .*storage"),
        ({"times": -1}, "times must not be below 0: -1"),
        ({"skip": -1}, "skip must not be below 0"),
        ({"delay": -0.5}, "delay must not be below 0: -0.5"),
        ({"truncate": -5}, "truncate must not be below 0"),
        ({"drop": "later"}, "drop is 'before' or 'after' acting, not 'later'"),
        ({"acts_in": 1.0}, "acts_in answers first and acts later: give the answer too"),
        ({"acts_in": 1.0, "status": 504, "act": False}, "no act=False"),
        ({"status": 99}, "a status has three digits"),
        ({"status": 1000}, "a status has three digits"),
        ({"delay": float("nan")}, "delay must have an end"),
        ({"drip": float("inf")}, "drip must have an end"),
        ({"headers": {"X": "a\r\nB: c"}}, "HTTP has no such header"),
        ({"garbage_headers": {"X Y": "a"}}, "HTTP has no such header"),
        ({"headers": {"": "a"}}, "HTTP has no such header"),
    ],
)
def test_script_that_makes_no_sense_is_refused(script: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Fault(**script)
