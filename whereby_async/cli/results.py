"""What the API answered, shown: JSON lines in the API's spelling, or tables and records on a terminal.

Results are what the user asked for, so they are whole: a room key or a link that was asked for is printed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, cast

from ..models import encode

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeAlias

    import msgspec

    Result: TypeAlias = msgspec.Struct | Mapping[str, Any]


class Results(Protocol):
    """Where results go."""

    def one(self, result: Result) -> None:
        """Show one result."""

    def rows(self, rows: Sequence[Result]) -> None:
        """Show the next rows of a list."""

    def done(self, operation: str, **facts: object) -> None:
        """Say that something was done which has no result."""

    def end(self, count: int) -> None:
        """Close a list of so many rows."""


def results_for(*, as_json: bool, columns: Sequence[str] = ()) -> Results:
    """Where this process's results go: JSON lines if asked for, and wherever stdout is no terminal.

    Args:
        as_json: JSON was asked for.
        columns: What a table shows, by wire name, the most important first; none for records.
    """
    if as_json or not sys.stdout.isatty():
        return JsonResults()
    from .tables import Records, Table

    return Table(columns) if columns else Records()


def wire(result: Result) -> dict[str, Any]:
    """A result as the API spells it; what the answer did not hold is `None`."""
    if isinstance(result, Mapping):
        return dict(result)
    return cast("dict[str, Any]", json.loads(encode(result)))


class JsonResults:
    """One JSON object a line."""

    def one(self, result: Result) -> None:
        """A line."""
        self.rows([result])

    def rows(self, rows: Sequence[Result]) -> None:
        """A line for each, written out at once."""
        sys.stdout.write("".join(json.dumps(wire(row)) + "\n" for row in rows))
        sys.stdout.flush()

    def done(self, operation: str, **facts: object) -> None:
        """A line with the event `done`."""
        sys.stdout.write(json.dumps({"event": "done", "operation": operation, **facts}) + "\n")
        sys.stdout.flush()

    def end(self, count: int) -> None:
        """Nothing: a list has as many lines as rows."""
