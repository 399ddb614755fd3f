"""The simulated event loop, whose minutes pass in milliseconds and always the same way, and the fake server's clock.

Simulated time stands still while anything is ready, and jumps to the next timer when nothing is. Client and server may
run in one such loop and talk over real sockets: before it jumps, the loop gives the kernel a moment to deliver what was
sent. It never jumps while a thread works for it (`run_in_executor`).

`@simulated` runs one async test in such a loop; its docstring lists the limits. To run all async tests and fixtures of
a directory in one such loop, let anyio's fixture `anyio_backend` return `("asyncio", {"loop_factory":
SimulatedLoop})`, or pytest-asyncio's hook `pytest_asyncio_loop_factories` return `{"simulated": SimulatedLoop}`.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import selectors
import time
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import Executor
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, ParamSpec, TypeVar, TypeVarTuple, Unpack

from ..limiter.loops import is_monotonic

P = ParamSpec("P")
T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_GRACE: Final = 0.001
"""Seconds of real time that the kernel gets to bring what was sent through a socket."""
_LONGEST_STANDSTILL: Final = 30.0
"""Seconds of real time without any timer or event before the loop says that it is stuck."""
_TOGETHER: Final = 1.0
"""Seconds by which the wall and the monotonic clock differ at most while freezegun has both count from 1970."""
_MARK: Final = "whereby_async_simulated"
_current: ContextVar[asyncio.Runner | None] = ContextVar("whereby_async_simulation", default=None)


class SimulatedDeadlockError(RuntimeError):
    """Nothing is ready, no timer is set and no event comes: the simulation would wait for ever."""


class _JumpingSelector(selectors.DefaultSelector):
    """A selector that lets simulated time pass instead of waiting."""

    def __init__(self, start: float, patience: float) -> None:
        super().__init__()
        self._patience = patience
        self.now = start
        self.working = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if self.working or timeout is None:
            return self._stand_still()
        # The first registered is the loop's own wake-up pipe; more means sockets.
        if len(self.get_map()) > 1 and (ready := super().select(_GRACE)):
            return ready
        self.now += timeout
        return []

    def _stand_still(self) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(self._patience)
        if not ready and not self.working:
            raise SimulatedDeadlockError(
                f"no timer is set and no event has come for {self._patience:g} s of real time: every task waits for"
                " another"
            )
        return ready


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An asyncio event loop whose `time()` is simulated.

    Attributes:
        simulated: Always `True`: by this a limiter knows that the clock is not the process's.
    """

    simulated: Final = True

    def __init__(self, start: float = 0.0, *, patience: float = _LONGEST_STANDSTILL) -> None:
        """Make a loop.

        Args:
            start: What its clock shows at first, in seconds.
            patience: Seconds of real time without any timer or event before it raises `SimulatedDeadlockError`: until
                then another thread or a socket may still wake it.
        """
        self._jumping = _JumpingSelector(start, patience)
        super().__init__(self._jumping)
        # Timers are due exactly when the clock says so.
        self._clock_resolution = 1e-9

    def time(self) -> float:
        """The simulated time in seconds."""
        return self._jumping.now

    def run_in_executor(
        self,
        executor: Executor | None,
        func: Callable[[*Ts], T],
        *args: Unpack[Ts],  # noqa: UP044 - no `inspect` of 3.11 evaluates the star
    ) -> asyncio.Future[T]:
        """As in any loop, but time stands still until the thread is done."""
        future = super().run_in_executor(executor, func, *args)
        self._jumping.working += 1
        future.add_done_callback(self._worked)
        return future

    def _worked(self, _: asyncio.Future[Any]) -> None:
        self._jumping.working -= 1

    # The signature is asyncio's.
    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ARG002, ASYNC109
        """As in any loop, but time stands still until the threads are done, without a timeout."""
        self._jumping.working += 1
        try:
            await super().shutdown_default_executor()
        finally:
            self._jumping.working -= 1


