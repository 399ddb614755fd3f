"""Whatever a 2xx body holds, each of the 27 operations makes its result of it or raises `ResponseDecodeError`; no list walks for ever.

The long command: `WHEREBY_EXAMPLES=100000 python -m pytest tests/fuzz --timeout=0`.
"""

from __future__ import annotations

import asyncio
import functools
import json
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qsl

from fuzz.effort import effort
from fuzz.mutations import altered, spoilt, words
from hypothesis import given, strategies as st

from whereby_async import operations
from whereby_async.errors import ResponseDecodeError
from whereby_async.operation import Operation
from whereby_async.pagination import Paginator
from whereby_async.testing import FakeWhereby

if TYPE_CHECKING:
    from collections.abc import Callable

    from whereby_async.models import Meeting
    from whereby_async.operation import Request

T = TypeVar("T")

ALL: list[Operation[Any]] = [value for value in vars(operations).values() if isinstance(value, Operation)]


@functools.cache
def valid_bodies() -> dict[str, bytes]:
    """A body of each operation as the fake server answers it."""
    return asyncio.run(_ask_everything())


async def _ask_everything() -> dict[str, bytes]:
    from whereby_async import capture_responses

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
    bodies["transcriptions.get"] = _first(bodies["transcriptions.list"])
    return bodies


def _first(page: bytes) -> bytes:
    return json.dumps(json.loads(page)["results"][0]).encode()


def originals(operation: Operation[Any]) -> list[bytes]:
    """Valid bodies of the operation, or of another one if it has none of its own."""
    bodies = valid_bodies()
    return [bodies[operation.name]] if operation.name in bodies else list(bodies.values())


@st.composite
def answers(draw: st.DrawFn) -> tuple[Operation[Any], bytes]:
    """An operation and a body that might come."""
    operation = draw(st.sampled_from(ALL))
    match draw(st.sampled_from(("bytes", "spoilt", "altered", "altered"))):
        case "bytes":
            return operation, draw(st.binary())
        case "spoilt":
            return operation, draw(spoilt(originals(operation)))
        case _:
            body = draw(altered(json.loads(draw(st.sampled_from(originals(operation))))))
            return operation, json.dumps(body, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")


def test_all_operations_are_tried() -> None:
    """27 of them, and the originals are valid."""
    assert len(ALL) == 27
    for operation in ALL:
        if operation.name in valid_bodies():
            operation.decode(valid_bodies()[operation.name])


def attempted(act: Callable[[], T]) -> tuple[T | None, ResponseDecodeError | None]:
    """What came of it: the result, or the one error that is allowed."""
    try:
        return act(), None
    except ResponseDecodeError as error:
        return None, error


@effort(1500)
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
    """Who sends: answers each request with the page behind its cursor.

    Attributes:
        cursors: The cursors that were asked for.
    """

    def __init__(self, pages: dict[str | None, bytes]) -> None:
        self._pages = pages
        self.cursors: list[str | None] = []

    async def send(self, request: Request[T], /) -> T:
        """The page, as its bytes decode."""
        assert request.target.isascii()
        query = dict(parse_qsl(request.target.partition("?")[2], keep_blank_values=True, errors="strict"))
        assert query["limit"] == "7"
        self.cursors.append(query.get("cursor"))
        return request.operation.decode(self._pages.get(query.get("cursor"), b'{"results":[]}'))

    def pinned(self) -> Pages:
        """The same."""
        return self


CURSORS = ("a", "b", "c", "", " ", "&cursor=a", "%2F", "a+b", "\x00", "\r\nX: y", "é😀", "x" * 3000)


def page(number: int, cursor: object) -> bytes:
    """A page of one meeting."""
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
    """All rows."""
    paginator: Paginator[Meeting] = Paginator(
        sender, operations.LIST_MEETINGS.bind(query=[("limit", "7")]), page_size=7
    )
    return asyncio.run(paginator.collect())


@effort(300)
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


@effort(300)
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
