"""Where the key goes and where it does not; and that nothing a caller passes becomes a header or a second request."""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from support.wire_server import WireServer, answer_each, answering, saying

from whereby_async import (
    APIConnectionError,
    APIStatusError,
    ConfigurationError,
    RetryPolicy,
    SessionPool,
    WherebyClient,
    __version__,
)
from whereby_async.limiter import Unlimited

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

pytestmark = [pytest.mark.anyio, pytest.mark.simulated_clock]

KEY = "planted.api-key"
PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 32
END = "2099-01-01T00:00:00Z"


def client_of(url: str, **options: Any) -> WherebyClient:
    """A client that asks once."""
    given: dict[str, Any] = {"limiter": Unlimited(), "retry": RetryPolicy(attempts=1), **options}
    return WherebyClient(KEY, base_url=url, **given)


# What goes out, byte for byte


async def test_a_call_is_these_bytes_and_no_others() -> None:
    """Request line, host, key, what is accepted, who asks; of a write the length and the type of its JSON, too."""
    async with WireServer(answer_each) as server, client_of(server.url + "/v1") as whereby:
        await whereby.request("GET", "/meetings", params={"limit": 1, "roomName[exact]": "/a b&c=d"})
        await whereby.request("POST", "/meetings", json={"endDate": END})
    common = (
        f"Host: 127.0.0.1:{server.port}\r\nAuthorization: Bearer planted.api-key\r\nAccept: application/json\r\n"
        f"Accept-Encoding: gzip\r\nUser-Agent: whereby-async/{__version__}\r\n"
    )
    read, write = (request.decode() for request in server.requests)
    assert read == f"GET /v1/meetings?limit=1&roomName%5Bexact%5D=%2Fa%20b%26c%3Dd HTTP/1.1\r\n{common}\r\n"
    head, _, body = write.partition("\r\n\r\n")
    assert head == f"POST /v1/meetings HTTP/1.1\r\n{common}Content-Length: 34\r\nContent-Type: application/json"
    assert body == '{"endDate":"2099-01-01T00:00:00Z"}'


# Where the key goes


@pytest.mark.parametrize("status", [300, 301, 302, 303, 305, 307, 308])
@pytest.mark.parametrize("where", ["other port", "other host", "same origin", "protocol-relative"])
async def test_no_redirect_takes_anything_along(status: int, where: str) -> None:
    """Nothing is sent to where a redirect points: not the key, not the body, not even to the same origin."""
    async with WireServer(answer_each) as other:
        location = {
            "other port": other.url + "/v1/meetings",
            "other host": f"http://localhost:{other.port}/",
            "same origin": "/v1/elsewhere",
            "protocol-relative": f"//127.0.0.1:{other.port}/",
        }[where]
        targets = f"Location: {location}\r\nRefresh: 0; url={location}"
        moved = f"HTTP/1.1 {status} Moved\r\n{targets}\r\nContent-Length: 0\r\n\r\n"
        async with WireServer(answering(moved.encode())) as server, client_of(server.url) as whereby:
            for call in (
                whereby.meetings.get("1"),
                whereby.meetings.create(end_date=END),
                whereby.rooms.set_logo("r", PNG),
            ):
                with pytest.raises(APIStatusError) as caught:
                    await call
                assert ("Redirects are not followed" in str(caught.value)) == (status not in {300, 305})
                assert caught.value.status == status
                assert caught.value.may_have_happened is True
            assert len(server.requests) == 3
        assert other.connections == 0


async def test_two_clients_on_one_pool_keep_their_keys_apart() -> None:
    """Connections are shared, keys are not: each origin gets its own client's key."""
    pool = SessionPool(connections=1)
    async with WireServer(answer_each) as one, WireServer(answer_each) as two:
        first = WherebyClient("key-one", base_url=one.url, limiter=Unlimited(), pool=pool)
        second = WherebyClient("key-two", base_url=two.url, limiter=Unlimited(), pool=pool)
        for client in (first, second, first, second):
            await client.request("GET", "/x")
        for client in (first, second):
            await client.aclose()
        await pool.aclose()
        for server, mine, foreign in ((one, b"key-one", b"key-two"), (two, b"key-two", b"key-one")):
            assert len(server.requests) == 2
            assert all(mine in request and foreign not in request for request in server.requests)


async def test_a_server_cannot_plant_a_cookie_or_a_challenge() -> None:
    """What a server sets or asks for changes no later request: cookies, authentication, alternative services, HSTS."""
    planted = (
        b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b; Domain=127.0.0.1\r\nWWW-Authenticate: Basic realm=x\r\n"
        b'Alt-Svc: h2="evil.example:443"\r\nStrict-Transport-Security: max-age=9\r\nContent-Length: 2\r\n\r\n{}'
    )
    async with WireServer(answering(planted)) as server, client_of(server.url) as whereby:
        await whereby.request("GET", "/x")
        await whereby.request("GET", "/x")
    assert server.requests[0] == server.requests[1]


