"""What can go wrong, and what is to come of it: the rows of the matrix."""

from __future__ import annotations

import enum
import gzip
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from whereby_async.testing import Fault, TcpFault

if TYPE_CHECKING:
    from faults.scene import Scene

TIMEOUT = 5.0
"""Seconds of simulated time for one attempt."""
MAX_BODY = 1 << 20
"""Bytes that an answer may have."""


class Fate(enum.Enum):
    """What a fault comes to."""

    HARMLESS = "the caller sees nothing of it"
    UNSENT = "no connection: sent again for every method"
    DROPPED = "no whole answer: sent again if it may be acted on twice"
    LATE = "no answer in time: sent again if it may be acted on twice"
    FAILED = "a 5xx: sent again if it may be acted on twice"
    THROTTLED = "a 429: sent again for every method, at the server's time"
    UNREADABLE = "a success that does not decode: final"
    TOO_LARGE = "a success that is larger than max_body: final"
    MOVED = "a redirect: final"
    FORBIDDEN = "a 401: final"
    MISSING = "a 404: final"


Script: TypeAlias = Callable[["Scene", int | None], Coroutine[Any, Any, None]]
"""Sets the fault up, for so many times, `None` for good."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A fault.

    Attributes:
        name: In words.
        fate: What it comes to.
        script: Sets it up.
        reached: Requests that reach the server when it strikes.
        acted: How many of them the server acts on.
        least_wait: Seconds that pass at least before the next attempt.
    """

    name: str
    fate: Fate
    script: Script
    reached: int = 1
    acted: int = 1
    least_wait: float = 0.0


def http(*, well: bool = False, **fault: Any) -> Script:
    """A fault of the server; `well` gives it the body that the operation should have, if it names none."""

    async def script(scene: Scene, times: int | None) -> None:
        given: dict[str, Any] = {"body": scene.kind.well, **fault} if well else fault
        scene.fake.faults.add(Fault(times=times, **given))

    return script


def altered(alter: Callable[[bytes], bytes], **fault: Any) -> Script:
    """A fault of the server whose body is made from the one that the operation should have."""

    async def script(scene: Scene, times: int | None) -> None:
        scene.fake.faults.add(Fault(times=times, body=alter(scene.kind.well), **fault))

    return script


def raw(alter: Callable[[bytes], bytes]) -> Script:
    """Bytes in place of an answer, made from the body that the operation should have; the server acts."""

    async def script(scene: Scene, times: int | None) -> None:
        scene.fake.faults.add(Fault(times=times, raw=alter(scene.kind.well)))

    return script


def tcp(*, well: bool = False, **fault: Any) -> Script:
    """A fault below HTTP; `well` gives every answer a body, so that there is one for it to strike in."""

    async def script(scene: Scene, times: int | None) -> None:
        scene.wire.faults.add(TcpFault(times=times, **fault))
        if well:
            scene.fake.faults.add(Fault(times=times, body=scene.kind.well))
        if fault.get("at") == "connect":
            await scene.forget_connections()

    return script


async def refused(scene: Scene, times: int | None) -> None:
    """Nobody listens; if not for good, somebody does before the second attempt."""
    await scene.wire.refuse()
    await scene.forget_connections()
    scene.accept_before_retry = times is not None


async def idle_closed(scene: Scene, times: int | None) -> None:
    """The server closes the connection that it had kept."""
    await scene.forget_connections()


async def key_revoked(scene: Scene, times: int | None) -> None:
    """The key is good no more."""
    scene.fake.api_key = "another-key"


def clock(seconds: float) -> Script:
    """The server's wall clock jumps."""

    async def script(scene: Scene, times: int | None) -> None:
        scene.fake.clock_skew += seconds

    return script


def throttled(headers: Mapping[str, str], body: bytes = b"", **fault: Any) -> Script:
    """A 429 with these headers."""
    return http(status=429, headers=headers, body=body, points=0, **fault)


