"""A batch of creates, killed with SIGKILL again and again, after which every room has to be there exactly once.

    python benchmarks/batch_kill.py [--kills 220] [--items 2500] [--seed N]

The server is a `FakeWhereby` in a process of its own that resets connections before and after it acted, stalls and acts late,
answers 503 whether it acted or not, and cuts answers off; in some jobs it ignores the name filter, and rooms of others vanish from
the list while it is read. The batch runs in another process, which is killed at a random moment, then run again with the same
journal; after some kills it is left to come to its end. To see where a kill hits, the process is stopped first (SIGSTOP),
which freezes it at that moment; then server and journal are looked at, then it is killed.

Prints a line for each job, the histogram of the moments, and the figures as one JSON object. The exit code is 1 if a room is
there twice, or missing, or if an outcome is `unknown`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from msgspec import structs

from whereby_async import RetryPolicy, WherebyClient
from whereby_async.limiter import Unlimited
from whereby_async.testing import FAKE_API_KEY, FakeWhereby, Fault, RecordedRequest

TIMEOUT = 0.5
"""Seconds for one attempt: short, since a job that was killed waits for as long before it looks for its rooms."""
LATENCY = (0.02, 0.1)
"""Seconds, from least to most: answers overtake each other."""
FAULT_EVERY = 25
"""Creates from one lost answer to the next, on average."""
KILLS_PER_JOB = 20
LIFE = 4 * TIMEOUT
"""Seconds until a process is killed, at most: it has to look for the rooms of its forerunners first."""
FLOWING = 0.4
"""Two of three are killed so many seconds, at most, after their first creates have reached the server."""
PATIENCE = 10.0
"""Seconds until a job has nothing more to create."""
ITEMS = 2500
"""Rooms that each job makes."""
FILLERS = 250
"""Rooms of others: so many that the list has pages."""

LOST = {
    "reset before acting": Fault(drop="before"),
    "reset after acting": Fault(drop="after"),
    "503, acted": Fault(status=503, act=True),
    "503, not acted": Fault(status=503),
    "stalled, then acted": Fault(delay=1.5 * TIMEOUT),
    "acted, then stalled": Fault(answer_delay=1.5 * TIMEOUT),
    "cut off": Fault(truncate=10),
}


# The server's process


class Adversary:
    """Plans one lost answer after the other, and lets rooms of others vanish."""

    def __init__(self, fake: FakeWhereby, seed: int) -> None:
        self._fake = fake
        self._dice = random.Random(seed)
        self.lost: Counter[str] = Counter()
        self.vanishing = False
        self.creates = 0
        self._planned = ""
        fake.subscribe(self._hear)
        self._plan()

    def _plan(self) -> None:
        self._planned = self._dice.choice(tuple(LOST))
        skip = self._dice.randrange(2 * FAULT_EVERY)
        self._fake.faults.add(structs.replace(LOST[self._planned], operation="meetings.create", skip=skip))

    def _hear(self, request: RecordedRequest) -> None:
        self.creates += request.operation == "meetings.create"
        if not len(self._fake.faults):
            self.lost[self._planned] += 1
            self._plan()
        if self.vanishing and request.operation == "meetings.list" and self._dice.random() < 0.004:
            others = [name for name, room in self._fake.meetings.items() if room["roomName"].startswith("/other-")]
            if others:
                del self._fake.meetings[self._dice.choice(others)]

    def begin(self, *, ignore_filter: bool, vanishing: bool) -> None:
        """A new job: an empty world but for the rooms of others."""
        self._fake.clear()
        self._fake.meetings.clear()
        self._fake.rooms.clear()
        self._fake.ignores_name_filter = ignore_filter
        self.vanishing = vanishing
        for number in range(FILLERS):
            self._fake.add_meeting(room_name_prefix=f"other-{number}-", end_date=86400.0)


async def serve(seed: int) -> None:
    """Serve, and do what the lines of input say."""
    async with FakeWhereby(limit=1_000_000_000, latency=LATENCY) as fake:
        adversary = Adversary(fake, seed)
        print(json.dumps({"url": fake.url}), flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            order = json.loads(line)
            if order["do"] == "begin":
                adversary.begin(ignore_filter=order["ignore_filter"], vanishing=order["vanishing"])
            if order["do"] == "forget":
                adversary.creates = 0
            names = [room["roomName"] for room in fake.meetings.values()] if order["do"] == "look" else []
            print(json.dumps({"names": names, "lost": adversary.lost, "creates": adversary.creates}), flush=True)


# The batch's process


async def work(url: str, journal: str, job: str, until: str, concurrency: int, items: int) -> None:  # noqa: PLR0913, PLR0917
    """Run the job, from wherever it stands, to its end."""
    client = WherebyClient(
        FAKE_API_KEY, base_url=url, timeout=TIMEOUT, limiter=Unlimited(), retry=RetryPolicy(base=0.01)
    )
    requests = ({"end_date": until, "room_name_prefix": f"{job}-{number}-"} for number in range(items))
    states: Counter[str] = Counter()
    print("ready", flush=True)
    async with (
        client,
        client.batch(client.meetings.create, requests, journal=journal, concurrency=concurrency) as outcomes,
    ):
        async for outcome in outcomes:
            states[outcome.state] += 1
            states["resumed"] += outcome.resumed
            states["adopted"] += outcome.adopted
    print(json.dumps(states), flush=True)


# The one who kills


class Process:
    """One of the two others, talked to by lines."""

    def __init__(self, *words: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
        )

    def say(self, **order: Any) -> None:
        """Send a line."""
        assert self._process.stdin
        print(json.dumps(order), file=self._process.stdin, flush=True)

    def hear(self) -> str:
        """The next line; empty if the process has ended."""
        assert self._process.stdout
        return self._process.stdout.readline().strip()

    def runs(self) -> bool:
        """Whether it still does."""
        return self._process.poll() is None

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    def end(self) -> int:
        """Wait for its end."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        code = self._process.wait()
        self._process.stdout.close()
        return code


