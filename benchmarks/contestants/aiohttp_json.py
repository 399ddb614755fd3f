"""The floor: what somebody writes by hand with aiohttp, a default session and `json.loads`."""

from __future__ import annotations

import json
import ssl
from typing import Any

import aiohttp

from benchmarks.kit.bodies import CREATE, MEETING_ID, PAGE


class Caller:
    """See `benchmarks.contestants.caller.Caller`."""

    _session: aiohttp.ClientSession
    _root: str

    async def open(self, base_url: str, authority: str | None, connections: int | None) -> None:
        """Make the client."""
        options: dict[str, Any] = {}
        if authority:
            options["ssl"] = ssl.create_default_context(cafile=authority)
        if connections:
            options["limit"] = connections
        connector = aiohttp.TCPConnector(**options) if options else None
        self._session = aiohttp.ClientSession(connector=connector, headers={"Authorization": "Bearer a-key"})
        self._root = base_url

    async def close(self) -> None:
        """Close it."""
        await self._session.close()

    async def get(self) -> object:
        """One meeting."""
        async with self._session.get(f"{self._root}/meetings/{MEETING_ID}") as response:
            return json.loads(await response.read())

    async def list(self) -> object:
        """A page of meetings."""
        async with self._session.get(f"{self._root}/meetings", params={"limit": PAGE}) as response:
            return json.loads(await response.read())

    async def insights(self) -> object:
        """A page of rooms."""
        async with self._session.get(f"{self._root}/insights/rooms", params={"limit": PAGE}) as response:
            return json.loads(await response.read())

    async def create(self) -> object:
        """A new meeting."""
        async with self._session.post(f"{self._root}/meetings", json=CREATE) as response:
            return json.loads(await response.read())
