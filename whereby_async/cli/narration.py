"""What a command tells on stderr while it works: why it waits and, with `--verbose`, every attempt."""

from __future__ import annotations

import sys
from contextvars import ContextVar
from time import monotonic
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ..hooks import AttemptDetails, CostChangeDetails, ResponseDetails, RetryDetails, ThrottleDetails, WaitDetails

_WORTH_TELLING: Final = 1.0
"""Seconds; a shorter wait explains itself."""

_REASONS: Final = {
    "empty": "the window's points are spent",
    "frozen": "the server asked for it",
    "reserve": "the rest of the window is kept for others",
    "pilot": "one call is out to learn the budget",
    "queue": "others stand before it",
}

quiet: ContextVar[bool] = ContextVar("whereby_cli_quiet", default=False)
"""Whether something else shows the waits, such as a progress bar."""


class Narrator:
    """A hook that tells of waits on a terminal and, if `verbose`, of everything wherever stderr leads.

    Args:
        verbose: Tell everything.
    """

    def __init__(self, *, verbose: bool = False) -> None:
        self._verbose = verbose
        self._told_until = 0.0

    def on_attempt(self, details: AttemptDetails) -> None:
        """A request is about to be sent."""
        if self._verbose:
            _tell(f"{details.operation}: attempt {details.attempt}, {_points(details.cost)}")

    def on_response(self, details: ResponseDetails) -> None:
        """An answer came."""
        if self._verbose:
            left = details.rate_limit.remaining
            budget = "" if left is None else f", {_points(left)} left of {details.rate_limit.limit}"
            _tell(f"{details.operation}: {details.status} after {details.elapsed * 1000:.0f} ms{budget}")

    def on_retry(self, details: RetryDetails) -> None:
        """It will be sent again."""
        if self._verbose:
            _tell(
                f"{details.operation}: attempt {details.attempt} failed ({details.reason}), again in {details.delay:.1f} s"
            )

    def on_throttle(self, details: ThrottleDetails) -> None:
        """A 429."""
        if self._verbose:
            _tell(f"the server answered 429: everybody waits {details.delay:.1f} s")

    def on_cost_change(self, details: CostChangeDetails) -> None:
        """A price was learned."""
        if self._verbose:
            _tell(f"{details.operation} costs {_points(details.new)}, not {details.old}")

    def on_wait(self, details: WaitDetails) -> None:
        """A call has to wait: told once for all that wait for the same thing."""
        now = monotonic()
        aloud = self._verbose or (sys.stderr.isatty() and not quiet.get())
        if not aloud or details.delay < _WORTH_TELLING or now < self._told_until:
            return
        self._told_until = now + details.delay
        why = _REASONS.get(details.reason, details.reason)
        _tell(f"{details.operation} waits about {details.delay:.0f} s for {_points(details.cost)}: {why}")


def _points(count: int) -> str:
    return "1 point" if count == 1 else f"{count} points"


def _tell(text: str) -> None:
    print(f"whereby: {text}", file=sys.stderr)
