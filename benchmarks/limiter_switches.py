"""What each rule of the point budget is for: rule by rule is switched off, and the rows of the table of figures that fall are named.

    python benchmarks/limiter_switches.py [--only RULE] [--rows TEXT] [--seeds N] [--first SEED] [--jobs N] [--json FILE]

A row falls that is what it must be with all rules and is not without the one. Rows that take long run with one seed, the others
with two, so that the whole takes a quarter of an hour on two cores; few seeds find what breaks, not what gets a little worse. A rule without
which no row falls is printed as such, and the exit code is 1 then: it may go, or a scenario for it is missing. It is 2 if the
options cannot be used. Nothing has to be installed for it but the package itself.

A rule is switched off by a subclass of `Core`, or by another value for a constant or a method; the product has no flags for it.
"""

# pyright: basic
# It reaches for what is private in the core.
# ruff: noqa: ARG002, D102, E402 - a switch overrides methods and needs not all they are given; the path comes before the imports

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import math
import os
import signal
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from unittest import mock

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from msgspec.structs import replace

from benchmarks.limiter_figures import FRESH, rows
from whereby_async.limiter import core as core_module
from whereby_async.limiter.budget_checks import check_budget, checked_pins
from whereby_async.limiter.core import NO, Core, Price
from whereby_async.limiter.point_budget import ProcessLimiter
from whereby_async.limiter.queue import Queue

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping
    from concurrent.futures import Future

    from whereby_async.limiter import RateLimit
    from whereby_async.limiter.core import Grant

LONGEST: Final = 25
"""Seconds of real time that one scenario may take with one seed; with all rules the longest takes two."""
COSTLY: Final = 0.4
"""Seconds of processor time above which a row runs with one seed only."""
LEFT_OUT: Final = "1000, thin mix"
"""Rows beside a batch that take a fifth of the time, and are much like those with a limit of 100 and with a thick mix."""


def always(value: Any) -> Any:
    """An attribute of the core that cannot be changed; a function is asked each time."""
    read = value if callable(value) else lambda _: value
    return property(read, lambda *_: None)


# The rules, by what the core is without them


class NoAdvertisedWindow(Core):
    """What the server advertises never counts for more than the ledger has."""

    __slots__ = ()

    def answer(self, grant: Grant, now: float, said: RateLimit | None) -> None:
        super().answer(grant, now, said)
        self._edge = min(self._edge, self._limit + self._released)


class FlightBlind(Core):
    """What was in flight at a call's grant is taken as counted in its answer."""

    __slots__ = ()

    def book(self, *given: Any) -> Any:
        grant = super().book(*given)
        grant.before = 0
        return grant


class NoDoubt(Core):
    """Surprises and refusals leave the belief in what is left as it is."""

    __slots__ = ()

    def _doubt(self, now: float, reach: float) -> None:
        pass


class DoubtAtOnce(Core):
    """One surprise is enough for doubt."""

    __slots__ = ()

    def _hear(self, grant: Grant, now: float, remaining: int, kind: int) -> None:
        self._doubted = True
        super()._hear(grant, now, remaining, kind)


class NoForeign(Core):
    """What others have spent of the window is not kept from the ledger."""

    __slots__ = ()
    _foreign = always(0)


class NoCongestionWindow(Core):
    """The congestion window is the whole limit from the first call on."""

    __slots__ = ()
    _cwnd = always(lambda self: float(self._limit))


class OneProbe(Core):
    """Answers that say nothing let no more probes be out at once."""

    __slots__ = ()
    _unheard = always(0)


class NoThreshold(Core):
    """After a gateway's refusal slow start goes on without a threshold."""

    __slots__ = ()
    _ssthresh = always(math.inf)


class NoResumption(Core):
    """After idleness slow start begins anew."""

    __slots__ = ()
    _resumes = always(0.0)


class NoGateway(Core):
    """Every refusal is the budget's."""

    __slots__ = ()

    def _shows_room(self, grant: Grant, said: RateLimit) -> bool:
        return False


