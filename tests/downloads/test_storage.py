"""What goes to the storage and what does not, over which connections, and that the link shows nowhere."""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import traceback
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from rich.pretty import pretty_repr
from rich.traceback import Traceback
from support.batches import outcomes_of
from support.budgets import until
from support.downloads import CONTENT, STALL, OddStorage, always, answer, serving
from support.wire_server import OK, WireServer, answering

from whereby_async import (
    APIConnectionError,
    ClientClosedError,
    Priority,
    ResponseDecodeError,
    RetryPolicy,
    SessionPool,
)
from whereby_async.limiter import Unlimited
from whereby_async.redaction import Secret
from whereby_async.testing import FakeWhereby
from whereby_async.transport.storage import checked_link

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.downloads import Film

    from whereby_async import Progress, WherebyClient

pytestmark = pytest.mark.anyio

PLANTED = "plantedlinksignature"
STALLED = always(answer(200, 'ETag: "v1"', body=CONTENT, cut=300) + STALL)


async def begun(film: Film) -> None:
    """Until the client has begun to read the answer: the part's note says of what version it is."""
    await until(lambda: film.note.exists() and "v1" in film.note.read_text())


async def test_the_bearer_never_goes_to_the_storage(film: Film) -> None:
    """Nor along a redirect, nor with a range; no cookie, no referer either."""
    async with OddStorage(serving(CONTENT, cut=100), serving(CONTENT)) as behind:
        there = always(answer(302, f"Location: {behind.url}", "Set-Cookie: a=b"))
        async with OddStorage(there) as before:
            before.linked_from(film.fake)
            await film.download(target := io.BytesIO())
    assert target.getvalue() == CONTENT
    sent = before.requests + behind.requests
    assert len(sent) == 4
    allowed = {"host", "accept", "accept-encoding", "user-agent", "range", "if-range"}
    assert [set(headers) - allowed for headers in sent] == [set()] * 4
    assert behind.requests[1]["range"] == "bytes=100-"


@pytest.mark.parametrize("location", ["http://example.com/x", "https://u:p@h/", "", "ftp://h/x"])
async def test_a_redirect_leads_nowhere_it_should_not(film: Film, location: str) -> None:
    """As a link; and a circle ends."""
    async with OddStorage(always(answer(307, f"Location: {location}"))) as storage:
        storage.linked_from(film.fake)
        with pytest.raises(ResponseDecodeError, match=r"no https URL|more than 5 times"):
            await film.download(io.BytesIO())
    assert len(storage.requests) == (1 if location else 5)


def test_https_is_not_left_for_http() -> None:
    here = Secret("http://127.0.0.1/x")
    assert checked_link(here, operation="x", after="http://localhost/") == here
    with pytest.raises(ResponseDecodeError):
        checked_link(here, operation="x", after="https://s3.example/")


@pytest.mark.parametrize(
    ("link", "root", "after", "may"),
    [
        ("http://sandbox:8700/f", "http://sandbox:8700/v1", "", True),
        ("http://sandbox:9000/f", "http://sandbox:8700/v1", "", True),
        ("http://SANDBOX/f", "http://sandbox:8700/v1", "", True),
        ("http://[fd00::1]/f", "http://[fd00::1]:8700/v1", "", True),
        ("http://sandbox/f", "http://sandbox/v1", "http://sandbox/e", True),
        ("http://sandbox/f", "http://sandbox/v1", "https://sandbox/e", False),
        ("http://u:p@sandbox/f", "http://sandbox/v1", "", False),
        ("http://minio:9000/f", "http://sandbox:8700/v1", "", False),
        ("http://evil.sandbox/f", "http://sandbox:8700/v1", "", False),
        ("http://sandbox/f", "https://sandbox/v1", "", False),
        ("http://sandbox/f", "http://127.0.0.1/v1", "", False),
        ("http:///f", "http://127.0.0.1/v1", "", False),
        ("https://minio:9000/f", "http://sandbox:8700/v1", "", True),
    ],
)
def test_a_link_may_be_http_on_the_host_where_the_api_is(link: str, root: str, after: str, may: bool) -> None:
    """Which the user has allowed then; nowhere else but on this machine."""
    with contextlib.nullcontext() if may else pytest.raises(ResponseDecodeError, match="nothing was sent"):
        assert checked_link(Secret(link), operation="x", root=root, after=after) == link


