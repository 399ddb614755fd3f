"""`HostPointBudget`: one point budget for all processes of a machine, kept in a file, without a server."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from ..errors import ConfigurationError
from .budget_checks import check_budget, checked_pins
from .shared.shared_budget import SharedPointBudget
from .shared.shared_core import StoreReply, StoreRequest, carry_out
from .shared.store import StoreAwayError, Terms
from .state_file import StateFile, default_path

_BUSY: Final = 1.0
"""Seconds after which a file that others keep locked counts as away: one of them was stopped in mid-change."""
_LONGEST_PAUSE: Final = 0.005  # seconds between two tries to lock the file, at most


class HostPointBudget(SharedPointBudget):
    """The organisation's points per minute, kept in one file for all processes of this machine that use the same path.

    The same rules as `PointBudget`'s, with one account for all: workers of a web server, of a task queue, or scripts
    side by side. The file is locked only while it is read, changed and written, which takes a tenth of a millisecond.
    No server and no extra is needed. Processes of several machines need `RedisPointBudget`.

    Priorities hold across processes: an interactive call in one goes before a batch call in another. Within a priority
    the processes share a window evenly, by points, as far as they have use for them.

    - *A process dies* in whatever moment: the file stays whole, its points come back a window after its lease (a
      quarter of the period, 2 to 15 s) has run out, and nobody waits for it.
    - *The file is deleted, or cannot be read*: the processes write it anew from what they know.
    - *The file cannot be used* (a full disk, no permission, a file system without locks): each process goes by an even
      share of the limit and returns by itself; log and hooks (`on_outage`) are told once when it goes and once when it
      is back.
    - *Containers* share a budget if they share the file's folder and the machine's clock.
    """

    def __init__(
        self,
        path: str | Path | None = None,
        *,
        limit: int | None = None,
        period: float = 60.0,
        costs: Mapping[str, int] | None = None,
        reserve: float = 0.1,
    ) -> None:
        """Make a budget. Touches nothing: the file is opened, and made, by the first call.

        Args:
            path: The file. `None` is one in the user's runtime or cache folder, whose name is a digest of the base URL
                and the key of the first client that uses this budget. Processes with several keys of one organisation
                need a path. The file is its user's alone.
            limit: Points per period to start from; the header `X-RateLimit-Limit` overrules it. `None` learns it from
                that header, and assumes 100, the smallest plan, until then.
            period: The window's length in seconds; the same for all processes.
            costs: Prices by operation, such as `{"insights.rooms": 5}`, that are never learned otherwise.
            reserve: The share of each window, from 0 to below 1, that is kept from the `BATCH` priority at most.

        Raises:
            ConfigurationError: An option cannot be used.
        """
        limit, period, reserve = check_budget(limit, period, reserve)
        pins = checked_pins(costs)
        self._path = None if path is None else _checked_path(path)
        self._digest = ""
        name = "" if self._path is None else self._path.name
        terms = Terms(label="HostPointBudget", name=name, limit=limit, period=period, pins=pins, reserve=reserve)
        super().__init__(terms, self._open_store_file)

    def name_after(self, base_url: str, api_key: str) -> None:
        """Take the name of the default file from the first client that uses this budget; the key itself is not kept."""
        if not self._digest:
            self._digest = hashlib.sha256(f"{base_url.rstrip('/')}\0{api_key}".encode()).hexdigest()[:32]

    @property
    def path(self) -> Path | None:
        """The file; `None` until a client that uses this budget has named it."""
        if self._path is None and self._digest:
            return default_path(self._digest)
        return self._path

    def _open_store_file(self) -> _FileStore:
        if self._path is None and not self._digest:
            raise ConfigurationError(
                "HostPointBudget() takes the name of its file from the client that uses it: "
                "pass it to WherebyClient(limiter=...), or give it a path"
            )
        return _FileStore(self._file)

    def _file(self) -> StateFile:
        if self._path is not None:
            return StateFile(self._path)
        return StateFile(default_path(self._digest), private_folder=True)


def _checked_path(path: object) -> Path:
    if isinstance(path, str | Path) and str(path) and str(path).isprintable() and "://" not in str(path):
        return Path(path).expanduser()
    raise ConfigurationError(
        f"HostPointBudget got {'a URL' if '://' in str(path) else repr(path)}: "
        "give the path of a file that its processes may write, or None"
    )


class _FileStore:
    """A state in a file."""

    same_clock: bool = True
    spacing: float = 0.01

    def __init__(self, find: Callable[[], StateFile]) -> None:
        self._find = find
        self._file: StateFile | None = None

    async def transact(self, said: StoreRequest, offer: bytes | None) -> tuple[StoreReply, bytes]:
        """Have a request answered.

        Raises:
            StoreAwayError: The file cannot be used, or stays locked.
        """
        if self._file is None:
            self._file = self._find()
        answers: list[tuple[StoreReply, bytes]] = []

        def change(state: bytes | None) -> bytes:
            reply, after = carry_out(state or None, said, offer, time.monotonic())
            answers.append((reply, after or b""))
            return after or b""

        began, pause = time.monotonic(), 0.0
        while not self._file.try_change(change):
            if time.monotonic() > began + _BUSY:
                raise StoreAwayError("another process keeps its file locked")
            await asyncio.sleep(pause)
            pause = min(pause + 0.0005, _LONGEST_PAUSE)
        return answers[-1]

    async def aclose(self) -> None:
        """Nothing is kept open."""
