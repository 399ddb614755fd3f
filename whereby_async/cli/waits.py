"""`whereby transcriptions wait`, `whereby summaries wait`: until a job of the service is done."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any, Final, cast

from cyclopts import Parameter, validators

from .connection import Connection
from .exits import ExitCode, OutOfTimeError
from .results import results_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from cyclopts import App

_HELP: Final = """Wait until one of the {name} is ready, and print it. Costs 1 point a look.

It looks at once, and then ever more rarely, every 30 seconds at the most. One
that failed ends it with exit code 1 and the server's reason.

For example:

    whereby {name} wait b1f0c1a2-6f6c-4c55-9f0e
    whereby {name} wait b1f0c1a2-6f6c-4c55-9f0e --within 600 --json
"""


def register(group: App, name: str) -> None:
    """Add the command to its group's app.

    Args:
        group: The group's app.
        name: `transcriptions` or `summaries`.
    """

    def wait(
        job_id: Annotated[str, Parameter(help="Its id.")],
        /,
        *,
        within: Annotated[
            float | None,
            Parameter(help="Seconds to wait at most; then exit code 4.", validator=validators.Number(gt=0)),
        ] = None,
        connection: Connection = Connection(),  # noqa: B008 - frozen
    ) -> int:
        return asyncio.run(_wait(name, job_id, within, connection))

    wait.__doc__ = _HELP.format(name=name)
    group.command(wait)


async def _wait(name: str, job_id: str, within: float | None, connection: Connection) -> int:
    async with connection.client() as client:
        method = cast("Callable[..., Any]", getattr(client, name).wait)
        try:
            async with asyncio.timeout(within):
                done = await method(job_id)
        except TimeoutError:
            raise OutOfTimeError(f"{name}: {job_id} was not ready within {within:g} s; it goes on without us") from None
    results_for(as_json=connection.as_json).one(done)
    return ExitCode.OK
