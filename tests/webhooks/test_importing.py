"""Whoever only receives webhooks does not pay for a client."""

from __future__ import annotations

import subprocess
import sys

from support import checkout

HEAVY = ("aiohttp", "yarl", "multidict", "anyio", "asyncio", "ssl", "redis", "rich", "opentelemetry", "logging")


def _run(program: str, *options: str) -> str:
    """What a Python prints that runs the program."""
    command = [sys.executable, *options, "-c", program]
    environment = checkout.clean_environment(PYTHONPATH=str(checkout.ROOT))
    return subprocess.run(command, env=environment, capture_output=True, check=True, encoding="utf-8").stdout


def test_nothing_heavy_comes_in() -> None:
    """Verifying and parsing load neither aiohttp, anyio nor asyncio; nor does the room link."""
    program = (
        "import sys; from whereby_async.webhooks import *; import whereby_async; whereby_async.room_link;"
        " whereby_async.webhooks.verify_signature; seen = SeenEvents();"
        ' body = b\'{"id":1,"type":"room.session.ended","data":{}}\';'
        " event = unwrap(body, sign(body, 's'), 's'); assert isinstance(event, RoomSessionEnded);"
        f" print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    assert _run(program) == "[]\n"
