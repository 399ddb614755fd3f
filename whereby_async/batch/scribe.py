"""`Scribe`: takes lines from many tasks and writes them together, one sync for all that have gathered (group commit)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple

import anyio

from .failures import JournalError
from .journal import timestamp
from .records import Entry, line_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from .journal import Journal
    from .records import State

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class _Round:
    """Lines that go to the disk together."""

    __slots__ = ("done", "error", "lines")

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.done = anyio.Event()
        self.error: OSError | None = None


class Scribe:
    """Writes a journal. `run` has to be running in a task.

    Attributes:
        journal: The journal.
        rounds: How often it has synced.
    """

    def __init__(self, journal: Journal) -> None:
        self.journal: Journal = journal
        self.rounds: int = 0
        self._end = journal.file.size
        self._gathering = _Round()
        self._call = anyio.Event()
        self._broken: OSError | None = None

    async def write(self, item: str, state: State, **more: Any) -> None:
        """Write a line about an item; it is on the disk when this returns.

        Raises:
            JournalError: It is not.
        """
        if self._broken is not None:
            raise self._failure(self._broken)
        entry = Entry(item=item, state=state, at=timestamp(), **more)
        line = line_of(entry)
        offset, self._end = self._end, self._end + len(line)
        current = self._gathering
        current.lines.append(line)
        self._call.set()
        await current.done.wait()
        if current.error is not None:
            raise self._failure(current.error)
        self.journal.note(entry, offset)

    async def run(self) -> None:
        """Write what comes, until cancelled."""
        while True:
            await self._call.wait()
            self._call = anyio.Event()
            await self._flush()

    async def aclose(self) -> None:
        """Write what has not been written yet, and close the journal."""
        with anyio.CancelScope(shield=True):
            if self._gathering.lines and self._broken is None:
                await self._flush()
            await in_thread(self.journal.file.close)

    async def _flush(self) -> None:
        current, self._gathering = self._gathering, _Round()
        if self._broken is None:
            self.rounds += 1
            try:
                with anyio.CancelScope(shield=True):
                    await in_thread(self.journal.file.append, b"".join(current.lines))
            except OSError as error:
                self._broken = error
        current.error = self._broken
        current.done.set()

    def _failure(self, error: OSError) -> JournalError:
        failure = JournalError(
            f"journal={str(self.journal.file.path)!r} can not be written: {error.strerror}. No further item is begun; mend the "
            "cause and run the job again"
        )
        failure.__cause__ = error
        return failure


async def in_thread(function: Callable[[*Ts], T], *arguments: *Ts) -> T:
    """Run blocking work in a thread that the loop knows of, so that a simulated clock waits for it."""
    return await asyncio.get_running_loop().run_in_executor(None, function, *arguments)