@dataclass
class Journal:
    """A journal as a stranger reads it: what the run that was killed had begun, and what it had finished."""

    begun: set[int] = field(default_factory=set[int])
    runs: int = 0

    @classmethod
    def read(cls, path: Path) -> Journal:
        """Read it, torn last line or not."""
        found = cls()
        lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
        for line in map(json.loads, lines):
            if "run" in line:
                found.runs = line["run"]
                found.begun.clear()
            elif line.get("state") == "begun":
                found.begun.add(int(line["item"]))
            elif "item" in line:
                found.begun.discard(int(line["item"]))
        return found


def rooms_of(job: str, names: list[str]) -> Counter[int]:
    """How many rooms there are for each item."""
    return Counter(int(name.split("-")[1]) for name in names if name.startswith(f"/{job}-"))


class Killer:
    """Runs jobs, and kills them."""

    def __init__(self, kills: int, items: int, seed: int, folder: Path) -> None:
        self._wanted = kills
        self._items = items
        self._dice = random.Random(seed)
        self._folder = folder
        self._server = Process("--serve", "--seed", str(seed))
        self._url: str = json.loads(self._server.hear())["url"]
        self._until = (datetime.now(UTC) + timedelta(days=1)).isoformat()
        self.kills = 0
        self.jobs = 0
        self.where: Counter[str] = Counter()
        self.moments: Counter[int] = Counter()
        self.in_flight: Counter[int] = Counter()
        self.states: Counter[str] = Counter()
        self.lost: dict[str, int] = {}
        self.duplicates = 0
        self.missing = 0

    def run(self) -> None:
        """Until there were enough kills."""
        while self.kills < self._wanted:
            self._job(f"job{self.jobs}")
            self.jobs += 1
        self._server.end()

    def _ask(self, **order: Any) -> list[str]:
        self._server.say(**order)
        answer = json.loads(self._server.hear())
        self.lost = answer["lost"]
        self._creates: int = answer["creates"]
        names: list[str] = answer["names"]
        return names

    def _worker(self, job: str, journal: Path) -> Process:
        concurrency = self._dice.choice((8, 16, 32))
        worker = Process("--work", self._url, str(journal), job, self._until, str(concurrency), str(self._items))
        assert worker.hear() == "ready"
        return worker

    def _job(self, job: str) -> None:
        journal = self._folder / f"{job}.jsonl"
        ignore, vanishing = self._dice.random() < 0.4, self._dice.random() < 0.4
        self._ask(do="begin", ignore_filter=ignore, vanishing=vanishing)
        kills = 0
        while kills < KILLS_PER_JOB and self.kills < self._wanted and self._kill(job, journal):
            kills += 1
            self.kills += 1
        worker = self._worker(job, journal)
        states = json.loads(worker.hear())
        code = worker.end()
        rooms = rooms_of(job, self._ask(do="look"))
        twice = sum(count - 1 for count in rooms.values())
        missing = self._items - len(rooms)
        self.duplicates += twice
        self.missing += missing
        self.states.update(states)
        print(
            f"{job}: {kills} kills, filter {'ignored' if ignore else 'works'}, others {'vanish' if vanishing else 'stay'}; "
            f"end: exit {code}, {states}, twice {twice}, missing {missing}",
            flush=True,
        )

    def _wait_for_creates(self, worker: Process) -> None:
        """Until this process has sent some."""
        self._ask(do="forget")
        deadline = time.monotonic() + PATIENCE
        while worker.runs() and time.monotonic() < deadline:
            self._ask(do="count")
            if self._creates > 2:
                return
            time.sleep(0.02)

    def _kill(self, job: str, journal: Path) -> bool:
        """Let it live for a while, then kill it; whether it was still alive."""
        worker = self._worker(job, journal)
        began = time.monotonic()
        if self._dice.random() < 1 / 3:
            time.sleep(self._dice.uniform(0, LIFE))
        else:
            self._wait_for_creates(worker)
            time.sleep(self._dice.uniform(0, FLOWING))
        worker.send(signal.SIGSTOP)
        lived = time.monotonic() - began
        alive = worker.runs()
        acted = rooms_of(job, self._ask(do="look"))
        seen = Journal.read(journal)
        worker.send(signal.SIGKILL)
        worker.end()
        if not alive:
            return False
        self.moments[int(lived * 5)] += 1
        self.in_flight[len(seen.begun)] += 1
        between = seen.begun & acted.keys()
        if between:
            self.where["acted, not in the journal"] += 1
        elif seen.begun:
            self.where["in flight, not acted"] += 1
        else:
            self.where["nothing in flight"] += 1
        return True


