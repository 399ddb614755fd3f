"""The two sides of the matrix: what can go wrong, with what is to come of it, and the operations that meet it."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import functools
import gzip
import itertools
import ssl
import tempfile
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
from support.outages import server_context, tunnel_to
from support.wire_server import Script as ProxyScript, WireServer, answering

from whereby_async import SessionPool, WherebyClient
from whereby_async.limiter import PointBudget
from whereby_async.testing import FakeWhereby, Fault, TcpFault, TcpProxy

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from whereby_async.hooks import RetryDetails

TIMEOUT = 5.0
"""Seconds of simulated time for one attempt."""
MAX_BODY = 1 << 20
"""Bytes that an answer may have."""
LIMIT = 100
"""Points per minute: what the budget assumes of a server that says nothing."""
PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 3000
ROOM = "/standup"
UNTIL = datetime(2099, 1, 1, tzinfo=UTC)


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """An operation of one kind.

    Attributes:
        price: Points.
        again: The server may act on it twice, so it is retried.
        well: The body of a good answer, if the answer is decoded.
        changes: How often the server's state shows that it acted; `None` if the operation changes nothing.
        repeats: Acting twice shows twice.
    """

    name: str
    call: Callable[[WherebyClient, Trial], Awaitable[object]]
    price: int
    again: bool = True
    well: bytes | None = None
    changes: Callable[[Trial], int] | None = None
    repeats: bool = False

    @property
    def body(self) -> bytes:
        """What a good answer may hold."""
        return self.well or b'{"anything": true}'


class Trial:
    """A client with a real budget, a connection whose faults are scripted, and a server, for one operation.

    Attributes:
        accept_before_retry: Let the wire accept connections before the next attempt.
        detours: What a proxy does with its next connections, in place of what it should.
    """

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.accept_before_retry = False
        self.fake = FakeWhereby(limit=1_000_000, header_style="none", processing_time=None)
        self.wire: TcpProxy
        self.whereby: WherebyClient
        self.pool: SessionPool
        self.detours: Iterator[ProxyScript] = iter(())
        self.meeting: str = self.fake.add_meeting(room_name=ROOM, end_date=UNTIL)["meetingId"]
        self.recording: str = self.fake.add_recording(content=b"film")["recordingId"]
        self.transcription: str = self.fake.add_transcription()["transcriptionId"]

    def on_retry(self, details: RetryDetails) -> None:
        if self.accept_before_retry:
            self._accepting = asyncio.ensure_future(self.wire.accept())

    async def forget_connections(self) -> None:
        """Close the connections that are kept alive, and let the client notice."""
        await self.wire.drop_connections()
        await asyncio.sleep(0.01)

    @property
    def spent(self) -> int:
        snapshot = self.whereby.limiter.snapshot()
        return snapshot.limit - snapshot.available


class Certificates:
    """TLS of a server that its clients trust, of one that they do not trust, and of the clients."""

    def __init__(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            self.server = server_context(Path(directory))
            self.client = ssl.create_default_context(cafile=Path(directory, "certificate.pem"))
            self.client.check_hostname = False
            self.stranger = server_context(Path(directory))


certificates = functools.cache(Certificates)


@contextlib.asynccontextmanager
async def trial_of(kind: Kind, *, proxied: bool = False) -> AsyncGenerator[Trial]:
    """A trial whose client is warm: one connection is kept alive, one point is spent.

    If it is `proxied`, the wire leads to a proxy, through which the client reaches the server over TLS.
    """
    trial = Trial(kind)

    async def proxy(server: WireServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        well = tunnel_to(trial.fake.port, certificates().server)
        await next(trial.detours, well)(server, reader, writer)

    async with (
        trial.fake,
        WireServer(proxy) as tunnel,
        TcpProxy(tunnel.url if proxied else trial.fake.url) as trial.wire,
    ):
        budget, base_url = PointBudget(limit=LIMIT), trial.wire.url
        options: dict[str, Any] = {}
        if proxied:
            base_url = f"https://localhost:{trial.fake.port}/v1"
            options = {"proxy": trial.wire.url, "ssl": certificates().client}
        trial.pool = SessionPool(max_body=MAX_BODY, keepalive=60.0, **options)
        async with trial.fake.client(
            base_url=base_url, limiter=budget, pool=trial.pool, timeout=TIMEOUT, hooks=[trial]
        ) as trial.whereby:
            await trial.whereby.meetings.list()
            trial.fake.clear()
            yield trial
        await trial.pool.aclose()
        await budget.aclose()


def _create(
    name: str, call: Callable[[WherebyClient, Trial], Awaitable[object]], changes: Callable[[Trial], int], well: bytes
) -> Kind:
    """A create: its answer is decoded, and it must not be acted on twice."""
    return Kind(name=name, call=call, price=3, again=False, well=well, changes=changes, repeats=True)


KINDS = (
    Kind(
        name="read",
        call=lambda whereby, trial: whereby.meetings.get(trial.meeting),
        price=1,
        well=b'{"meetingId": "1", "roomName": "/standup"}',
    ),
    Kind(
        name="list page",
        call=lambda whereby, _: whereby.recordings.list(page_size=10).collect(),
        price=1,
        well=b'{"results": [], "cursor": null}',
    ),
    Kind(
        name="delete",
        call=lambda whereby, trial: whereby.meetings.delete(trial.meeting),
        price=2,
        changes=lambda trial: int(trial.meeting not in trial.fake.meetings),
    ),
    Kind(
        name="write",
        call=lambda whereby, _: whereby.rooms.set_theme_tokens(ROOM, primary="#00FF00"),
        price=3,
        changes=lambda trial: int(trial.fake.theme(ROOM).primary is not None),
    ),
    Kind(
        name="upload",
        call=lambda whereby, _: whereby.rooms.set_logo(ROOM, PNG),
        price=3,
        changes=lambda trial: int(trial.fake.theme(ROOM).logo == PNG),
    ),
    Kind(
        name="bulk delete",
        call=lambda whereby, trial: whereby.recordings.bulk_delete([trial.recording]),
        price=3,
        changes=lambda trial: int(trial.recording not in trial.fake.recordings),
    ),
    _create(
        "create meeting",
        lambda whereby, _: whereby.meetings.create(end_date=UNTIL),
        lambda trial: len(trial.fake.meetings) - 1,
        b'{"meetingId": "1", "roomName": "/new"}',
    ),
    _create(
        "create transcription",
        lambda whereby, trial: whereby.transcriptions.create(trial.recording),
        lambda trial: len(trial.fake.transcriptions) - 1,
        b'{"transcriptionId": "1"}',
    ),
    _create(
        "create summary",
        lambda whereby, trial: whereby.summaries.create(trial.transcription),
        lambda trial: len(trial.fake.summaries),
        b'{"summaryId": "1"}',
    ),
)


class Effect(enum.Enum):
    HARMLESS = "the caller sees nothing of it"
    UNSENT = "no connection: waited out, for every method"
    DROPPED = "no whole answer: sent again if it may be acted on twice"
    LATE = "no answer in time: sent again if it may be acted on twice"
    FAILED = "a 5xx: sent again if it may be acted on twice"
    EXPIRED = "a 408: sent again if it may be acted on twice"
    NOT_DONE = "a 421 or 425: sent again for every method"
    THROTTLED = "a 429: sent again for every method, at the server's time"
    UNREADABLE = "a success that does not decode: final"
    TOO_LARGE = "a success that is larger than max_body: final"
    MISCODED = "a success in a content encoding that can not be undone: final"
    MOVED = "a redirect: final"
    FORBIDDEN = "a 401: final"
    MISSING = "a 404: final"
    BARRED = "a certificate, or a proxy that refuses for good: no connection, and final"


class Reach(enum.IntEnum):
    UNREAD = 0
    READ = 1
    ACTED = 2


Script: TypeAlias = Callable[[Trial, int | None], Coroutine[Any, Any, None]]
"""Sets the fault up, for so many times, `None` for good."""


class Row(msgspec.Struct, frozen=True):
    """A fault.

    Attributes:
        reach: How far the requests come that it strikes.
        least_wait: Seconds that pass at least before the next attempt.
        proxied: It strikes at a proxy, or at the TLS behind it.
    """

    name: str
    effect: Effect
    script: Script
    reach: Reach = Reach.ACTED
    least_wait: float = 0.0
    proxied: bool = False


def http(alter: Callable[[bytes], bytes] | None = None, part: str = "body", **fault: Any) -> Script:
    """A fault of the server; `alter` makes its body, or another part, of the body that the operation should have."""

    async def script(trial: Trial, times: int | None) -> None:
        given: dict[str, Any] = {part: alter(trial.kind.body), **fault} if alter else fault
        trial.fake.faults.add(Fault(times=times, **given))

    return script


def raw(alter: Callable[[bytes], bytes]) -> Script:
    """Bytes in place of an answer, made from the body that the operation should have; the server acts."""
    return http(alter, "raw")


def tcp(at: Any, do: Any = "reset", *, well: bool = False, **fault: Any) -> Script:
    """A fault below HTTP; `well` gives every answer a body, so that there is one for it to strike in."""

    async def script(trial: Trial, times: int | None) -> None:
        trial.wire.faults.add(TcpFault(at=at, do=do, times=times, **fault))
        if well:
            trial.fake.faults.add(Fault(times=times, body=trial.kind.body))
        if at == "connect":
            await trial.forget_connections()

    return script


def throttled(headers: Mapping[str, str], body: bytes = b"", **fault: Any) -> Script:
    return http(status=429, headers=headers, body=body, points=0, **fault)


def proxied(name: str, effect: Effect, detour: Callable[[Trial], ProxyScript]) -> Row:
    """A fault of a proxy: what it does with a connection."""

    async def script(trial: Trial, times: int | None) -> None:
        trial.detours = itertools.repeat(detour(trial), 100 if times is None else times)
        await trial.forget_connections()

    return Row(name, effect, script, Reach.UNREAD, proxied=True)


def proxy_answers(status: int, effect: Effect) -> Row:
    answer = f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n".encode()
    return proxied(f"proxy answers {status}", effect, lambda _: answering(answer))


async def refused(trial: Trial, times: int | None) -> None:
    """Nobody listens; if not for good, somebody does before the second attempt."""
    await trial.wire.refuse()
    await trial.forget_connections()
    trial.accept_before_retry = times is not None


async def idle_closed(trial: Trial, times: int | None) -> None:
    """The server closes the connection that it had kept."""
    await trial.forget_connections()


async def key_revoked(trial: Trial, times: int | None) -> None:
    trial.fake.api_key = "another-key"


def clock(seconds: float) -> Script:
    async def script(trial: Trial, times: int | None) -> None:
        trial.fake.clock_skew += seconds

    return script


def same(well: bytes) -> bytes:
    return well


def undated(well: bytes) -> bytes:
    """The same with dates that cannot be read, in an object and in a row."""
    row = b'[{"recordingId": "1", "startDate": "Invalid date"}]'
    return well.replace(b"[]", row).replace(b"{", b'{"endDate": "+275760-09-13T00:00:00.000Z", ', 1)


def answer(body: bytes, *headers: str, length: int | None = None) -> bytes:
    lines = ["HTTP/1.1 200 OK", f"Content-Length: {len(body) if length is None else length}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def padded_members(well: bytes) -> bytes:
    return gzip.compress(well[:5]) + gzip.compress(well[5:]) + bytes(100)


HTML = b"<html><head><title>Bad gateway</title></head><body>nginx</body></html>"
PAGE: dict[str, Any] = {"body": HTML, "content_type": "text/html"}
BOMB = gzip.compress(bytes(32 << 20))
GZIPPED = {"Content-Encoding": "gzip"}
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
NO_CONTENT, LAST_CHUNK = b"HTTP/1.1 204 No Content\r\n%s\r\n\r\n", b"0\r\n\r\n"
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </>\r\n\r\n"
DATE = "Mon, 23 Nov 2026 08:00:00 GMT"
BEYOND = "https://elsewhere.example/v1/meetings"


def said(retry_after: str, limit: str, remaining: str, reset: str) -> dict[str, str]:
    names = ("Retry-After", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
    return dict(zip(names, (retry_after, limit, remaining, reset), strict=True))


(
    HARMLESS,
    UNSENT,
    DROPPED,
    LATE,
    FAILED,
    EXPIRED,
    NOT_DONE,
    THROTTLED,
    UNREADABLE,
    TOO_LARGE,
    MISCODED,
    MOVED,
    FORBIDDEN,
    MISSING,
    BARRED,
) = Effect
UNREAD, READ, ACTED = Reach

_BELOW_HTTP = (
    Row("connection refused", UNSENT, refused, UNREAD),
    Row("accepted and stalled", LATE, tcp("connect", "stall"), UNREAD),
    Row("accepted and reset", DROPPED, tcp("connect"), UNREAD),
    Row("accepted and closed", DROPPED, tcp("connect", "close"), UNREAD),
    Row("idle connection closed", HARMLESS, idle_closed),
    Row("kept connection reset under the request", DROPPED, tcp("request"), UNREAD),
    Row("kept connection closed under the request", DROPPED, tcp("request", "close"), UNREAD),
    Row("reset in mid-request", DROPPED, tcp("request", after=60), UNREAD),
    Row("stalled in mid-request", LATE, tcp("request", "stall", after=60), UNREAD),
    Row("reset after reading, before acting", DROPPED, http(drop="before"), READ),
    Row("reset after acting, before answering", DROPPED, http(drop="after")),
    Row("reset in mid-header", DROPPED, tcp("answer", after=20)),
    Row("closed in mid-header", DROPPED, tcp("answer", "close", after=20)),
    Row("stalled in mid-header", LATE, tcp("answer", "stall", after=20)),
    Row("reset in mid-body", DROPPED, tcp("body", after=5, well=True)),
    Row("closed in mid-body", DROPPED, http(same, truncate=5)),
    Row("stalled in mid-body", LATE, tcp("body", "stall", after=5, well=True)),
    Row("header byte by byte, too slow", LATE, tcp("answer", after=80, drip=0.5)),
    Row("header byte by byte, in time", HARMLESS, tcp("answer", after=150, drip=0.001)),
)

_TIME = (
    Row("acts too late", LATE, http(delay=30.0)),
    Row("answers too late", LATE, http(answer_delay=30.0)),
    Row("body byte by byte, too slow", LATE, http(same, drip=1.0)),
    Row("body byte by byte, in time", HARMLESS, http(same, drip=0.01)),
    Row("clock leaps a day ahead", HARMLESS, clock(86400.0)),
    Row("clock falls a day behind", HARMLESS, clock(-86400.0)),
)

_BODIES = (
    Row("gzip, as it should be", HARMLESS, http(gzip.compress, headers=GZIPPED)),
    Row("gzip cut short", DROPPED, http(lambda well: gzip.compress(well)[:-9], headers=GZIPPED)),
    Row("gzip with a wrong sum", MISCODED, http(lambda well: gzip.compress(well)[:-8] + bytes(8), headers=GZIPPED)),
    Row("gzip that is none", MISCODED, http(same, headers=GZIPPED)),
    Row("gzip with more behind its end", HARMLESS, http(lambda well: gzip.compress(well) + b"more", headers=GZIPPED)),
    Row("gzip in members, padded", HARMLESS, http(padded_members, headers=GZIPPED)),
    Row("gzip bomb", TOO_LARGE, http(headers=GZIPPED, body=BOMB)),
    Row("unknown encoding", MISCODED, http(same, headers={"Content-Encoding": "br"})),
    Row("encoding that is a charset", HARMLESS, http(same, headers={"Content-Encoding": "utf-8"})),
    Row("endless body", TOO_LARGE, http(body=b" " * 65536, endless=True)),
    Row("endless body without length", TOO_LARGE, raw(lambda _: b"HTTP/1.1 200 OK\r\n\r\n" + b" " * (MAX_BODY + 1))),
    Row("chunks without end", LATE, http(body=b" ", endless=True, drip=0.5)),
    Row("chunks broken off", DROPPED, raw(lambda well: CHUNKED + b"5\r\n" + well[:3])),
    Row("chunks of no size", DROPPED, raw(lambda well: CHUNKED + b"zz\r\n" + well)),
    Row("content length too long", DROPPED, raw(lambda well: answer(well, length=len(well) + 7))),
    Row("content length too short", UNREADABLE, raw(lambda well: answer(well, length=2))),
    Row("bytes behind the answer", HARMLESS, raw(lambda well: answer(well) + b"\r\n0")),
    Row("content length negative", DROPPED, raw(lambda well: answer(well, length=-1))),
    Row("two content lengths", DROPPED, raw(lambda well: answer(well, "Content-Length: 1"))),
    Row("no HTTP at all", DROPPED, raw(lambda _: b"SSH-2.0-OpenSSH_9.6\r\n\r\n")),
    Row("empty answer", DROPPED, raw(lambda _: b"")),
    Row("header of 20 kB", HARMLESS, raw(lambda well: answer(well, "X-Long: " + "y" * 20_000))),
    Row("header of 100 kB", DROPPED, raw(lambda well: answer(well, "X-Long: " + "y" * 100_000))),
    Row("1000 headers", DROPPED, raw(lambda well: answer(well, *[f"X-{n}: y" for n in range(1000)]))),
    Row("interim answers first", HARMLESS, raw(lambda well: INTERIM + answer(well))),
    Row(
        "204 with an empty last chunk",
        UNREADABLE,
        raw(lambda _: NO_CONTENT % b"Transfer-Encoding: chunked" + LAST_CHUNK),
    ),
    Row("204 with a body", UNREADABLE, raw(lambda _: NO_CONTENT % b"Content-Length: 2" + b"ok")),
    Row("200 with HTML", UNREADABLE, http(**PAGE)),
    Row("200 with nothing", UNREADABLE, http(body=b"")),
    Row("200 with cut-off JSON", UNREADABLE, http(lambda well: well[:-1])),
    Row("200 with JSON of another shape", UNREADABLE, http(body=b'[[{"meetingId": 1}]]')),
    Row("200 with invalid UTF-8", UNREADABLE, http(body=b"\xff\xfe{\x00}")),
    Row("200 with unreadable dates", HARMLESS, http(undated)),
    Row("200 with a BOM", HARMLESS, http(lambda well: b"\xef\xbb\xbf" + well)),
    Row("200 with invalid UTF-8 in a text", HARMLESS, http(lambda well: well.replace(b"{", b'{"x": "\xc3\x28", ', 1))),
)

_REFUSALS = (
    Row("502 with HTML from a proxy", FAILED, http(status=502, points=0, **PAGE), READ),
    Row("503 with HTML from a proxy", FAILED, http(status=503, points=0, **PAGE), READ),
    Row("504 with HTML from a proxy", FAILED, http(status=504, points=0, **PAGE), READ),
    Row("500 after acting", FAILED, http(status=500, act=True)),
    Row("408", EXPIRED, http(status=408, points=0), READ),
    Row("408 after acting", EXPIRED, http(status=408, act=True)),
    Row("421", NOT_DONE, http(status=421, points=0), READ),
    Row("425", NOT_DONE, http(status=425, points=0), READ),
    Row("503 whose body stalls", FAILED, http(status=503, body=HTML, drip=1.0), READ, least_wait=TIMEOUT),
    Row("503 whose body breaks off", FAILED, http(status=503, body=HTML, truncate=5), READ),
    Row("503 without end", FAILED, http(status=503, body=b" " * 65536, endless=True), READ),
    Row("503 that is no gzip", FAILED, http(status=503, body=HTML, headers=GZIPPED), READ),
    Row("404 whose body stalls", MISSING, http(status=404, body=HTML, drip=1.0), READ),
    Row("404 as a gzip bomb", MISSING, http(status=404, body=BOMB, headers=GZIPPED), READ),
    Row("401 in the middle of a job", FORBIDDEN, key_revoked, READ),
    Row("redirect to another host", MOVED, http(redirect=BEYOND), READ),
    Row("redirect to itself", MOVED, http(redirect="", status=307), READ),
    Row("redirect to http", MOVED, http(redirect="http://api.whereby.dev/", status=301), READ),
    Row("redirect to nowhere", MOVED, http(redirect="http://[::1", status=308), READ),
)

_PROXY = (
    *(proxy_answers(status, BARRED) for status in (403, 407, 501)),
    *(proxy_answers(status, UNSENT) for status in (429, 502)),
    proxied(
        "certificate that does not verify", BARRED, lambda trial: tunnel_to(trial.fake.port, certificates().stranger)
    ),
)

_THROTTLED = tuple(
    Row(f"429 {name}", THROTTLED, script, READ, least_wait)
    for name, least_wait, script in (
        ("with Retry-After", 2.5, throttled({"Retry-After": "2.5"})),
        ("with msLeft", 2.5, throttled({}, b'{"error": "Slow down", "data": {"msLeft": 2500}}')),
        ("with ms_left", 2.5, throttled({}, b'{"error": "Slow down", "data": {"ms_left": 2500}}')),
        ("without headers", 0.5, throttled({})),
        (
            "with contradicting headers",
            3.0,
            throttled(
                said("1", "100", "99", "Mon, 23 Nov 2026 08:00:09 GMT") | {"Date": DATE},
                b'{"data": {"msLeft": 3000}}',
            ),
        ),
        (
            "with absurd headers",
            0.5,
            throttled(
                said("9" * 15, "9" * 300, "1e400", "Fri, 31 Dec 9999 23:59:59 GMT"),
                b'{"data": {"msLeft": 1' + b"0" * 400 + b"}}",
            ),
        ),
        ("with negative headers", 0.5, throttled(said("-7", "-100", "-1", "-5"), b'{"data": {"msLeft": -38689}}')),
        (
            "with malformed headers",
            0.5,
            throttled(said("soon", "a lot", "1000, 1000", "tomorrow"), b'{"data": {"msLeft": "NaN"}}'),
        ),
        (
            "across a jump of its clock",
            0.5,
            throttled({"X-RateLimit-Reset": "Tue, 24 Nov 2026 08:00:09 GMT", "Date": DATE}),
        ),
        ("whose body breaks off", 2.0, throttled({"Retry-After": "2"}, b'{"data": {"msLeft": 38689}}', truncate=12)),
        ("as a gzip bomb", 2.0, throttled({"Retry-After": "2", **GZIPPED}, BOMB)),
    )
)

ROWS = (*_BELOW_HTTP, *_TIME, *_BODIES, *_REFUSALS, *_PROXY, *_THROTTLED)
