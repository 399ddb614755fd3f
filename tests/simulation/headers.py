"""How servers spell what they say: the header styles, and the ways in which headers arrive spoilt."""

from __future__ import annotations

import email.utils
import math
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

    from .policies import Verdict

STYLES = ("iso", "http_date", "epoch", "epoch_ceil", "epoch_ms", "js", "js_offset", "delta", "none")
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


def headers_of(style: str, limit: int, verdict: Verdict, clock: float) -> dict[str, str]:
    """What an answer's headers say at server time `clock`."""
    date = email.utils.format_datetime(datetime.fromtimestamp(clock, UTC), usegmt=True)
    if style == "none":
        return {"Date": date}
    headers = {
        "Date": date,
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
    return {name: dice.choice(GARBAGE) if dice.random() < 0.6 else value for name, value in headers.items()}
