"""How servers spell what they say: the header styles, and the ways in which headers arrive spoilt."""

from __future__ import annotations

import email.utils
import math
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

    from .policies import Verdict

STYLES = (
    "iso",
    "http_date",
    "epoch",
    "epoch_ceil",
    "epoch_ms",
    "js",
    "js_offset",
    "delta",
    "draft_6",
    "draft_7",
    "draft_10",
    "none",
)
GARBAGE = (
    "0",
    "1e999",
    "-1",
    "NaN",
    "1000, 1000",
    "Invalid Date",
    "",
    "null",
    "undefined",
    "99999999999999999999",
    "[object Object]",
    "\u0663",
)
EPOCH = 1_780_000_000.0


def reset_text(style: str, at: float, left: float) -> str:
    """`X-RateLimit-Reset` of a window that ends at epoch time `at`, in `left` seconds."""
    date = datetime.fromtimestamp(at, UTC)
    eastern = date.astimezone(timezone(timedelta(hours=2)))
    spellings = {
        "iso": date.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "http_date": email.utils.format_datetime(date, usegmt=True),
        "epoch": str(int(at)),
        "epoch_ceil": str(math.ceil(at)),
        "epoch_ms": str(int(at * 1000)),
        "js": date.strftime("%a %b %d %Y %H:%M:%S GMT+0000 (Coordinated Universal Time)"),
        "js_offset": eastern.strftime("%a %b %d %Y %H:%M:%S GMT+0200 (EET)"),
        "delta": f"{left:.3f}",
    }
    return spellings[style]


def draft_fields(style: str, limit: int, period: float, verdict: Verdict) -> dict[str, str]:
    """The fields of an IETF draft: https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/."""
    left, window, remaining = math.ceil(verdict.reset_in), math.ceil(period), verdict.remaining
    spellings = {
        "draft_6": {
            "RateLimit-Limit": f"{limit}, {limit};w={window}",
            "RateLimit-Remaining": str(remaining),
            "RateLimit-Reset": str(left),
        },
        "draft_7": {
            "RateLimit": f"limit={limit}, remaining={remaining}, reset={left}",
            "RateLimit-Policy": f"{limit};w={window}",
        },
        "draft_10": {
            "RateLimit": f'"default";r={remaining};t={left}',
            "RateLimit-Policy": f'"default";q={limit};w={window}',
        },
    }
    return spellings[style]


def headers_of(style: str, limit: int, period: float, verdict: Verdict, clock: float) -> dict[str, str]:
    """What an answer's headers say at server time `clock`."""
    date = email.utils.format_datetime(datetime.fromtimestamp(clock, UTC), usegmt=True)
    if style == "none":
        return {"Date": date}
    headers = {"Date": date}
    if style.startswith("draft"):
        headers |= draft_fields(style, limit, period, verdict)
    else:
        headers |= {
            "X-RateLimit-Limit": str(limit),
            "X-RateLimit-Remaining": str(verdict.remaining),
            "X-RateLimit-Reset": reset_text(style, clock + verdict.reset_in, verdict.reset_in),
        }
    if not verdict.taken:
        headers["Retry-After"] = f"{verdict.retry_after:.3f}"
    return headers


def spoil(headers: dict[str, str], dice: random.Random) -> dict[str, str]:
    """Headers lost or garbled on their way."""
    if dice.random() < 0.5:
        return {}
    spoilt = {name: dice.choice(GARBAGE) if dice.random() < 0.6 else value for name, value in headers.items()}
    # In the fields of the IETF drafts a list of two equal numbers is no garbage.
    return {name: value for name, value in spoilt.items() if name[:2] == "X-" or value != "1000, 1000"}