@pytest.mark.parametrize(
    "base_url",
    [
        "https://user@api.whereby.dev/v1",
        "https://user:secret-word@api.whereby.dev/v1",
        "https://:secret-word@api.whereby.dev/v1",
        "https://api.whereby.dev@evil.example/v1",
        "https://api.whereby.dev%40evil.example@evil.example/v1",
        "http://api.whereby.dev/v1",
        "http://127.0.0.1.evil.example/v1",
        "http://localhost.evil.example/v1",
        "http://evil.example#127.0.0.1",
        "http://2130706433/v1",
        "https://api.whereby.dev/v1?x=1",
        "https://api.whereby.dev/v1#x",
        "https://api.whereby.dev/v1\r\nX-Evil: 1",
        "https://api.whereby.dev\\@evil.example/v1",
        "https://api.whereby.dev\t.evil.example/v1",
        "https://api whereby.dev/v1",
        "https://\u0430pi.whereby.dev/v1",
        "https://",
        "//api.whereby.dev/v1",
        "file:///etc/passwd",
        "ftp://api.whereby.dev",
    ],
)
def test_a_base_url_that_could_mislead_is_refused(base_url: str) -> None:
    """User-info, clear text beyond loopback, queries, look-alikes: refused, and no password is repeated."""
    with pytest.raises(ConfigurationError, match="base_url") as caught:
        WherebyClient(KEY, base_url=base_url)
    assert "secret-word" not in str(caught.value)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("key", ["a\r\nX-Evil: 1", "a\nb", "a\rb", "a b", "a\x00b", "a\x7fb", "clé", "\u2028", "a\tb"])
def test_a_key_that_no_header_can_carry_is_refused(key: str) -> None:
    """At construction and in a view, without being repeated."""
    with pytest.raises(ConfigurationError) as made:
        WherebyClient(key)
    with pytest.raises(ConfigurationError) as viewed:
        WherebyClient(KEY).with_options(api_key=key)
    for caught in (made, viewed):
        assert repr(key)[1:-1] not in str(caught.value)


# Proxies

NO_TLS = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize("variable", ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])
async def test_a_proxy_in_the_environment_sees_nothing_unless_asked_for(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable alone takes no request along; `trust_env` does, and then the proxy is told no more than the host."""
    async with WireServer(answering(NO_TLS)) as proxy, WireServer(saying(NO_TLS)) as server:
        monkeypatch.setenv(variable, proxy.url)
        monkeypatch.setenv("no_proxy", "")
        url = f"https://localhost:{server.port}/v1"
        async with client_of(url) as whereby:
            with pytest.raises(APIConnectionError, match="nothing was sent"):
                await whereby.request("GET", "/x")
        assert (proxy.connections, server.connections) == (0, 1)
        pool = SessionPool(trust_env=True)
        # The same server, by an address that is not known to be this machine's own.
        async with client_of(f"https://0.0.0.0:{server.port}/v1", pool=pool) as whereby:
            with pytest.raises(APIConnectionError, match="nothing was sent"):
                await whereby.request("GET", "/x")
        await pool.aclose()
        assert (proxy.connections, server.connections) == (1, 1)
        assert proxy.requests[0].startswith(f"CONNECT 0.0.0.0:{server.port} HTTP/1.1\r\n".encode())
        assert b"planted" not in proxy.requests[0]


async def test_plain_http_to_this_machine_goes_past_every_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy could read it, key and all."""
    async with WireServer(answer_each) as proxy, WireServer(answer_each) as server:
        for variable in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(variable, proxy.url)
        for pool in (SessionPool(trust_env=True), SessionPool(proxy=proxy.url)):
            async with client_of(server.url, pool=pool) as whereby:
                await whereby.request("GET", "/x")
            await pool.aclose()
        assert (proxy.connections, len(server.requests)) == (0, 2)


async def test_http_that_was_allowed_goes_past_every_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on this machine."""
    async with WireServer(answer_each) as proxy, WireServer(answer_each) as server:
        url = f"http://0.0.0.0:{server.port}/v1"
        proxies_are(monkeypatch, proxy.url)
        kinds: list[dict[str, Any]] = [{"trust_env": True}, {"proxy": proxy.url}]
        for kind in kinds:
            async with SessionPool(**kind) as pool, client_of(url, insecure_http=True, pool=pool) as whereby:
                await whereby.request("GET", "/x")
            assert pool.closed
        assert (proxy.connections, len(server.requests)) == (0, 2)


def proxies_are(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Let the environment's variables name a proxy."""
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "https_proxy"):
        monkeypatch.setenv(variable, url)
    for variable in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(variable, raising=False)