async def test_a_presigned_link_is_not_quoted_again(film: Film) -> None:
    """The fake's signatures hold `%2F` and `%2B`, and would be refused."""
    await film.download(io.BytesIO())
    assert "Signature=v%2F1%2B" in film.fake.requests[-1].target


async def test_an_injected_session_lends_its_connector_only(film: Film) -> None:
    """Its default headers, cookies and auth are for the API; it is not closed."""
    jar = aiohttp.CookieJar(unsafe=True)
    jar.update_cookies({"cookie": "plantedcookie"})
    async with (
        OddStorage(serving(CONTENT)) as storage,
        aiohttp.ClientSession(headers={"X-Planted": "1"}, cookie_jar=jar) as session,
    ):
        storage.linked_from(film.fake)
        pool = SessionPool(session=session)
        async with film.fake.client(limiter=Unlimited(), pool=pool) as client:
            await film.download(io.BytesIO(), client=client)
        await pool.aclose()
        assert not session.closed
        assert session.connector is not None
        assert not session.connector.closed
    assert "planted" not in str(storage.requests).lower()


async def test_a_proxy_that_wants_a_password_is_asked_once_for_a_file(film: Film) -> None:
    refusal = b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n"
    async with OddStorage(serving(CONTENT)) as storage, WireServer(answering(refusal)) as proxy:
        storage.linked_from(film.fake, "https://storage.example/file")
        pool = SessionPool(proxy=proxy.url)
        async with film.fake.client(limiter=Unlimited(), pool=pool) as client:
            with pytest.raises(APIConnectionError, match="the proxy answered 407") as caught:
                await film.download(io.BytesIO(), client=client)
        await pool.aclose()
    assert (caught.value.permanent, proxy.connections) == (True, 1)


async def test_a_download_beside_a_session_of_the_users_goes_through_the_pools_proxy(film: Film) -> None:
    """Not through the session's own."""
    refusal = b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n"
    async with (
        OddStorage(serving(CONTENT)) as storage,
        WireServer(answering(refusal)) as proxy,
        aiohttp.ClientSession() as session,
        SessionPool(session=session, proxy=proxy.url) as pool,
        film.fake.client(limiter=Unlimited(), pool=pool) as client,
    ):
        storage.linked_from(film.fake, "https://storage.example/file")
        with pytest.raises(APIConnectionError, match="the proxy answered 407"):
            await film.download(io.BytesIO(), client=client)
        assert proxy.connections == 1


async def test_a_file_that_can_never_be_read_does_not_end_a_batch(film: Film, tmp_path: Path) -> None:
    """It is permanent as a proxy's refusal is, but the API has answered."""
    odd = always(answer(200, "Content-Type: text/html", body=b"<html>Log in"))
    async with OddStorage(odd, serving(CONTENT)) as storage, film.fake.client(limiter=Unlimited()) as client:
        storage.linked_from(film.fake)
        files = [{"recording_id": film.recording, "destination": tmp_path / str(number)} for number in range(2)]
        outcomes = await outcomes_of(client.batch(client.recordings.download, files, concurrency=1))
    assert [outcome.state for outcome in outcomes] == ["failed", "ok"]
    assert isinstance(outcomes[0].error, APIConnectionError)
    assert outcomes[0].error.permanent


async def test_something_like_a_session_lends_nothing(film: Film) -> None:
    """Downloads go over connections of the pool's own then."""

    class Wrapped:
        def __init__(self, session: aiohttp.ClientSession) -> None:
            self.request = session.request

    async with aiohttp.ClientSession() as session:
        wrapped: Any = Wrapped(session)
        pool = SessionPool(session=wrapped)
        async with film.fake.client(limiter=Unlimited(), pool=pool) as client:
            done = await film.download(io.BytesIO(), client=client)
        await pool.aclose()
    assert done.size == len(CONTENT)


