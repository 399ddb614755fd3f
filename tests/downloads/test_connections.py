"""What goes to the storage and what does not, and over which connections."""

from __future__ import annotations

import asyncio
import io
import logging
from typing import TYPE_CHECKING

import aiohttp
import pytest
from downloads.odd_storage import STALL, OddStorage, always, answer, serving
from support.wire_server import OK, WireServer, answering

from whereby_async import (
    APIConnectionError,
    ClientClosedError,
    ConfigurationError,
    Priority,
    ResponseDecodeError,
    RetryPolicy,
    SessionPool,
)
from whereby_async.limiter import Unlimited
from whereby_async.redaction import Secret
from whereby_async.testing import FakeWhereby, Fault
from whereby_async.transport.storage import checked_link

if TYPE_CHECKING:
    from pathlib import Path

    from whereby_async import Download, WherebyClient

pytestmark = pytest.mark.anyio

CONTENT = bytes(range(256)) * 40


async def test_the_bearer_never_goes_to_the_storage(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """Nor along a redirect, nor with a range; no cookie, no referer either."""
    recording = fake.add_recording()["recordingId"]
    async with OddStorage(serving(CONTENT, cut=100), serving(CONTENT)) as behind:
        there = always(answer(302, f"Location: {behind.url}", "Set-Cookie: a=b"))
        async with OddStorage(there) as before:
            before.linked_from(fake)
            await whereby.recordings.download(recording, target := io.BytesIO())
    assert target.getvalue() == CONTENT
    sent = before.requests + behind.requests
    assert len(sent) == 4
    allowed = {"host", "accept", "accept-encoding", "user-agent", "range", "if-range"}
    assert [set(headers) - allowed for headers in sent] == [set()] * 4
    assert behind.requests[1]["range"] == "bytes=100-"


@pytest.mark.parametrize("location", ["http://example.com/x", "https://u:p@h/", "", "ftp://h/x"])
async def test_a_redirect_leads_nowhere_it_should_not(fake: FakeWhereby, whereby: WherebyClient, location: str) -> None:
    """As a link; and a circle ends."""
    recording = fake.add_recording()["recordingId"]
    async with OddStorage(always(answer(307, f"Location: {location}"))) as storage:
        storage.linked_from(fake)
        with pytest.raises(ResponseDecodeError, match=r"no https URL|more than 5 times"):
            await whereby.recordings.download(recording, io.BytesIO())
    assert len(storage.requests) == (1 if location else 5)


def test_https_is_not_left_for_http() -> None:
    """Not even on this machine."""
    here = Secret("http://127.0.0.1/x")
    assert checked_link(here, operation="x", after="http://localhost/") == here
    with pytest.raises(ResponseDecodeError):
        checked_link(here, operation="x", after="https://s3.example/")


async def test_a_presigned_link_is_not_quoted_again(fake: FakeWhereby, whereby: WherebyClient) -> None:
    """The fake's signatures hold `%2F` and `%2B`, and would be refused."""
    recording = fake.add_recording(content=CONTENT)["recordingId"]
    await whereby.recordings.download(recording, io.BytesIO())
    assert "Signature=v%2F1%2B" in fake.requests[-1].target


async def test_an_injected_session_lends_its_connector_only(fake: FakeWhereby) -> None:
    """Its default headers, cookies and auth are for the API; it is not closed."""
    recording = fake.add_recording()["recordingId"]
    jar = aiohttp.CookieJar(unsafe=True)
    jar.update_cookies({"cookie": "plantedcookie"})
    async with (
        OddStorage(serving(CONTENT)) as storage,
        aiohttp.ClientSession(headers={"X-Planted": "1"}, cookie_jar=jar) as session,
    ):
        storage.linked_from(fake)
        pool = SessionPool(session=session)
        async with fake.client(limiter=Unlimited(), pool=pool) as client:
            await client.recordings.download(recording, io.BytesIO())
        await pool.aclose()
        assert not session.closed
        assert session.connector is not None
        assert not session.connector.closed
    assert "planted" not in str(storage.requests).lower()


async def test_something_like_a_session_lends_nothing(fake: FakeWhereby) -> None:
    """Downloads go over connections of the pool's own then."""

    class Wrapped:
        def __init__(self, session: aiohttp.ClientSession) -> None:
            self._session = session
            self.request = session.request
            self.closed = False

    recording = fake.add_recording(content=CONTENT)["recordingId"]
    async with aiohttp.ClientSession() as session:
        pool = SessionPool(session=Wrapped(session))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] - a stranger
        async with fake.client(limiter=Unlimited(), pool=pool) as client:
            done = await client.recordings.download(recording, io.BytesIO())
        await pool.aclose()
    assert done.size == len(CONTENT)


async def test_downloads_do_not_take_the_connections_of_calls(fake: FakeWhereby) -> None:
    """With one connection for calls and one for downloads: calls go on, a second download waits its turn, by lane."""
    recordings = [fake.add_recording(content=CONTENT)["recordingId"] for _ in range(3)]
    pool = SessionPool(connections=1, downloads=1)
    fake.faults.add(Fault(operation="storage", answer_delay=0.2))
    ended: list[int] = []

    async def download(number: int, priority: Priority) -> None:
        view = client.with_options(priority=priority)
        await view.recordings.download(recordings[number], io.BytesIO())
        ended.append(number)

    async with fake.client(limiter=Unlimited(), pool=pool) as client, asyncio.TaskGroup() as tasks:
        tasks.create_task(download(0, Priority.NORMAL))
        while "storage" not in [request.operation for request in fake.requests]:
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


