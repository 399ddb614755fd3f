"""Whatever a server answers with becomes a result, an error of ours, or a rate limit that is no nonsense.

The long command: `WHEREBY_EXAMPLES=100000 python -m pytest tests/fuzz --timeout=0`.
"""

from __future__ import annotations

import asyncio
import copy
import functools
import gzip
import json
import pickle
import traceback
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qsl

import pytest
from fuzz.inputs import altered, attempted, effort, encoded, spoilt, words
from hypothesis import example, given, strategies as st
from multidict import CIMultiDict, CIMultiDictProxy
from support.wire_server import WireServer

from whereby_async import RetryPolicy, SessionPool, WherebyClient, capture_responses, operations
from whereby_async.errors import APIStatusError, InternalServerError, RateLimitError, WherebyError, status_error_class
from whereby_async.limiter import Unlimited
from whereby_async.operation import Operation
from whereby_async.pagination import Paginator
from whereby_async.rate_limit import LONGEST_WAIT, MOST_POINTS, RateLimit
from whereby_async.status_errors import status_error
from whereby_async.testing import FakeWhereby, SimulatedLoop

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Sequence

    from whereby_async.models import Meeting
    from whereby_async.operation import Request

T = TypeVar("T")

ALL: list[Operation[Any]] = [value for value in vars(operations).values() if isinstance(value, Operation)]


@functools.cache
def valid_bodies() -> dict[str, bytes]:
    """A body of each operation as the fake server answers it."""
    return asyncio.run(_ask_everything())


async def _ask_everything() -> dict[str, bytes]:
    bodies: dict[str, bytes] = {}
    async with FakeWhereby() as fake, fake.client() as client:
        meeting = fake.add_meeting(dial_in=True)
        session = fake.add_session(meeting["roomName"])
        recording = fake.add_recording(room_name=meeting["roomName"])
        people = fake.participants[session["roomSessionId"]]
        person = people[0]["participantId"]
        calls: dict[str, Callable[[], Any]] = {
            "meetings.get": lambda: client.meetings.get(meeting["meetingId"]),
            "meetings.list": client.meetings.list,
            "recordings.get": lambda: client.recordings.get(recording["recordingId"]),
            "recordings.list": client.recordings.list,
            "recordings.access_link": lambda: client.recordings.access_link(recording["recordingId"]),
            "transcriptions.create": lambda: client.transcriptions.create(recording["recordingId"]),
            "transcriptions.list": client.transcriptions.list,
            "insights.rooms": client.insights.rooms,
            "insights.room_sessions": lambda: client.insights.room_sessions(meeting["roomName"]),
            "insights.participants": lambda: client.insights.participants(room_session_id=session["roomSessionId"]),
            "insights.participant": lambda: client.insights.participant(session["roomSessionId"], person),
            "summaries.list": client.summaries.list,
        }
        for name, call in calls.items():
            with capture_responses() as answers:
                await call()
            bodies[name] = bytes(answers[-1].body)
    bodies["meetings.create"] = bodies["meetings.get"]
    bodies["transcriptions.get"] = json.dumps(json.loads(bodies["transcriptions.list"])["results"][0]).encode()
    return bodies


def originals(operation: Operation[Any]) -> list[bytes]:
    """Valid bodies of the operation, or of another one if it has none of its own."""
    bodies = valid_bodies()
    return [bodies[operation.name]] if operation.name in bodies else list(bodies.values())


@st.composite
def answers(draw: st.DrawFn) -> tuple[Operation[Any], bytes]:
    operation = draw(st.sampled_from(ALL))
    match draw(st.sampled_from(("bytes", "spoilt", "altered", "altered"))):
        case "bytes":
            return operation, draw(st.binary())
        case "spoilt":
            return operation, draw(spoilt(originals(operation)))
        case _:
            return operation, draw(encoded(altered(json.loads(draw(st.sampled_from(originals(operation)))))))


def test_the_valid_bodies_are_valid() -> None:
    """Each decodes, so that spoiling it is worth something."""
    by_name = {operation.name: operation for operation in ALL}
    for name, body in valid_bodies().items():
        by_name[name].decode(body)


@effort(500)
@given(case=answers())
def test_any_body_decodes_or_raises_response_decode_error(case: tuple[Operation[Any], bytes]) -> None:
    """A result that can be shown, or an error that keeps the body and says where."""
    operation, body = case
    result, error = attempted(lambda: operation.decode(body))
    repr(result)
    if error is not None:
        assert error.body == body
        assert error.path.startswith("$")
        assert error.may_have_happened
        str(error)


