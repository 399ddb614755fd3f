"""What the storage's answers mean."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from whereby_async.downloads.verdict import StorageVerdict, Version, judge

KNOWN = Version(100, '"v1"')
RANGE = {"Content-Range": "bytes 40-99/100", "Content-Length": "60"}
DATE = "Wed, 21 Oct 2015 07:28:00 GMT"


@pytest.mark.parametrize(
    ("headers", "version"),
    [
        ({"Content-Length": "100", "ETag": '"v1"'}, KNOWN),
        ({"Content-Length": "100"}, Version(100)),
        ({"Content-Length": "0", "ETag": '""'}, Version(0, '""')),
        ({"Content-Length": "100", "ETag": 'W/"v1"', "Last-Modified": DATE}, Version(100)),
        ({"Content-Length": "100", "Last-Modified": DATE}, Version(100, DATE)),
        ({"Transfer-Encoding": "Chunked", "ETag": '"v1"'}, Version(None, '"v1"')),
        ({"Content-Length": "100", "Content-Encoding": "identity"}, Version(100)),
    ],
)
def test_whole_file(headers: dict[str, str], version: Version) -> None:
    """A 200 is the file from its beginning; its version is its length and a strong tag, else its date."""
    assert judge(200, headers, 0, Version()) == StorageVerdict("body", version=version)


def test_whole_file_of_untold_length_that_is_known() -> None:
    """A version that is known by its tag keeps its length."""
    assert judge(200, {"Transfer-Encoding": "chunked", "ETag": '"v1"'}, 40, KNOWN).version == KNOWN
    assert judge(200, {"Transfer-Encoding": "chunked", "ETag": '"v2"'}, 40, KNOWN).version == Version(None, '"v2"')


@pytest.mark.parametrize(
    ("headers", "size"),
    [
        (RANGE | {"ETag": '"v1"'}, 100),
        (RANGE, 100),
        ({"Content-Range": "BYTES 40-49/100"}, 100),
        ({"Content-Range": "bytes 40-99/*"}, 100),
    ],
)
def test_part_that_was_asked_for(headers: dict[str, str], size: int) -> None:
    assert judge(206, headers, 40, KNOWN) == StorageVerdict("body", start=40, version=Version(size, '"v1"'))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Range": "bytes 0-99/100"},
        {"Content-Range": "bytes 41-99/100"},
        {"Content-Range": "bytes 40-199/200"},
        {"Content-Range": "items 40-99/100"},
        {"Content-Type": "multipart/byteranges; boundary=x"},
        RANGE | {"ETag": '"v2"'},
        RANGE | {"Last-Modified": DATE},
    ],
)
def test_part_of_something_else(headers: dict[str, str]) -> None:
    """Another place, another length, another tag: nothing of it may be added to what is here."""
    assert judge(206, headers, 40, KNOWN).meaning == "restart"


@pytest.mark.parametrize(
    ("told", "position", "meaning"),
    [
        ("bytes */100", 100, "complete"),
        ("bytes */100", 120, "restart"),
        ("", 100, "restart"),
        ("bytes */0", 0, "restart"),
    ],
)
def test_nothing_beyond(told: str, position: int, meaning: str) -> None:
    """A 416 says that all is here, if it names the length that is here."""
    assert judge(416, {"Content-Range": told}, position, KNOWN).meaning == meaning


@pytest.mark.parametrize(
    ("status", "meaning"),
    [
        *((status, "refused") for status in (400, 401, 403, 404, 410)),
        *((status, "later") for status in (408, 421, 425, 429, 500, 503, 599)),
        *((status, "unusable") for status in (204, 302, 418)),
    ],
)
def test_refusals(status: int, meaning: str) -> None:
    """A link may be asked for anew, a storage may be asked again, and for the rest there is no help."""
    assert judge(status, {}, 0, Version()).meaning == meaning


def test_storage_says_when() -> None:
    assert judge(503, {"Retry-After": "2.5"}, 0, Version()).retry_after == 2.5


@given(
    st.integers(100, 599),
    st.dictionaries(
        st.sampled_from(
            ["Content-Range", "Content-Length", "ETag", "Last-Modified", "Content-Encoding", "Retry-After"]
        ),
        st.one_of(
            st.text(), st.sampled_from(["bytes 5-9/10", "bytes */5", '"v1"', "5", "-1", "9" * 30, "bytes 5-9/*"])
        ),
    ),
    st.integers(0, 10),
)
def test_no_answer_mixes_versions(status: int, headers: dict[str, str], position: int) -> None:
    """Whatever a storage says: bytes are added to others only where they belong, and never under another tag."""
    known = Version(10, '"v1"')
    verdict = judge(status, headers, position, known)
    if verdict.meaning == "body" and verdict.start:
        assert (status, verdict.start, verdict.version) == (206, position, known)
    if verdict.meaning == "body" and status == 200 and verdict.version.same_as(known):
        assert headers["ETag"].strip() == '"v1"'
