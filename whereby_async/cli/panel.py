"""The budget as a panel on a terminal, made from its facts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Mapping

_BAR: Final = 24
_LOW: Final = 0.25
_STATES: Final = {
    "unknown": ("no answer yet: it goes by the smallest plan", "yellow"),
    "open": ("open", "green"),
    "empty": ("empty: calls wait for the next window", "yellow"),
    "frozen": ("frozen: the server refused a call, and all wait for its time", "red"),
    "degraded": ("degraded: the shared store is away", "red"),
}


def panel(budget: Mapping[str, Any]) -> Table:
    """What the budget is like.

    Args:
        budget: Its facts.
    """
    words, style = _STATES.get(budget["state"], (budget["state"], ""))
    rows = (
        ("points", _points(budget)),
        ("state", Text(words, style=style)),
        ("window", _window(budget["reset_in"])),
        ("waiting", _waiting(budget)),
        ("in flight", Text(f"{budget['in_flight']} points")),
        ("others", _others(budget["spent_by_others"], budget["foreign_rate"])),
        ("prices", Text(", ".join(f"{name} {cost}" for name, cost in budget["costs"].items()) or "as documented")),
    )
    grid = Table.grid(padding=(0, 2))
    grid.title = Text(budget["base_url"], style="bold")
    grid.title_justify = "left"
    for name, told in rows:
        grid.add_row(Text(name, style="dim"), told)
    return grid


def _points(budget: Mapping[str, Any]) -> Text:
    server = budget["server"]
    left, limit = server.get("remaining"), server.get("limit")
    if left is None or not limit:
        return Text(f"not known; {budget['limit']} a window are assumed, {budget['available']} to be had now")
    share = min(1.0, left / limit)
    full = round(share * _BAR)
    bar = ("█" * full, "green" if share > _LOW else "yellow")
    return Text.assemble(bar, ("░" * (_BAR - full), "dim"), f"  {left} of {limit} left")


def _window(reset_in: float | None) -> Text:
    return Text("its end is not known" if reset_in is None else f"new points in {reset_in:.0f} s")


def _waiting(budget: Mapping[str, Any]) -> Text:
    lanes = ", ".join(f"{lane} {calls}" for lane, calls in budget["waiting"].items())
    points = budget["waiting_points"]
    return Text(f"{lanes or 'nobody'}{f'; they ask for {points} points' if points else ''}")


def _others(spent: int, rate: float) -> Text:
    if not spent and not rate:
        return Text("none seen")
    return Text(f"spent {spent} points since the first look" + (f", {rate:.1f} points/s of late" if rate else ""))