@pytest.mark.parametrize("downloads", [0, -1, True, "2", float("inf")])
def test_number_of_downloads_is_checked(downloads: object) -> None:
    """A whole number from 1."""
    with pytest.raises(ConfigurationError, match="downloads="):
        SessionPool(downloads=downloads)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def test_closing_the_client_ends_a_download_that_reads(fake: FakeWhereby, tmp_path: Path) -> None:
    """At once, whatever the stall timeout; what had come stays, and nothing can be begun any more."""
    recording = fake.add_recording()["recordingId"]
    client = fake.client(limiter=Unlimited())
    async with OddStorage(always(answer(200, 'ETag: "v1"', body=CONTENT, cut=300) + STALL)) as storage:
        storage.linked_from(fake)
        task = asyncio.create_task(client.recordings.download(recording, tmp_path / "film"))
        while not storage.requests:
            await asyncio.sleep(0)
        await asyncio.sleep(0.05)
        await client.aclose()
        with pytest.raises(ClientClosedError, match="closed while it downloaded"):
            await task
    assert (tmp_path / "film.part").read_bytes() == CONTENT[:300]
    with pytest.raises(ClientClosedError):
        await client.recordings.download(recording, tmp_path / "film")


@pytest.mark.parametrize("end", ["cancel", "stall"])
async def test_a_connection_in_the_middle_of_a_file_is_closed(
    fake: FakeWhereby, whereby: WherebyClient, end: str
) -> None:
    """The storage is not left sending to nobody, while the client lives on."""
    recording = fake.add_recording()["recordingId"]
    stalled = always(answer(200, 'ETag: "v1"', body=CONTENT, cut=300) + STALL)
    async with OddStorage(stalled, serving(CONTENT)) as storage:
        storage.linked_from(fake)
        timeout = 0.1 if end == "stall" else 60.0
        task = asyncio.create_task(whereby.recordings.download(recording, io.BytesIO(), stall_timeout=timeout))
        while not storage.requests:
            await asyncio.sleep(0)
        await asyncio.sleep(0.02)
        if end == "cancel":
            task.cancel()
        await asyncio.wait([task])
        async with asyncio.timeout(5):
            while not storage.left:
                await asyncio.sleep(0.01)


async def test_closing_the_client_ends_a_download_that_pauses(fake: FakeWhereby, tmp_path: Path) -> None:
    """With the error of its last try."""
    recording = fake.add_recording()["recordingId"]
    retries = logging.getLogger("whereby_async")
    paused = asyncio.Event()

    def watching(record: logging.LogRecord) -> bool:
        if "at byte 0" in record.getMessage():
            paused.set()
        return True

    retries.addFilter(watching)
    level = retries.level
    retries.setLevel(logging.DEBUG)
    fake.faults.add(Fault(operation="storage", drop="before"))
    client = fake.client(limiter=Unlimited(), retry=RetryPolicy(base=1e6, cap=1e6))
    task = asyncio.create_task(client.recordings.download(recording, tmp_path / "film"))
    await paused.wait()
    retries.removeFilter(watching)
    retries.setLevel(level)
    await client.aclose()
    with pytest.raises(APIConnectionError, match=r"the storage failed"):
        await task


async def test_a_closed_pool_sends_the_waiting_away(fake: FakeWhereby) -> None:
    """Who waits for a turn to download is told that there will be none."""
    recordings = [fake.add_recording(content=CONTENT)["recordingId"] for _ in range(2)]
    pool = SessionPool(downloads=1)
    client = fake.client(limiter=Unlimited(), pool=pool)
    fake.faults.add(Fault(operation="storage", answer_delay=60))
    tasks = [asyncio.create_task(client.recordings.download(each, io.BytesIO())) for each in recordings]
    while not pool.waiting or "storage" not in [request.operation for request in fake.requests]:
        await asyncio.sleep(0)
    await pool.aclose()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [ClientClosedError, ClientClosedError]
    await client.aclose()


def test_each_loop_downloads_over_its_own(tmp_path: Path) -> None:
    """A client without `async with`, under three loops in a row."""

    async def main(client: WherebyClient, number: int) -> Download:
        return await client.recordings.download(recording, tmp_path / str(number))

    fake = FakeWhereby()
    recording = fake.add_recording(content=CONTENT)["recordingId"]
    client: WherebyClient | None = None
    for number in range(3):

        async def once(number: int) -> int:
            nonlocal client
            async with fake:
                client = client or fake.client(limiter=Unlimited())
                return (await main(client, number)).size

        assert asyncio.run(once(number)) == len(CONTENT)
    assert client is not None
    asyncio.run(client.aclose())


async def test_links_go_through_the_proxy_of_the_pool(fake: FakeWhereby) -> None:
    """As calls do: https in a tunnel, which this proxy refuses."""
    recording = fake.add_recording()["recordingId"]
    async with WireServer(answering(OK.replace(b"200 OK", b"403 No"))) as proxy, OddStorage(always(b"")) as storage:
        storage.linked_from(fake, url="https://s3.example/file?Signature=plantedlinksignature")
        pool = SessionPool(proxy=f"http://127.0.0.1:{proxy.port}")
        async with fake.client(limiter=Unlimited(), pool=pool, retry=RetryPolicy(attempts=1)) as client:
            with pytest.raises(APIConnectionError, match="the proxy refused"):
                await client.recordings.download(recording, io.BytesIO())
        await pool.aclose()
    assert proxy.requests[0].startswith(b"CONNECT s3.example:443")
