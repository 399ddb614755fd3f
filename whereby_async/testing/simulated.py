"""Async tests whose minutes pass in milliseconds, under any test runner: `@simulated`."""

from __future__ import annotations

import asyncio
import functools
import inspect
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from .clock import SimulatedLoop, require_no_loop

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator

P = ParamSpec("P")
T = TypeVar("T")

_MARK = "whereby_async_simulated"
_standing: ContextVar[asyncio.Runner | None] = ContextVar("whereby_async_simulation", default=None)


def simulated(test: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """Make an async test a plain one that runs in a `SimulatedLoop`: ten minutes of budget pass in a second.

    ```python
    @simulated
    async def test_thousand_calls_take_ten_windows() -> None:
        async with FakeWhereby(limit=100) as fake, fake.client() as whereby:
            for _ in range(1000):
                await whereby.meetings.list()
            assert fake.throttled == 0
    ```

    It needs no plugin, and no plugin takes the test for its own. The fixtures `fake_whereby` and `whereby_client` live in the
    same loop.

    Its limits: everything has to live in this loop, client, server and whatever stands between them. Other async fixtures do
    not; let the test itself enter what they would give, or run both under anyio, with
    `anyio_backend = ("asyncio", {"loop_factory": SimulatedLoop})`. A peer in another thread or process, or beyond the loopback
    interface, is too slow for a clock that jumps as soon as nothing is ready. Each jump costs a millisecond, which the kernel gets
    to bring what was sent; so an hour is as cheap as a second, and a thousand timers at different times are not. Time stands still while `asyncio.to_thread` and
    `run_in_executor` work, but not for threads that the loop does not know, those of `anyio.to_thread` among them. And it tells
    nothing of speed: computing takes no time at all.

    Args:
        test: The test function, or any other coroutine function.

    Returns:
        A function with the same parameters that runs it to its end and returns what it returns.

    Raises:
        TypeError: It is not a coroutine function.
        RuntimeError: Raised by the test if a loop runs where it is called.
        SimulatedDeadlockError: Raised by the test if every task of it waits for another, after 30 s of real time.
    """
    if not inspect.iscoroutinefunction(test):
        raise TypeError(f"simulated is for tests that are `async def`, not {test!r}")

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        require_no_loop(f"@simulated {test.__name__}")
        with simulation() as runner:
            return runner.run(test(*args, **kwargs))

    setattr(run, _MARK, True)
    return run


def is_simulated(test: object) -> bool:
    """Whether `simulated` made this function."""
    return getattr(test, _MARK, False) is True


@contextmanager
def simulation() -> Generator[asyncio.Runner, None, None]:
    """A runner with a simulated clock: the one that stands already, or a new one that is closed at the end."""
    if (runner := _standing.get()) is not None:
        yield runner
        return
    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        token = _standing.set(runner)
        try:
            yield runner
        finally:
            _standing.reset(token)
