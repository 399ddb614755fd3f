"""`whereby_async` as it comes: limiter, retries and types on."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime

from benchmarks.kit.bodies import MEETING_ID, PAGE
from whereby_async import SessionPool, WherebyClient
from whereby_async.limiter import PointBudget

UNTIL = datetime(2099, 1, 1, tzinfo=UTC)


class Caller:
    """See `benchmarks.contestants.caller.Caller`."""

    limit: int | None = None
    _client: WherebyClient
    _pool: SessionPool | None

    async def open(self, base_url: str, authority: str | None, connections: int | None) -> None:
        """Make the client."""
        context = ssl.create_default_context(cafile=authority) if authority else None
        own = context is not None or connections is not None
        self._pool = SessionPool(connections=connections or 100, ssl=context) if own else None
        limiter = PointBudget(self.limit) if self.limit else None
        self._client = WherebyClient("a-key", base_url=base_url, pool=self._pool, limiter=limiter)

    async def close(self) -> None:
        """Close it."""
        await self._client.aclose()
        if self._pool:
            await self._pool.aclose()

    async def get(self) -> object:
        """One meeting."""
        return await self._client.meetings.get(MEETING_ID)

    async def list(self) -> object:
        """A page of meetings."""
        return await self._client.meetings.list(page_size=PAGE)

    async def insights(self) -> object:
        """A page of rooms."""
        return await self._client.insights.rooms(page_size=PAGE)

    async def create(self) -> object:
        """A new meeting."""
        return await self._client.meetings.create(end_date=UNTIL, fields=["hostRoomUrl"])
