"""`Guide`: makes calls one after another and shows each as it is done."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec

from ..errors import APIStatusError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .calls import CallLog
    from .display import Display

T = TypeVar("T")


class Guide:
    """Shows calls.

    Attributes:
        display: Where.
        log: The hook of the client that makes the calls.
        waited: Seconds that the shown calls waited for their points.
    """

    def __init__(self, display: Display, log: CallLog) -> None:
        self.display = display
        self.log = log
        self.waited: float = 0.0

    async def show(self, call: Awaitable[T], note: str | Callable[[T], str] = "") -> T:
        """Make a call and show its answers.

        Args:
            call: The call.
            note: What came of it, or how to say it from the result.

        Raises:
            WherebyError: What the call raises, once its answers are shown.
        """
        try:
            result = await call
        except APIStatusError as error:
            self._show_rows(error.message)
            raise
        self._show_rows(note if isinstance(note, str) else note(result))
        return result

    def _show_rows(self, note: str) -> None:
        rows = self.log.take()
        for row in rows:
            self.waited += row.waited
            self.display.call(msgspec.structs.replace(row, note=note if row is rows[-1] else ""))
