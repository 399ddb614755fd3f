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
        "", "-1", "NaN", "inf", "1e999", "1000, 1000", "Invalid Date", "null", "0x10", "99999999999999999999",
        "2024-03-05T12:00:38Z", "2024-03-05T09:00:00Z", "Tue, 35 Mar 2024 10:00:38 GMT",
        "Tue, 05 Foo 2024 10:00:38 GMT", "Tue Mar 05 10:00:38", "Tuesday, 05-Mar-94 10:00:38 GMT", "3601", "٣",
        "9" * 200, "Tue Mar 05 2024 10:00:38 GMT+9999", "0001-01-01T00:00:00+23:59",
    ],
)  # fmt: skip
def test_nonsense_in_reset_is_no_information(reset: str) -> None:
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
        b"", b"{", b"[]", b"\xff\xfe", b'"x"', b'{"data":[]}', b'{"data":null}', b"[" * 60_000, b"x" * 100_000,
        b'{"data":{"msLeft":NaN}}', *map(body, SPOILT),
    ],
)  # fmt: skip
def test_spoilt_body_falls_back_to_the_headers(spoilt: bytes) -> None:
    assert RateLimit.from_response(429, {"Retry-After": "5"}, spoilt).retry_after == 5


def test_either_spelling_of_milliseconds_left_is_read() -> None:
    """`msLeft` first; `ms_left` where that is missing or spoilt."""

    def left(**data: object) -> float | None:
        return RateLimit.from_response(429, {"Retry-After": "5"}, json.dumps({"data": data}).encode()).retry_after

    assert left(ms_left=38689) == 38.689
    assert left(ms_left="38689") == 38.689
    assert left(ms_left=1000, msLeft=2000) == 2
    assert left(ms_left=1000, msLeft=-1) == 1
    assert left(ms_left=-1) == 5


def test_the_body_s_wait_is_read_behind_a_byte_order_mark() -> None:
    """As some servers and proxies on Windows write it."""
    content = b'\xef\xbb\xbf{"data": {"ms_left": 700}}'
    assert RateLimit.from_response(429, {}, content).retry_after == 0.7


# The IETF's fields


def said(
    limit: int | None = None, remaining: int | None = None, reset_in: float | None = None, period: float | None = None
) -> RateLimit:
    return RateLimit(limit=limit, remaining=remaining, reset_in=reset_in, period=period)


def fields(now: str = "", policy: str = "") -> dict[str, str]:
    return {name: value for name, value in (("RateLimit", now), ("RateLimit-Policy", policy)) if value}


def draft_6(limit: str = "", remaining: str = "", reset: str = "", policy: str = "") -> dict[str, str]:
    values = {"Limit": limit, "Remaining": remaining, "Reset": reset, "Policy": policy}
    return {f"RateLimit-{name}": value for name, value in values.items() if value}


