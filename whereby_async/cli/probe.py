"""`whereby probe`: which rate-limit headers the service really sends, their names and formats, for a few points."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any, Final

from ..redaction import redact
from .errors import ExitCode
from .global_options import GlobalOptions

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .. import Answer, WherebyClient
    from .output import Output
    from .terminal import Piece

_FIELDS: Final = ("limit", "remaining", "reset_in", "retry_after", "period")
_LOOKS: Final[dict[str, Callable[[WherebyClient], Awaitable[Any]]]] = {
    "meetings.get": lambda client: client.meetings.get("1"),  # no meeting has it: the API's documentation names it
    "meetings.list": lambda client: client.meetings.list(page_size=1),
    "insights.rooms": lambda client: client.insights.rooms(page_size=1),
}
_BUDGET: Final = re.compile(r"rate|limit|retry|reset|remaining|throttl|quota", re.IGNORECASE)
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


def probe(*, options: GlobalOptions = GlobalOptions()) -> int:  # noqa: B008 - frozen
    """Look which rate-limit headers the service really sends.

    Three reads, which change nothing: a meeting that does not exist, one
    meeting, one room of the insights. They cost 3 points or a little more.
    Prints names, values and formats of the headers that tell of the budget,
    only the names of all others, and no secrets.

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
                    _show(output, operation, answers[-1])
                    raise
                except APIStatusError:
                    pass  # the headers of a refusal are as good
            for answer in answers:
                _show(output, operation, answer)
    return ExitCode.OK


def _show(output: Output, operation: str, answer: Answer) -> None:
    """Print what an answer says of the budget."""
    from ..limiter import RateLimit

    found = [(name, redact(value)) for name, value in answer.headers.items() if is_about_the_budget(name)]
    others = sorted({name for name in answer.headers if not is_about_the_budget(name)})
    rate_limit = RateLimit.from_response(answer.status, answer.headers, answer.body)
    read = {name: getattr(rate_limit, name) for name in _FIELDS}
    row = {
        "event": "answer",
        "operation": operation,
        "status": answer.status,
        "headers": [{"name": name, "value": value, "format": format_of(value)} for name, value in found],
        "other_headers": others,
        "read": read,
    }
    name_width = max((len(name) for name, _ in found), default=0)
    value_width = max((len(value) for _, value in found), default=0)
    words: list[Piece] = [(operation, "bold"), f"  {answer.status}"]
    for name, value in found:
        words += [f"\n  {name:<{name_width}}  {value:<{value_width}}  ", (format_of(value), "cyan")]
    output.line(row, *words)
    figures = ", ".join(f"{name} {value:g}" for name, value in read.items() if value is not None)
    output.wrapped((f"  read as: {figures or 'nothing about the budget'}", "green" if figures else "yellow"))
    output.wrapped((f"  other headers: {', '.join(others) or 'none'}\n", "dim"))


def is_about_the_budget(header: str) -> bool:
    """Whether a header may tell of points. `Date` does: a reset that is a date is read against it."""
    return bool(_BUDGET.search(header)) or header.lower() == "date"


def format_of(value: str) -> str:
    """The name of a header's format, among those that servers of this kind are known to use."""
    text = value.strip()
    return next((name for name, form in _FORMATS if form.fullmatch(text)), "text")