class Pages:
    """Answers each request with the page behind its cursor, and keeps the cursors that were asked for."""

    def __init__(self, pages: dict[str | None, bytes]) -> None:
        self._pages = pages
        self.cursors: list[str | None] = []

    async def send(self, request: Request[T], /) -> T:
        assert request.target.isascii()
        query = dict(parse_qsl(request.target.partition("?")[2], keep_blank_values=True, errors="strict"))
        assert query["limit"] == "7"
        self.cursors.append(query.get("cursor"))
        return request.operation.decode(self._pages.get(query.get("cursor"), b'{"results":[]}'))

    def pinned(self) -> Pages:
        return self


CURSORS = ("a", "b", "c", "", " ", "&cursor=a", "%2F", "a+b", "\x00", "\r\nX: y", "é😀", "x" * 3000)


def page(number: int, cursor: object) -> bytes:
    row = {"meetingId": str(number), "roomUrl": "https://example.whereby.com/x", "endDate": "2025-01-01T00:00:00Z"}
    return json.dumps({"results": [row], "cursor": cursor}).encode()


def walked(following: dict[str | None, str | None]) -> tuple[list[str | None], bool]:
    """The cursors of a walk, and whether it comes to an end."""
    cursors: list[str | None] = [None]
    while cursor := following.get(cursors[-1]):
        if cursor in cursors:
            return cursors, False
        cursors.append(cursor)
    return cursors, True


def collected(sender: Pages) -> list[Meeting]:
    paginator: Paginator[Meeting] = Paginator(
        sender, operations.LIST_MEETINGS.bind(query=[("limit", "7")]), page_size=7
    )
    return asyncio.run(paginator.collect())


@effort(200)
@given(following=st.dictionaries(st.none() | st.sampled_from(CURSORS), st.none() | st.sampled_from(CURSORS)))
def test_a_list_ends_or_says_that_it_would_not(following: dict[str | None, str | None]) -> None:
    """Cursors go back as they came; one that comes twice is a `ResponseDecodeError`; no page is asked for twice."""
    pages = {cursor: page(number, next_cursor) for number, (cursor, next_cursor) in enumerate(following.items())}
    sender = Pages(pages)
    cursors, ends = walked(following)
    found, error = attempted(lambda: collected(sender))
    assert ends == (error is None)
    if error is not None:
        assert error.path == "$.cursor"
    if found is not None:
        assert len(found) == sum(cursor in following for cursor in cursors)
    assert sender.cursors == cursors


@effort(200)
@given(odd=words())
def test_a_cursor_of_any_kind_is_one_more_page_or_none(odd: object) -> None:
    """What is no text goes back as text, ends the list, or is a `ResponseDecodeError`."""
    sender = Pages({None: page(0, odd)})
    found, error = attempted(lambda: collected(sender))
    if error is not None:
        assert error.path == "$.cursor"
    if found is not None:
        assert [meeting.meeting_id for meeting in found] == ["0"]
        assert len(sender.cursors) <= 2


# Errors

KEY = "eyJhbGciOiJub25lIn0.c2VjcmV0.a-planted-key"

KNOWN = (
    {"error": "Rate limit active for throttle key: organization:1", "data": {"msLeft": 38689}},
    {"message": "no such meeting", "statusCode": 404},
    {"error": {"code": "x", "reasons": ["a", {"b": None}]}},
    f"the key {KEY} is wrong",
    [f"Bearer {KEY}"],
)
ERROR_PAGES = (
    *(json.dumps(known).encode() for known in KNOWN),
    b"<html><head><style>a{}</style></head><body><h1>502 Bad Gateway</h1>nginx</body></html>",
    b"<script>" * 700,
    b"<" * 6000,
    b'{"error":' + b"[" * 900 + b"]" * 900 + b"}",
    b'{"error":' + b"9" * 4400 + b"}",
)


def refusal(status: int, body: bytes, rate_limit: RateLimit | None = None) -> APIStatusError:
    source = "the variable WHEREBY_API_KEY"
    return status_error("meetings.get", status, body, rate_limit=rate_limit or RateLimit(), key=KEY, key_source=source)


def error_bodies() -> st.SearchStrategy[bytes]:
    """Any bytes, any JSON, and bodies of known shapes, spoilt."""
    shaped = st.sampled_from(KNOWN).flatmap(altered) | words().map(lambda value: {"error": value})
    return (
        st.binary()
        | spoilt(ERROR_PAGES)
        | st.sampled_from(ERROR_PAGES)
        | shaped.map(lambda value: json.dumps(value).encode())
    )


