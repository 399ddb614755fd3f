"""Whatever an answer's headers and body hold, `RateLimit.from_response` reads them without an error and believes no nonsense.

The long command: `WHEREBY_EXAMPLES=100000 python -m pytest tests/fuzz --timeout=0`.
"""

from __future__ import annotations

import json

from fuzz.effort import effort
from fuzz.mutations import spoilt, words
from hypothesis import example, given, strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from whereby_async.rate_limit import LONGEST_WAIT, MOST_POINTS, RateLimit

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
    b'"',
    b"\\",
    b";",
    b",",
    b"=",
    b";w=1",
    b";r=0",
    b";q=9" * 200,
    b"-1",
)


def values() -> st.SearchStrategy[str]:
    """Times and counts, right or spoilt, and any text."""
    return spoilt(SPELLINGS, BITS).map(lambda data: data.decode("utf-8", "surrogateescape")) | st.text()


def ietf_values() -> st.SearchStrategy[str]:
    """Lists and dictionaries, right or spoilt, and any text."""
    return spoilt(IETF_SPELLINGS, BITS).map(lambda data: data.decode("utf-8", "surrogateescape")) | st.text()


def bodies() -> st.SearchStrategy[bytes]:
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


@effort(600)
@example(status=429, headers={}, body=b'"\x80"', folded=False)
@given(
    status=st.sampled_from((200, 429, 503)) | st.integers(0, 999),
    headers=st.dictionaries(st.sampled_from(NAMES), values()),
    body=bodies(),
    folded=st.booleans(),
)
def test_any_headers_and_body_are_read(status: int, headers: dict[str, str], body: bytes, folded: bool) -> None:
    """In a plain dictionary and in aiohttp's own."""
    given_headers = CIMultiDictProxy(CIMultiDict(headers)) if folded else headers
    assert_sane(RateLimit.from_response(status, given_headers, body), status)


@effort(600)
@given(
    status=st.sampled_from((200, 429)),
    headers=st.dictionaries(st.sampled_from(IETF_NAMES), ietf_values(), min_size=1),
    others=st.dictionaries(st.sampled_from(("Retry-After", "Date", "X-RateLimit-Reset")), values(), max_size=1),
    folded=st.booleans(),
)
def test_any_ietf_fields_are_read(status: int, headers: dict[str, str], others: dict[str, str], folded: bool) -> None:
    """Alone, and beside a header that overrules them."""
    both = headers | others
    answer = RateLimit.from_response(status, CIMultiDictProxy(CIMultiDict(both)) if folded else both)
    assert_sane(answer, status)
    if "X-RateLimit-Reset" in others:
        assert answer == RateLimit.from_response(status, others)


@effort(200)
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


@effort(200)
@given(headers=st.dictionaries(st.text(), st.text()), body=st.binary())
def test_any_names_are_read(headers: dict[str, str], body: bytes) -> None:
    """Names that nobody has heard of make no difference."""
    assert_sane(RateLimit.from_response(429, headers, body), 429)
