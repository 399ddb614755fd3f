"""Dates on their way out."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, strategies as st

from whereby_async.models import rfc3339


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2025, 5, 12, 16, 42, 49, tzinfo=UTC), "2025-05-12T16:42:49.000Z"),
        (datetime(2025, 5, 12, 16, 42, 49, 1999, tzinfo=UTC), "2025-05-12T16:42:49.001Z"),
        (datetime(2025, 5, 7, 17, 42, 49, tzinfo=timezone(timedelta(hours=-5))), "2025-05-07T22:42:49.000Z"),
        (datetime(99, 1, 1, tzinfo=UTC), "0099-01-01T00:00:00.000Z"),
    ],
)
def test_aware_datetimes_become_utc_with_milliseconds(moment: datetime, text: str) -> None:
    """An aware datetime is told in UTC, with milliseconds and `Z`."""
    assert rfc3339("end_date", moment) == text


@pytest.mark.parametrize(
    "text",
    [
        "2025-05-12T16:42:49Z",
        "2025-05-12T16:42:49.1Z",
        "2025-05-12T16:42:49.123456789Z",
        "2025-05-12t16:42:49z",
        "2025-05-12 16:42:49+00:00",
        "2025-05-07T17:42:49-05:00",
    ],
)
def test_text_with_an_offset_is_passed_on_as_it_is(text: str) -> None:
    """RFC 3339 text is the caller's own words."""
    assert rfc3339("end_date", text) is text


@pytest.mark.parametrize("naive", [datetime(2025, 5, 12), "2025-05-12T16:42:49", "2025-05-12 16:42:49.123"])  # noqa: DTZ001 - naive on purpose
def test_naive_dates_are_refused(naive: datetime | str) -> None:
    """A date without a zone would be read as UTC by the server: it is refused, with the way out."""
    with pytest.raises(
        ValueError, match=r"^end_date is 2025-05-12.*names no time zone: start from datetime\.now\(UTC\)"
    ):
        rfc3339("end_date", naive)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tomorrow",
        "2025-05-12",
        "2025-13-12T16:42:49Z",
        "2025-05-32T16:42:49Z",
        "2025-05-12T25:42:49Z",
        "2025-05-12T16:42Z",
        "2025-05-12T16:42:49+0500",
        "2025-05-12T16:42:49Z ",
        "2025-05-12T16:42:49Z\n",
        "\u0662025-05-12T16:42:49Z",
        "1740819600000",
        "x" * 500,
    ],
)
def test_text_that_is_no_date_is_refused(text: str) -> None:
    """What is not RFC 3339 is refused, and shown at no great length."""
    with pytest.raises(ValueError, match=r"^created_from is .* not an RFC 3339 date") as caught:
        rfc3339("created_from", text)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("value", [date(2025, 5, 12), 1740819600, None, b"2025-05-12T16:42:49Z"])
def test_other_kinds_are_refused(value: Any) -> None:
    """A date has no hour, a number no unit."""
    with pytest.raises(TypeError, match=f"^end_date must be an aware datetime .* not {type(value).__name__}$"):
        rfc3339("end_date", value)


@given(st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30), timezones=st.timezones()))  # noqa: DTZ001 - naive on purpose
def test_no_instant_moves_by_a_millisecond(moment: datetime) -> None:
    """The text names the same instant, what is finer than a millisecond cut off."""
    assert timedelta(0) <= moment - datetime.fromisoformat(rfc3339("end_date", moment)) < timedelta(milliseconds=1)
