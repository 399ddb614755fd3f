"""A large download over a line that breaks, after which the file has to be the same bit for bit and memory as small as before.

    python benchmarks/download.py [--size 2GiB] [--breaks 10] [--directory DIR]

A `FakeWhereby` in a process of its own serves a file that it makes up as it is read, and breaks the transfer off at random
places. Prints seconds, MiB/s, breaks, access links, points, the sum of the file and the growth of this process's memory, sampled every
10 ms. The exit code is 1 if the file differs, if a break is missing, or if memory grew by 32 MiB or more.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import os
import random
import re
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Self

from whereby_async import RetryPolicy, WherebyClient
from whereby_async.limiter import PointBudget
from whereby_async.testing import FAKE_API_KEY, FakeWhereby, Fault

if TYPE_CHECKING:
    from collections.abc import Iterable

    from whereby_async import Download

MEBIBYTE = 1 << 20
MOST_GROWTH = 32 * MEBIBYTE
UNITS = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
PAGE = 1 << 16
WARM_UP = 8 * MEBIBYTE
"""Bytes that are downloaded before memory is looked at first, so that what grows after that grows with the file."""


class Pages:
    """A file of any size whose pages each begin with their number; the rest of a page is the same noise."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.etag: str = f'"{size:x}-noise"'
        self._noise = random.Random(size).randbytes(PAGE - 8)

    def read(self, start: int, stop: int) -> bytes:
        """The bytes from `start` up to `stop`."""
        stop = min(stop, self.size)
        first = start // PAGE
        pages = b"".join(number.to_bytes(8, "big") + self._noise for number in range(first, -(-stop // PAGE)))
        return pages[start - first * PAGE : stop - first * PAGE]

    def digest(self) -> str:
        """The sum of all of it."""
        return sum_of(self.read(start, start + MEBIBYTE) for start in range(0, self.size, MEBIBYTE))


def sum_of(pieces: Iterable[bytes]) -> str:
    """SHA-256 over pieces of bytes."""
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


class Memory:
    """Watches this process's resident memory from a thread."""

    def __enter__(self) -> Self:
        self.before = self.peak = resident()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.01):
            self.peak = max(self.peak, resident())


def resident() -> int:
    """Bytes of this process that are in memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def serve(size: int, breaks: int) -> None:
    """The server's process: tells its address and the two recordings, and serves until it is told to stop."""
    async with FakeWhereby(limit=1_000_000) as fake:
        small, large = (fake.add_recording()["recordingId"] for _ in range(2))
        fake.files[small], fake.files[large] = Pages(WARM_UP), Pages(size)
        drawn = random.Random(size)
        for _ in range(breaks):  # all behind the small file's request
            cut = drawn.randrange(1, max(2, size // (breaks + 1)))
            fake.faults.add(Fault(operation="storage", truncate=cut, skip=1))
        print(fake.url, small, large, flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


async def fetched(hello: list[str], directory: Path) -> tuple[Download, Memory]:
    """Download the small file, and then, watched, the large one."""
    url, small, large = hello
    limiter = PointBudget(1_000_000)
    async with WherebyClient(FAKE_API_KEY, base_url=url, limiter=limiter, retry=RetryPolicy(base=0.01)) as whereby:
        await whereby.recordings.download(small, directory / "small")
        with Memory() as memory:
            done = await whereby.recordings.download(large, directory / "large")
    return done, memory


def measured(size: int, breaks: int, directory: Path) -> bool:
    """Download, tell, and judge."""
    command = [sys.executable, __file__, "--serve", "--size", str(size), "--breaks", str(breaks)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8") as server:
        assert server.stdin is not None
        assert server.stdout is not None
        done, memory = asyncio.run(fetched(server.stdout.readline().split(), directory))
        server.stdin.close()
    return report(done, memory, Pages(size), directory / "large", breaks)


def report(done: Download, memory: Memory, expected: Pages, path: Path, breaks: int) -> bool:
    """Print the figures; whether all is as it should be."""
    with path.open("rb") as file:
        digest = sum_of(iter(lambda: file.read(MEBIBYTE), b""))
    identical = path.stat().st_size == done.size == expected.size and digest == expected.digest()
    growth = memory.peak - memory.before
    print(f"file      {done.size} bytes in {done.elapsed:.1f} s, {done.size / done.elapsed / MEBIBYTE:.0f} MiB/s")
    print(f"breaks    {done.breaks} of {breaks}, {done.links} access link(s)")
    print(f"sha-256   {digest} {'as it should be' if identical else 'DIFFERS'}")
    print(
        f"memory    {memory.before / MEBIBYTE:.1f} -> {memory.peak / MEBIBYTE:.1f} MiB, growth {growth / MEBIBYTE:.1f} MiB"
    )
    return identical and done.breaks == breaks and growth < MOST_GROWTH


def bytes_of(text: str) -> int:
    """A size such as `64MiB`."""
    found = re.fullmatch(r"(\d+)([KMG]iB|)", text)
    if found is None:
        message = f"{text!r} is no size such as 64MiB or 2GiB"
        raise argparse.ArgumentTypeError(message)
    return int(found[1]) * UNITS[found[2]]


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=bytes_of, default="2GiB")
    parser.add_argument("--breaks", type=int, default=10)
    parser.add_argument("--directory", type=Path, help="where the file goes for the time being")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(serve(options.size, options.breaks))
        return 0
    with tempfile.TemporaryDirectory(dir=options.directory) as scratch:
        return 0 if measured(options.size, options.breaks, Path(scratch)) else 1


if __name__ == "__main__":
    raise SystemExit(main())
