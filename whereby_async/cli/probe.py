"""`whereby probe`: which rate-limit headers the service really sends, their names and formats, for a few points."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING, Any, Final

from ..redaction import redact
from .connection import Connection
from .exits import ExitCode
from .formats import format_of, is_about_the_budget

if TYPE_CHECKING:
    from cyclopts import App

    from .. import Answer, WherebyClient

_NO_MEETING: Final = "1"
"""An id that no meeting has: the service's documentation asks for it to test a key."""

_FIELDS: Final = ("limit", "remaining", "reset_in", "retry_after", "period")


async def _no_meeting(client: WherebyClient) -> None:
    await client.meetings.get(_NO_MEETING)


async def _one_meeting(client: WherebyClient) -> None:
    await client.meetings.list(page_size=1)


async def _one_room(client: WherebyClient) -> None:
    await client.insights.rooms(page_size=1)


_LOOKS: Final = {"meetings.get": _no_meeting, "meetings.list": _one_meeting, "insights.rooms": _one_room}


def register(whereby: App) -> None:
    """Add this command to the app."""
    whereby.command(probe)


def probe(*, connection: Connection = Connection()) -> int:  # noqa: B008 - frozen
    """Look which rate-limit headers the service really sends.

    Three reads, which change nothing: a meeting that does not exist, one
    meeting, one room of the insights. They cost 3 points or a little more.
    Prints names, values and formats of the headers that tell of the budget,
    only the names of all others, and no secrets.

    For example:

        whereby probe
        whereby probe --json > headers.jsonl
    """
    return asyncio.run(_probe(connection))


async def _probe(connection: Connection) -> int:
    from .. import APIStatusError, AuthenticationError, capture_responses

    show = _show_json if connection.as_json or not sys.stdout.isatty() else _show_table
    async with connection.client() as client:
        for operation, look in _LOOKS.items():
            with capture_responses() as answers:
                try:
                    await look(client)
                except AuthenticationError:
                    show(_seen(operation, answers[-1]))
                    raise
                except APIStatusError:
                    pass  # the headers of a refusal are as good
            for answer in answers:
                show(_seen(operation, answer))
    return ExitCode.OK


def _seen(operation: str, answer: Answer) -> dict[str, Any]:
    """What an answer shows of the budget."""
    from ..limiter import RateLimit

    told = [(name, redact(value)) for name, value in answer.headers.items() if is_about_the_budget(name)]
    read = RateLimit.from_response(answer.status, answer.headers, answer.body)
    return {
        "event": "answer",
        "operation": operation,
        "status": answer.status,
        "headers": [{"name": name, "value": value, "format": format_of(value)} for name, value in told],
        "other_headers": sorted({name for name in answer.headers if not is_about_the_budget(name)}),
        "read": {name: getattr(read, name) for name in _FIELDS},
    }


def _show_json(seen: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(seen) + "\n")
    sys.stdout.flush()


def _show_table(seen: dict[str, Any]) -> None:
    from rich.text import Text

    from .tables import plain_console, printable

    console = plain_console()
    console.print(Text.assemble((seen["operation"], "bold"), f"  {seen['status']}"))
    headers: list[dict[str, str]] = seen["headers"]
    name_width = max((len(header["name"]) for header in headers), default=0)
    value_width = max((len(header["value"]) for header in headers), default=0)
    for header in headers:
        value = printable(header["value"])
        line = Text.assemble(f"  {header['name']:<{name_width}}  {value:<{value_width}}  ", (header["format"], "cyan"))
        console.print(line, soft_wrap=True)
    read = ", ".join(f"{name} {value:g}" for name, value in seen["read"].items() if value is not None)
    console.print(Text(f"  read as: {read or 'nothing about the budget'}", style="green" if read else "yellow"))
    console.print(Text(f"  other headers: {', '.join(seen['other_headers']) or 'none'}", style="dim"))
    console.print()
