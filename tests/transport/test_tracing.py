"""Headers that tracing libraries put on requests, in each way in which one of them does."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from support.attempts import attempt, fields
from support.downloads import CONTENT, Film, OddStorage, always, answer, serving
from support.wire_server import WireServer, answer_each, answering

from whereby_async import RetryPolicy, SessionPool, WherebyClient
from whereby_async.limiter import Unlimited
from whereby_async.operation import FilePart
from whereby_async.redaction import SilentBytes

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping
    from pathlib import Path

    from whereby_async.testing import FakeWhereby

pytestmark = pytest.mark.anyio

TRACED = {"traceparent": "00-1-1-01", "sentry-trace": "1-1", "baggage": "a=b", "x-datadog-trace-id": "1"}
OURS = {"host", "accept", "accept-encoding", "user-agent", "authorization"}


def trace_config() -> aiohttp.TraceConfig:
    """As of OpenTelemetry and Sentry: they write into the headers that a request begins with."""

    async def begin(_: aiohttp.ClientSession, context: object, params: aiohttp.TraceRequestStartParams) -> None:
        for name, value in TRACED.items():
            assert name not in params.headers
            params.headers[name] = value

    config = aiohttp.TraceConfig()
    config.on_request_start.append(begin)
    return config


def with_trace_configs(monkeypatch: pytest.MonkeyPatch) -> None:
    """As OpenTelemetry and Sentry: every new session has a trace configuration."""
    make: Callable[..., None] = aiohttp.ClientSession.__init__

    def made(self: aiohttp.ClientSession, *args: Any, **options: Any) -> None:
        make(self, *args, **{**options, "trace_configs": [*(options.get("trace_configs") or ()), trace_config()]})

    monkeypatch.setattr(aiohttp.ClientSession, "__init__", made)


def with_requests_wrapped(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Datadog, Elastic and New Relic: they write into the keyword `headers` of every request, whosever it is."""
    send: Callable[..., Any] = aiohttp.ClientSession._request  # pyright: ignore[reportPrivateUsage]

    async def sent(self: aiohttp.ClientSession, *args: Any, **options: Any) -> aiohttp.ClientResponse:
        headers: MutableMapping[str, str] = options.get("headers") or {}
        headers.update(TRACED)
        options["headers"] = headers
        response: aiohttp.ClientResponse = await send(self, *args, **options)
        return response

    monkeypatch.setattr(aiohttp.ClientSession, "_request", sent)


@pytest.fixture(params=[with_trace_configs, with_requests_wrapped])
def traced(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    request.param(monkeypatch)


@pytest.mark.usefixtures("traced")
async def test_they_go_out_with_each_attempt_of_a_call() -> None:
    """Once each, beside ours, with a retry too."""
    away = b"HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n"
    async with WireServer(answering(away)) as server:
        retry = RetryPolicy(attempts=3, base=0)
        async with WherebyClient("planted-key", base_url=server.url, limiter=Unlimited(), retry=retry) as client:
            with pytest.raises(Exception, match="503"):
                await client.meetings.get("1")
    assert len(server.requests) == 3
    for request in server.requests:
        sent = fields(request)
        assert dict(sent).items() >= TRACED.items()
        assert ("authorization", "Bearer planted-key") in sent
        assert sorted(name for name, _ in sent) == sorted(OURS | TRACED.keys())


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("upload", [False, True])
async def test_a_body_keeps_its_own_headers(pool: SessionPool, *, upload: bool) -> None:
    parts = [FilePart("image", "x.png", "image/png", SilentBytes(b"x"))]
    async with WireServer(answer_each) as server:
        await pool.send(attempt(server.url, "PUT", files=parts) if upload else attempt(server.url, "POST", json=b"{}"))
    sent = dict(fields(server.requests[0]))
    assert sent.items() >= TRACED.items()
    assert sent["content-type"].startswith("multipart/form-data; boundary=" if upload else "application/json")
    assert int(sent["content-length"])


@pytest.mark.parametrize("injected", [False, True])
async def test_they_do_not_stay_for_calls_that_are_not_traced(
    monkeypatch: pytest.MonkeyPatch, *, injected: bool
) -> None:
    """The headers that are put together once for all calls of a client remain as they were."""
    async with WireServer(answer_each) as server, aiohttp.ClientSession() as session:
        pool = SessionPool(session=session if injected else None)
        async with WherebyClient("planted-key", base_url=server.url, limiter=Unlimited(), pool=pool) as client:
            with monkeypatch.context() as wrapped:
                with_requests_wrapped(wrapped)
                await client.request("GET", "/x")
            await client.request("GET", "/x")
        await pool.aclose()
    first, second = (dict(fields(request)) for request in server.requests)
    assert first.keys() == OURS | TRACED.keys()
    assert second.keys() == OURS


async def test_those_of_an_injected_session_go_out() -> None:
    async with (
        WireServer(answer_each) as server,
        aiohttp.ClientSession(trace_configs=[trace_config()]) as session,
    ):
        pool = SessionPool(session=session)
        await pool.send(attempt(server.url))
        await pool.aclose()
    assert dict(fields(server.requests[0])).items() >= TRACED.items()


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("injected", [False, True])
async def test_none_goes_to_a_storage(
    fake: FakeWhereby, whereby: WherebyClient, tmp_path: Path, *, injected: bool
) -> None:
    """Nor along a redirect, nor with a range, whoever has made the session; the calls to the API have them."""
    film = Film(fake, whereby, tmp_path)
    session = aiohttp.ClientSession() if injected else None
    async with (
        OddStorage(serving(CONTENT, cut=100), serving(CONTENT)) as behind,
        OddStorage(always(answer(302, f"Location: {behind.url}"))) as before,
    ):
        before.linked_from(film.fake)
        pool = SessionPool(session=session)
        async with film.fake.client(limiter=Unlimited(), pool=pool) as client:
            await film.download(target := io.BytesIO(), client=client)
        await pool.aclose()
    if session is not None:
        await session.close()
    assert target.getvalue() == CONTENT
    allowed = {"host", "accept", "accept-encoding", "user-agent", "range", "if-range"}
    assert [set(headers) - allowed for headers in before.requests + behind.requests] == [set()] * 4
    assert all(request.headers["traceparent"] == TRACED["traceparent"] for request in film.fake.requests)
