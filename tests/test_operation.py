"""Operations and requests; and that no id, room name or path whatsoever reaches another endpoint than its own."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import given, settings, strategies as st

from whereby_async import NotFoundError
from whereby_async.limiter import Unlimited
from whereby_async.operation import FilePart, Operation, relative_path, room_segment, segment
from whereby_async.redaction import SilentBytes
from whereby_async.testing import FakeWhereby

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from whereby_async.testing import RecordedRequest

GET: Operation[Any] = Operation("things.get", "GET", "/things/{thing_id}", lambda body: body)
TEXT = st.text(st.characters(codec="utf-8"))
TRICKY = st.text(st.sampled_from("/\\.%2eEfF5cC?#;:@&=+ \t\r\n\x00\x7f\u2215\uff0f\u2024\ud800aé"), max_size=12)
ANYTHING = st.one_of(st.text(), TRICKY, TRICKY.map(lambda text: "/" + text))


def test_reprs_show_no_value() -> None:
    part = FilePart("image", "image.png", "image/png", SilentBytes(b"planted"))
    request = GET.bind("planted", query=[("a", "planted")], json=SilentBytes(b"planted"), files=[part])
    assert repr(GET) == "<things.get: GET /things/{thing_id}>"
    assert repr(request) == "<request things.get>"
    assert repr(part) == "FilePart('image', 'image.png', 'image/png', <7 bytes>)"


def test_prices_and_repetition_follow_the_method_unless_said() -> None:
    """GET 1, DELETE 2, others 3; POST and PATCH are not idempotent; both can be said."""
    rows = {m: Operation(m, m, "/x", bytes) for m in ("GET", "HEAD", "OPTIONS", "DELETE", "PUT", "POST", "PATCH")}
    assert [row.cost for row in rows.values()] == [1, 1, 1, 2, 3, 3, 3]
    assert [name for name, row in rows.items() if not row.idempotent] == ["POST", "PATCH"]
    said = Operation("x", "POST", "/x", bytes, cost=9, idempotent=True)
    assert (said.cost, said.idempotent) == (9, True)


def test_with_query_replaces_adds_and_leaves_out() -> None:
    """The other values keep their order; the path, the bodies and the first request stay as they were."""
    first = GET.bind("1", query=[("a", "1"), ("b", "2"), ("c", "3")], json=SilentBytes(b"{}"))
    second = first.with_query(b=None, a="x", d="y")
    assert second.target == "/things/1?c=3&a=x&d=y"
    assert second.json == b"{}"
    assert first.target == "/things/1?a=1&b=2&c=3"
    assert first.with_query(a=None, b=None, c=None).target == "/things/1"


@given(st.lists(st.tuples(TEXT.filter(bool), TEXT), max_size=5))
def test_a_query_arrives_as_it_was_given(pairs: list[tuple[str, str]]) -> None:
    """Whatever the names and values, a server that splits at `&` and `=` reads the same; spaces are `%20`."""
    target = GET.bind("1", query=pairs).target
    path, _, query = target.partition("?")
    assert path == "/things/1"
    assert target.isascii()
    assert "+" not in query
    assert "#" not in query
    assert "/" not in query
    assert parse_qsl(query, keep_blank_values=True) == pairs


def test_an_encoded_query_is_not_taken_for_another() -> None:
    """What was encoded before is used again only for the very same pairs, in the same order."""
    queries = [
        [("a", "b"), ("c", "d")],
        [("c", "d"), ("a", "b")],
        [("a", "b&c=d")],
        [("a", "b"), ("a", "b")],
        [("ab", "")],
        [("a", "\u00e9")],
        [("a", "e\u0301")],
        [("a", "\U0001f600 \x00\x7f\r\n%41+")],
    ]
    for _ in range(2):
        for pairs in queries:
            _, _, query = GET.bind("1", query=pairs).target.partition("?")
            assert parse_qsl(query, keep_blank_values=True) == pairs
    one, two = (GET.bind(each, query=[("a", "b")]) for each in ("1", "2"))
    assert (one.target, two.target) == ("/things/1?a=b", "/things/2?a=b")


def test_the_placeholder_is_filled_wherever_it_stands() -> None:
    """At the end or within; what is filled in is checked, and a room's name may have its slash."""
    for path, filled in {"/a/{x}": "/a/%7By%7D", "/a/{x}/b": "/a/%7By%7D/b", "{x}/b": "%7By%7D/b"}.items():
        assert Operation("x", "GET", path, bytes).bind("{y}").path == filled
    assert Operation("x", "GET", "/a", bytes).bind().path == "/a"
    assert Operation("x", "GET", "/a/{room_name}", bytes).bind("/b").path == "/a/b"
    for value in ("/b", ""):
        with pytest.raises(ValueError, match="thing_id="):
            GET.bind(value)


def outcome(call: Callable[..., str], *arguments: str) -> str | ValueError:
    try:
        return call(*arguments)
    except ValueError as refusal:
        return refusal


