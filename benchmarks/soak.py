"""A long run with faults, cancels and timeouts, after which every create has to be accounted for.

    python benchmarks/soak.py [--calls 200000] [--seconds-limit N] [--seed N]

A client makes its calls of a `FakeWhereby` in a process of its own that resets connections, stalls, lies, throttles and fails.
Prints calls, faults, errors, acts against successes, memory, descriptors and the longest stall of the client's loop. The exit
code is 1 if they do not reconcile: a create that succeeded acted exactly once; one that acted is a success, an error that says
it may have happened, or a call that was cancelled; and nothing that is held (points, slots, tasks, descriptors) is left, nor does memory grow.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from msgspec import structs

from whereby_async import RetryPolicy, SessionPool, WherebyClient, WherebyError
from whereby_async.limiter import PointBudget
from whereby_async.testing import FAKE_API_KEY, FakeWhereby, Fault, RecordedRequest

CALLERS = 150
CONNECTIONS = 100
LIMIT = 1_000_000_000
PERIOD = 5.0
"""Seconds: short, so that the budget's own memory of a window is full early, and what grows after that is a leak."""
TIMEOUT = 0.5
KINDS = {
    "meetings.get": 50,
    "meetings.create": 30,
    "meetings.list": 10,
    "meetings.delete": 5,
    "rooms.set_theme_tokens": 5,
}
UNKNOWN = "0"
SEEDS = 20
HASTY = 0.1
"""Share of the calls that will not wait for points, and so are refused while a 429 freezes all."""
FAULT_EVERY = 35
"""Requests from one fault to the next, on average."""

FAULTS = {
    "status 500": Fault(status=500),
    "status 503, Retry-After": Fault(status=503, headers={"Retry-After": "0.02"}),
    "502 from a proxy": Fault(status=502, body=b"<html>bad gateway</html>", content_type="text/html", points=0),
    "status 429": Fault(status=429, headers={"Retry-After": "0.03"}, body=b"{}"),
    "redirect": Fault(redirect="http://127.0.0.1:1/"),
    "reset before acting": Fault(drop="before"),
    "reset after acting": Fault(drop="after"),
    "slow": Fault(delay=0.1),
    "stalled, then acted": Fault(delay=2 * TIMEOUT),
    "acted, then stalled": Fault(answer_delay=2 * TIMEOUT),
    "body cut off": Fault(truncate=10),
    "body dripping": Fault(body=b'{"results":[],"meetingId":"1"}', drip=0.002),
    "no HTTP": Fault(raw=b"\x00\xffnonsense\r\n\r\n"),
    "headers cut off": Fault(raw=b"HTTP/1.1 200 OK\r\nContent-Le"),
    "no JSON": Fault(body=b"<html>"),
    "garbled rate limit": Fault(garbage_headers={"X-RateLimit-Remaining": "many", "X-RateLimit-Reset": "-1"}),
}

SUCCEEDED, MAY_HAVE, HAS_NOT, CANCELLED = 1, 2, 3, 4


def complaints(outcomes: bytes, acts: bytes) -> list[str]:
    """What does not reconcile, for creates by their number: how each ended, and how often the server acted on it."""
    wrong: Counter[str] = Counter()
    for ended, acted in zip(outcomes, acts, strict=True):
        if acted > 1:
            wrong["acted more than once"] += 1
        if ended == SUCCEEDED and acted != 1:
            wrong["succeeded without an act"] += not acted
        if ended == HAS_NOT and acted:
            wrong["acted, but the error says it has not happened"] += 1
        if not ended and acted:
            wrong["acted, but was never called"] += 1
    return [f"{count} x {what}" for what, count in wrong.items() if count]


# The server's process


class Saboteur:
    """Plans one fault after the other, and counts what the server did."""

    def __init__(self, fake: FakeWhereby, calls: int, seed: int) -> None:
        self._fake = fake
        self._dice = random.Random(seed)
        self._planned = ""
        self._heard = 0
        self.acts = bytearray(calls)
        self.faults: Counter[str] = Counter()
        fake.subscribe(self.hear)
        self._plan()

    def _plan(self) -> None:
        self._planned = self._dice.choice(tuple(FAULTS))
        skip = self._dice.randrange(2 * FAULT_EVERY)
        self._fake.faults.add(structs.replace(FAULTS[self._planned], skip=skip))

    def hear(self, request: RecordedRequest) -> None:
        """A request is about to be answered."""
        self._heard += 1
        if request.acted and request.operation == "meetings.create":
            number = int(request.json["roomNamePrefix"].strip("sx"))
            self.acts[number] = min(255, self.acts[number] + 1)
        if not len(self._fake.faults):
            self.faults[self._planned] += 1
            self._plan()
        if self._heard % 1000 == 0:
            self._forget()

    def _forget(self) -> None:
        self._fake.clear()
        for name in list(self._fake.meetings)[SEEDS:]:
            del self._fake.meetings[name]
        self._fake.rooms.clear()


