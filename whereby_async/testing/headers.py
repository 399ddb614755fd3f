"""The rate-limit headers in the shapes that services give them. Pure.

The API documents `Retry-After` in seconds and `X-RateLimit-Reset` as a date, without a format. The engine that it
probably runs on wrote a fraction into the one and a JavaScript date string, cut to the second, into the other. Services that
follow a draft of the IETF (https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/) send other fields, in whole
seconds from now on.
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

HeaderStyle: TypeAlias = Literal[
    "iso", "http_date", "epoch", "epoch_ms", "js", "draft_6", "draft_7", "draft_10", "none"
]
"""How the rate-limit headers are written.

The first five say how `X-RateLimit-Reset` is written. The three drafts send the IETF's fields in place of all `X-RateLimit-*`
fields: `draft_6` sends `RateLimit-Limit`, `RateLimit-Remaining` and `RateLimit-Reset`; `draft_7` sends
`RateLimit: limit=1000, remaining=997, reset=41`; `draft_10` sends `RateLimit: "default";r=997;t=41`, as drafts 8 to 11 do.
Each sends `RateLimit-Policy` too. `none` leaves out all rate-limit headers, `Retry-After` too.
"""


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


def _draft_6(verdict: Verdict, period: int) -> dict[str, str]:
    return {
        "RateLimit-Limit": str(verdict.limit),
        "RateLimit-Remaining": str(verdict.remaining),
        "RateLimit-Reset": str(math.ceil(verdict.reset_in)),
        "RateLimit-Policy": f"{verdict.limit};w={period}",
    }


def _draft_7(verdict: Verdict, period: int) -> dict[str, str]:
    reset = math.ceil(verdict.reset_in)
    return {
        "RateLimit": f"limit={verdict.limit}, remaining={verdict.remaining}, reset={reset}",
        "RateLimit-Policy": f"{verdict.limit};w={period}",
    }


def _draft_10(verdict: Verdict, period: int) -> dict[str, str]:
    return {
        "RateLimit": f'"default";r={verdict.remaining};t={math.ceil(verdict.reset_in)}',
        "RateLimit-Policy": f'"default";q={verdict.limit};w={period}',
    }


_DRAFTS: dict[str, Callable[[Verdict, int], dict[str, str]]] = {
    "draft_6": _draft_6,
    "draft_7": _draft_7,
    "draft_10": _draft_10,
}


def checked_style(style: HeaderStyle) -> HeaderStyle:
    """The style.

    Raises:
        ValueError: No such style.
    """
    styles = [*_RESET, *_DRAFTS, "none"]
    if style not in styles:
        message = f"unknown header style {style!r}: {meant(style, styles)}"
        raise ValueError(message)
    return style


def milliseconds_left(verdict: Verdict) -> int:
    """A refusal's wait in whole milliseconds, never too few."""
    return math.ceil(round(verdict.retry_in * 1000, 3))


def rate_limit_headers(style: HeaderStyle, verdict: Verdict, wall: float, period: float) -> dict[str, str]:
    """The headers of an answer.

    Args:
        style: How they are written.
        verdict: What the budget said.
        wall: The server's wall time at which it said so, in seconds since 1970.
        period: Seconds of a window; the drafts' fields have it, rounded up to whole seconds.

    Raises:
        ValueError: No such style.
    """
    if checked_style(style) == "none":
        return {}
    if draft := _DRAFTS.get(style):
        headers = draft(verdict, math.ceil(period))
    else:
        headers = {
            "X-RateLimit-Limit": str(verdict.limit),
            "X-RateLimit-Remaining": str(verdict.remaining),
            "X-RateLimit-Reset": _RESET[style](wall + verdict.reset_in),
        }
    if not verdict.allowed:
        headers["Retry-After"] = f"{milliseconds_left(verdict) / 1000:.3f}".rstrip("0").rstrip(".")
    return headers