@settings(max_examples=500)
@given(ANYTHING)
def test_a_segment_is_one_segment_or_refused(value: str) -> None:
    """Whatever the id: one segment that no URL parser takes for more, and that decodes to the id; or `ValueError`."""
    encoded = outcome(segment, "id", value)
    if isinstance(encoded, ValueError):
        assert "id=" in str(encoded)
        return
    assert unquote(encoded) == value
    assert encoded.isascii()
    assert not set(encoded) & set("/\\?#:@;&=+ \t\r\n")
    assert encoded not in {"", ".", ".."}
    assert urlsplit(f"http://host/v1/things/{encoded}/end").path == f"/v1/things/{encoded}/end"


@settings(max_examples=500)
@given(ANYTHING)
def test_a_room_name_loses_at_most_one_slash(value: str) -> None:
    """A room name with and without its slash is the same segment; what is left is encoded or refused as any id."""
    encoded = outcome(room_segment, "room_name", value)
    if isinstance(encoded, ValueError):
        assert "room_name=" in str(encoded)
        return
    assert unquote(encoded) == value.removeprefix("/")
    assert encoded == segment("room_name", value.removeprefix("/"))
    assert not value.startswith("//")


@settings(max_examples=500)
@given(st.one_of(ANYTHING, st.lists(TRICKY, max_size=4).map("/".join)))
def test_a_path_of_ones_own_stays_below_the_root(value: str) -> None:
    """A path for `request()` has no `.` or `..` however encoded, no host, no query; or it is a `ValueError`."""
    path = outcome(relative_path, value)
    if isinstance(path, ValueError):
        assert "path=" in str(path)
        return
    split = urlsplit("http://host/v1" + path)
    assert (split.netloc, split.path, split.query, split.fragment) == ("host", "/v1" + path, "", "")
    assert path.startswith("/")
    assert not path.startswith("//")
    assert not {".", ".."} & set(unquote(path).split("/"))
    assert all(path.removeprefix("/").split("/"))
    assert path.isascii()


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ("/meetings", "/meetings"),
        ("meetings", "/meetings"),
        ("/things/a b", "/things/a%20b"),
        ("/things/é", "/things/%C3%A9"),
        ("/things/a%20b", "/things/a%20b"),
        ("/rooms/%2Fdemo/theme/logo", "/rooms/%2Fdemo/theme/logo"),
        ("/things/a:b@c;d,e", "/things/a:b@c;d,e"),
        ("/things/...", "/things/..."),
    ],
)
def test_a_path_of_ones_own_is_encoded_once(given: str, path: str) -> None:
    assert relative_path(given) == path


@pytest.mark.parametrize(
    "path",
    [
        "", "/", "//", "///", " ", "//host/meetings", "https://host/meetings", "/https://host", "/..", "/.", "..", ".",
        "/meetings/../rooms", "/meetings/./x", "/meetings/%2e%2e/rooms", "/meetings/%2E./x", "/meetings/..%2Frooms",
        "/meetings?limit=1", "/meetings#x", "/meetings\\x", "/meetings/%5Cx", "/a\nb", "/a%0d%0ab", "/a%00", "/meetings/",
        "/a//b", "/a/%2F/b", "/a/ /b", "/a/\ud800",
    ],
)  # fmt: skip
def test_a_path_that_leaves_the_root_is_refused(path: str) -> None:
    """Absolute, empty, dotted (encoded or not), with a query or a control character: all refused, and told."""
    with pytest.raises(ValueError, match="path="):
        relative_path(path)


@settings(max_examples=60, deadline=None)
@given(st.lists(ANYTHING, min_size=1, max_size=8))
def test_over_a_socket_every_id_reaches_its_own_endpoint(values: list[str]) -> None:
    """Whatever is sent arrives at the endpoint that was called, with the id that was given."""

    async def run() -> list[tuple[str, str, RecordedRequest]]:
        arrived: list[tuple[str, str, RecordedRequest]] = []
        async with FakeWhereby(limit=1_000_000) as fake, fake.client(limiter=Unlimited()) as client:
            for value in values:
                calls: list[tuple[str, Callable[[str], Awaitable[object]]]] = [
                    ("meetings.get", client.meetings.get),
                    ("recordings.delete", client.recordings.delete),
                    ("transcriptions.access_link", client.transcriptions.access_link),
                    ("rooms.set_logo", client.rooms.reset_logo),
                ]
                for kind, call in calls:
                    before = len(fake.requests)
                    try:
                        await call(value)
                    except NotFoundError:
                        pass
                    except ValueError:
                        assert len(fake.requests) == before
                        continue
                    (request,) = fake.requests[before:]
                    arrived.append((kind, value, request))
        return arrived

    for kind, value, request in asyncio.run(run()):
        assert request.operation == kind
        bare = value.removeprefix("/") if kind.startswith("rooms.") else value
        assert unquote(request.path.split("/")[3]) == bare
        assert len(request.path.split("/")) == request.template.count("/") + 2