@effort(300)
@given(status=st.sampled_from((302, 400, 401, 404, 429, 500)) | st.integers(0, 999), body=error_bodies())
def test_any_body_becomes_the_error_of_its_status(status: int, body: bytes) -> None:
    """Its class, a line that can be printed, no key in any of its parts; it pickles."""
    rate_limit = RateLimit.from_response(status, {}, body)
    error = refusal(status, body, rate_limit)
    assert type(error) is status_error_class(status)
    assert isinstance(error, InternalServerError) == (status >= 500)
    assert isinstance(error, RateLimitError) == (status == 429)
    assert str(error).isprintable()
    assert len(error.message) <= 300
    for told in (str(error), repr(error), error.message, "".join(traceback.format_exception(error))):
        assert KEY not in told
    assert KEY.encode() not in error.body
    again = pickle.loads(pickle.dumps(error))
    assert isinstance(again, APIStatusError)
    copy.deepcopy(error)
    assert (again.status, again.message, again.body) == (error.status, error.message, error.body)


@pytest.mark.parametrize("deep", [b"[" * 600 + b"]" * 600, b'{"a":' * 600 + b"1" + b"}" * 600])
def test_data_nested_too_deeply_to_be_copied_is_left_out(deep: bytes) -> None:
    """Its error pickles and copies like any other, and its body is kept whole; data of usual depth is kept."""
    body = b'{"error":"no","data":' + deep + b"}"
    error = refusal(400, body)
    assert (error.message, error.data, error.body) == ("no", None, body)
    assert copy.deepcopy(pickle.loads(pickle.dumps(error))).body == body
    shallow = refusal(400, b'{"data":[{"a":[1]}]}')
    assert shallow.data == [{"a": [1]}]


# Headers of the rate limit

