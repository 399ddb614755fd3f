"""`whereby budget`: points left, and who waits for them. `whereby probe`: which rate-limit headers are really sent."""

from __future__ import annotations

import asyncio
import math
import re
from datetime import UTC, datetime
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any, Final, Self

import msgspec
from cyclopts import Parameter, validators

from ..redaction import redact
from .errors import ExitCode, UsageError
from .global_options import AtLeastOne, Flag, GlobalOptions

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping

    from rich.live import Live

    from .. import Answer, WherebyClient
    from ..hooks import AttemptDetails, ResponseDetails
    from ..limiter import BudgetSnapshot
    from .output import Output
    from .terminal import Piece

_EVERY: Final = 5.0
_TICK: Final = 0.25
"""Seconds between two states of the screen, which cost no points."""

_BAR: Final = 24
_LOW: Final = 0.25
_STATES: Final = {
    "unknown": ("no answer yet: it goes by the smallest plan", "yellow"),
    "open": ("open", "green"),
    "empty": ("empty: calls wait for the next window", "yellow"),
    "frozen": ("frozen: the server refused a call, and all wait for its time", "red"),
    "degraded": ("degraded: the shared store is away", "red"),
}

_READ: Final = ("limit", "remaining", "reset_in", "retry_after", "period")
_LOOKS: Final[dict[str, Callable[[WherebyClient], Awaitable[Any]]]] = {
    "meetings.get": lambda client: client.meetings.get("1"),  # no meeting has it: the API's documentation names it
    "meetings.list": lambda client: client.meetings.list(page_size=1),
    "insights.rooms": lambda client: client.insights.rooms(page_size=1),
}
_RATE_LIMIT: Final = re.compile(r"rate|limit|retry|reset|remaining|throttl|quota", re.IGNORECASE)
_FORMATS: Final = (
    ("milliseconds since 1970", re.compile(r"\d{13}")),
    ("seconds since 1970", re.compile(r"\d{10}(?:\.\d+)?")),
    ("whole number", re.compile(r"\d+")),
    ("number with a fraction", re.compile(r"\d+\.\d+")),
    ("ISO 8601 date", re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:?\d\d)?")),
    ("HTTP date", re.compile(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT")),
    ("JavaScript date", re.compile(r"[A-Z][a-z]{2} [A-Z][a-z]{2} \d\d \d{4} \d\d:\d\d:\d\d GMT[+-]\d{4}.*")),
    ("IETF draft 7", re.compile(r"(?:limit|remaining|reset)=\d+(?:,[ \t]*(?:limit|remaining|reset)=\d+)*")),
    ("IETF drafts 8 to 11", re.compile(r'"[^"]*";.*\b[rq]=\d.*')),
    ("several numbers", re.compile(r"[\d., ;=\w-]*\d[\d., ;=\w-]*")),
)


def budget(
    *,
    watch: Flag = False,
    every: Annotated[float | None, Parameter(validator=validators.Number(gt=0))] = None,
    count: AtLeastOne | None = None,
    options: GlobalOptions = GlobalOptions(),  # noqa: B008 - frozen
) -> int:
    """Points left, and who waits for them.

    Only an answer of the API says how many points are left, so that each look
    costs 1 point: it lists one meeting. With --watch it looks again and
    again, until Ctrl-C; between two looks the screen goes on by itself.

    What others spend of the same budget shows from the second look on. Calls
    that wait are those of this process, or with --redis those of all that
    share the budget.

    For example:

        whereby budget
        whereby budget --watch
        whereby budget --watch --every 30 --json >> budget.jsonl

    Args:
        watch: Go on looking.
        every: Seconds between two looks, 5 unless given.
        count: Stop after so many looks.
        options: How to reach the API.
    """
    if not watch and (every, count) != (None, None):
        raise UsageError("--every and --count are for --watch, which looks more than once: pass it too")
    last = (count or math.inf) if watch else 1
    return asyncio.run(_look(options, every or _EVERY, last))


async def _look(options: GlobalOptions, every: float, last: float) -> int:
    answer = _LastAnswer()
    async with options.client(answer) as client:
        with _Screen(client, answer, options.output()) as screen:
            number = 0
            while True:
                await _shown_until(screen, client.meetings.list(page_size=1).collect(max_items=1))
                screen.look()
                number += 1
                if number >= last:
                    return ExitCode.OK
                await _shown_until(screen, asyncio.sleep(every))


async def _shown_until(screen: _Screen, work: Coroutine[Any, Any, Any]) -> None:
    """Keep the screen going until `work` is done; a look that has to wait for its point shows that it waits."""
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(work)
        while not task.done():
            screen.paint()
            await asyncio.wait([task], timeout=_TICK)


class _LastAnswer:
    """A hook that keeps what the last answer said of the budget.

    Attributes:
        figures: Its limit, points left and seconds to the window's end.
        foreign: Points that were gone between two answers of one window, and that we did not spend.
    """

    def __init__(self) -> None:
        self.figures: dict[str, float | None] = {}
        self.foreign: int = 0
        self._came_at = 0.0
        self._cost = 0

    def on_attempt(self, details: AttemptDetails) -> None:
        self._cost = details.cost

    def on_response(self, details: ResponseDetails) -> None:
        read, before = details.rate_limit, self.figures.get("remaining")
        if before is not None and read.remaining is not None:
            self.foreign += max(0, int(before) - read.remaining - self._cost)
        reset_in = None if read.reset_in is None else round(read.reset_in, 3)
        self.figures = {"limit": read.limit, "remaining": read.remaining, "reset_in": reset_in}
        self._came_at = monotonic()

    def reset_in(self) -> float | None:
        """Seconds from now until the window ends that the last answer told of; `None` if it told of none, or it has."""
        told = self.figures.get("reset_in")
        left = 0.0 if told is None else told - (monotonic() - self._came_at)
        return left if left > 0 else None


class _Screen:
    """A JSON line for each look, or a panel on the terminal that is painted over; its last state stays."""

    def __init__(self, client: WherebyClient, answer: _LastAnswer, output: Output) -> None:
        self._client = client
        self._answer = answer
        self._output = output
        self._painted: dict[str, Any] = {}
        self._live: Live | None = None

    def __enter__(self) -> Self:
        if not self._output.is_json:
            from rich.live import Live

            from .terminal import plain_console

            self._live = Live(console=plain_console(), auto_refresh=False)
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._live is not None:
            self._live.stop()

    def look(self) -> None:
        """Show what a look has found."""
        if self._live is None:
            self._output.line(_facts(self._client, self._answer))
        self.paint()

    def paint(self) -> None:
        """Paint the panel if it has changed."""
        if self._live is None:
            return
        from .terminal import grid

        facts = _facts(self._client, self._answer)
        shown = {**facts, "at": None, "reset_in": math.ceil(facts["reset_in"] or 0)}
        if shown != self._painted:
            self._painted = shown
            self._live.update(grid(facts["base_url"], panel_rows(facts)), refresh=True)


def _facts(client: WherebyClient, answer: _LastAnswer) -> dict[str, Any]:
    """The budget in numbers and names."""
    budget: BudgetSnapshot = client.limiter.snapshot()
    told = None if budget.state == "frozen" else answer.reset_in()  # a freeze may end at another time
    figures = msgspec.structs.asdict(budget) | _by_the_server(budget, answer.figures)
    figures["reset_in"] = budget.reset_in if told is None else told
    figures["waiting"] = {priority.name.lower(): calls for priority, calls in budget.waiting.items()}
    return {
        "event": "budget",
        "at": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "base_url": client.base_url,
        **{name: round(value, 3) if isinstance(value, float) else value for name, value in figures.items()},
        "costs": dict(budget.costs),
        "server": answer.figures,
        "reset_by_server": told is not None,
        "spent_by_others": answer.foreign,
    }


def _by_the_server(budget: BudgetSnapshot, answer: Mapping[str, float | None]) -> dict[str, Any]:
    """What the last answer said, which is shown first.

    The limiter raises its limit on the second answer only, and a shared one hears of the first answer later.
    """
    figures: dict[str, Any] = {
        name: value for name in ("limit", "remaining") if (value := answer.get(name)) is not None
    }
    if (left := figures.get("remaining")) is not None:
        if budget.state == "unknown":
            figures["state"] = "open" if left else "empty"
        figures["available"] = left if budget.remaining is None else min(left, budget.available)
    return figures


def panel_rows(budget: Mapping[str, Any]) -> list[tuple[str, list[Piece]]]:
    """The rows of the panel: a name and words each."""
    return [
        ("points", _points(budget)),
        ("known by", [_source(budget["server"])]),
        ("state", [_STATES.get(budget["state"], (budget["state"], ""))]),
        ("window", [_window(budget)]),
        ("waiting", [_waiting(budget)]),
        ("in flight", [f"{budget['in_flight']} points"]),
        ("others", [_foreign(budget["spent_by_others"], budget["foreign_rate"])]),
        ("prices", [", ".join(f"{name} {cost}" for name, cost in budget["costs"].items()) or "as documented"]),
    ]


def _points(budget: Mapping[str, Any]) -> list[Piece]:
    server = budget["server"]
    left, limit = server.get("remaining"), server.get("limit")
    if left is None or not limit:
        return [f"not known; {budget['limit']} a window are assumed, {budget['available']} to be had now"]
    share = min(1.0, left / limit)
    full = round(share * _BAR)
    bar = ("█" * full, "green" if share > _LOW else "yellow")
    return [bar, ("░" * (_BAR - full), "dim"), f"  {left} of {limit} left"]


def _source(server: Mapping[str, Any]) -> str:
    if not server:
        return "no answer yet"
    return "the server's last answer" if server.get("remaining") is not None else "our own count: the server tells none"


def _window(budget: Mapping[str, Any]) -> str:
    if budget["reset_in"] is None:
        return "its end is not known"
    reset_in = math.ceil(budget["reset_in"])
    if budget["state"] == "frozen":
        return f"calls go again in {reset_in} s"
    if budget["reset_by_server"]:
        return f"new points in {reset_in} s, as the server said"
    return f"new points in about {reset_in} s, by our own count"


def _waiting(budget: Mapping[str, Any]) -> str:
    calls = ", ".join(f"{priority} {count}" for priority, count in budget["waiting"].items())
    points = budget["waiting_points"]
    return f"{calls or 'nobody'}{f'; they ask for {points} points' if points else ''}"


def _foreign(spent: int, rate: float) -> str:
    if not spent:
        return "none seen since the first look"
    return f"spent {spent} points since the first look" + (f", {rate:.1f} points/s of late" if rate else "")


def probe(*, options: GlobalOptions = GlobalOptions()) -> int:  # noqa: B008 - frozen
    """Look which rate-limit headers the service really sends.

    Three reads, which change nothing: a meeting that does not exist, one
    meeting, one room of the insights. They cost 3 points or a little more.
    Prints names, values and formats of the headers that tell of the budget,
    what the API says of the end of an operation (Deprecation and Sunset),
    only the names of all other headers, and no secrets.

    For example:

        whereby probe
        whereby probe --json > headers.jsonl
    """
    return asyncio.run(_probe(options))


async def _probe(options: GlobalOptions) -> int:
    from .. import APIStatusError, AuthenticationError, capture_responses

    output = options.output()
    async with options.client() as client:
        for operation, look in _LOOKS.items():
            with capture_responses() as answers:
                try:
                    await look(client)
                except AuthenticationError:
                    _show_answer(output, operation, answers[-1])
                    raise
                except APIStatusError:
                    pass  # the headers of a refusal are as good
            for answer in answers:
                _show_answer(output, operation, answer)
    return ExitCode.OK


def _show_answer(output: Output, operation: str, answer: Answer) -> None:
    """Print what an answer says of the budget, and of the end of its operation."""
    from ..deprecation import in_words, read_deprecation
    from ..limiter import RateLimit

    found = [(name, redact(value)) for name, value in answer.headers.items() if is_about_the_budget(name)]
    others = sorted({name for name in answer.headers if not is_about_the_budget(name)})
    rate_limit = RateLimit.from_response(answer.status, answer.headers, answer.body)
    values = ((name, getattr(rate_limit, name)) for name in _READ)
    read = {name: round(value, 3) if isinstance(value, float) else value for name, value in values}
    deprecated = read_deprecation(operation, answer.headers)
    row = {
        "event": "answer",
        "operation": operation,
        "status": answer.status,
        "headers": [{"name": name, "value": value, "format": format_of(value)} for name, value in found],
        "other_headers": others,
        "read": read,
        "deprecated": None if deprecated is None else msgspec.to_builtins(deprecated),
    }
    name_width = max((len(name) for name, _ in found), default=0)
    value_width = max((len(value) for _, value in found), default=0)
    words: list[Piece] = [(operation, "bold"), f"  {answer.status}"]
    for name, value in found:
        words += [f"\n  {name:<{name_width}}  {value:<{value_width}}  ", (format_of(value), "cyan")]
    output.line(row, *words)
    figures = ", ".join(f"{name} {round(value, 2):.15g}" for name, value in read.items() if value is not None)
    output.wrapped((f"  read as: {figures or 'nothing about the budget'}", "green" if figures else "yellow"))
    if deprecated is not None:
        output.wrapped((f"  {in_words(deprecated)}", "yellow"))
    output.wrapped((f"  other headers: {', '.join(others) or 'none'}\n", "dim"))


def is_about_the_budget(header: str) -> bool:
    """Whether a header may tell of points. `Date` does: a reset that is a date is read against it."""
    return bool(_RATE_LIMIT.search(header)) or header.lower() == "date"


def format_of(value: str) -> str:
    """The name of a header's format, among those that servers of this kind are known to use."""
    text = value.strip()
    return next((name for name, form in _FORMATS if form.fullmatch(text)), "text")