async def test_downloads_do_not_take_the_connections_of_calls(film: Film) -> None:
    """With one connection for calls and one for downloads: calls go on, a second download waits, by priority."""
    pool = SessionPool(connections=1, downloads=1)
    film.fails(answer_delay=0.2)
    ended: list[int] = []

    async def download(number: int, priority: Priority) -> None:
        await film.download(io.BytesIO(), client=client.with_options(priority=priority))
        ended.append(number)

    async with film.fake.client(limiter=Unlimited(), pool=pool) as client, asyncio.TaskGroup() as tasks:
        tasks.create_task(download(0, Priority.NORMAL))
        while "storage" not in film.operations:
            await asyncio.sleep(0)
        tasks.create_task(download(1, Priority.BATCH))
        tasks.create_task(download(2, Priority.INTERACTIVE))
        while pool.waiting < 2:
            await asyncio.sleep(0)
        assert pool.in_use == 1
        await client.meetings.list()
        assert ended == []
    assert ended == [0, 2, 1]
    assert (pool.in_use, pool.waiting) == (0, 0)
    await pool.aclose()


async def test_closing_the_client_ends_a_download_that_reads(film: Film) -> None:
    """At once, whatever the stall timeout; what had come stays, and nothing can be begun any more."""
    client = film.fake.client(limiter=Unlimited())
    async with OddStorage(STALLED) as storage:
        storage.linked_from(film.fake)
        task = asyncio.create_task(film.download(client=client))
        await begun(film)
        await client.aclose()
        with pytest.raises(ClientClosedError, match="closed while it downloaded"):
            await task
    assert film.part.read_bytes() == CONTENT[:300]
    with pytest.raises(ClientClosedError):
        await film.download(client=client)


@pytest.mark.parametrize("end", ["cancel", "stall"])
async def test_a_connection_in_the_middle_of_a_file_is_closed(film: Film, end: str) -> None:
    """The storage is not left sending to nobody, while the client lives on."""
    async with OddStorage(STALLED, serving(CONTENT)) as storage:
        storage.linked_from(film.fake)
        timeout = 0.1 if end == "stall" else 60.0
        task = asyncio.create_task(film.download(stall_timeout=timeout))
        await begun(film)
        if end == "cancel":
            task.cancel()
        await asyncio.wait([task])
        async with asyncio.timeout(5):
            while not storage.left:
                await asyncio.sleep(0.01)


async def test_closing_the_client_ends_a_download_that_pauses(film: Film, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "whereby_async")
    film.fails(drop="before")
    client = film.fake.client(limiter=Unlimited(), retry=RetryPolicy(base=1e6, cap=1e6))
    task = asyncio.create_task(film.download(client=client))
    while "at byte 0" not in caplog.text:
        await asyncio.sleep(0)
    await client.aclose()
    with pytest.raises(APIConnectionError, match=r"the storage failed"):
        await task


async def test_a_closed_pool_sends_the_waiting_away(film: Film) -> None:
    """Who waits for a turn to download learns that there will be none."""
    pool = SessionPool(downloads=1)
    client = film.fake.client(limiter=Unlimited(), pool=pool)
    film.fails(answer_delay=60)
    tasks = [asyncio.create_task(film.download(io.BytesIO(), client=client)) for _ in range(2)]
    while not pool.waiting or "storage" not in film.operations:
        await asyncio.sleep(0)
    await pool.aclose()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [ClientClosedError, ClientClosedError]
    await client.aclose()


def test_each_loop_downloads_over_its_own() -> None:
    """A client without `async with`, under three loops in a row."""
    fake = FakeWhereby()
    recording = fake.add_recording(content=CONTENT)["recordingId"]
    clients: list[WherebyClient] = []

    async def once() -> int:
        async with fake:
            clients.append(clients[0] if clients else fake.client(limiter=Unlimited()))
            return (await clients[0].recordings.download(recording, io.BytesIO())).size

    assert [asyncio.run(once()) for _ in range(3)] == [len(CONTENT)] * 3
    asyncio.run(clients[0].aclose())


