"""`Agenda`: what an event loop has to say to the store, and when. Pure.

**Theory.** A call is made

- at once, when somebody wants points and nothing is known that would make him wait; the next keeps its distance (`cadence.py`),
  but not for the interactive lane;
- when the store has said to come again;
- at once, when an answer has come that others wait for: that of a lead or a pilot, a 429, or evidence that opens a window;
- a few milliseconds after any other permit has ended, to take others along;
- every third of a lease while permits are out, so that they are not given up.

Otherwise nothing happens: an idle loop makes no call and has no timer.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..protocol import Priority

if TYPE_CHECKING:
    from collections.abc import Sequence


class Agenda:
    """When to call.

    Attributes:
        news: Somebody wants points of whom the store does not know.
        hurry: Somebody among them is interactive.
        covered: The first lane of which the store knows that it waits; what comes later in it or in a lower one need not be told.
        again_at: When the store has said to come again.
        say_by: When what else there is to say must be said.
        called_at: When the last call began.
    """

    __slots__ = ("again_at", "called_at", "covered", "hurry", "news", "say_by")

    def __init__(self) -> None:
        self.news: bool = False
        self.hurry: bool = False
        self.covered: Priority | None = None
        self.again_at: float = math.inf
        self.say_by: float = math.inf
        self.called_at: float = -math.inf

    def covers(self, priority: Priority) -> bool:
        """Does the store know all that it needs to know of such a call?"""
        return self.covered is not None and self.covered <= priority and not self.news

    def newcomer(self, priority: Priority) -> None:
        """Somebody has come of whom the store does not know."""
        self.news = True
        self.hurry = self.hurry or priority is Priority.INTERACTIVE

    def say(self, by: float) -> None:
        """Something else is to be said."""
        self.say_by = min(self.say_by, by)

    def said(self, now: float) -> None:
        """A call begins, and says all."""
        self.news = self.hurry = False
        self.say_by = math.inf
        self.called_at = now

    def forget(self) -> None:
        """Nobody waits for the store any more, or it does not know any more who does."""
        self.news = self.hurry = False
        self.covered = None

    def heard(self, told: Sequence[Priority], waiting: Sequence[Priority], again_at: float) -> None:
        """The store has answered.

        Args:
            told: The lanes in which it knows that somebody waits.
            waiting: The lanes in which somebody does.
            again_at: When to come again.
        """
        self.covered = told[0] if told else None
        self.again_at = again_at
        self.news = self.news or bool(waiting and (self.covered is None or waiting[0] < self.covered))

    def due(self, now: float, *, waiting: bool, distance: float, sign_of_life: float | None) -> float:
        """When to call.

        Args:
            now: The time.
            waiting: Somebody waits.
            distance: Seconds that calls keep from each other.
            sign_of_life: Seconds after the last call in which the next must follow in any case; `None` if it need not.
        """
        due = self.say_by
        if self.news:
            due = min(due, now if self.hurry else self.called_at + distance)
        elif waiting:
            due = min(due, self.again_at)
        return due if sign_of_life is None else min(due, self.called_at + sign_of_life)