IETF = {
    # Drafts 8 to 11.
    "draft 10": (fields('"default";r=50;t=30', '"default";q=100;w=60'), said(100, 50, 30, 60)),
    "spaces after semicolons": (fields('"a"; r=50; t=30', '"a"; q=100; w=60; pk=:MDZj:'), said(100, 50, 30, 60)),
    "the times are strings": (fields('"a";r=50;t="30"', '"a";q=100;w="60"'), said(100, 50)),
    "names are tokens": (fields("default;r=50;t=30", "default;q=100;w=60"), said(100, 50, 30, 60)),
    "other parameters": (
        fields('"a";pk=:cHs=:;r=50;new;t=30;ok=?1;x=-1.5', '"a";qu="requests";q=100;w=60;note="a;b, \\"c\\""'),
        said(100, 50, 30, 60),
    ),
    "a name means nothing": (fields('"r=1, 2";r=50;t=30', '"r=1, 2";q=100;w=60'), said(100, 50, 30, 60)),
    "no t": (fields('"a";r=50', '"a";q=100;w=60'), said(100, 50, None, 60)),
    "no w": (fields('"a";r=50;t=30', '"a";q=100'), said(100, 50, 30)),
    "no policy": (fields('"a";r=50;t=30'), said(None, 50, 30)),
    "no policy of the name": (fields('"a";r=50;t=30', '"b";q=100;w=60'), said(None, 50, 30)),
    "policy alone": (fields(policy='"a";q=100;w=60'), said(100, period=60)),
    "policies alone": (fields(policy='"day";q=5000;w=86400, "a";q=100;w=60'), said(100, period=60)),
    "the least remaining": (
        fields('"day";r=400;t=3000, "a";r=5;t=30', '"day";q=5000;w=86400,"a";q=100;w=60'),
        said(100, 5, 30, 60),
    ),
    "the least remaining is of a day": (
        fields('"day";r=4;t=40000, "a";r=5;t=30', '"day";q=5000;w=86400, "a";q=100;w=60'),
        said(5000, 4, None, 86400),
    ),
    "of equals the one that ends last": (
        fields('"a";r=0;t=3, "b";r=0;t=9', '"a";q=10;w=5, "b";q=20;w=10'),
        said(20, 0, 9, 10),
    ),
    "one name twice": (fields('"a";r=9;t=3, "a";r=5;t=4', '"a";q=10;w=5, "a";q=20;w=10'), said(10, 5, 4, 5)),
    "other units than points": (
        fields('"b";r=1;t=9, "a";r=50;t=30', '"b";q=5;qu="concurrent-requests", "a";q=100;w=60;qu="points"'),
        said(100, 50, 30, 60),
    ),
    "nothing but other units": (fields('"b";r=1;t=9', '"b";q=5;qu="content-bytes";w=60'), said()),
    "nothing left": (fields('"a";r=0;t=0', '"a";q=100;w=60'), said(100, 0, 0, 60)),
    "a parameter twice": (fields('"a";r=1;r=50;t=30'), said(None, 50, 30)),
    "one item is invalid": (fields('"a", "b";r="7", "c";r=-1, "d";r=50;t=30'), said(None, 50, 30)),
    "a quota of nothing": (fields('"a";r=50;t=30', '"a";q=0;w=60'), said(None, 50, 30)),
    "a window of nothing": (fields('"a";r=50;t=30', '"a";q=100;w=0'), said(100, 50, 30)),
    "a window of a year": (fields('"a";r=50;t=30', '"a";q=100;w=31536000'), said(100, 50, 30)),
    "a window with a fraction": (fields('"a";r=50;t=30', '"a";q=100;w=60.5'), said(100, 50, 30)),
    "a reset that is no distance": (fields('"a";r=50;t=1709632838'), said(None, 50)),
    "a negative reset": (fields('"a";r=50;t=-1'), said(None, 50)),
    "too many points": (fields(f'"a";r={MOST_POINTS + 1};t=30', f'"a";q={MOST_POINTS + 1};w=60'), said()),
    "the numbers are strings": (fields('"a";r="50";t="30"', '"a";q="100";w="60"'), said()),
    # Syntax errors: the whole field is void.
    "comma at the end": (fields('"a";r=50;t=30,', '"a";q=100;w=60'), said(100, period=60)),
    "nothing between commas": (fields('"a";r=50;t=30', '"a";q=100;w=60,, "b";q=9'), said(None, 50, 30)),
    "no end of the string": (fields('"a;r=50;t=30', '"a";q=100;w=60'), said(100, period=60)),
    "space before semicolon": (fields('"a" ;r=50;t=30'), said()),
    "upper case": (fields('"a";R=50;T=30'), said()),
    "no number": (fields('"a";r=;t=30'), said()),
    "no ASCII": (fields('"a";r=\u0663;t=30'), said()),
    "16 digits": (fields('"a";r=0000000000000050;t=30'), said()),
    "inner list": (fields('("a" "b");r=50;t=30'), said()),
    "list and dictionary in one": (fields('"a";r=50, remaining=7'), said()),
    "too long": (fields('"a";r=50;t=30' + ', "a";r=5' * 200), said()),
    "JSON": (fields('{"remaining": 50, "reset": 30}'), said()),
    "text": (fields("unlimited, for you!", "see https://example.org/limits"), said()),
    # Draft 7.
    "draft 7": (fields("limit=100, remaining=50, reset=30", "100;w=60"), said(100, 50, 30, 60)),
    "draft 7, no spaces": (fields("limit=100,remaining=50,reset=30", "100;w=60"), said(100, 50, 30, 60)),
    "draft 7, other order": (fields("reset=30, remaining=50, new=?0, limit=100;x=1"), said(100, 50, 30)),
    "draft 7, several policies": (
        fields("limit=100, remaining=50, reset=30", '10;w=1, 100;w=60;burst=9;comment="sliding window", 1000;w=3600'),
        said(100, 50, 30, 60),
    ),
    "draft 7, no policy of the limit": (
        fields("limit=100, remaining=50, reset=30", "10;w=1, 50;w=60"),
        said(100, 50, 30),
    ),
    "draft 7, no limit": (fields("remaining=50, reset=30", "100;w=60"), said(100, 50, 30, 60)),
    "draft 7, no limit, policies": (fields("remaining=50, reset=30", "100;w=60, 1000;w=3600"), said(None, 50, 30)),
    "draft 7, a key twice": (fields("limit=100, remaining=7, reset=30, remaining=50"), said(100, 50, 30)),
    "draft 7, negative": (fields("limit=-100, remaining=-50, reset=30"), said(reset_in=30)),
    "draft 7, fraction": (fields("limit=100, remaining=50, reset=30.5"), said(100, 50)),
    "draft 7, a limit of nothing": (fields("limit=0, remaining=0, reset=30"), said(None, 0, 30)),
    "draft 7, syntax error": (fields("limit=100; remaining=50; reset=30 s", "100;w=60"), said(100, period=60)),
    "draft 7, only separators are wrong": (fields("limit=100;remaining=50;reset=30"), said(100)),
    # Up to draft 6.
    "draft 6": (draft_6("100", "50", "30", "100;w=60"), said(100, 50, 30, 60)),
    "draft 6, policies in the limit": (draft_6("100, 10;w=1, 100;w=60", "50", "30"), said(100, 50, 30, 60)),
    "draft 6, no policy": (draft_6(" 100 ", " 50 ", " 30 "), said(100, 50, 30)),
    "draft 6, one field": (draft_6(remaining="50"), said(None, 50)),
    "draft 6, lists": (draft_6("100, 100;w=60", "50, 50", "30, 30"), said(100, None, None, 60)),
    "draft 6, a date": (draft_6("100", "50", "Tue, 05 Mar 2024 10:00:38 GMT"), said(100, 50)),
    "draft 6, epoch": (draft_6("100", "50", "1709632838"), said(100, 50)),
    "draft 6, nonsense": (draft_6("1e3", "NaN", "-1", "null"), said()),
    # More than one.
    "newest draft first": (fields('"a";r=50;t=30') | draft_6("90", "40", "20"), said(None, 50, 30)),
    "older draft where that is void": (fields('"a";r') | draft_6("90", "40", "20", "90;w=60"), said(90, 40, 20, 60)),
}