def bars(title: str, counts: dict[str, int]) -> None:
    """A histogram."""
    print(f"\n{title}")
    widest = max(counts.values(), default=1)
    for name, count in counts.items():
        print(f"  {name:>28}  {count:4}  {'#' * round(50 * count / widest)}")


def main(kills: int, items: int, seed: int) -> int:
    """Kill, count, tell."""
    with tempfile.TemporaryDirectory() as folder:
        killer = Killer(kills, items, seed, Path(folder))
        killer.run()
    bars("where the kills hit", dict(killer.where))
    bars(
        "when, in seconds of the process's life",
        {f"{fifth / 5:.1f}-{fifth / 5 + 0.2:.1f}": killer.moments[fifth] for fifth in sorted(killer.moments)},
    )
    bars("creates in flight at the kill", {str(count): killer.in_flight[count] for count in sorted(killer.in_flight)})
    bars("answers lost beside", killer.lost)
    between = killer.where["acted, not in the journal"]
    figures = {
        "kills": killer.kills,
        "jobs": killer.jobs,
        "with a create in flight": between + killer.where["in flight, not acted"],
        "between the act and its journal line": between,
        "answers lost": sum(killer.lost.values()),
        "items": killer.jobs * items,
        "adopted in the last runs": killer.states["adopted"],
        "unknown": killer.states["unknown"],
        "failed": killer.states["failed"],
        "duplicates": killer.duplicates,
        "missing": killer.missing,
        "seed": seed,
    }
    print("\n" + json.dumps(figures))
    return int(any(figures[name] for name in ("duplicates", "missing", "unknown", "failed")))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=int(os.environ.get("WHEREBY_KILLS", "220")))
    parser.add_argument("--items", type=int, default=ITEMS)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--work", nargs=6, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve(options.seed))
    elif options.work:
        url, journal, job, until, concurrency, items = options.work
        asyncio.run(work(url, journal, job, until, int(concurrency), int(items)))
    else:
        sys.exit(main(options.kills, options.items, options.seed))
