"""What a webhook costs: verified and parsed by us, and by hand with hmac and json, in turns.

    python benchmarks/webhooks.py            deliveries per second on one core; target ≥ 100,000
    python benchmarks/webhooks.py import     milliseconds of the import, on top of msgspec's; target ≤ 15

Prints one JSON object per figure.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from whereby_async.webhooks import UnknownEvent, parse_event, sign, unwrap, verify_signature

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 100
CALLS = 1_000
SECRET = "a-webhook-secret-of-usual-length"
BODY = json.dumps(
    {
        "id": "3f" * 32,
        "apiVersion": "1.0",
        "createdAt": "2026-06-17T12:00:00.000Z",
        "type": "room.client.joined",
        "data": {
            "meetingId": "107585562",
            "roomName": "/50041254-faca-4e6b-b551-d36e79ea4987",
            "subdomain": "my-company",
            "roomSessionId": "8e4b1a52-bd70-4bd7-a0a8-7a3b3c1e6a6f",
            "displayName": "Zoë",
            "participantId": "6c4f2d1e-0a8b-4a53-9d4e-1b2c3d4e5f60",
            "metadata": None,
            "externalId": None,
            "roleName": "granted_visitor",
            "numClients": 2,
            "numClientsByRoleName": {"host": 1, "granted_visitor": 1},
            "isDialIn": False,
        },
    },
    ensure_ascii=False,
    separators=(",", ":"),
).encode()
HEADER = sign(BODY, SECRET)
UNKNOWN = BODY.replace(b"room.client.joined", b"room.client.waved")
UNKNOWN_HEADER = sign(UNKNOWN, SECRET)


def show(**figures: object) -> None:
    """One line of output."""
    print(json.dumps(figures), flush=True)


def by_hand() -> object:
    """What people write: the least that is right."""
    fields = dict(part.split("=", 1) for part in HEADER.split(","))
    if abs(time.time() - int(fields["t"])) > 300:
        raise ValueError
    digest = hmac.new(SECRET.encode(), f"{fields['t']}.".encode() + BODY, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(digest, fields["v1"]):
        raise ValueError
    return json.loads(BODY)


SUBJECTS: dict[str, Callable[[], object]] = {
    "ours": lambda: unwrap(BODY, HEADER, SECRET, tolerance=1e6),
    "by hand": by_hand,
    "verify only": lambda: verify_signature(BODY, HEADER, SECRET, tolerance=1e6),
    "parse only": lambda: parse_event(BODY),
    "unknown type": lambda: unwrap(UNKNOWN, UNKNOWN_HEADER, SECRET, tolerance=1e6),
    "the digest alone": lambda: hmac.digest(SECRET.encode(), BODY, "sha256"),
}


def rates() -> None:
    """All subjects in turns, so that the machine's mood hits them alike."""
    assert isinstance(SUBJECTS["unknown type"](), UnknownEvent)
    times: dict[str, list[float]] = {name: [] for name in SUBJECTS}
    for _ in range(ROUNDS):
        for name, call in SUBJECTS.items():
            began = time.perf_counter()
            for _ in range(CALLS):
                call()
            times[name].append((time.perf_counter() - began) / CALLS)
    for name, seconds in times.items():
        # The best of many short rounds: everything above it is the machine's other work.
        best = min(seconds)
        show(
            figure=name,
            per_second=round(1 / best),
            us_best=round(best * 1e6, 2),
            us_median=round(statistics.median(seconds) * 1e6, 2),
            ratio_to_by_hand=round(best / min(times["by hand"]), 2),
            bytes=len(BODY),
        )


def import_cost() -> None:
    """A fresh Python for each try, its bytecode compiled before."""
    times: dict[str, list[float]] = {"msgspec": [], "whereby_async.webhooks": []}
    for _ in range(40):
        for name, seconds in times.items():
            program = f"import msgspec, {name}, time; print(time.process_time())"
            done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, encoding="utf-8")
            seconds.append(float(done.stdout) * 1000)
    ours, theirs = times["whereby_async.webhooks"], times["msgspec"]
    show(
        figure="import on top of msgspec, ms of processor time",
        best=round(min(ours) - min(theirs), 1),
        median=round(statistics.median(ours) - statistics.median(theirs), 1),
        python_and_msgspec=round(min(theirs), 1),
        target=15,
    )


def main() -> None:
    """Run what was asked for."""
    asked = sys.argv[1:] or ["rates", "import"]
    if "rates" in asked:
        rates()
    if "import" in asked:
        import_cost()


if __name__ == "__main__":
    main()