NAMES = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "Retry-After", "Date")
IETF_NAMES = ("RateLimit", "RateLimit-Policy", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")

SPELLINGS = (
    b"1000",
    b"38.689",
    b"1709632838",
    b"1709632838689",
    b"2024-03-05T10:00:38.689Z",
    b"2024-03-05T11:00:38+01:00",
    b"Tue, 05 Mar 2024 10:00:38 GMT",
    b"Tuesday, 05-Mar-24 10:00:38 GMT",
    b"Tue Mar  5 10:00:38 2024",
    b"Tue Mar 05 2024 11:00:38 GMT+0100 (Central European Standard Time)",
)
IETF_SPELLINGS = (
    b"50",
    b"100, 100;w=60",
    b'"default";r=50;t=30',
    b'"default";q=100;w=60;pk=:MDZj:;qu="requests"',
    b'"day";r=400;t=3000, "default";r=5;t=30',
    b"limit=100, remaining=50, reset=30",
    b'10;w=1, 100;w=60;comment="sliding \\"window\\""',
)
BITS = (
    *(
        b"",
        b"-",
        b"+",
        b".",
        b":",
        b"T",
        b"Z",
        b"9" * 20,
        b"GMT",
        b"+9999",
        b"24:60:61",
        b"(",
        b"\xd9\xa3",
        b"e9",
        b"_",
    ),
    *(b'"', b"\\", b";", b",", b"=", b";w=1", b";r=0", b";q=9" * 200, b"-1"),
)


def header_values(spellings: Sequence[bytes] = SPELLINGS) -> st.SearchStrategy[str]:
    """Times and counts, or other spellings, right or spoilt; and any text."""
    return spoilt(spellings, BITS).map(lambda data: data.decode("utf-8", "surrogateescape")) | st.text()


def refusals() -> st.SearchStrategy[bytes]:
    """Any bytes, and bodies of a 429 with anything for `msLeft`."""
    told = words().map(lambda left: json.dumps({"error": "Rate limit active", "data": {"msLeft": left}}).encode())
    return st.binary() | told | spoilt([b'{"error":"Rate limit active","data":{"msLeft":38689}}'])


def assert_sane(answer: RateLimit, status: int) -> None:
    """Nothing in it that cannot be true."""
    assert answer.limit is None or 1 <= answer.limit <= MOST_POINTS
    assert answer.remaining is None or 0 <= answer.remaining <= MOST_POINTS
    for seconds in (answer.reset_in, answer.retry_after, answer.period):
        assert seconds is None or 0 <= seconds <= LONGEST_WAIT
    assert answer.period != 0
    assert answer.throttled == (status == 429)


@effort(300)
@example(status=429, headers={}, body=b'"\x80"', folded=False)
@given(
    status=st.sampled_from((200, 429, 503)) | st.integers(0, 999),
    headers=st.dictionaries(st.sampled_from(NAMES), header_values()),
    body=refusals(),
    folded=st.booleans(),
)
def test_any_headers_and_body_are_read(status: int, headers: dict[str, str], body: bytes, folded: bool) -> None:
    """In a plain dictionary and in aiohttp's own."""
    given_headers = CIMultiDictProxy(CIMultiDict(headers)) if folded else headers
    assert_sane(RateLimit.from_response(status, given_headers, body), status)


@effort(300)
@given(
    status=st.sampled_from((200, 429)),
    headers=st.dictionaries(st.sampled_from(IETF_NAMES), header_values(IETF_SPELLINGS), min_size=1),
    others=st.dictionaries(st.sampled_from(("Retry-After", "Date", "X-RateLimit-Reset")), header_values(), max_size=1),
    folded=st.booleans(),
)
def test_any_ietf_fields_are_read(status: int, headers: dict[str, str], others: dict[str, str], folded: bool) -> None:
    """Alone, and beside a header that overrules them."""
    both = headers | others
    answer = RateLimit.from_response(status, CIMultiDictProxy(CIMultiDict(both)) if folded else both)
    assert_sane(answer, status)
    if "X-RateLimit-Reset" in others:
        assert answer == RateLimit.from_response(status, others)


@effort(150)
@given(
    remaining=st.integers(0, MOST_POINTS),
    reset=st.integers(0, 3600),
    quota=st.integers(1, MOST_POINTS),
    window=st.integers(1, 86_400),
    name=st.from_regex(r"\A[ !#-\[\]-~]{0,40}\Z"),
)
def test_what_is_right_is_believed(remaining: int, reset: int, quota: int, window: int, name: str) -> None:
    """The same numbers in the words of each draft."""
    expected = RateLimit(limit=quota, remaining=remaining, reset_in=reset, period=window)
    numbers = {"RateLimit-Limit": f"{quota}, {quota};w={window}", "RateLimit-Remaining": str(remaining)}
    for headers in (
        {"RateLimit": f'"{name}";r={remaining};t={reset}', "RateLimit-Policy": f'"{name}";q={quota};w={window}'},
        {
            "RateLimit": f"limit={quota}, remaining={remaining}, reset={reset}",
            "RateLimit-Policy": f"{quota};w={window}",
        },
        numbers | {"RateLimit-Reset": str(reset)},
    ):
        assert RateLimit.from_response(200, headers) == expected


@effort(150)
@given(headers=st.dictionaries(st.text(), st.text()), body=st.binary())
def test_any_names_are_read(headers: dict[str, str], body: bytes) -> None:
    """Names that nobody has heard of make no difference."""
    assert_sane(RateLimit.from_response(429, headers, body), 429)


# Raw bytes, over a real socket; on a simulated clock, so that a stalled answer takes no time

TIMEOUT = 5.0
MAX_WAIT = 20.0
TRIES = 3

MEETING = b'{"meetingId":"1","roomUrl":"https://example.whereby.com/x","endDate":"2025-01-01T00:00:00Z"}'
LIMITS = b"X-RateLimit-Limit: 1000\r\nX-RateLimit-Remaining: 7\r\nX-RateLimit-Reset: 9\r\n"
ZIPPED = gzip.compress(MEETING, mtime=0)


def answer(head: bytes, body: bytes = b"") -> bytes:
    return b"HTTP/1.1 %s\r\n%sContent-Length: %d\r\n\r\n%s" % (head, LIMITS, len(body), body)


VALID = (
    answer(b"200 OK", MEETING),
    answer(b"200 OK", b'{"results":[' + MEETING + b'],"cursor":null}'),
    answer(b"201 Created", MEETING),
    answer(b"204 No Content"),
    answer(b"302 Found\r\nLocation: http://127.0.0.1:1/", b"gone"),
    answer(b"404 Not Found", b'{"error":"no such meeting"}'),
    answer(b"429 Too Many Requests\r\nRetry-After: 2", b'{"error":"Rate limit active","data":{"msLeft":2000}}'),
    answer(b"503 Service Unavailable\r\nRetry-After: 1", b"<html>busy</html>"),
    answer(b"200 OK\r\nContent-Encoding: gzip", ZIPPED),
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(MEETING), MEETING),
    b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + MEETING,
    b"HTTP/1.0 200 OK\r\n\r\n" + MEETING,
    b"HTTP/1.1 100 Continue\r\n\r\n" + answer(b"200 OK", MEETING),
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
)

