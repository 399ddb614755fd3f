"""What a piece of code costs in points: `with fake.spends(at_most=5): ...`."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Self

import msgspec

from ..redaction import once_made, plain
from .checks import require_count


class Charge(msgspec.Struct, frozen=True, kw_only=True):
    """What one request was charged.

    Attributes:
        operation: The operation's name, such as `meetings.create`.
        points: Points that it took; those that a refused request burned too.
        throttled: The budget refused it with a 429.
    """

    operation: str
    points: int
    throttled: bool


class Spending:
    """The points spent in a `with` block, and what was expected of them; made by `FakeWhereby.spends`.

    Attributes:
        charges: What each request was charged, in the order of their arrival.
    """

    def __init__(
        self,
        watching: list[Spending],
        *,
        at_most: int | None = None,
        at_least: int | None = None,
        exactly: int | None = None,
        throttled: int | None = None,
    ) -> None:
        at_most, at_least, exactly, throttled = map(plain, (at_most, at_least, exactly, throttled))
        bounds = {"at_most": at_most, "at_least": at_least, "exactly": exactly, "throttled": throttled}
        for name, bound in bounds.items():
            if bound is not None:
                require_count(name, bound)
        if at_least is not None and at_most is not None and at_least > at_most:
            raise ValueError(f"nothing is at least {at_least} and at most {at_most}")
        if exactly is not None and not (at_least or 0) <= exactly <= (exactly if at_most is None else at_most):
            raise ValueError(f"exactly={exactly} is out of the other bounds")
        self._watching = watching
        self._bounds: dict[str, tuple[Callable[[int, int], bool], int | None]] = {
            "at most": (operator.le, at_most),
            "at least": (operator.ge, at_least),
            "exactly": (operator.eq, exactly),
        }
        self._throttled = throttled
        self.charges: list[Charge] = []

    @once_made
    def __repr__(self) -> str:
        return f"<Spending: {_counted(self.points, 'point')} in {_counted(len(self.charges), 'call')}>"

    @property
    def points(self) -> int:
        """Points spent so far."""
        return sum(charge.points for charge in self.charges)

    @property
    def throttled(self) -> int:
        """How many requests the budget refused with a 429; scripted ones do not count."""
        return sum(charge.throttled for charge in self.charges)

    def __enter__(self) -> Self:
        self._watching.append(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watching.remove(self)
        if error is None and (wrong := self._wrong()):
            raise AssertionError("\n".join([", ".join(wrong), *self._lines()]))

    def _wrong(self) -> list[str]:
        points = self.points
        wrong = [
            f"spent {_counted(points, 'point')} where {words} {bound} were expected"
            for words, (keeps, bound) in self._bounds.items()
            if bound is not None and not keeps(points, bound)
        ]
        if self._throttled not in {None, self.throttled}:
            wrong.append(f"{self.throttled} × 429 where {self._throttled} were expected")
        return wrong

    def _lines(self) -> list[str]:
        """One line for each kind of call, in the order of their first."""
        return [
            f"  {count} × {charge.operation} at {charge.points} = {count * charge.points}"
            + (" (refused: 429)" if charge.throttled else "")
            for charge, count in Counter(self.charges).items()
        ] or ["  no calls at all"]


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