class Wrapper:
    """What wraps a session, and says nothing of it."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.request = session.request


class OtherConnector(aiohttp.TCPConnector):
    """A connector that may go its own way, such as one for SOCKS."""


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1", "localhost"])
async def test_plain_http_goes_through_a_session_of_the_users_only_past_every_proxy(
    monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    """One that has a proxy, or beyond this machine one of which that can not be told, is refused; nothing is sent."""
    is_here = host != "0.0.0.0"
    async with contextlib.AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(WireServer(answer_each))
        server = await stack.enter_async_context(WireServer(answer_each))
        proxies_are(monkeypatch, proxy.url)

        async def session(**options: Any) -> aiohttp.ClientSession:
            return await stack.enter_async_context(aiohttp.ClientSession(**options))

        cases: list[tuple[Any, str, bool]] = [
            (await session(), "", True),
            (await session(proxy=proxy.url), host, False),
            (await session(trust_env=True), "", False),
            (await session(trust_env=True), host, is_here),
            (Wrapper(await session()), "", is_here),
            (await session(connector=OtherConnector()), "", is_here),
        ]
        url = f"http://{host}:{server.port}/v1"
        for number, (given, listed, goes) in enumerate(cases):
            monkeypatch.setenv("no_proxy", listed)
            pool = await stack.enter_async_context(SessionPool(session=given))
            whereby = client_of(url, insecure_http=True, pool=pool)
            refused = pytest.raises(
                ConfigurationError, match=r"^SessionPool\(session=…\): plain http would hand the key"
            )
            before = len(server.requests)
            with contextlib.nullcontext() if goes else refused:
                await whereby.request("GET", "/x")
            assert len(server.requests) - before == goes, number
        assert proxy.connections == 0


async def test_a_netrc_is_not_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Somebody else's password for the same host takes the key's place in no case, nor joins it."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password planted-netrc\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    for trust_env in (False, True):
        pool = SessionPool(trust_env=trust_env)
        async with WireServer(answer_each) as server:
            async with client_of(server.url, pool=pool) as whereby:
                await whereby.request("GET", "/x")
            assert re.findall(rb"(?im)^authorization: (.*)\r$", server.requests[0]) == [b"Bearer planted.api-key"]
        await pool.aclose()


# Injection

EVIL = (
    "\r\nX-Evil: 1",
    "a\r\n\r\nGET /evil HTTP/1.1\r\nX-Evil: 1\r\n\r\n",
    "a\nX-Evil: 1",
    "a\rX-Evil: 1",
    "a HTTP/1.1\r\nX-Evil: 1",
    'a"; filename="evil\r\nX-Evil: 1',
    'a"\r\nContent-Type: text/evil\r\n\r\nevil\r\n--',
    "a%0d%0aX-Evil: 1",
    "a\u560d\u560aX-Evil: 1",
    "a\x00b",
    "a\x0bX-Evil: 1",
    "a\x85X-Evil: 1",
    "a\u2028X-Evil: 1",
    "../../evil",
    "..%2f..%2fevil",
    "//evil.example/",
    "a?X-Evil=1#",
    "a;b&c=d",
)

CALLS: dict[str, Callable[[WherebyClient, str], Awaitable[object]]] = {
    "an id": lambda w, evil: w.meetings.get(evil),
    "an id to delete": lambda w, evil: w.recordings.delete(evil),
    "an id for a link": lambda w, evil: w.transcriptions.access_link(evil),
    "ids in bulk": lambda w, evil: w.recordings.bulk_delete([evil]),
    "an id in a body": lambda w, evil: w.transcriptions.create(evil),
    "a room's name in a path": lambda w, evil: w.rooms.set_theme_tokens(evil, primary="#000000"),
    "a room's name in an upload": lambda w, evil: w.rooms.set_logo(evil, PNG),
    "a room's name in a query": lambda w, evil: w.recordings.list(room_name=evil).collect(),
    "a prefix": lambda w, evil: w.meetings.create(end_date=END, room_name_prefix=evil),
    "a filter": lambda w, evil: w.insights.rooms(name_contains=evil).collect(),
    "an external id": lambda w, evil: w.insights.participants(external_id=evil).collect(),
    "a cursor": lambda w, evil: w.meetings.list(cursor=evil).collect(),
    "a field": lambda w, evil: w.meetings.get("1", fields=[evil]),
    "an order": lambda w, evil: w.recordings.list(sort_by=evil).collect(),
    "a date": lambda w, evil: w.meetings.create(end_date=evil),
    "an extra value in a query": lambda w, evil: w.meetings.get("1", extra={"x": evil}),
    "an extra name in a query": lambda w, evil: w.meetings.get("1", extra={evil: "x"}),
    "an extra value in a body": lambda w, evil: w.meetings.create(end_date=END, extra={"x": evil}),
    "an extra name in a body": lambda w, evil: w.meetings.create(end_date=END, extra={evil: "x"}),
    "an extra value in a form": lambda w, evil: w.rooms.set_logo("r", PNG, extra={"x": evil}),
    "an extra name in a form": lambda w, evil: w.rooms.set_logo("r", PNG, extra={evil: "x"}),
    "a method": lambda w, evil: w.request(evil, "/meetings"),
    "a path": lambda w, evil: w.request("GET", f"/meetings/{evil}"),
    "a parameter": lambda w, evil: w.request("GET", "/meetings", params={evil: evil}),
    "an operation's name": lambda w, evil: w.request("GET", "/meetings", operation=evil),
    "a form's field": lambda w, evil: w.request("PUT", "/meetings", files={evil: PNG}),
    "a file's name": lambda w, evil: w.request("PUT", "/meetings", files={"image": cast("BinaryIO", NamedFile(evil))}),
}

HEADERS = {b"host", b"authorization", b"accept", b"accept-encoding", b"user-agent", b"content-length", b"content-type"}
PART_HEADERS = {b"content-disposition", b"content-type", b"content-length"}


class NamedFile:
    def __init__(self, name: str) -> None:
        self.name = name

    def read(self, size: int = -1) -> bytes:
        return PNG


def assert_clean(request: bytes) -> None:
    """One request: our headers, each once, below the API's root; and in a multipart body only the headers of parts."""
    sent, _, body = request.partition(b"\r\n\r\n")
    first, *lines = sent.split(b"\r\n")
    assert re.fullmatch(rb"(GET|POST|PUT|DELETE) /v1/[!-~]+ HTTP/1\.1", first), first
    assert not re.search(rb"/\.\.?(/|\?| )", first)
    names = [line.partition(b":")[0].lower() for line in lines]
    assert len(names) == len(set(names))
    assert set(names) <= HEADERS
    assert not re.search(rb"[\x00-\x08\x0a-\x1f\x7f-\xff]", b"".join(lines))
    kind = next((line for line in lines if line.lower().startswith(b"content-type: multipart/")), b"")
    if kind:
        boundary = b"--" + kind.partition(b"boundary=")[2].strip(b'"')
        for part in body.split(boundary)[1:-1]:
            heads = part.partition(b"\r\n\r\n")[0].strip().split(b"\r\n")
            assert {head.partition(b":")[0].lower() for head in heads} <= PART_HEADERS
            assert not any(re.search(rb"[\x00-\x1f]", head) for head in heads)
            assert sum(head.lower().startswith(b"content-type") for head in heads) <= 1
            assert b"text/evil" not in b"".join(heads)