class NoBackoff(Core):
    """Refusals in a row freeze no longer than one."""

    __slots__ = ()
    _backoff = always(1)


class NoExtraSecond(Core):
    """A whole-second Reset is taken at its word."""

    __slots__ = ()

    def _refused(self, grant: Grant, now: float, said: RateLimit, kind: int) -> None:
        super()._refused(grant, now, replace(said, reset_in=None), kind)


class NoAsking(Core):
    """In doubt with nothing advertised nobody asks."""

    __slots__ = ()

    def _probe_at(self) -> float:
        return math.inf


class EvenAsking(Core):
    """Who asks in vain asks as soon again as before."""

    __slots__ = ()
    _gap = always(lambda self: self._period / 40)


class EagerAsking(Core):
    """In doubt the server's own end of the window is not waited for."""

    __slots__ = ()

    def _probe_at(self) -> float:
        return max(self._frozen_until, max(self._heard_at, self._probed_at) + self._gap)


class NoWindowOver(Core):
    """Beyond the ledger nobody asks, even if the server's window is over."""

    __slots__ = ()

    def _window_over(self, now: float) -> bool:
        return False


class NoRefills(Core):
    """A server that refills is not recognised."""

    __slots__ = ()

    def _refills(self) -> bool:
        return False


class NeverAlone(Core):
    """Calls of unknown price go like others."""

    __slots__ = ()

    def _goes_alone(self, word: float) -> bool:
        return False


class AlonePatient(Core):
    """A call that goes alone is waited for however long it takes."""

    __slots__ = ()

    def _special(self, price: Price, now: float, verdict: int) -> int:
        kind = super()._special(price, now, verdict)
        if kind & core_module.ALONE:
            self._alone_until = math.inf
        return kind


class NoLearning(Core):
    """The caller's price is the price."""

    __slots__ = ()

    def price(self, operation: str, seed: int) -> Price:
        return super().price(operation if operation in self._prices else "", seed)


class ProbePatient(Core):
    """A probe is waited for however long it takes."""

    __slots__ = ()

    def _probe(self, now: float, cost: int, kept: int, word: float, flight: int) -> int:
        if self._probing and self._probing >= self._unheard:
            return NO
        return super()._probe(now, cost, kept, word, flight)


class HungCount(Core):
    """Calls that hang, and lost ones, keep their place in the congestion window."""

    __slots__ = ()
    _recent = always(lambda self: self._granted - self._answered - self._fresh)


class MovedRemaining(Core):
    """A `Remaining` that never moves is believed."""

    __slots__ = ()

    def answer(self, grant: Grant, now: float, said: RateLimit | None) -> None:
        if said is not None and said.remaining == self._least:
            self._least += 1
        super().answer(grant, now, said)


class RiseAtOnce(Core):
    """One answer is enough for a rise beyond the ledger."""

    __slots__ = ()
    _rise_heard = always(True)


class TurnNeverDue(Core):
    """A window's turn needs two answers even when it is due."""

    __slots__ = ()

    def _turn_due(self, now: float) -> bool:
        return False


class NoLimitBefore(Core):
    """What a lowered limit allowed before counts no more."""

    __slots__ = ()
    _limit_before = always(lambda self: self._limit)


class LimitAtOnce(Core):
    """One answer is enough for a higher limit."""

    __slots__ = ()

    def _hear_limit(self, limit: int, now: float, asked_at: float) -> None:
        self._limit_heard = limit
        super()._hear_limit(limit, now, asked_at)


class NoReserve(Core):
    """`BATCH` leaves nothing."""

    __slots__ = ()

    def kept(self, now: float, cost: int) -> int:
        return 0


class WholeReserve(Core):
    """`BATCH` leaves its whole share until the window ends."""

    __slots__ = ()

    def kept(self, now: float, cost: int) -> int:
        return int(self._share * self._limit)


class LostAtOnce(Core):
    """A lost call counts as answered at once."""

    __slots__ = ()

    def lost(self, grant: Grant, now: float) -> None:
        if grant.kind:
            self._finish(grant)
            self._count(grant.cost, now)
            self._unsaid = True


