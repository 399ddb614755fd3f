"""Cancelling a call at any of its awaits, and checking that it leaves no permit, slot, task or descriptor behind."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import os
from typing import TYPE_CHECKING, Any, Generic, Literal, ParamSpec, TypeAlias, TypeVar

import anyio

from whereby_async import WherebyError
from whereby_async.testing import run_simulated

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator

    from whereby_async import SessionPool
    from whereby_async.limiter import PointBudget

P = ParamSpec("P")
T = TypeVar("T")

BOUNDS = ("asyncio.timeout", "fail_after", "move_on_after")
"""The ways to bound a block."""
Moment: TypeAlias = Literal["early", "late"]
"""`late` is the narrow one: the outcome stands (points, a slot, an answer), and the task has not heard of it yet."""


class Meddling(Generic[T]):
    """Awaits a coroutine step by step and calls `act` at its await number `nth` (from 0).

    Attributes:
        reached: It came so far.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, T], nth: int, moment: Moment, act: Callable[[], object]) -> None:
        self._coroutine = coroutine
        self._nth = nth
        self._moment = moment
        self._act = act
        self.reached = False

    def __await__(self) -> Generator[Any, None, T]:
        coroutine = self._coroutine
        step = 0
        failure: BaseException | None = None
        while True:
            try:
                awaited = coroutine.send(None) if failure is None else coroutine.throw(failure)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]  # what the coroutine returns
            if step == self._nth:
                self.reached = True
                self._meddle(awaited)
            step += 1
            try:
                yield awaited
            except BaseException as error:  # noqa: BLE001 - thrown into the coroutine in the next turn
                failure = error
            else:
                failure = None

    def _meddle(self, awaited: asyncio.Future[Any] | None) -> None:
        if self._moment == "late" and awaited is not None:
            # Before the task's own callback, which is added when the future has been yielded to it.
            awaited.add_done_callback(lambda _: self._act())
        else:
            asyncio.get_running_loop().call_soon(self._act)


async def awaiting(meddling: Meddling[T]) -> T:
    """The same as a coroutine, to make a task of."""
    return await meddling


async def bounded(how: str, seconds: float, call: Coroutine[Any, Any, T]) -> T:
    """Await a call within one of the ways to bound a block, or `none`; `TimeoutError` says that it ended the call."""
    if how == "none":
        return await call
    if how == "asyncio.timeout":
        async with asyncio.timeout(seconds):
            return await call
    if how == "fail_after":
        with anyio.fail_after(seconds):
            return await call
    with anyio.move_on_after(seconds):
        return await call
    raise TimeoutError


def assert_acted_as_told(outcome: object, acted: int) -> None:
    """The server acted on a create as often as its outcome says, and at most once."""
    assert acted <= 1
    if not isinstance(outcome, BaseException):
        assert acted == 1
    elif isinstance(outcome, WherebyError) and not outcome.may_have_happened:
        assert acted == 0


def assert_idle(budget: PointBudget, pool: SessionPool) -> None:
    """No permit is out, nobody waits for points or for a slot, and no slot is taken."""
    snapshot = budget.snapshot()
    assert (snapshot.in_flight, snapshot.waiting_points, sum(snapshot.waiting.values())) == (0, 0, 0)
    assert (pool.in_use, pool.waiting) == (0, 0)


def run_cleanly(main: Coroutine[Any, Any, T]) -> T:
    """Run on a simulated clock; it may leave no task, no descriptor and no word to the loop's exception handler."""
    before = open_descriptors()
    complaints: list[dict[str, Any]] = []

    async def supervised() -> T:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: complaints.append(context))
        result = await main
        for _ in range(10):
            await asyncio.sleep(0)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, left
        return result

    result = run_simulated(supervised())
    if complaints or open_descriptors() > before:
        gc.collect()
    assert not complaints, complaints
    assert open_descriptors() <= before
    return result


def cleanly(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Make an async test a plain one that goes through `run_cleanly`."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        run_cleanly(test(*args, **kwargs))

    return run


def open_descriptors() -> int:
    """Descriptors of this process, 0 where the system does not show them."""
    with contextlib.suppress(FileNotFoundError):
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a count is all that is wanted
    return 0
