"""What the calls of a command did, attempt by attempt: a hook that keeps a row of each answer."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from ..hooks import AttemptDetails, ResponseDetails

_THROTTLED = 429

# Hooks are called in the task that makes the call, so that an answer finds its own attempt also among many.
_attempt: ContextVar[AttemptDetails | None] = ContextVar("whereby_cli_attempt", default=None)


class CallRow(msgspec.Struct, frozen=True, kw_only=True):
    """One answer.

    Attributes:
        operation: The operation's name.
        status: The HTTP status.
        points: Points that the attempt was charged.
        remaining: Points left by `X-RateLimit-Remaining`; `None` if the answer did not say.
        ms: Milliseconds on the wire.
        waited: Seconds that it waited for its points before.
        note: What came of it.
    """

    operation: str
    status: int
    points: int
    remaining: int | None
    ms: float
    waited: float
    note: str = ""


class CallLog:
    """A hook that collects rows; `take` them to show them.

    Attributes:
        calls: Answers so far.
        points: Points that they were charged.
        throttled: How many of them were a 429.
    """

    def __init__(self) -> None:
        self.calls: int = 0
        self.points: int = 0
        self.throttled: int = 0
        self._rows: list[CallRow] = []

    def on_attempt(self, details: AttemptDetails) -> None:
        """An attempt is about to be sent."""
        _attempt.set(details)

    def on_response(self, details: ResponseDetails) -> None:
        """An answer came."""
        attempt = _attempt.get()
        row = CallRow(
            operation=details.operation,
            status=details.status,
            points=attempt.cost if attempt else 0,
            remaining=details.rate_limit.remaining,
            ms=round(details.elapsed * 1000, 1),
            waited=round(attempt.waited, 3) if attempt else 0.0,
        )
        self.calls += 1
        self.points += row.points
        self.throttled += row.status == _THROTTLED
        self._rows.append(row)

    def take(self) -> list[CallRow]:
        """The rows since the last time."""
        rows, self._rows = self._rows, []
        return rows