class NoQuiet(Core):
    """What is left when nothing is in flight advertises nothing; it only shows prices."""

    __slots__ = ()

    def _quiet(self, grant: Grant) -> None:
        edge = self._edge
        super()._quiet(grant)
        self._edge = edge


class SharedEntries(Core):
    """The first answer after a pause shares its entry of the spend log like any other."""

    __slots__ = ()

    def _count(self, cost: int, at: float) -> None:
        super()._count(cost, at)
        self._log[-1][2] = max(self._log[-1][2], self._log[-1][0] - self._period - core_module.GUARD + self._grain)


class NoFreeze(Core):
    """A refusal freezes nothing."""

    __slots__ = ()

    def _freeze(self, now: float, wait: float) -> None:
        pass


def constant(name: str, value: float) -> Callable[[], Any]:
    """Another value for a constant of the core."""
    return lambda: mock.patch.object(core_module, name, value)


def never(method: str) -> Callable[[], Any]:
    """A method of the queue that finds nobody."""
    return lambda: mock.patch.object(Queue, method, return_value=None)


RULES: dict[str, type[Core] | Callable[[], Any]] = {
    "advertised window": NoAdvertisedWindow,
    "in flight at both ends of an answer": FlightBlind,
    "left at quiet moments": NoQuiet,
    "doubt": NoDoubt,
    "doubt after two surprises": DoubtAtOnce,
    "foreign use": NoForeign,
    "congestion window": NoCongestionWindow,
    "probes of a silent server": OneProbe,
    "slow start threshold": NoThreshold,
    "idle window": constant("IDLE_WINDOW", math.inf),
    "resumption after idleness": NoResumption,
    "caution in doubt": constant("CAUTION", math.inf),
    "margin": constant("MARGIN", 0),
    "freeze": NoFreeze,
    "gateway's refusals": NoGateway,
    "backoff": NoBackoff,
    "one second more": NoExtraSecond,
    "asking in doubt": NoAsking,
    "gap between asks": EvenAsking,
    "server's own end in doubt": EagerAsking,
    "window over": NoWindowOver,
    "refills": NoRefills,
    "unknown prices alone": NeverAlone,
    "patience with a call alone": AlonePatient,
    "price learning": NoLearning,
    "patience with a probe": ProbePatient,
    "patience with hung calls": HungCount,
    "Remaining that never moves": MovedRemaining,
    "surprising rise by two answers": RiseAtOnce,
    "turn that is due": TurnNeverDue,
    "limit before": NoLimitBefore,
    "higher limit by two answers": LimitAtOnce,
    "reserve": NoReserve,
    "reserve that melts": WholeReserve,
    "lost calls may still arrive": LostAtOnce,
    "entry of its own after a pause": SharedEntries,
    "guard": constant("GUARD", 0.0),
    "grain": constant("GRAIN", 1),
    "backfill": never("_backfill"),
    "owed share": never("_owed"),
}


def maker(kind: type[Core]) -> Callable[..., ProcessLimiter]:
    """Makes budgets as `PointBudget` does, by this core."""

    def make(
        limit: int | None = None,
        *,
        period: float = 60.0,
        costs: Mapping[str, int] | None = None,
        reserve: float = 0.1,
    ) -> ProcessLimiter:
        check_budget(limit, period, reserve)
        pins = checked_pins(costs)
        return ProcessLimiter(lambda: kind.cold(limit, period, pins, reserve))

    return make


@contextlib.contextmanager
def without(rule: str) -> Generator[type[Core]]:
    """The core without this rule; with all of them if it is empty."""
    switch = RULES.get(rule, Core)
    if isinstance(switch, type):
        yield switch
    else:
        with switch():
            yield Core


@contextlib.contextmanager
def at_most(seconds: int) -> Generator[None]:
    """Give up what takes longer."""

    def give_up(*_: object) -> None:
        raise TimeoutError(f"has not ended after {seconds} s")

    if not hasattr(signal, "SIGALRM"):
        yield
        return
    signal.signal(signal.SIGALRM, give_up)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)