@pytest.mark.parametrize(("headers", "budget"), IETF.values(), ids=IETF)
@pytest.mark.parametrize("kind", [plain_headers, aiohttp_headers, email_headers])
def test_ietf_fields_are_read(headers: dict[str, str], budget: RateLimit, kind: Any) -> None:
    """Drafts 6 to 11 of `draft-ietf-httpapi-ratelimit-headers`; what is malformed is ignored."""
    assert RateLimit.from_response(200, kind(headers | {"Date": DATE})) == budget


def test_ietf_list_may_be_spread_over_lines() -> None:
    lines = CIMultiDict(fields('"a";r=50;t=30', '"a";q=100;w=60'))
    lines.add("RateLimit", '"b";r=5;t=20')
    lines.add("ratelimit-policy", '"b";q=10;w=50')
    assert RateLimit.from_response(200, CIMultiDictProxy(lines)) == said(10, 5, 20, 50)


@pytest.mark.parametrize("name", ["X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"])
@pytest.mark.parametrize("kind", [plain_headers, aiohttp_headers])
def test_ietf_fields_are_ignored_beside_any_other(name: str, kind: Any) -> None:
    """A server that sends both means the same by both, or something that this client does not know."""
    headers = kind(fields('"a";r=50;t=30', '"a";q=100;w=60') | draft_6("90", "40", "20") | {name: "7"})
    expected = {
        "X-RateLimit-Limit": said(7),
        "X-RateLimit-Remaining": said(None, 7),
        "X-RateLimit-Reset": said(None, None, 7),
    }
    assert RateLimit.from_response(200, headers) == expected[name]


@pytest.mark.parametrize(
    "headers",
    [fields('"a";r=0;t=30'), fields("limit=100, remaining=0, reset=30"), draft_6("100", "0", "30")],
    ids=["draft 10", "draft 7", "draft 6"],
)
@pytest.mark.parametrize("kind", [plain_headers, aiohttp_headers])
def test_retry_after_wins_over_the_ietf_reset(headers: dict[str, str], kind: Any) -> None:
    """Of a 429 the body, then `Retry-After`, then the end of the window; of any other answer `Retry-After` alone."""
    assert RateLimit.from_response(200, kind(headers)).retry_after is None
    refusal = RateLimit.from_response(429, kind(headers))
    assert (refusal.retry_after, refusal.reset_in, refusal.throttled) == (30, 30, True)
    headers = headers | {"Date": DATE, "Retry-After": "Tue, 05 Mar 2024 10:00:38 GMT"}
    refusal = RateLimit.from_response(429, kind(headers))
    assert (refusal.retry_after, refusal.remaining, refusal.reset_in, refusal.throttled) == (38, 0, 30, True)
    answer = RateLimit.from_response(503, kind(headers))
    assert (answer.retry_after, answer.remaining, answer.reset_in, answer.throttled) == (38, 0, 30, False)
    assert RateLimit.from_response(429, kind(headers), body(2500)).retry_after == 2.5


NAMES = ["Date", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "Retry-After"]


@given(
    status=st.integers(100, 599),
    headers=st.dictionaries(st.sampled_from(NAMES), st.text() | st.from_regex(r"\A[\d.,:+\-TZ GMT]{1,30}\Z")),
    content=st.binary() | st.builds(body, st.integers() | st.floats() | st.text()),
)
def test_never_raises_and_never_believes_nonsense(status: int, headers: dict[str, str], content: bytes) -> None:
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