def _require_no_loop(name: str) -> None:
    """Raise a `RuntimeError` if a loop runs here already."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError(
        f"{name} runs a loop of its own, and there is one here already: call it from code that is not async, such as a"
        " plain test"
    )


def run_simulated(main: Coroutine[Any, Any, T], *, start: float = 0.0, patience: float = _LONGEST_STANDSTILL) -> T:
    """Run `main` in a fresh `SimulatedLoop`, like `asyncio.run`.

    Args:
        main: The coroutine to run.
        start: What the loop's clock shows at first, in seconds.
        patience: Seconds of real time without any timer or event before it is given up.

    Returns:
        What `main` returns.

    Raises:
        RuntimeError: A loop runs here already.
        SimulatedDeadlockError: Every task waits for another.
    """
    try:
        _require_no_loop("run_simulated")
    except RuntimeError:
        main.close()
        raise
    with asyncio.Runner(loop_factory=lambda: SimulatedLoop(start, patience=patience)) as runner:
        return runner.run(main)


def simulated(test: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """Make an async test a plain one that runs in a `SimulatedLoop`, where ten minutes pass in a second.

    ```python
    @simulated
    async def test_thousand_calls_take_ten_windows() -> None:
        async with FakeWhereby(limit=100) as fake, fake.client() as whereby:
            for _ in range(1000):
                await whereby.meetings.list()
            assert fake.throttled == 0
    ```

    It needs no plugin, and no plugin takes the test for its own. The fixtures `fake_whereby` and `whereby_client` live
    in the same loop.

    Its limits:

    - Everything has to live in this loop: client, server and whatever stands between them. A peer in another thread or
      process, or beyond the loopback interface, is too slow for a clock that jumps as soon as nothing is ready.
    - Other async fixtures do not live in it; let the test itself enter what they would give, or run both under anyio,
      with `anyio_backend = ("asyncio", {"loop_factory": SimulatedLoop})`.
    - Each jump costs a millisecond, which the kernel gets to bring what was sent. So an hour is as cheap as a second,
      and a thousand timers at different times are not.
    - Time stands still while `asyncio.to_thread` and `run_in_executor` work, but not for threads that the loop does not
      know, those of `anyio.to_thread` among them.
    - It says nothing about speed: computing takes no time at all.

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
        _require_no_loop(f"@simulated {test.__name__}")
        with simulation() as runner:
            return runner.run(test(*args, **kwargs))

    setattr(run, _MARK, True)
    return run


def is_simulated(test: object) -> bool:
    """Whether `simulated` made this function."""
    return getattr(test, _MARK, False) is True


@contextmanager
def simulation() -> Generator[asyncio.Runner, None, None]:
    """A runner with a simulated clock: the current one, or a new one that is closed at the end."""
    if (runner := _current.get()) is not None:
        yield runner
        return
    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        token = _current.set(runner)
        try:
            yield runner
        finally:
            _current.reset(token)


class ServerClock:
    """Time as the service has it. Seconds follow the loop's clock, so that a simulated loop moves them too.

    The wall clock is this machine's, also while freezegun or another library has set it. In a loop whose clock runs
    apart from this machine's, as a simulated one, it starts with this machine's clock and goes on with the loop's.

    Attributes:
        skew: Seconds by which its wall clock is ahead of this machine's.
    """

    def __init__(self, skew: float = 0.0) -> None:
        self.skew = skew
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loop_start = 0.0
        self._loop_time = 0.0  # as last read
        self._before = 0.0
        self._wall_start = 0.0
        self._machine = 0.0  # this machine's clock, as last read
        self._frozen = False

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let it run on, on this loop's clock. It goes on while the server is stopped, as long as its loop does."""
        if self._loop is None:
            self._wall_start = self._machine = time.time()
        self._before = self.elapsed()
        self._loop = loop
        self._loop_start = self._loop_time = loop.time()

    def elapsed(self) -> float:
        """Seconds that it has run; never fewer than before."""
        if self._loop is None:
            return self._before
        now = self._loop.time()
        if now < self._loop_time:  # a frozen clock is ahead, until it thaws
            self._before += self._loop_time - self._loop_start
            self._loop_start = now
        self._loop_time = now
        return self._before + now - self._loop_start

    def wall(self) -> float:
        """Its wall clock, in seconds since 1970."""
        now = time.time()
        if self._loop is None or is_monotonic(self._loop):
            return now + self.skew
        frozen = abs(now - time.monotonic()) < _TOGETHER
        if frozen or self._frozen:  # what this machine's clock has moved by was no time that passed by itself
            self._wall_start += now - self._machine
        self._machine, self._frozen = now, frozen
        return self._wall_start + self.skew + self.elapsed()
