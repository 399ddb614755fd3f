"""`whereby recordings download`, `whereby transcriptions download`: one file onto the disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, cast

from cyclopts import Parameter

from .connection import Connection
from .exits import ExitCode, UsageError
from .work import Bar, Report, run_long, size

if TYPE_CHECKING:
    from collections.abc import Callable

    from cyclopts import App

    from ..downloads import Download, Progress


_HELP: Final = """Download a file of the {name}. Costs 1 point for its link, 1 for its name.

It goes into NAME.part first, and gets its name when it is whole. What breaks
off is taken up where it was, also by the next run.

For example:

    whereby {name} download b1f0c1a2-6f6c-4c55-9f0e
    whereby {name} download b1f0c1a2-6f6c-4c55-9f0e kept/ --overwrite
"""


def register(group: App, name: str) -> None:
    """Add the command to its group's app.

    Args:
        group: The group's app.
        name: `recordings` or `transcriptions`.
    """

    def download(
        file_id: Annotated[str, Parameter(help="Its id.")],
        destination: Annotated[
            Path, Parameter(help="The file, or a directory; the present one unless given.")
        ] = Path(),
        /,
        *,
        overwrite: Annotated[bool, Parameter(negative="", show_default=False, help="Replace a file.")] = False,
        connection: Connection = Connection(),  # noqa: B008 - frozen
    ) -> int:
        work = _download(name, file_id, destination, connection, overwrite=overwrite)
        return run_long(work, "what has arrived is kept.")

    download.__doc__ = _HELP.format(name=name)
    group.command(download)


async def _download(name: str, file_id: str, destination: Path, connection: Connection, *, overwrite: bool) -> int:
    report = Report(as_json=connection.as_json)
    async with connection.client() as client:
        method = cast("Callable[..., Any]", getattr(client, name).download)
        with Bar("received") as bar:
            done = await saved(method, file_id, destination, overwrite=overwrite, on_progress=Meter(bar).tell)
    row = {"event": "downloaded", "id": file_id, "path": str(done.path), "size": done.size, "resumed": done.resumed}
    report.line(row, f"{done.path}: {size(done.size)}")
    return ExitCode.OK


async def saved(method: Callable[..., Any], file_id: str, destination: Path, **options: Any) -> Download:
    """Download, what is wrong with the place told as wrong usage.

    Raises:
        UsageError: The file is there, can not be written, or is being written.
    """
    try:
        done: Download = await method(file_id, destination, **options)
    except FileExistsError as error:
        raise UsageError(f"{error.filename or destination} is there already: pass --overwrite to replace it") from None
    except ValueError as error:
        raise UsageError(str(error)) from None
    return done


class Meter:
    """Shows on a bar how far a download is."""

    def __init__(self, bar: Bar) -> None:
        self._bar = bar

    def tell(self, progress: Progress) -> None:
        """So far."""
        rate = (progress.received - progress.resumed) / progress.elapsed if progress.elapsed else 0.0
        self._bar.show_bytes(progress.received, progress.total, f"{size(rate)}/s")
