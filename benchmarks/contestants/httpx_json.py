"""By hand with httpx."""

from __future__ import annotations

import importlib
import ssl
from typing import Any

from benchmarks.kit.bodies import CREATE, MEETING_ID, PAGE

httpx: Any = importlib.import_module("httpx")


class Caller:
    """See `benchmarks.contestants.caller.Caller`."""

    _client: Any

    async def open(self, base_url: str, authority: str | None, connections: int | None) -> None:
        """Make the client."""
        options: dict[str, Any] = {}
        if authority:
            options["verify"] = ssl.create_default_context(cafile=authority)
        if connections:
            options["limits"] = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
        headers = {"Authorization": "Bearer a-key"}
        self._client = httpx.AsyncClient(base_url=base_url, headers=headers, timeout=60, **options)

    async def close(self) -> None:
        """Close it."""
        await self._client.aclose()

    async def get(self) -> object:
        """One meeting."""
        found: object = (await self._client.get(f"/meetings/{MEETING_ID}")).json()
        return found

    async def list(self) -> object:
        """A page of meetings."""
        found: object = (await self._client.get("/meetings", params={"limit": PAGE})).json()
        return found

    async def insights(self) -> object:
        """A page of rooms."""
        found: object = (await self._client.get("/insights/rooms", params={"limit": PAGE})).json()
        return found

    async def create(self) -> object:
        """A new meeting."""
        made: object = (await self._client.post("/meetings", json=CREATE)).json()
        return made
