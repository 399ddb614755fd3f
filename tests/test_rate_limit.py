"""`RateLimit.from_response`: every spelling of limits and times, and no belief in nonsense."""

from __future__ import annotations

import json
from email.message import Message
from typing import Any

import pytest
from hypothesis import given, strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from whereby_async.rate_limit import LONGEST_WAIT, MOST_POINTS, RateLimit

DATE = "Tue, 05 Mar 2024 10:00:00 GMT"


def reset_in(reset: str, date: str | None = DATE) -> float | None:
    headers = {"X-RateLimit-Reset": reset} | ({"Date": date} if date is not None else {})
    return RateLimit.from_response(200, headers).reset_in


@pytest.mark.parametrize(
    ("reset", "seconds"),
    [
        ("2024-03-05T10:00:38.689Z", 38.689),
        ("2024-03-05T10:00:38Z", 38),
        ("2024-03-05T11:00:38+01:00", 38),
        ("2024-03-05 10:00:38", 38),
        ("Tue, 05 Mar 2024 10:00:38 GMT", 38),
        ("Tue, 05 Mar 2024 12:00:38 +0200", 38),
        ("Tuesday, 05-Mar-24 10:00:38 GMT", 38),
        ("Tue Mar  5 10:00:38 2024", 38),
        ("Tue Mar 05 2024 10:00:38 GMT+0000 (Coordinated Universal Time)", 38),
        ("Tue Mar 05 2024 11:00:38 GMT+0100 (Central European Standard Time)", 38),
        ("Tue Mar 05 2024 04:30:38 GMT-0530", 38),
        ("1709632838", 38),
        ("1709632838.5", 38.5),
        ("1709632838689", 38.689),
        ("38", 38),
        ("38.689", 38.689),
        ("0", 0),
        (" 38 ", 38),
        ("Tue, 05 Mar 2024 09:59:59 GMT", 0),
    ],
)
def test_reset_is_read_in_every_spelling(reset: str, seconds: float) -> None:
    """ISO 8601, the HTTP dates, JavaScript's with its offset, epochs and seconds from now, fractions too."""
    assert reset_in(reset) == pytest.approx(seconds, abs=1e-3)


@pytest.mark.parametrize(
    "reset",
    [
        "",
        "-1",
        "NaN",
        "inf",
        "1e999",
        "1000, 1000",
        "Invalid Date",
        "null",
        "0x10",
        "99999999999999999999",
        "2024-03-05T12:00:38Z",
        "2024-03-05T09:00:00Z",
        "Tue, 35 Mar 2024 10:00:38 GMT",
        "Tue, 05 Foo 2024 10:00:38 GMT",
        "Tue Mar 05 10:00:38",
        "Tuesday, 05-Mar-94 10:00:38 GMT",
        "3601",
        "٣",
        "9" * 200,
        "Tue Mar 05 2024 10:00:38 GMT+9999",
        "0001-01-01T00:00:00+23:59",
    ],
)
def test_nonsense_in_reset_is_no_information(reset: str) -> None:
    """Negative, not a number, a list, no date, or more than an hour off."""
    assert reset_in(reset) is None


def test_date_without_the_answers_own_is_no_information() -> None:
    """Nobody's wall clock is trusted; a distance needs none."""
    assert reset_in("2024-03-05T10:00:38Z", None) is None
    assert reset_in("2024-03-05T10:00:38Z", "yesterday") is None
    assert reset_in("2024-03-05T10:00:38Z", "38") is None
    assert reset_in("38", None) == 38


@pytest.mark.parametrize(
    ("text", "points"),
    [
        ("1000", 1000),
        ("998.0", 998),
        ("0", 0),
        ("-1", None),
        ("1e3", None),
        ("1000, 1000", None),
        ("many", None),
        (str(MOST_POINTS + 1), None),
        ("", None),
    ],
)
def test_counts_are_whole_and_sane(text: str, points: int | None) -> None:
    """Numbers with a fraction are cut; what can not be a count is none. A limit of nothing is no limit."""
    rate_limit = RateLimit.from_response(200, {"X-RateLimit-Remaining": text, "X-RateLimit-Limit": text})
    assert rate_limit.remaining == points
    assert rate_limit.limit == (points or None)


def email_headers(headers: dict[str, str]) -> Message[str, str]:
    message: Message[str, str] = Message()
    for name, value in headers.items():
        message[name] = value
    return message


def aiohttp_headers(headers: dict[str, str]) -> CIMultiDictProxy[str]:
    return CIMultiDictProxy(CIMultiDict(headers))


def plain_headers(headers: dict[str, str]) -> dict[str, str]:
    return headers


@pytest.mark.parametrize("kind", [plain_headers, aiohttp_headers, email_headers])
@pytest.mark.parametrize("case", [str.lower, str.upper, str.title])
def test_case_of_names_does_not_matter(kind: Any, case: Any) -> None:
    """In a plain dictionary, in aiohttp's headers and in other mappings."""
    headers = {"X-RateLimit-Limit": "1000", "X-RateLimit-Remaining": "7", "X-RateLimit-Reset": "9", "Retry-After": "8"}
    answer = RateLimit.from_response(429, kind({case(name): value for name, value in headers.items()}))
    assert answer == RateLimit(limit=1000, remaining=7, reset_in=9.0, retry_after=8.0, throttled=True)


