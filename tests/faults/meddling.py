"""Doing something at the n-th await of a coroutine: early, while it is suspended, or late, when what it awaits is done."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator

T = TypeVar("T")

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
    """A coroutine to make a task of."""
    return await meddling
