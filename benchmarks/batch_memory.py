"""A batch of a million items from a generator: its memory, which must not grow with the job, and its pace.

    python benchmarks/batch_memory.py [--items 1000000] [--calls] [--journal] [--key] [--ordered]

By default the calls are a function that returns at once, so that nothing but the batch itself is measured. With `--calls` each
item is a GET, for which a point is waited and which a server in a process of its own answers; then the points per second are
told too. Prints the resident memory after each tenth of the items and, as one JSON object, its growth from the first tenth to
the last. With a journal a place for each item is kept, eight bytes by index and some thirty by key; without one nothing is.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.kit.bodies import MEETING_ID
from benchmarks.kit.children import Child, cores
from whereby_async import WherebyClient
from whereby_async.limiter import Unlimited

if TYPE_CHECKING:
    from collections.abc import Iterator


def resident() -> float:
    """MiB that this process holds."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096 / (1 << 20)


async def nothing(number: int, customer: str) -> None:
    """A call that is done at once."""


def requests(items: int) -> Iterator[dict[str, object]]:
    """As many as are asked for, made one at a time."""
    return ({"number": number, "customer": f"customer-{number}"} for number in range(items))


async def measure(options: argparse.Namespace, client: WherebyClient, journal: Path | None) -> dict[str, object]:
    """Run it, and look now and then."""
    method = client.meetings.get if options.calls else nothing
    asked = ({"meeting_id": MEETING_ID} for _ in range(options.items)) if options.calls else requests(options.items)
    key = "customer" if options.key else None
    sizes: list[float] = []
    count, tenth = 0, options.items // 10
    began = since = time.perf_counter()
    async with client, client.batch(method, asked, journal=journal, key=key, ordered=options.ordered) as outcomes:
        async for outcome in outcomes:
            assert outcome.ok
            count += 1
            if count % tenth == 0:
                pace, since = tenth / (time.perf_counter() - since), time.perf_counter()
                gc.collect()
                sizes.append(resident())
                spent = f"  {pace:8.0f} points/s" if options.calls else ""
                print(f"{count:>10} items  {sizes[-1]:7.1f} MiB{spent}", flush=True)
    seconds = time.perf_counter() - began
    return {
        "items": options.items,
        "calls": options.calls,
        "journal": journal is not None,
        "by key": options.key,
        "ordered": options.ordered,
        "points": outcomes.progress.points,
        "growth MiB": round(sizes[-1] - sizes[0], 1),
        "bytes an item": round((sizes[-1] - sizes[0]) * (1 << 20) / (options.items * 0.9), 1),
        "microseconds an item": round(seconds / options.items * 1e6, 1),
    }


def main(options: argparse.Namespace) -> None:
    """Run it with or without a server and a journal."""
    with contextlib.ExitStack() as stack:
        root = "http://127.0.0.1:1/v1"
        if options.calls:
            server = Child("server", Path(sys.executable), "benchmarks.kit.server", ["1"], cores=cores()[1])
            root = f"http://127.0.0.1:{stack.enter_context(server).hear()['plain'][0]}/v1"
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        client = WherebyClient("a-key", base_url=root, limiter=None if options.calls else Unlimited())
        found = asyncio.run(measure(options, client, folder / "run.jsonl" if options.journal else None))
    print(json.dumps(found))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--calls", action="store_true")
    parser.add_argument("--journal", action="store_true")
    parser.add_argument("--key", action="store_true")
    parser.add_argument("--ordered", action="store_true")
    main(parser.parse_args())
