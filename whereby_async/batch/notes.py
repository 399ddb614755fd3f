"""`Notes`: what is written down about items, in a journal or, without one, nowhere; and which calls are in doubt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .failures import JournalError
from .source import digest

if TYPE_CHECKING:
    from .records import Entry, State
    from .scribe import Scribe
    from .source import Item


class Notes:
    """The notes of one batch.

    Attributes:
        in_doubt: Keys of items whose call may have left and which have no outcome yet.
        trouble: Why the journal can not be written any more.
    """

    def __init__(self, scribe: Scribe | None, *, keyed: bool) -> None:
        """Made when the batch is entered.

        Args:
            scribe: Writes the journal, if there is one.
            keyed: Items go by a key of their own.
        """
        self._scribe = scribe
        self._keyed = keyed
        self.in_doubt: dict[str, None] = {}
        self.trouble: JournalError | None = None

    def claim(self, item: Item) -> bool:
        """The item has come; whether its key had not come before."""
        return self._scribe is None or self._scribe.journal.places.claim(item.key)

    def known(self, item: Item) -> Entry | None:
        """What earlier runs have written down.

        Raises:
            JournalError: It was another request that had this item's place.
        """
        if self._scribe is None:
            return None
        entry = self._scribe.journal.find(item.key)
        if entry is not None and not self._keyed and entry.request != digest(item.request):
            raise JournalError(
                f"item {item.index} is not the request that the journal knows by this index: the input has changed between "
                "the runs (a date such as now plus an hour is enough). Pass the same input again, or key= to tell items by"
            )
        return entry

    async def begin(self, item: Item, marker: str | None, ends: str | None) -> None:
        """A call that must not be repeated is about to leave.

        Raises:
            JournalError: That could not be written, so it must not leave.
        """
        try:
            await self._write(item, "begun", marker=marker, ends=ends)
        except JournalError as error:
            self.trouble = self.trouble or error
            raise
        self.in_doubt[item.key] = None

    async def finish(self, item: Item, state: State, **more: Any) -> None:
        """What came of it. If that can not be written the consumer is still told, and the next run finds out by itself."""
        try:
            await self._write(item, state, **more)
        except JournalError as error:
            self.trouble = self.trouble or error
        self.settled(item)

    def settled(self, item: Item) -> None:
        """It is not in doubt any more."""
        self.in_doubt.pop(item.key, None)

    def doubtful(self) -> tuple[str, ...]:
        """Keys of all calls that are in doubt, those of earlier runs that have not come up again among them."""
        earlier = sorted(self._scribe.journal.begun) if self._scribe else ()
        return tuple(dict.fromkeys((*self.in_doubt, *earlier)))

    async def _write(self, item: Item, state: State, **more: Any) -> None:
        if self._scribe is not None:
            request = None if self._keyed else digest(item.request)
            await self._scribe.write(item.key, state, request=request, **more)