PIECES = (
    *(b"\r\n", b"\r\n\r\n", b"\r", b"\x00", b" ", b": ", b"HTTP/1.1 ", b"HTTP/9.9 ", b"HTTP/1.1 200 OK\r\n\r\n"),
    *(b"099", b"999", b"1000", b"-1", b"9" * 30),
    *(b"Content-Length: 3\r\n", b"Content-Length: -5\r\n", b"Content-Length: 99999999999999999999\r\n"),
    *(b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip, chunked\r\n"),
    *(b"Content-Encoding: %s\r\n" % coding for coding in (b"gzip", b"deflate", b"br", b"zstd")),
    *(b"Content-Type: \xff/\xfe; charset=\x80\r\n", b"Set-Cookie: a=\xff; path=;;=\r\n", b"Link: <;>;rel=\r\n"),
    *(b"Connection: upgrade\r\nUpgrade: h2c\r\n", b"X-RateLimit-Remaining: \xed\xa0\x80\r\n"),
    *(b"Retry-After: 0\r\n", b"Retry-After: 9999999\r\n", b"X" * 9000, b"\xff" * 10, ZIPPED[:20]),
)


class Wire:
    """A raw server and a client of it, kept for all examples.

    Attributes:
        loop: The simulated loop that both run in.
        bad: What the server sends for the next few requests, and whether it then hangs up.
    """

    def __init__(self) -> None:
        self.loop = SimulatedLoop()
        self.complaints: list[dict[str, Any]] = []
        self.loop.set_exception_handler(lambda _, context: self.complaints.append(context))
        self.bad = b""
        self.hangs_up = False
        self.left = 0
        self._served = 0
        self.pool = SessionPool(connections=2)
        self.server = WireServer(self._script)
        self.run(self.server.__aenter__())

    def client(self) -> WherebyClient:
        """A client of one's own: what the bytes did to another's budgets does not count."""
        return WherebyClient(
            "k" * 20,
            base_url=self.server.url,
            pool=self.pool,
            limiter=Unlimited(),
            timeout=TIMEOUT,
            max_wait=MAX_WAIT,
            retry=RetryPolicy(attempts=2),
        )

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(coroutine)

    async def _script(self, server: WireServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await server.next_request(reader)
            if self.left:
                self.left -= 1
                writer.write(self.bad)
                if self.hangs_up:
                    return
            else:
                self._served += 1
                writer.write(answer(b"200 OK", json.dumps({"served": self._served}).encode()))

    async def next_call_gets_its_own_answer(self) -> None:
        """A bad answer's rest is not taken for the answer to the next request."""
        told = await self.client().request("GET", "/next")
        assert told == {"served": self._served}

    def close(self) -> None:
        self.run(self.pool.aclose())
        self.run(self.server.__aexit__())
        self.loop.close()
        assert not self.complaints, self.complaints


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    wire = Wire()
    yield wire
    wire.close()


CALLS: dict[str, Callable[[WherebyClient], Coroutine[Any, Any, object]]] = {
    "read": lambda client: client.meetings.get("1"),
    "list": lambda client: client.meetings.list().collect(),
    "create": lambda client: client.meetings.create(end_date=datetime.now(UTC) + timedelta(hours=1)),
    "delete": lambda client: client.meetings.delete("1"),
    "participant": lambda client: client.insights.participant("1", "2"),
    "anything": lambda client: client.request("GET", "/anything"),
}


@effort(250)
@given(
    kind=st.sampled_from(tuple(CALLS)),
    bad=spoilt(VALID, PIECES) | spoilt(VALID, PIECES) | st.sampled_from(VALID) | st.binary(max_size=64),
    hangs_up=st.booleans(),
    times=st.integers(1, TRIES),
)
def test_any_bytes_end_in_a_result_or_an_error_of_ours(
    wire: Wire, kind: str, bad: bytes, hangs_up: bool, times: int
) -> None:
    """No other error, no later than the timeouts allow; no slot, no permit and no wrong answer is left behind."""
    wire.bad, wire.hangs_up, wire.left = bad, hangs_up, times
    client = wire.client()

    async def call() -> None:
        began = wire.loop.time()
        try:
            await CALLS[kind](client)
        except WherebyError as error:
            str(error)
        most = (TRIES + 2) * TIMEOUT + MAX_WAIT + 2
        assert wire.loop.time() - began <= most
        assert wire.pool.in_use == wire.pool.waiting == 0
        assert client.limiter.snapshot().in_flight == 0
        wire.left = 0
        await wire.next_call_gets_its_own_answer()

    wire.run(call())