@dataclass
class Outcome:
    """One row with one seed: what it missed, and the processor time it took."""

    missed: list[str] = field(default_factory=list[str])
    seconds: float = 0.0


def one(rule: str, name: str, seed: int) -> Outcome:
    """A row without a rule. Runs in a process of the pool."""
    logging.disable(logging.WARNING)
    row, outcome, began = rows()[name], Outcome(), os.times()
    try:
        with without(rule) as kind, at_most(LONGEST):
            figures = row.run(maker(kind), seed)
        outcome.missed = [
            f"{figure} {figures[figure]:.4g} ({bound})"
            for figure, bound in row.must.items()
            if not bound.holds(figures[figure])
        ]
    except Exception as error:  # noqa: BLE001 - a scenario that cannot be played is missed
        outcome.missed = [f"{type(error).__name__}: {error}"]
    outcome.seconds = sum(os.times()[:2]) - sum(began[:2])
    return outcome


def fallen(pool: ProcessPoolExecutor, rule: str, chosen: Mapping[str, list[int]]) -> Iterator[tuple[str, list[str]]]:
    """The rows that are missed without the rule, and what each missed."""
    tasks: dict[str, list[Future[Outcome]]] = {
        name: [pool.submit(one, rule, name, seed) for seed in seeds] for name, seeds in chosen.items()
    }
    for name, found in tasks.items():
        if missed := [text for task in found for text in task.result().missed]:
            yield name, missed


def sound(pool: ProcessPoolExecutor, options: argparse.Namespace) -> dict[str, list[int]]:
    """The rows that are what they must be with all rules, and the seeds that they are run with."""
    seeds = list(range(options.first, options.first + options.seeds))
    names = [name for name in rows() if options.rows.lower() in name.lower() and LEFT_OUT not in name]
    tasks = {name: [pool.submit(one, "", name, seed) for seed in seeds] for name in names}
    chosen: dict[str, list[int]] = {}
    for name, found in tasks.items():
        outcomes = [task.result() for task in found]
        good = [seed for seed, outcome in zip(seeds, outcomes, strict=True) if not outcome.missed]
        if good:
            chosen[name] = good[:1] if min(outcome.seconds for outcome in outcomes) > COSTLY else good
    return chosen


def arguments() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="RULE", help="rules whose name contains it")
    parser.add_argument("--rows", default="", metavar="TEXT", help="rows whose name contains it")
    parser.add_argument("--seeds", type=int, default=2, metavar="N", help="seeds of each row (default 2)")
    parser.add_argument("--first", type=int, default=100, metavar="SEED", help="the first seed (default 100)")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), metavar="N", help="processes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the table there too")
    return parser


def main() -> int:
    """Run it."""
    parser = arguments()
    options = parser.parse_args()
    if options.first < FRESH or options.seeds < 1 or options.jobs < 1:
        parser.error(f"--first must be {FRESH} or more, --seeds and --jobs 1 or more")
    rules = [rule for rule in RULES if options.only.lower() in rule.lower()]
    if not rules:
        parser.error(f"no rule's name contains {options.only!r}")
    table: dict[str, dict[str, list[str]]] = {}
    with ProcessPoolExecutor(options.jobs) as pool:
        chosen = sound(pool, options)
        if not chosen:
            parser.error(f"no row whose name contains {options.rows!r} is what it must be")
        print(f"{len(chosen)} rows are what they must be with all rules", flush=True)
        for rule in rules:
            table[rule] = dict(fallen(pool, rule, chosen))
            print(f"without {rule}: {f'{len(table[rule])} rows fall' if table[rule] else 'NOTHING FALLS'}")
            for name, missed in table[rule].items():
                print(f"  {name}: {'; '.join(missed)}")
            sys.stdout.flush()
    idle = [rule for rule, missed in table.items() if not missed]
    print(
        f"{len(rules) - len(idle)} of {len(rules)} rules are needed"
        + "".join(f"\n  NOT NEEDED {rule}" for rule in idle)
    )
    if options.json:
        options.json.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    return 1 if idle else 0


if __name__ == "__main__":
    sys.exit(main())
