"""The simulated server: how it may meter points, as arithmetic, and how it spells what it says in headers.

Like the likely engine, a refused call is counted before it is compared, so it may burn the last points; `burns=False`
is the other kind of server.
"""

from __future__ import annotations

import email.utils
import math
import random
from abc import ABC, abstractmethod
from collections import deque
from datetime import UTC, datetime, timedelta, timezone
from typing import NamedTuple


class Verdict(NamedTuple):
    """What the server says to one call."""

    taken: bool
    remaining: int
    reset_in: float
    retry_after: float


class Policy(ABC):
    """A meter of `limit` points per `period` seconds."""

    def __init__(self, limit: int, period: float = 60.0, *, burns: bool = True) -> None:
        self.limit = limit
        self.period = period
        self.burns = burns

    @abstractmethod
    def spend(self, t: float, cost: int) -> Verdict:
        """A call arrives."""


class FixedWindow(Policy):
    """Opens with the first call after the last window's end."""

    end = -math.inf
    spent = 0

    def _turn(self, t: float) -> None:
        if t >= self.end:
            self.end = t + self.period
            self.spent = 0

    def spend(self, t: float, cost: int) -> Verdict:
        self._turn(t)
        taken = self.spent + cost <= self.limit
        if taken or self.burns:
            self.spent += cost
        left = self.end - t
        return Verdict(taken, max(0, self.limit - self.spent), left, left)


class AlignedWindow(FixedWindow):
    """Turns with the server's clock."""

    def __init__(self, limit: int, period: float = 60.0, *, burns: bool = True, phase: float = 0.0) -> None:
        super().__init__(limit, period, burns=burns)
        self.phase = phase

    def _turn(self, t: float) -> None:
        if t >= self.end:
            self.end = (math.floor((t - self.phase) / self.period) + 1) * self.period + self.phase
            self.spent = 0


class SlidingLog(Policy):
    """Counts what came within the last period."""

    def __init__(self, limit: int, period: float = 60.0, *, burns: bool = False) -> None:
        super().__init__(limit, period, burns=burns)
        self.log: deque[tuple[float, int]] = deque()
        self.spent = 0

    def spend(self, t: float, cost: int) -> Verdict:
        while self.log and self.log[0][0] + self.period <= t:
            self.spent -= self.log.popleft()[1]
        taken = self.spent + cost <= self.limit
        if taken or self.burns:
            self.spent += cost
            self.log.append((t, cost))
        oldest = self.log[0][0] + self.period - t if self.log else 0.0
        return Verdict(taken, max(0, self.limit - self.spent), oldest, oldest)


class TokenBucket(Policy):
    """A full bucket that refills evenly."""

    def __init__(self, limit: int, period: float = 60.0, *, burns: bool = False) -> None:
        super().__init__(limit, period, burns=burns)
        self.level = float(limit)
        self.at = -math.inf

    def spend(self, t: float, cost: int) -> Verdict:
        rate = self.limit / self.period
        if self.at > -math.inf:
            self.level = min(self.limit, self.level + (t - self.at) * rate)
        self.at = t
        taken = self.level >= cost
        if taken:
            self.level -= cost
        elif self.burns:
            self.level = 0.0
        return Verdict(taken, int(self.level), (self.limit - self.level) / rate, max(0.0, cost - self.level) / rate)


class SlidingCounter(Policy):
    """Two aligned counters, the last one weighed by how much of it still lies within a period: bursts are punished."""

    def __init__(self, limit: int, period: float = 60.0, *, burns: bool = False, phase: float = 0.0) -> None:
        super().__init__(limit, period, burns=burns)
        self.phase = phase
        self.slot = -1
        self.now = self.last = 0

    def spend(self, t: float, cost: int) -> Verdict:
        slot, within = divmod(t - self.phase, self.period)
        if int(slot) != self.slot:
            self.last = self.now if int(slot) == self.slot + 1 else 0
            self.now = 0
            self.slot = int(slot)
        used = self.last * (1 - within / self.period) + self.now
        taken = used + cost <= self.limit
        if taken or self.burns:
            self.now += cost
            used += cost
        left = self.period - within
        wait = left
        if self.last and used + cost > self.limit:
            wait = min(left, (used + cost - self.limit) * self.period / self.last)
        return Verdict(taken, max(0, int(self.limit - used)), left, wait)


def policy_of(name: str, limit: int = 1000, *, seed: int = 0) -> Policy:
    """A policy by its name; what turns with the clock turns at a random phase."""
    phase = random.Random(seed).uniform(0, 60)
    match name:
        case "aligned":
            return AlignedWindow(limit, phase=phase)
        case "sliding_counter":
            return SlidingCounter(limit, phase=phase)
        case "sliding_log":
            return SlidingLog(limit)
        case "token_bucket":
            return TokenBucket(limit)
        case _:
            return FixedWindow(limit)


# Headers

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
