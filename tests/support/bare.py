"""A bare HTTP session against a fake server: no client code of ours, as any other program would talk to it."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, NamedTuple

import aiohttp
import yarl

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Self

    from whereby_async.testing import FakeWhereby


class Answer(NamedTuple):
    """A status, its headers, and the body: decoded if it is JSON, else bytes, else `None`."""

    status: int
    headers: Mapping[str, str]
    content: Any


class Bare:
    """Calls below the base URL of a fake server, with its key unless told otherwise."""

    def __init__(self, fake: FakeWhereby) -> None:
        self.fake = fake
        self.session = aiohttp.ClientSession()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.session.close()

    async def __call__(self, method: str, path: str, *, key: str | None = "", **options: Any) -> Answer:
        headers = dict(options.pop("headers", {}))
        if key is not None:
            headers["Authorization"] = f"Bearer {key or self.fake.api_key}"
        url = yarl.URL(self.fake.url + path, encoded=True)
        return await self.fetch(method, url, headers=headers, **options)

    async def fetch(self, method: str, url: yarl.URL, **options: Any) -> Answer:
        options.setdefault("allow_redirects", False)
        async with self.session.request(method, url, **options) as response:
            body = await response.read()
            if response.content_type == "application/json" and body:
                return Answer(response.status, response.headers, json.loads(body))
            return Answer(response.status, response.headers, body or None)


async def until(condition: Callable[[], object]) -> None:
    """Let the loop run until something is so."""
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0)


class JumpingLoop(asyncio.SelectorEventLoop):
    jumped = 0.0

    def time(self) -> float:
        return super().time() + self.jumped

    def jump(self, seconds: float) -> None:
        self.jumped += seconds


def jump(seconds: float) -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, JumpingLoop)
    loop.jump(seconds)


def jumped() -> float:
    """How far the running loop's clock was moved on."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, JumpingLoop)
    return loop.jumped
