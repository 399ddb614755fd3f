"""aiohttp as fast as its public options make it: no cookie jar, URLs made beforehand, msgspec's Structs. A yardstick, no peer."""

from __future__ import annotations

import ssl

import aiohttp
from yarl import URL

from benchmarks.contestants import bare_structs
from benchmarks.kit.bodies import MEETING_ID, PAGE

CREATE = b'{"endDate":"2099-01-01T00:00:00Z","fields":["hostRoomUrl"]}'


class Caller:
    """See `benchmarks.contestants.caller.Caller`."""

    _session: aiohttp.ClientSession

    async def open(self, base_url: str, authority: str | None, connections: int | None) -> None:
        """Make the client."""
        context = ssl.create_default_context(cafile=authority) if authority else True
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=connections or 100, ssl=context),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Authorization": "Bearer a-key"},
            timeout=aiohttp.ClientTimeout(total=30),
            auto_decompress=False,
        )
        self._meeting = URL(f"{base_url}/meetings/{MEETING_ID}", encoded=True)
        self._meetings = URL(f"{base_url}/meetings?limit={PAGE}", encoded=True)
        self._rooms = URL(f"{base_url}/insights/rooms?limit={PAGE}", encoded=True)
        self._create = URL(f"{base_url}/meetings", encoded=True)

    async def close(self) -> None:
        """Close it."""
        await self._session.close()

    async def get(self) -> object:
        """One meeting."""
        response = await self._session.request("GET", self._meeting, allow_redirects=False)
        return bare_structs.one_meeting(await response.read())

    async def list(self) -> object:
        """A page of meetings."""
        response = await self._session.request("GET", self._meetings, allow_redirects=False)
        return bare_structs.page_of_meetings(await response.read())

    async def insights(self) -> object:
        """A page of rooms."""
        response = await self._session.request("GET", self._rooms, allow_redirects=False)
        return bare_structs.page_of_rooms(await response.read())

    async def create(self) -> object:
        """A new meeting."""
        headers = {"Content-Type": "application/json"}
        response = await self._session.request(
            "POST", self._create, data=CREATE, headers=headers, allow_redirects=False
        )
        return bare_structs.one_meeting(await response.read())
