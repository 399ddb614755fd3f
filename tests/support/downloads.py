"""A recording to download, and a storage that answers each request with raw bytes, whatever the rules are."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any, Self

from support.wire_server import WireServer, read_request
from whereby_async import Download, Progress, RetryPolicy, WherebyClient
from whereby_async.testing import FakeWhereby, Fault

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from pathlib import Path

CONTENT = bytes(range(256)) * 40

STALL = b"<stall>"
"""In an answer: what comes before is sent, and then nothing more."""


class Film:
    """A recording in a fake server, a client that retries without pause, and the path that the recording goes to."""

    def __init__(self, fake: FakeWhereby, client: WherebyClient, directory: Path) -> None:
        self.fake = fake
        self.client = client
        self.path = directory / "film.mp4"
        self.part = directory / "film.mp4.part"
        self.note = directory / "film.mp4.part.json"
        self.recording: str = fake.add_recording(content=CONTENT)["recordingId"]

    def hold(self, **options: Any) -> None:
        """Have the recording hold something else than `CONTENT`."""
        self.recording = self.fake.add_recording(**options)["recordingId"]

    def fails(self, **fault: Any) -> None:
        """Add a fault of the storage."""
        self.fake.faults.add(Fault(operation="storage", **fault))

    def view(self, attempts: int) -> WherebyClient:
        """The client with another number of attempts."""
        return self.client.with_options(retry=RetryPolicy(attempts=attempts, base=0.0))

    async def download(
        self,
        destination: Any = None,
        *,
        client: WherebyClient | None = None,
        on_progress: Callable[[Progress], object] | None = None,
        **options: Any,
    ) -> Download:
        """Download the recording, by default to the path."""
        target = self.path if destination is None else destination
        download = (client or self.client).recordings.download
        return await download(self.recording, target, on_progress=on_progress, **options)

    @property
    def names(self) -> list[str]:
        """What is in the directory."""
        return sorted(each.name for each in self.path.parent.iterdir())

    @property
    def operations(self) -> list[str]:
        """The operations that the server was asked for, in order."""
        return [request.operation for request in self.fake.requests]


class OddStorage:
    """Answers request after request as `answers` say, the last one again and again, and closes the connection after
    each.

    Each gets the request's headers, in lower case.
    """

    def __init__(self, *answers: Callable[[dict[str, str]], bytes]) -> None:
        self._answers = list(answers)
        self._server = WireServer(self._script)
        self.requests: list[dict[str, str]] = []
        self.left: int = 0  # stalled answers that the client hung up on

    async def __aenter__(self) -> Self:
        await self._server.__aenter__()
        self.url = f"{self._server.url}/file?Signature=plantedlinksignature"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.__aexit__()

    def linked_from(self, fake: FakeWhereby, url: str | None = None) -> None:
        """Have the fake's access links lead here, or to `url`."""
        link = json.dumps({"accessLink": url or self.url, "expires": 4_000_000_000_000}).encode()
        fake.faults.add(Fault(operation="recordings.access_link", body=link, times=None))

    async def _script(self, server: WireServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await read_request(reader)).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
        self.requests.append(headers)
        answer = (self._answers.pop(0) if len(self._answers) > 1 else self._answers[0])(headers)
        writer.write(answer.partition(STALL)[0])
        await writer.drain()
        if STALL in answer:
            with contextlib.suppress(ConnectionError):
                await reader.read()
            self.left += 1


def answer(status: int, *headers: str, body: bytes = b"", cut: int | None = None, length: int | None = None) -> bytes:
    """Raw bytes of an answer.

    Args:
        status: The status.
        *headers: Its headers' lines.
        body: The body.
        cut: Send only so many bytes of it.
        length: Announce another length; -1 announces none.
    """
    told = len(body) if length is None else length
    lines = ["Connection: close", *headers, *([f"Content-Length: {told}"] if told >= 0 else [])]
    return f"HTTP/1.1 {status} X\r\n{''.join(line + chr(13) + chr(10) for line in lines)}\r\n".encode() + body[:cut]


def always(raw: bytes) -> Callable[[dict[str, str]], bytes]:
    """The same answer, whatever was asked."""
    return lambda _: raw


def from_position(headers: dict[str, str]) -> int:
    """Where the `Range` of a request begins, 0 without one."""
    return int(headers.get("range", "bytes=0-").removeprefix("bytes=").rstrip("-"))


def serving(content: bytes, *, etag: str | None = '"v1"', cut: int | None = None) -> Callable[[dict[str, str]], bytes]:
    """A storage that keeps to the rules, but for breaking off after `cut` bytes of each answer."""
    tag = f"ETag: {etag}" if etag else "X-No-Tag: 1"

    def serve(headers: dict[str, str]) -> bytes:
        start = from_position(headers) if headers.get("if-range") == etag else 0
        if not start:
            return answer(200, tag, body=content, cut=cut)
        if start >= len(content):
            return answer(416, f"Content-Range: bytes */{len(content)}")
        told = f"Content-Range: bytes {start}-{len(content) - 1}/{len(content)}"
        return answer(206, told, tag, body=content[start:], cut=cut)

    return serve