async def serve(calls: int, seed: int) -> None:
    """Serve until the first line of input, then tell what was done."""
    async with FakeWhereby(limit=LIMIT, period=PERIOD) as fake:
        ids = [fake.add_meeting()["meetingId"] for _ in range(SEEDS)]
        saboteur = Saboteur(fake, calls, seed)
        print(json.dumps({"url": fake.url, "ids": ids}), flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        acts = base64.b64encode(saboteur.acts).decode()
        print(json.dumps({"acts": acts, "faults": saboteur.faults}), flush=True)


# The client's process


class Soak:
    """The calls, and what came of them."""

    def __init__(self, client: WherebyClient, ids: list[str], calls: int, seed: int, seconds: float) -> None:
        self._client = client
        self._hasty = client.with_options(max_wait=0)
        self._ids = [*ids, UNKNOWN]
        self._calls = calls
        self._dice = random.Random(seed)
        self._stop_at = time.monotonic() + seconds
        self.outcomes = bytearray(calls)
        self.called = 0
        self.by_kind: Counter[str] = Counter()
        self.ended: Counter[str] = Counter()
        self.vitals: list[tuple[str, int, int]] = []

    async def run(self) -> None:
        """All calls, by so many callers at once."""
        await asyncio.gather(*(self._caller() for _ in range(CALLERS)))
        self._note_vitals("end")

    async def _caller(self) -> None:
        while self.called < self._calls and time.monotonic() < self._stop_at:
            number = self.called
            self.called += 1
            if number in {min(2000, self._calls // 10), self._calls // 2}:
                self._note_vitals("middle" if self.vitals else "start")
            await self._one(number)

    async def _one(self, number: int) -> None:
        kind = self._dice.choices(tuple(KINDS), tuple(KINDS.values()))[0]
        self.by_kind[kind] += 1
        try:
            await self._meddle(number, kind)
        except WherebyError as error:
            ended, outcome = type(error).__name__, MAY_HAVE if error.may_have_happened else HAS_NOT
        except (asyncio.CancelledError, TimeoutError) as error:
            ended, outcome = f"({type(error).__name__} by the caller)", CANCELLED
        else:
            ended, outcome = "success", SUCCEEDED
        self.ended[ended] += 1
        if kind == "meetings.create":
            self.outcomes[number] = outcome

    async def _meddle(self, number: int, kind: str) -> None:
        """One call as it is, cancelled at some moment, or with a deadline."""
        fate = self._dice.random()
        seconds = self._dice.choice((0.0, 0.001, 0.005, 0.02, 0.1)) * self._dice.random()
        if fate < 0.04:
            task = asyncio.ensure_future(self._call(number, kind))
            asyncio.get_running_loop().call_later(seconds, task.cancel)
            await task
        elif fate < 0.06:
            async with asyncio.timeout(seconds):
                await self._call(number, kind)
        else:
            await self._call(number, kind)

    async def _call(self, number: int, kind: str) -> None:
        client = self._hasty if self._dice.random() < HASTY else self._client
        match kind:
            case "meetings.get":
                await client.meetings.get(self._dice.choice(self._ids))  # a few of them are unknown
            case "meetings.create":
                end_date = datetime.now(UTC) + timedelta(hours=1)
                await client.meetings.create(end_date=end_date, room_name_prefix=f"s{number}x")
            case "meetings.list":
                await client.meetings.list(page_size=5)
            case "meetings.delete":
                await client.meetings.delete("1")
            case _:
                await client.rooms.set_theme_tokens("/room", primary="#112233")

    def _note_vitals(self, when: str) -> None:
        self.vitals.append((when, resident(), descriptors()))

    def growth(self) -> list[str]:
        """Memory and descriptors that the second half of the run has taken and not given back."""
        if len(self.vitals) < 3:
            return []
        _, (_, memory, files), (_, last_memory, last_files) = self.vitals[-3:]
        grown: list[str] = []
        if last_memory > memory * 1.05 + 2**20:
            grown.append(f"{(last_memory - memory) / 2**20:.1f} MiB more at the end than in the middle")
        if last_files > max(files, CONNECTIONS + 20):
            grown.append(f"{last_files - files} descriptors more at the end than in the middle")
        return grown


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def descriptors() -> int:
    """Open descriptors of this process."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a count is all that is wanted


class Pulse:
    """Beats every few milliseconds; the longest delay of a beat is the loop's longest stall."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._task = asyncio.ensure_future(self._beat())

    async def _beat(self) -> None:
        while True:
            began = time.monotonic()
            await asyncio.sleep(0.005)
            self.longest = max(self.longest, time.monotonic() - began - 0.005)

    async def stop(self) -> None:
        """Beat no more."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


async def soak(server: dict[str, Any], calls: int, seed: int, seconds: float) -> tuple[Soak, float, list[str]]:
    """The run, the longest stall, and what is left over that should not be."""
    before = descriptors()
    budget, pool = PointBudget(LIMIT, period=PERIOD), SessionPool(connections=CONNECTIONS)
    retry = RetryPolicy(attempts=3, base=0.02, cap=0.1)
    pulse = Pulse()
    async with WherebyClient(
        FAKE_API_KEY, base_url=server["url"], limiter=budget, pool=pool, timeout=TIMEOUT, retry=retry
    ) as client:
        run = Soak(client, server["ids"], calls, seed, seconds)
        await run.run()
    await asyncio.sleep(3 * TIMEOUT)  # what lies with the server acts, or never will
    await pulse.stop()
    snapshot = budget.snapshot()
    held = {
        "points in flight": snapshot.in_flight,
        "calls waiting for points": sum(snapshot.waiting.values()),
        "slots in use": pool.in_use,
        "calls waiting for a slot": pool.waiting,
        "tasks": len(asyncio.all_tasks()) - 1,
    }
    await pool.aclose()
    held["descriptors"] = max(0, descriptors() - before)
    return run, pulse.longest, run.growth() + [f"{count} {what} left over" for what, count in held.items() if count]


def report(run: Soak, told: dict[str, Any], took: float, stall: float, wrong: list[str]) -> None:
    """Print it all."""
    acts = base64.b64decode(told["acts"])
    ended = Counter(run.outcomes)
    print(f"calls: {run.called:,} in {took:.0f} s ({run.called / took:,.0f}/s): {dict(run.by_kind)}")
    print(f"faults: {sum(told['faults'].values()):,}")
    for what, count in sorted(told["faults"].items()):
        print(f"  {count:7,} {what}")
    print("ended in:")
    for what, count in run.ended.most_common():
        print(f"  {count:7,} {what}")
    known = {
        SUCCEEDED: "succeeded",
        MAY_HAVE: "may have happened",
        HAS_NOT: "have not happened",
        CANCELLED: "cancelled",
    }
    print(f"creates: {sum(ended[code] for code in known):,} called, {sum(acts):,} acts")
    for code, what in known.items():
        acted = sum(count for count, outcome in zip(acts, run.outcomes, strict=True) if outcome == code)
        print(f"  {ended[code]:7,} {what}: {acted:,} acts")
    vitals = [f"{when} {memory / 2**20:.1f} MiB and {files}" for when, memory, files in run.vitals]
    print(f"memory and open descriptors: {'; '.join(vitals)}")
    print(f"longest stall of the loop: {stall * 1000:.0f} ms")
    print("; ".join(wrong) if wrong else "reconciles: every create is accounted for, nothing is left over")


def main() -> int:
    """Run it; 0 if all is well."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=200_000)
    parser.add_argument("--seconds-limit", type=float, default=float("inf"), help="begin no call after so many seconds")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        asyncio.run(serve(given.calls, given.seed))
        return 0
    command = [sys.executable, __file__, "--serve", "--calls", str(given.calls), "--seed", str(given.seed)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        hello = json.loads(server.stdout.readline())
        began = time.monotonic()
        run, stall, wrong = asyncio.run(soak(hello, given.calls, given.seed, given.seconds_limit))
        took = time.monotonic() - began
        server.stdin.write("\n")
        server.stdin.flush()
        told = json.loads(server.stdout.readline())
    wrong += complaints(bytes(run.outcomes), base64.b64decode(told["acts"]))
    report(run, told, took, stall, wrong)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