def answer(body: bytes, *headers: str, length: int | None = None, status: str = "200 OK") -> bytes:
    """A whole answer, byte for byte."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


HTML = b"<html><head><title>Bad gateway</title></head><body>nginx</body></html>"
BOMB = gzip.compress(bytes(32 << 20))
GZIPPED = {"Content-Encoding": "gzip"}
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
AMZ = "Mon, 23 Nov 2026 08:00:00 GMT"

_BELOW_HTTP = (
    Row(name="connection refused", fate=Fate.UNSENT, script=refused, reached=0, acted=0),
    Row(name="accepted and stalled", fate=Fate.LATE, script=tcp(at="connect", do="stall"), reached=0, acted=0),
    Row(name="accepted and reset", fate=Fate.DROPPED, script=tcp(at="connect"), reached=0, acted=0),
    Row(name="accepted and closed", fate=Fate.DROPPED, script=tcp(at="connect", do="close"), reached=0, acted=0),
    Row(name="idle connection closed", fate=Fate.HARMLESS, script=idle_closed),
    Row(
        name="kept connection reset under the request", fate=Fate.DROPPED, script=tcp(at="request"), reached=0, acted=0
    ),
    Row(
        name="kept connection closed under the request",
        fate=Fate.DROPPED,
        script=tcp(at="request", do="close"),
        reached=0,
        acted=0,
    ),
    Row(name="reset in mid-request", fate=Fate.DROPPED, script=tcp(at="request", after=60), reached=0, acted=0),
    Row(
        name="stalled in mid-request",
        fate=Fate.LATE,
        script=tcp(at="request", after=60, do="stall"),
        reached=0,
        acted=0,
    ),
    Row(name="reset after reading, before acting", fate=Fate.DROPPED, script=http(drop="before"), acted=0),
    Row(name="reset after acting, before answering", fate=Fate.DROPPED, script=http(drop="after")),
    Row(name="reset in mid-header", fate=Fate.DROPPED, script=tcp(at="answer", after=20)),
    Row(name="closed in mid-header", fate=Fate.DROPPED, script=tcp(at="answer", after=20, do="close")),
    Row(name="stalled in mid-header", fate=Fate.LATE, script=tcp(at="answer", after=20, do="stall")),
    Row(name="reset in mid-body", fate=Fate.DROPPED, script=tcp(at="body", after=5, well=True)),
    Row(name="closed in mid-body", fate=Fate.DROPPED, script=http(truncate=5, well=True)),
    Row(name="stalled in mid-body", fate=Fate.LATE, script=tcp(at="body", after=5, do="stall", well=True)),
    Row(name="header byte by byte, too slow", fate=Fate.LATE, script=tcp(at="answer", after=80, drip=0.5)),
    Row(name="header byte by byte, in time", fate=Fate.HARMLESS, script=tcp(at="answer", after=150, drip=0.001)),
)

_TIME = (
    Row(name="acts too late", fate=Fate.LATE, script=http(delay=30.0)),
    Row(name="answers too late", fate=Fate.LATE, script=http(answer_delay=30.0)),
    Row(name="body byte by byte, too slow", fate=Fate.LATE, script=http(drip=1.0, well=True)),
    Row(name="body byte by byte, in time", fate=Fate.HARMLESS, script=http(drip=0.01, well=True)),
    Row(name="clock leaps a day ahead", fate=Fate.HARMLESS, script=clock(86400.0)),
    Row(name="clock falls a day behind", fate=Fate.HARMLESS, script=clock(-86400.0)),
)

_BODIES = (
    Row(
        name="gzip, as it should be",
        fate=Fate.HARMLESS,
        script=altered(gzip.compress, headers=GZIPPED),
    ),
    Row(
        name="gzip cut short",
        fate=Fate.DROPPED,
        script=altered(lambda well: gzip.compress(well)[:-9], headers=GZIPPED),
    ),
    Row(
        name="gzip with a wrong sum",
        fate=Fate.DROPPED,
        script=altered(lambda well: gzip.compress(well)[:-8] + bytes(8), headers=GZIPPED),
    ),
    Row(name="gzip that is none", fate=Fate.DROPPED, script=http(headers=GZIPPED, well=True)),
    Row(
        name="gzip with more behind its end",
        fate=Fate.DROPPED,
        script=altered(lambda well: gzip.compress(well) * 2, headers=GZIPPED),
    ),
    Row(name="gzip bomb", fate=Fate.TOO_LARGE, script=http(headers=GZIPPED, body=BOMB)),
    Row(name="unknown encoding", fate=Fate.DROPPED, script=http(headers={"Content-Encoding": "br"}, well=True)),
    Row(name="endless body", fate=Fate.TOO_LARGE, script=http(body=b" " * 65536, endless=True)),
    Row(
        name="endless body without length",
        fate=Fate.TOO_LARGE,
        script=raw(lambda _: b"HTTP/1.1 200 OK\r\n\r\n" + b" " * (MAX_BODY + 1)),
    ),
    Row(name="chunks without end", fate=Fate.LATE, script=http(body=b" ", endless=True, drip=0.5)),
    Row(name="chunks broken off", fate=Fate.DROPPED, script=raw(lambda well: CHUNKED + b"5\r\n" + well[:3])),
    Row(name="chunks of no size", fate=Fate.DROPPED, script=raw(lambda well: CHUNKED + b"zz\r\n" + well)),
    Row(
        name="content length too long",
        fate=Fate.DROPPED,
        script=raw(lambda well: answer(well, length=len(well) + 7)),
    ),
    Row(name="content length too short", fate=Fate.DROPPED, script=raw(lambda well: answer(well, length=2))),
    Row(name="content length negative", fate=Fate.DROPPED, script=raw(lambda well: answer(well, length=-1))),
    Row(
        name="two content lengths",
        fate=Fate.DROPPED,
        script=raw(lambda well: answer(well, "Content-Length: 1")),
    ),
    Row(name="no HTTP at all", fate=Fate.DROPPED, script=raw(lambda _: b"SSH-2.0-OpenSSH_9.6\r\n\r\n")),
    Row(name="empty answer", fate=Fate.DROPPED, script=raw(lambda _: b"")),
    Row(
        name="header of 100 kB",
        fate=Fate.DROPPED,
        script=raw(lambda well: answer(well, "X-Long: " + "y" * 100_000)),
    ),
    Row(
        name="1000 headers",
        fate=Fate.DROPPED,
        script=raw(lambda well: answer(well, *[f"X-{n}: y" for n in range(1000)])),
    ),
    Row(
        name="interim answers first",
        fate=Fate.HARMLESS,
        script=raw(
            lambda well: b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </>\r\n\r\n" + answer(well)
        ),
    ),
    Row(name="200 with HTML", fate=Fate.UNREADABLE, script=http(body=HTML, content_type="text/html")),
    Row(name="200 with nothing", fate=Fate.UNREADABLE, script=http(body=b"")),
    Row(name="200 with cut-off JSON", fate=Fate.UNREADABLE, script=altered(lambda well: well[:-1])),
    Row(name="200 with JSON of another shape", fate=Fate.UNREADABLE, script=http(body=b'[[{"meetingId": 1}]]')),
    Row(name="200 with invalid UTF-8", fate=Fate.UNREADABLE, script=http(body=b"\xff\xfe{\x00}")),
    Row(name="200 with a BOM", fate=Fate.HARMLESS, script=altered(lambda well: b"\xef\xbb\xbf" + well)),
    Row(
        name="200 with invalid UTF-8 in a text",
        fate=Fate.HARMLESS,
        script=altered(lambda well: well.replace(b"{", b'{"x": "\xc3\x28", ', 1)),
    ),
)

_REFUSALS = (
    *[
        Row(
            name=f"{status} with HTML from a proxy",
            fate=Fate.FAILED,
            script=http(status=status, body=HTML, content_type="text/html", points=0),
            acted=0,
        )
        for status in (502, 503, 504)
    ],
    Row(name="500 after acting", fate=Fate.FAILED, script=http(status=500, act=True)),
    Row(
        name="503 whose body stalls",
        fate=Fate.FAILED,
        script=http(status=503, body=HTML, drip=1.0),
        acted=0,
        least_wait=TIMEOUT,
    ),
    Row(name="503 whose body breaks off", fate=Fate.FAILED, script=http(status=503, body=HTML, truncate=5), acted=0),
    Row(name="503 without end", fate=Fate.FAILED, script=http(status=503, body=b" " * 65536, endless=True), acted=0),
    Row(
        name="503 that is no gzip",
        fate=Fate.FAILED,
        script=http(status=503, body=HTML, headers=GZIPPED),
        acted=0,
    ),
    Row(name="404 whose body stalls", fate=Fate.MISSING, script=http(status=404, body=HTML, drip=1.0), acted=0),
    Row(name="404 as a gzip bomb", fate=Fate.MISSING, script=http(status=404, body=BOMB, headers=GZIPPED), acted=0),
    Row(name="401 in the middle of a job", fate=Fate.FORBIDDEN, script=key_revoked, acted=0),
    Row(
        name="redirect to another host",
        fate=Fate.MOVED,
        script=http(redirect="https://elsewhere.example/v1/meetings"),
        acted=0,
    ),
    Row(name="redirect to itself", fate=Fate.MOVED, script=http(redirect="", status=307), acted=0),
    Row(name="redirect to http", fate=Fate.MOVED, script=http(redirect="http://api.whereby.dev/", status=301), acted=0),
    Row(name="redirect to nowhere", fate=Fate.MOVED, script=http(redirect="http://[::1", status=308), acted=0),
)

_THROTTLED = (
    Row(
        name="429 with Retry-After",
        fate=Fate.THROTTLED,
        script=throttled({"Retry-After": "2.5"}),
        acted=0,
        least_wait=2.5,
    ),
    Row(
        name="429 with msLeft",
        fate=Fate.THROTTLED,
        script=throttled({}, b'{"error": "Slow down", "data": {"msLeft": 2500}}'),
        acted=0,
        least_wait=2.5,
    ),
    Row(name="429 without headers", fate=Fate.THROTTLED, script=throttled({}), acted=0, least_wait=0.5),
    Row(
        name="429 with contradicting headers",
        fate=Fate.THROTTLED,
        script=throttled(
            {
                "Retry-After": "1",
                "X-RateLimit-Limit": "100",
                "X-RateLimit-Remaining": "99",
                "X-RateLimit-Reset": "Mon, 23 Nov 2026 08:00:09 GMT",
                "Date": AMZ,
            },
            b'{"data": {"msLeft": 3000}}',
        ),
        acted=0,
        least_wait=3.0,
    ),
    Row(
        name="429 with absurd headers",
        fate=Fate.THROTTLED,
        script=throttled(
            {
                "Retry-After": "9" * 15,
                "X-RateLimit-Limit": "9" * 300,
                "X-RateLimit-Remaining": "1e400",
                "X-RateLimit-Reset": "Fri, 31 Dec 9999 23:59:59 GMT",
            },
            b'{"data": {"msLeft": 1' + b"0" * 400 + b"}}",
        ),
        acted=0,
        least_wait=0.5,
    ),
    Row(
        name="429 with negative headers",
        fate=Fate.THROTTLED,
        script=throttled(
            {
                "Retry-After": "-7",
                "X-RateLimit-Limit": "-100",
                "X-RateLimit-Remaining": "-1",
                "X-RateLimit-Reset": "-5",
            },
            b'{"data": {"msLeft": -38689}}',
        ),
        acted=0,
        least_wait=0.5,
    ),
    Row(
        name="429 with malformed headers",
        fate=Fate.THROTTLED,
        script=throttled(
            {
                "Retry-After": "soon",
                "X-RateLimit-Limit": "a lot",
                "X-RateLimit-Remaining": "1000, 1000",
                "X-RateLimit-Reset": "tomorrow",
            },
            b'{"data": {"msLeft": "NaN"}}',
        ),
        acted=0,
        least_wait=0.5,
    ),
    Row(
        name="429 across a jump of its clock",
        fate=Fate.THROTTLED,
        script=throttled({"X-RateLimit-Reset": "Tue, 24 Nov 2026 08:00:09 GMT", "Date": AMZ}),
        acted=0,
        least_wait=0.5,
    ),
    Row(
        name="429 whose body breaks off",
        fate=Fate.THROTTLED,
        script=throttled({"Retry-After": "2"}, b'{"data": {"msLeft": 38689}}', truncate=12),
        acted=0,
        least_wait=2.0,
    ),
    Row(
        name="429 as a gzip bomb",
        fate=Fate.THROTTLED,
        script=throttled({"Retry-After": "2", **GZIPPED}, BOMB),
        acted=0,
        least_wait=2.0,
    ),
)

ROWS = (*_BELOW_HTTP, *_TIME, *_BODIES, *_REFUSALS, *_THROTTLED)
