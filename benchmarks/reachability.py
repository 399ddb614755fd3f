"""What a call pays for knowing whether the service can be reached, while it can: nanoseconds, target ≤ 300.

    python benchmarks/reachability.py

The same steps as the send loop takes for each attempt, against an empty loop, in turns: two looks, the epoch at which the
attempt began, and the success. Prints one JSON object.
"""

from __future__ import annotations

import json
import statistics
import time

from whereby_async.transport import GATEWAY_FAILURES, Reachability

ROUNDS = 30
CALLS = 200_000
LIMITS = [0.0, 2.0, 900.0]


def empty(calls: int) -> None:
    """The loop alone."""
    for _ in range(calls):
        pass


def watched(calls: int) -> None:
    """The steps of `ClientSender._send`, `Connections.send` and `_settled`."""
    known = Reachability("https://api.example")
    status = 200
    for _ in range(calls):
        outage_left = LIMITS[1]
        waits = outage_left > 0
        if waits and known.unavailable:
            raise AssertionError
        patience = outage_left
        epoch = known.epoch
        if known.unavailable and patience and known.blocks("meetings.get"):
            raise AssertionError
        if status in GATEWAY_FAILURES:
            raise AssertionError
        known.succeeded("meetings.get", epoch)


def main() -> None:
    """Measure in turns, so that a busy moment meets both."""
    nanoseconds: list[float] = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        empty(CALLS)
        between = time.perf_counter()
        watched(CALLS)
        ended = time.perf_counter()
        nanoseconds.append(((ended - between) - (between - began)) / CALLS * 1e9)
    print(json.dumps({"nanoseconds_per_call": round(statistics.median(nanoseconds)), "worst": round(max(nanoseconds))}))


if __name__ == "__main__":
    main()
