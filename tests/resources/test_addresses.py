"""No id and no room name whatsoever reaches another endpoint than the method's own."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given, settings, strategies as st

from whereby_async import NotFoundError
from whereby_async.limiter import Unlimited
from whereby_async.operation import relative_path, room_segment, segment
from whereby_async.testing import FakeWhereby

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from whereby_async.testing import RecordedRequest

TRICKY = st.text(st.sampled_from("/\\.%2eEfF5cC?#;:@&=+ \t\r\n\x00\x7f\u2215\uff0f\u2024\ud800aé"), max_size=12)
ANYTHING = st.one_of(st.text(), TRICKY, TRICKY.map(lambda text: "/" + text))


def outcome(call: Callable[..., str], *arguments: str) -> str | ValueError:
    """What the call returns, or the refusal that it raises."""
    try:
        return call(*arguments)
    except ValueError as refusal:
        return refusal


@settings(max_examples=500)
@given(ANYTHING)
def test_a_segment_is_one_segment_or_refused(value: str) -> None:
    """Whatever the id: a single segment that no URL parser takes for more, and that decodes to the id; or `ValueError`."""
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
    """What is encoded already stays so, an encoded slash too; the rest is encoded."""
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
