"""The link is a secret: it shows in no error, traceback, log, repr or progress of a download, however it ends."""

from __future__ import annotations

import asyncio
import io
import logging
import traceback
import warnings
from typing import TYPE_CHECKING, Any

import pytest
from rich.pretty import pretty_repr
from rich.traceback import Traceback
from support.odd_storage import STALL, OddStorage, always, answer, serving

from whereby_async import Progress, RetryPolicy
from whereby_async.limiter import Unlimited

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from whereby_async import WherebyClient
    from whereby_async.testing import FakeWhereby

pytestmark = pytest.mark.anyio

PLANTED = "plantedlinksignature"
CONTENT = b"x" * 3000
LEAK = f"<Code>No</Code> {PLANTED} <StringToSign>{PLANTED}</StringToSign>".encode()

ENDINGS: dict[str, Callable[[dict[str, str]], bytes]] = {
    "whole": serving(CONTENT),
    "403": always(answer(403, body=LEAK)),
    "404": always(answer(404, body=LEAK)),
    "500": always(answer(500, body=LEAK)),
    "418": always(answer(418, body=LEAK)),
    "redirect to a user": always(answer(302, f"Location: https://u:p@h/?Signature={PLANTED}")),
    "redirect in circles": always(answer(302, f"Location: /?Signature={PLANTED}")),
    "no HTTP": always(f"{PLANTED}\r\n\r\n".encode()),
    "bad header": always(answer(200, f"X-\x01: {PLANTED}")),
    "cut off": always(answer(200, 'ETag: "v1"', body=CONTENT, cut=0)),
    "stall": always(STALL),
    "stall in the body": always(answer(200, body=CONTENT, cut=10) + STALL),
    "encoded": always(answer(200, f"Content-Encoding: {PLANTED[:0]}gzip", body=CONTENT)),
}


def everything_of(error: BaseException) -> list[str]:
    """What a person or a tool may come to see of an error, and of those behind it."""
    seen: list[str] = []
    linked: BaseException | None = error
    while linked is not None:
        told = traceback.TracebackException.from_exception(linked, capture_locals=True)
        trace = Traceback.extract(
            type(linked), linked, linked.__traceback__, show_locals=True, locals_max_length=10_000,
            locals_max_string=1_000_000,
        )  # fmt: skip
        frames = [frame for stack in trace.stacks for frame in stack.frames]
        seen += [repr(linked), str(linked), repr(vars(linked)), "".join(told.format())]
        seen += [str(node) for frame in frames for node in (frame.locals or {}).values()]
        linked = linked.__cause__ or linked.__context__
    return seen


def contents(directory: Path) -> list[str]:
    """All that was written."""
    return [each.read_text() for each in directory.iterdir()]


async def ended(client: WherebyClient, path: Path, seen: list[str], **options: Any) -> BaseException | None:
    def told(progress: Progress) -> None:
        seen.append(pretty_repr(progress))

    try:
        seen.append(pretty_repr(await client.recordings.download("1", path, on_progress=told, **options)))
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is looked through
        return error
    return None


@pytest.mark.parametrize("ending", ENDINGS)
async def test_the_link_shows_nowhere(
    fake: FakeWhereby, tmp_path: Path, ending: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Not when it works, not when it fails, not in the part's note."""
    caplog.set_level(logging.DEBUG)
    asyncio.get_running_loop().set_debug(True)
    seen: list[str] = []
    retry = RetryPolicy(attempts=2, base=0.0)
    async with OddStorage(ENDINGS[ending]) as storage, fake.client(limiter=Unlimited(), retry=retry) as client:
        storage.linked_from(fake)
        error = await ended(client, tmp_path / "film", seen, stall_timeout=0.05)
        assert (error is None) == (ending == "whole")
        seen += everything_of(error) if error else []
    seen += [logging.Formatter().format(record) + repr(record.__dict__) for record in caplog.records]
    seen += contents(tmp_path)
    assert seen
    assert [text for text in seen if PLANTED in text] == []


@pytest.mark.parametrize("raw", [STALL, answer(200, 'ETag: "v1"', body=CONTENT, cut=100) + STALL])
async def test_the_link_does_not_show_in_a_cancel(fake: FakeWhereby, tmp_path: Path, raw: bytes) -> None:
    """A cancelled task's traceback ends before aiohttp's frames, whose locals are the link's."""
    seen: list[str] = []
    async with OddStorage(always(raw)) as storage, fake.client(limiter=Unlimited()) as client:
        storage.linked_from(fake)
        task = asyncio.create_task(ended(client, tmp_path / "film", seen))
        while not storage.requests:
            await asyncio.sleep(0)
        await asyncio.sleep(0.05)
        task.cancel()
        error = await task
    assert isinstance(error, asyncio.CancelledError)
    seen += everything_of(error)
    assert [text for text in seen if PLANTED in text] == []


async def test_nothing_is_left_to_complain_of(fake: FakeWhereby) -> None:
    """A response that is not closed would warn with its link."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        async with OddStorage(serving(CONTENT, cut=100)) as storage:
            storage.linked_from(fake)
            async with fake.client(limiter=Unlimited(), retry=RetryPolicy(base=0)) as client:
                await client.recordings.download("1", io.BytesIO())
