"""An event loop whose clock is simulated: minutes pass in milliseconds, and always the same way.

Time stands still while anything is ready, and jumps to the next timer when nothing is. Client and server may run in one such
loop and talk over real sockets: before it jumps, the loop gives the kernel a moment to bring what was sent, and it never jumps
while a thread works for it (`run_in_executor`).

```python
def test_a_minute_passes() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        began = loop.time()
        await asyncio.sleep(60)
        return loop.time() - began

    assert run_simulated(main()) == 60
```

`@simulated` makes any async test such a one. To let all async tests and fixtures of a directory live in one such loop, let anyio's
fixture `anyio_backend` return `("asyncio", {"loop_factory": SimulatedLoop})`, or pytest-asyncio's hook
`pytest_asyncio_loop_factories` return `{"simulated": SimulatedLoop}`. What it cannot do is told at `simulated`.
"""

from __future__ import annotations

import asyncio
import selectors
from typing import TYPE_CHECKING, Any, Final, TypeVar, TypeVarTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
    from concurrent.futures import Executor

    from _typeshed import FileDescriptorLike

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_GRACE: Final = 0.001
"""Seconds of real time that the kernel gets to bring what was sent through a socket."""
LONGEST_STANDSTILL: Final = 30.0
"""Seconds of real time without any timer or event before the loop says that it is stuck."""


class SimulatedDeadlockError(RuntimeError):
    """Nothing is ready, no timer is set and no event comes: the simulation would wait for ever."""


class _JumpingSelector(selectors.BaseSelector):
    """A selector that lets simulated time pass instead of waiting."""

    def __init__(self, start: float, patience: float) -> None:
        self._patience = patience
        self._real = selectors.DefaultSelector()
        self.now = start
        self.working = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = self._real.select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if self.working or timeout is None:
            return self._stand_still()
        # The first registered is the loop's own wake-up pipe; more means sockets.
        if len(self._real.get_map()) > 1 and (ready := self._real.select(_GRACE)):
            return ready
        self.now += timeout
        return []

    def _stand_still(self) -> list[tuple[selectors.SelectorKey, int]]:
        ready = self._real.select(self._patience)
        if not ready and not self.working:
            raise SimulatedDeadlockError(
                f"no timer is set and no event has come for {self._patience:g} s of real time: every task waits for another"
            )
        return ready

    def register(self, fileobj: FileDescriptorLike, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: FileDescriptorLike) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def modify(self, fileobj: FileDescriptorLike, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.modify(fileobj, events, data)

    def get_map(self) -> Mapping[FileDescriptorLike, selectors.SelectorKey]:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An asyncio event loop whose `time()` is simulated.

    Attributes:
        simulated: Always `True`: by this a limiter knows that the clock is not the process's.
    """

    simulated: Final = True

    def __init__(self, start: float = 0.0, *, patience: float = LONGEST_STANDSTILL) -> None:
        """Make a loop.

        Args:
            start: What its clock shows at first, in seconds.
            patience: Seconds of real time without any timer or event before it raises `SimulatedDeadlockError`: until then
                another thread or a socket may still wake it.
        """
        self._jumping = _JumpingSelector(start, patience)
        super().__init__(self._jumping)
        # Timers are due exactly when the clock says so.
        self._clock_resolution = 1e-9

    def time(self) -> float:
        """The simulated time in seconds."""
        return self._jumping.now

    def run_in_executor(self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        """As ever, but time stands still until the thread is done."""
        future = super().run_in_executor(executor, func, *args)
        self._jumping.working += 1
        future.add_done_callback(self._worked)
        return future

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ARG002, ASYNC109 - asyncio's
        """As ever, but time stands still until the threads are done, however long the loop's runner would wait for them."""
        self._jumping.working += 1
        try:
            await super().shutdown_default_executor()
        finally:
            self._jumping.working -= 1

    def _worked(self, _: asyncio.Future[Any]) -> None:
        self._jumping.working -= 1


def require_no_loop(name: str) -> None:
    """Refuse to run a loop within another.

    Raises:
        RuntimeError: A loop runs here already.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    msg = f"{name} runs a loop of its own, and there is one here already: call it from code that is not async, such as a plain test"
    raise RuntimeError(msg)


def run_simulated(main: Coroutine[Any, Any, T], *, start: float = 0.0, patience: float = LONGEST_STANDSTILL) -> T:
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
        require_no_loop("run_simulated")
    except RuntimeError:
        main.close()
        raise
    with asyncio.Runner(loop_factory=lambda: SimulatedLoop(start, patience=patience)) as runner:
        return runner.run(main)
