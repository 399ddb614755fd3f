"""The event loop with a simulated clock."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from whereby_async.testing import SimulatedDeadlockError, SimulatedLoop, run_simulated


def test_hours_pass_at_once_and_in_order() -> None:
    fired: list[tuple[str, float]] = []

    async def sleeper(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        fired.append((name, asyncio.get_running_loop().time()))

    async def main() -> None:
        await asyncio.gather(sleeper("late", 7200), sleeper("soon", 0.5), sleeper("later", 7200.25))

    began = time.monotonic()
    run_simulated(main(), start=100.0)
    assert fired == [("soon", 100.5), ("late", 7300.0), ("later", 7300.25)]
    assert time.monotonic() - began < 2


def test_time_stands_still_while_anything_is_ready() -> None:
    async def main() -> float:
        for _ in range(1000):
            await asyncio.sleep(0)
        return asyncio.get_running_loop().time()

    assert run_simulated(main()) == 0.0


def test_client_and_server_talk_over_a_real_socket() -> None:
    """A minute of pauses between real messages passes, and no message is overtaken by a timer."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            await asyncio.sleep(30)
            writer.write(line.upper())
        writer.close()

    async def main() -> tuple[list[bytes], float]:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        answers: list[bytes] = []
        for word in (b"one\n", b"two\n"):
            writer.write(word)
            async with asyncio.timeout(30.001):
                answers.append(await reader.readline())
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()
        return answers, asyncio.get_running_loop().time()

    answers, now = run_simulated(main())
    assert answers == [b"ONE\n", b"TWO\n"]
    assert now == pytest.approx(60.0, abs=0.1)


def test_time_waits_for_threads() -> None:
    working = threading.Event()

    async def main() -> float:
        loop = asyncio.get_running_loop()
        asyncio.get_running_loop().call_later(1.0, working.set)
        await loop.run_in_executor(None, time.sleep, 0.05)
        assert not working.is_set()
        return loop.time()

    assert run_simulated(main()) == 0.0


def test_wakeup_from_another_thread_is_heard() -> None:
    """Without any timer the loop waits in real time for other threads."""

    async def main() -> str:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[str] = loop.create_future()
        threading.Thread(target=lambda: loop.call_soon_threadsafe(future.set_result, "heard")).start()
        return await future

    assert run_simulated(main()) == "heard"


def test_deadlock_is_told() -> None:
    loop = SimulatedLoop(patience=0.05)
    future = loop.create_future()
    with pytest.raises(SimulatedDeadlockError, match="every task waits"):
        loop.run_until_complete(future)
    loop.close()


def test_deadlock_ends_a_run() -> None:
    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(SimulatedDeadlockError, match=r"0\.05 s of real time"):
        run_simulated(main(), patience=0.05)
