"""What holds for all calls inside a `with` block: the priority, and a list of raw answers. It follows the task.

A batch does the same for the calls of one item: its priority, which nothing overrides, and a limiter that counts its
points.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from contextvars import ContextVar
from typing import Any, Protocol

from msgspec import UnsetType

import whereby_async

from .errors import ConfigurationError
from .limiter.protocol import Limiter, Permit, Priority
from .operation import Operation


class BatchedCalls(Protocol):
    """What the sender needs of the batch whose item it makes a call for.

    Attributes:
        max_outage: Seconds that a call may wait for a service that can not be reached; the client's unless set.
    """

    max_outage: float | UnsetType | None

    def limiter(self, limiter: Limiter) -> Limiter:
        """The limiter that a call asks in the place of `limiter`."""
        ...

    async def announce(self, permit: Permit, operation: Operation[Any], *, again: bool) -> None:
        """A call has its points and is about to leave; `again`: not for the first time. It does not if this raises."""
        ...


current_priority: ContextVar[Priority | None] = ContextVar("whereby_async_priority", default=None)
current_batch: ContextVar[BatchedCalls | None] = ContextVar("whereby_async_batch", default=None)
current_answers: ContextVar[list[whereby_async.Answer] | None] = ContextVar("whereby_async_answers", default=None)


def as_priority(value: Priority) -> Priority:
    """The value as a `Priority`, or `ConfigurationError` if it is none."""
    try:
        return Priority(value)
    except ValueError:
        msg = f"priority={value!r} is no priority: pass Priority.INTERACTIVE, Priority.NORMAL or Priority.BATCH"
        raise ConfigurationError(msg) from None


@contextlib.contextmanager
def use_priority(priority: Priority) -> Generator[None]:
    """All calls inside, of any client, wait for points with this priority, unless `with_options(priority=…)` says
    otherwise.

    It follows the task: tasks started inside have it, tasks that run beside do not.

    Raises:
        ConfigurationError: It is no priority.
    """
    token = current_priority.set(as_priority(priority))
    try:
        yield
    finally:
        current_priority.reset(token)


@contextlib.contextmanager
def capture_responses() -> Generator[list[whereby_async.Answer]]:
    """Collect the raw answer (`status`, `headers`, `body`) of every attempt inside, so that nothing the server sent is
    lost.

    Answers of failed and repeated attempts are among them, oldest first. Inner captures do not add to outer ones.
    """
    answers: list[whereby_async.Answer] = []
    token = current_answers.set(answers)
    try:
        yield answers
    finally:
        current_answers.reset(token)
