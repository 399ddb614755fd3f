"""`Budgets`: the limiters whose points and queues are shown as gauges, none of which is kept alive by it.

An instrument of one name exists once for each meter provider, and asks only whom it was made with. So all hooks of a provider
share one `Budgets`, those of the global one too, whether they were made before or after it was set. Two limiters in it are told apart by the attribute `whereby.budget`, which is the limiter's `name` if it has
one that is not taken, else the least number that is free.
"""

from __future__ import annotations

import contextlib
import threading
import weakref
from itertools import count
from typing import TYPE_CHECKING, Final

from opentelemetry.metrics import Observation, get_meter_provider

from ..limiter.point_budget import UNMETERED
from .target import ADDRESS, BUDGET, LANE, address_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentelemetry.metrics import CallbackOptions, Meter, MeterProvider

    from ..limiter.protocol import BudgetSnapshot, Limiter

    Reading = Callable[[BudgetSnapshot], Iterable[tuple[int, dict[str, str]]]]

_by_provider: Final[weakref.WeakKeyDictionary[object, Budgets]] = weakref.WeakKeyDictionary()
_lock: Final = threading.Lock()


def budgets_of(provider: MeterProvider, meter: Meter) -> Budgets:
    """The budgets that a provider shows; its gauges are made with the first of its hooks."""
    key = get_meter_provider if provider is get_meter_provider() else provider
    with _lock:
        budgets = _by_provider.get(key)
        if budgets is None:
            budgets = _by_provider[key] = Budgets()
            budgets.show(meter)
        return budgets


class Budgets:
    """Limiters, by what their gauges are labelled with."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._limiters: dict[str, tuple[weakref.ref[Limiter], str]] = {}

    def add(self, limiter: Limiter, base_url: str) -> None:
        """Show a limiter as long as it lives; one that cannot be referred to weakly is not shown."""
        with self._lock, contextlib.suppress(TypeError):
            refer = weakref.ref(limiter)
            self._limiters = {label: seen for label, seen in self._limiters.items() if seen[0]() is not None}
            if not any(other() is limiter for other, _ in self._limiters.values()):
                name = getattr(limiter, "name", None)
                free = name if isinstance(name, str) and name not in self._limiters else None
                self._limiters[free or self._number()] = (refer, address_of(base_url))

    def _number(self) -> str:
        return next(label for number in count(1) if (label := str(number)) not in self._limiters)

    def show(self, meter: Meter) -> None:
        """Make the gauges."""
        for name, unit, reading, description in (
            ("whereby.points.limit", "{point}", _limit, "Points per period that the budget goes by."),
            ("whereby.points.remaining", "{point}", _remaining, "Points that the server was last known to have left."),
            ("whereby.queue.points", "{point}", _queued_points, "Points that waiting calls ask for."),
            ("whereby.queue.calls", "{call}", _queued_calls, "Calls that wait for points, by lane."),
        ):
            meter.create_observable_gauge(name, [self._callback(reading)], unit, description)

    def _callback(self, reading: Reading) -> Callable[[CallbackOptions], list[Observation]]:
        return lambda _: list(self._observe(reading))

    def _observe(self, reading: Reading) -> Iterable[Observation]:
        for label, (refer, address) in list(self._limiters.items()):
            limiter = refer()
            if limiter is None:
                continue
            with contextlib.suppress(Exception):  # one that has nothing to show must not hide the others
                for value, attributes in reading(limiter.snapshot()):
                    yield Observation(value, {ADDRESS: address, BUDGET: label, **attributes})


def _limit(budget: BudgetSnapshot) -> Iterable[tuple[int, dict[str, str]]]:
    return [(budget.limit, {})] if budget.limit < UNMETERED else []


def _remaining(budget: BudgetSnapshot) -> Iterable[tuple[int, dict[str, str]]]:
    known = budget.remaining is not None and budget.limit < UNMETERED
    return [(budget.remaining or 0, {})] if known else []


def _queued_points(budget: BudgetSnapshot) -> Iterable[tuple[int, dict[str, str]]]:
    return [(budget.waiting_points, {})]


def _queued_calls(budget: BudgetSnapshot) -> Iterable[tuple[int, dict[str, str]]]:
    return [(calls, {LANE: lane.name.lower()}) for lane, calls in budget.waiting.items()]