async def try_all(values: list[str]) -> tuple[int, int]:
    """Every call with every value: how many were sent, and how many refused."""
    sent = refused = 0
    async with WireServer(answer_each) as server, client_of(server.url + "/v1") as whereby:
        for call in CALLS.values():
            for value in values:
                before = len(server.requests)
                try:
                    await call(whereby, value)
                except (ValueError, TypeError):
                    refused += 1
                    assert len(server.requests) == before
                    continue
                except Exception as error:  # noqa: BLE001 - an answer of `{}` does not decode everywhere
                    assert "larger than" not in str(error)  # noqa: PT017 - only if it raises
                sent += 1
                (request,) = server.requests[before:]
                assert_clean(request)
        assert len(server.requests) == sent
    return sent, refused


async def test_nothing_that_is_passed_becomes_a_header() -> None:
    """Ids, names, filters, cursors, extras, fields, file names: refused, or carried where they belong only."""
    sent, refused = await try_all(list(EVIL))
    assert sent + refused == len(CALLS) * len(EVIL)
    assert min(sent, refused) > 100


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.one_of(st.text(), st.text('\r\n\t :"\\;/%.=&?#a\x00\x85\u2028\ud800', max_size=12)), max_size=3))
def test_no_text_whatsoever_becomes_a_header(values: list[str]) -> None:
    """The same with anything that is text."""
    asyncio.run(try_all(values))


@pytest.mark.parametrize("name", ['evil".png', "a\r\nX-Evil: 1.png", "ünï.png", "a\udcff.png", "a;b=c.png", "a\\b.png"])
async def test_the_name_of_a_file_stays_inside_its_quotes(name: str, tmp_path: Path) -> None:
    """Whatever the file system allows; typed uploads do not tell the name at all."""
    path = tmp_path / name
    path.write_bytes(PNG)
    async with WireServer(answer_each) as server, client_of(server.url + "/v1") as whereby:
        await whereby.request("PUT", "/rooms/r/theme/logo", files={"image": path})
        await whereby.rooms.set_logo("r", path)
        for request in server.requests:
            assert_clean(request)
        assert len(server.requests) == 2
        assert b'filename="image.png"' in server.requests[1]