async def test_links_go_through_the_proxy_of_the_pool(film: Film) -> None:
    """As calls do: https in a tunnel, which this proxy refuses."""
    async with WireServer(answering(OK.replace(b"200 OK", b"403 No"))) as proxy, OddStorage(always(b"")) as storage:
        storage.linked_from(film.fake, url=f"https://s3.example/file?Signature={PLANTED}")
        pool = SessionPool(proxy=f"http://127.0.0.1:{proxy.port}")
        async with film.fake.client(limiter=Unlimited(), pool=pool, retry=RetryPolicy(attempts=1)) as client:
            with pytest.raises(APIConnectionError, match="the proxy answered 403"):
                await film.download(io.BytesIO(), client=client)
        await pool.aclose()
    assert proxy.requests[0].startswith(b"CONNECT s3.example:443")


LEAK = f"<Code>No</Code> {PLANTED} <StringToSign>{PLANTED}</StringToSign>".encode()
WORDS = b"x" * 3000
ENDS: dict[str, Callable[[dict[str, str]], bytes]] = {
    "whole": serving(WORDS),
    **{str(status): always(answer(status, body=LEAK)) for status in (403, 404, 418, 500)},
    "redirect to a user": always(answer(302, f"Location: https://u:p@h/?Signature={PLANTED}")),
    "redirect in circles": always(answer(302, f"Location: /?Signature={PLANTED}")),
    "no HTTP": always(f"{PLANTED}\r\n\r\n".encode()),
    "bad header": always(answer(200, f"X-\x01: {PLANTED}")),
    "cut off": always(answer(200, 'ETag: "v1"', body=WORDS, cut=0)),
    "stall": always(STALL),
    "stall in the body": always(answer(200, body=WORDS, cut=10) + STALL),
    "encoded": always(answer(200, "Content-Encoding: gzip", body=WORDS)),
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


async def outcome_of(film: Film, client: WherebyClient, seen: list[str], **options: Any) -> BaseException | None:
    def report(progress: Progress) -> None:
        seen.append(pretty_repr(progress))

    try:
        seen.append(pretty_repr(await film.download(client=client, on_progress=report, **options)))
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is looked through
        return error
    return None


@pytest.mark.parametrize("end", ENDS)
async def test_the_link_shows_nowhere(film: Film, end: str, caplog: pytest.LogCaptureFixture) -> None:
    """Not when it works, not when it fails, not in the part's note."""
    caplog.set_level(logging.DEBUG)
    asyncio.get_running_loop().set_debug(True)
    seen: list[str] = []
    async with OddStorage(ENDS[end]) as storage:
        storage.linked_from(film.fake)
        error = await outcome_of(film, film.view(attempts=2), seen, stall_timeout=0.05)
        assert (error is None) == (end == "whole")
        seen += everything_of(error) if error else []
    seen += [logging.Formatter().format(record) + repr(record.__dict__) for record in caplog.records]
    seen += [each.read_text() for each in film.path.parent.iterdir()]
    assert seen
    assert [text for text in seen if PLANTED in text] == []


@pytest.mark.parametrize("raw", [STALL, answer(200, 'ETag: "v1"', body=CONTENT, cut=100) + STALL])
async def test_the_link_does_not_show_in_a_cancel(film: Film, raw: bytes) -> None:
    """A cancelled task's traceback ends before aiohttp's frames, whose locals are the link's."""
    seen: list[str] = []
    async with OddStorage(always(raw)) as storage:
        storage.linked_from(film.fake)
        task = asyncio.create_task(outcome_of(film, film.client, seen))
        await (until(lambda: storage.requests) if raw == STALL else begun(film))
        task.cancel()
        error = await task
    assert isinstance(error, asyncio.CancelledError)
    seen += everything_of(error)
    assert [text for text in seen if PLANTED in text] == []
