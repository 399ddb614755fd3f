"""An SDK in memory, a fake server, and a client whose calls are traced."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.recording_limiter import RecordingLimiter
from support.telemetry import Telemetry

from whereby_async import RetryPolicy, WherebyClient

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from whereby_async.testing import FakeWhereby


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    """What was traced and measured; every span that began must have ended."""
    telemetry = Telemetry()
    yield telemetry
    assert telemetry.open == 0
    assert repr(telemetry.hooks) == "<OpenTelemetryHooks, 0 calls under way>"
    telemetry.close()


@pytest.fixture
async def whereby(fake: FakeWhereby, telemetry: Telemetry) -> AsyncIterator[WherebyClient]:
    """A traced client that does not wait between attempts, with a limiter that grants at once."""
    async with fake.client(
        hooks=[telemetry.hooks], limiter=RecordingLimiter(), retry=RetryPolicy(attempts=3, base=0)
    ) as client:
        yield client
