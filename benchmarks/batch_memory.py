"""Memory of a batch of a million items from a generator: it must not grow with the job.

    python benchmarks/batch_memory.py [--items 1000000] [--journal] [--key] [--ordered]

The calls are a function that returns at once, so that nothing but the batch itself is measured. Prints the resident memory
after each tenth of the items and, as one JSON object, its growth from the first tenth to the last. With a journal a place for each
item is kept, eight bytes by index and some thirty by key; without one nothing is.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

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


async def main(items: int, *, journal: Path | None, key: str | None, ordered: bool) -> None:
    """Run it, and look now and then."""
    client = WherebyClient("key", limiter=Unlimited())
    sizes: list[float] = []
    count = 0
    began = time.perf_counter()
    async with client, client.batch(nothing, requests(items), journal=journal, key=key, ordered=ordered) as outcomes:
        async for outcome in outcomes:
            assert outcome.ok
            count += 1
            if count % (items // 10) == 0:
                gc.collect()
                sizes.append(resident())
                print(f"{count:>10} items  {sizes[-1]:7.1f} MiB", flush=True)
    seconds = time.perf_counter() - began
    figures = {
        "items": items,
        "journal": journal is not None,
        "by key": key is not None,
        "ordered": ordered,
        "growth MiB": round(sizes[-1] - sizes[0], 1),
        "bytes an item": round((sizes[-1] - sizes[0]) * (1 << 20) / (items * 0.9), 1),
        "microseconds an item": round(seconds / items * 1e6, 1),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--journal", action="store_true")
    parser.add_argument("--key", action="store_true")
    parser.add_argument("--ordered", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(
            main(
                options.items,
                journal=Path(folder) / "run.jsonl" if options.journal else None,
                key="customer" if options.key else None,
                ordered=options.ordered,
            )
        )
