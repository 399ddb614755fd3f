"""What can go wrong below HTTP, scripted: `TcpFault` says what, `TcpFaultPlan` to which connections and turns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

TcpPoint: TypeAlias = Literal["connect", "request", "answer", "body"]
"""Where a `TcpFault` strikes: as the connection is accepted, in the bytes of the request, in those of the answer from its
first one on, or in those of the answer's body."""


class TcpFault(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that goes wrong below HTTP.

    Attributes:
        at: Where it strikes. `connect` takes the next connection that is accepted; the others take the next turn.
        after: Let so many bytes through first, counted from `at`.
        do: `reset` the connection, `close` it in order, or `stall`: nothing comes through any more, and nothing ends.
        drip: In place of `do`: seconds between one byte and the next from there on, to the turn's end.
        times: How many connections or turns it takes; `None` for all.
        skip: Let so many pass first.
    """

    at: TcpPoint = "connect"
    after: int = 0
    do: Literal["reset", "close", "stall"] = "reset"
    drip: float = 0.0
    times: int | None = 1
    skip: int = 0


class TcpFaultPlan:
    """The faults to come, in the order in which they were added; the first that matches takes a connection or turn."""

    def __init__(self) -> None:
        self._faults: list[tuple[TcpFault, list[int]]] = []

    def __len__(self) -> int:
        return len(self._faults)

    def __iter__(self) -> Iterator[TcpFault]:
        return iter([fault for fault, _ in self._faults])

    def __repr__(self) -> str:
        return f"<TcpFaultPlan: {len(self._faults)} to come>"

    def add(self, *faults: TcpFault) -> None:
        """Add faults behind those that wait already."""
        self._faults.extend((fault, [0]) for fault in faults)

    def clear(self) -> None:
        """Forget the faults that have not happened yet."""
        self._faults.clear()

    def take(self, *, connecting: bool) -> TcpFault | None:
        """The fault for a connection or a turn that begins, or `None`; its turn is used up.

        Args:
            connecting: It is a connection.
        """
        for index, (fault, seen) in enumerate(self._faults):
            if (fault.at == "connect") is not connecting:
                continue
            seen[0] += 1
            if seen[0] <= fault.skip:
                continue
            if fault.times is not None and seen[0] >= fault.skip + fault.times:
                del self._faults[index]
            return fault
        return None
