"""The rate-limit headers in each of their shapes."""

from __future__ import annotations

import pytest

from whereby_async.testing.policies import Decision, HeaderStyle, milliseconds_left, rate_limit_headers

WALL = 1795406019.25  # 2026-11-23T03:53:39.250Z
OPEN = Decision(allowed=True, limit=1000, remaining=997, reset_in=40.5, retry_in=0.0, charged=3)
SHUT = Decision(allowed=False, limit=1000, remaining=0, reset_in=38.689, retry_in=38.689, charged=0)


@pytest.mark.parametrize(
    ("style", "reset"),
    [
        ("iso", "2026-11-23T03:54:19.750Z"),
        ("http_date", "Mon, 23 Nov 2026 03:54:19 GMT"),
        ("epoch", "1795406060"),
        ("epoch_ms", "1795406059750"),
        ("js", "Mon Nov 23 2026 03:54:19 GMT+0000 (Coordinated Universal Time)"),
    ],
)
def test_reset_is_written_in_the_style(style: HeaderStyle, reset: str) -> None:
    """Each style tells the same moment; dates are cut to the second, epoch seconds rounded up, as real servers do."""
    assert rate_limit_headers(style, OPEN, WALL, 60.0) == {
        "X-RateLimit-Limit": "1000",
        "X-RateLimit-Remaining": "997",
        "X-RateLimit-Reset": reset,
    }


@pytest.mark.parametrize(
    ("style", "headers"),
    [
        (
            "draft_6",
            {
                "RateLimit-Limit": "1000",
                "RateLimit-Remaining": "997",
                "RateLimit-Reset": "41",
                "RateLimit-Policy": "1000;w=60",
            },
        ),
        ("draft_7", {"RateLimit": "limit=1000, remaining=997, reset=41", "RateLimit-Policy": "1000;w=60"}),
        ("draft_10", {"RateLimit": '"default";r=997;t=41', "RateLimit-Policy": '"default";q=1000;w=60'}),
    ],
)
def test_drafts_have_fields_of_their_own(style: HeaderStyle, headers: dict[str, str]) -> None:
    """None begins with `X-`; seconds are whole, and rounded up so that nobody comes too early. A refusal has `Retry-After` too."""
    assert rate_limit_headers(style, OPEN, WALL, 59.5) == headers
    assert rate_limit_headers(style, SHUT, WALL, 60.0)["Retry-After"] == "38.689"


def test_refusal_tells_the_wait_with_a_fraction() -> None:
    """`Retry-After` is milliseconds divided by 1000, not a whole number of seconds."""
    assert rate_limit_headers("iso", SHUT, WALL, 60.0)["Retry-After"] == "38.689"


def test_whole_seconds_are_written_without_a_fraction() -> None:
    """As JavaScript writes numbers."""
    decision = Decision(allowed=False, limit=10, remaining=0, reset_in=40.0, retry_in=40.0, charged=0)
    assert rate_limit_headers("js", decision, WALL, 60.0)["Retry-After"] == "40"


def test_milliseconds_are_never_too_few() -> None:
    """A part of a millisecond counts as a whole one, a rounding error does not."""
    assert (
        milliseconds_left(Decision(allowed=False, limit=1, remaining=0, reset_in=1, retry_in=1.0001, charged=0)) == 1001
    )
    assert milliseconds_left(SHUT) == 38689


def test_style_none_tells_nothing() -> None:
    """Neither limit nor wait, not even on a refusal."""
    assert rate_limit_headers("none", SHUT, WALL, 60.0) == {}