def body(left: object) -> bytes:
    return json.dumps({"error": "Rate limit active", "data": {"msLeft": left}}).encode()


def test_the_most_exact_word_on_a_429_wins() -> None:
    """`msLeft` before `Retry-After` before `Reset` less `Date`; fractions count."""
    headers = {"Date": DATE, "X-RateLimit-Reset": "2024-03-05T10:00:39Z", "Retry-After": "38.7"}
    assert RateLimit.from_response(429, headers, body(38689)).retry_after == 38.689
    assert RateLimit.from_response(429, headers, body("38689")).retry_after == 38.689
    assert RateLimit.from_response(429, headers).retry_after == 38.7
    del headers["Retry-After"]
    assert RateLimit.from_response(429, headers).retry_after == 39
    assert RateLimit.from_response(429, {}).retry_after is None


def test_retry_after_may_be_a_date() -> None:
    """By the answer's own `Date`."""
    headers = {"Date": DATE, "Retry-After": "Tue, 05 Mar 2024 10:00:38 GMT"}
    assert RateLimit.from_response(503, headers).retry_after == 38


def test_other_answers_are_not_held_to_their_reset() -> None:
    """A 200 has no `retry_after` unless it says so, and its body is not read."""
    headers = {"Date": DATE, "X-RateLimit-Reset": "20"}
    answer = RateLimit.from_response(200, headers, body(38689))
    assert (answer.retry_after, answer.throttled, answer.reset_in) == (None, False, 20)


SPOILT: list[object] = [-1, True, None, "soon", [], 10**400, 10**14, "1e5"]


@pytest.mark.parametrize(
    "spoilt",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b'"x"',
        b'{"data":[]}',
        b'{"data":null}',
        b"[" * 60_000,
        b"x" * 100_000,
        b'{"data":{"msLeft":NaN}}',
        *map(body, SPOILT),
    ],
)
def test_spoilt_body_falls_back_to_the_headers(spoilt: bytes) -> None:
    """No JSON, another shape, or a number that can not be true."""
    assert RateLimit.from_response(429, {"Retry-After": "5"}, spoilt).retry_after == 5


NAMES = ["Date", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "Retry-After"]


@given(
    status=st.integers(100, 599),
    headers=st.dictionaries(st.sampled_from(NAMES), st.text() | st.from_regex(r"\A[\d.,:+\-TZ GMT]{1,30}\Z")),
    content=st.binary() | st.builds(body, st.integers() | st.floats() | st.text()),
)
def test_never_raises_and_never_believes_nonsense(status: int, headers: dict[str, str], content: bytes) -> None:
    """Whatever headers and body hold, what comes out could be true."""
    answer = RateLimit.from_response(status, headers, content)
    assert answer.throttled == (status == 429)
    assert answer.limit is None or 0 < answer.limit <= MOST_POINTS
    assert answer.remaining is None or 0 <= answer.remaining <= MOST_POINTS
    assert answer.reset_in is None or 0 <= answer.reset_in <= LONGEST_WAIT
    assert answer.retry_after is None or 0 <= answer.retry_after <= LONGEST_WAIT


@pytest.mark.parametrize(
    ("headers", "spoken", "wait"),
    [
        ({"Retry-After": "7200"}, b"", 7200.0),
        ({"Retry-After": "86400"}, b"", LONGEST_WAIT),
        ({"Retry-After": "172800"}, b"", LONGEST_WAIT),
        ({"Retry-After": "9999999"}, b"", None),
        ({"Retry-After": "9" * 15}, b"", None),
        ({"Retry-After": "Tue, 05 Mar 2024 13:00:00 GMT", "Date": "Tue, 05 Mar 2024 10:00:00 GMT"}, b"", 10_800.0),
        ({"Retry-After": "Tue, 05 Mar 2034 13:00:00 GMT", "Date": "Tue, 05 Mar 2024 10:00:00 GMT"}, b"", None),
        ({}, body(7_200_000), 7200.0),
        ({}, body(2 * 86_400_000), LONGEST_WAIT),
        ({}, body(10**11), None),
        ({"Retry-After": "1e999"}, b"", None),
        ({"Retry-After": "nan"}, b"", None),
        ({"Retry-After": "-5"}, b"", None),
        ({"Retry-After": "9" * 40}, b"", None),
        ({}, b'{"data":{"msLeft":1e999}}', None),
        ({}, b'{"data":{"msLeft":-1}}', None),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_long_wait_is_cut_and_absurd_one_is_none(
    status: int, headers: dict[str, str], spoken: bytes, wait: float | None
) -> None:
    """What is too long is a day, so that nobody hammers a server that asks for two; what can not be true is nothing."""
    if spoken and status != 429:
        wait = None
    assert RateLimit.from_response(status, headers, spoken).retry_after == wait
