"""The rate-limit headers in the shapes that services give them. Pure.

The API documents `Retry-After` in seconds and `X-RateLimit-Reset` as a date, without a format. The engine that it
probably runs on wrote a fraction into the one and a JavaScript date string, cut to the second, into the other.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from email.utils import formatdate
from typing import TYPE_CHECKING, Literal, TypeAlias

from .spelling import meant

if TYPE_CHECKING:
    from collections.abc import Callable

    from .budget import Verdict

HeaderStyle: TypeAlias = Literal["iso", "http_date", "epoch", "epoch_ms", "js", "none"]
"""How `X-RateLimit-Reset` is written; `none` leaves out all rate-limit headers, `Retry-After` too."""


def iso_date(at: float) -> str:
    """A wall time as the API writes dates: `2026-11-23T04:53:00.250Z`."""
    return datetime.fromtimestamp(round(at, 3), UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def http_date(at: float) -> str:
    """A wall time as in a `Date` header, cut to the second."""
    return formatdate(math.floor(at), usegmt=True)


def js_date(at: float) -> str:
    """A wall time as JavaScript's `String(date)` writes it, cut to the second."""
    moment = datetime.fromtimestamp(math.floor(at), UTC)
    return moment.strftime("%a %b %d %Y %H:%M:%S GMT+0000 (Coordinated Universal Time)")


_RESET: dict[str, Callable[[float], str]] = {
    "iso": iso_date,
    "http_date": http_date,
    "epoch": lambda at: str(math.ceil(at)),
    "epoch_ms": lambda at: str(math.ceil(at * 1000)),
    "js": js_date,
}


def checked_style(style: HeaderStyle) -> HeaderStyle:
    """The style.

    Raises:
        ValueError: No such style.
    """
    if style != "none" and style not in _RESET:
        message = f"unknown header style {style!r}: {meant(style, [*_RESET, 'none'])}"
        raise ValueError(message)
    return style


def milliseconds_left(verdict: Verdict) -> int:
    """A refusal's wait in whole milliseconds, never too few."""
    return math.ceil(round(verdict.retry_in * 1000, 3))


def rate_limit_headers(style: HeaderStyle, verdict: Verdict, wall: float) -> dict[str, str]:
    """The headers of an answer.

    Args:
        style: How the reset is written.
        verdict: What the budget said.
        wall: The server's wall time at which it said so, in seconds since 1970.

    Raises:
        ValueError: No such style.
    """
    if checked_style(style) == "none":
        return {}
    write = _RESET[style]
    headers = {
        "X-RateLimit-Limit": str(verdict.limit),
        "X-RateLimit-Remaining": str(verdict.remaining),
        "X-RateLimit-Reset": write(wall + verdict.reset_in),
    }
    if not verdict.allowed:
        headers["Retry-After"] = f"{milliseconds_left(verdict) / 1000:.3f}".rstrip("0").rstrip(".")
    return headers
