"""The same by hand with aiohttp and a default session, but decoded into msgspec's Structs."""

from __future__ import annotations

from benchmarks.contestants import aiohttp_json, bare_structs
from benchmarks.kit.bodies import CREATE, MEETING_ID, PAGE


class Caller(aiohttp_json.Caller):
    """See `benchmarks.contestants.caller.Caller`."""

    async def get(self) -> object:
        """One meeting."""
        async with self._session.get(f"{self._root}/meetings/{MEETING_ID}") as response:
            return bare_structs.one_meeting(await response.read())

    async def list(self) -> object:
        """A page of meetings."""
        async with self._session.get(f"{self._root}/meetings", params={"limit": PAGE}) as response:
            return bare_structs.page_of_meetings(await response.read())

    async def insights(self) -> object:
        """A page of rooms."""
        async with self._session.get(f"{self._root}/insights/rooms", params={"limit": PAGE}) as response:
            return bare_structs.page_of_rooms(await response.read())

    async def create(self) -> object:
        """A new meeting."""
        async with self._session.post(f"{self._root}/meetings", json=CREATE) as response:
            return bare_structs.one_meeting(await response.read())
