"""A client that goes away in mid-request or in mid-answer is no error of the fake server's: it logs nothing and serves on."""

from __future__ import annotations

import asyncio
import logging

import pytest

from whereby_async.testing import FAKE_API_KEY, FakeWhereby, Fault
from whereby_async.testing.clock import run_simulated

HEAD = f"HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {FAKE_API_KEY}\r\n"
HALF_A_REQUEST = f"POST /v1/meetings {HEAD}Content-Length: 20\r\n\r\n{{"
REQUEST = f"GET /v1/meetings {HEAD}\r\n"


@pytest.mark.parametrize("sent", [HALF_A_REQUEST, REQUEST])
def test_a_client_that_goes_away_is_no_error(sent: str, caplog: pytest.LogCaptureFixture) -> None:
    """Gone before the body of its request, or while its answer drips."""

    async def main() -> None:
        async with FakeWhereby() as fake, fake.client() as client:
            fake.faults.add(Fault(operation="meetings.list", drip=0.1))
            _, writer = await asyncio.open_connection("127.0.0.1", fake.port)
            writer.write(sent.encode())
            await asyncio.sleep(1)
            assert len(fake.requests) == (sent is REQUEST)
            writer.close()
            await writer.wait_closed()
            await asyncio.sleep(60)
            await client.recordings.list()

    with caplog.at_level(logging.DEBUG):
        run_simulated(main())
    assert [record for record in caplog.records if record.name.startswith("aiohttp")] == []
