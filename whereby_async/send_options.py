"""`SendOptions`: how one view of a client sends its calls."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Final

from .context import current_batch, current_priority
from .limiter.protocol import Priority

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .limiter.protocol import Limiter
    from .redaction import Secret
    from .transport import RetryPolicy

_BATCH: Final = Priority.BATCH
_NORMAL: Final = Priority.NORMAL


class SendOptions:
    """What a view of the client may replace.

    Attributes:
        headers: Sent with every request; the bearer among them, as a `Secret`.
        key: The API key, to be masked should the server repeat it.
        key_source: Where the key came from, for the advice after a 401.
        limiter: The point budget.
        retry: The retry policy.
        timeout: Seconds for one attempt.
        max_wait: Seconds that one call may wait for points, or `None`.
        priority: The client's lane, which `use_priority` overrides, or `None`.
        pinned_priority: The lane of `with_options`, which nothing overrides, or `None`.
    """

    __slots__ = (
        "headers", "key", "key_source", "limiter", "max_wait", "pinned_priority", "priority", "retry", "timeout",
    )  # fmt: skip

    def __init__(  # noqa: PLR0913 - as many as there are options
        self,
        *,
        headers: Mapping[str, str],
        key: Secret,
        key_source: str,
        limiter: Limiter,
        retry: RetryPolicy,
        timeout: float,
        max_wait: float | None,
        priority: Priority | None,
        pinned_priority: Priority | None = None,
    ) -> None:
        self.headers: Mapping[str, str] = headers
        self.key: Secret = key
        self.key_source: str = key_source
        self.limiter: Limiter = limiter
        self.retry: RetryPolicy = retry
        self.timeout: float = timeout
        self.max_wait: float | None = max_wait
        self.priority: Priority | None = priority
        self.pinned_priority: Priority | None = pinned_priority

    def replaced(self, **changes: object) -> SendOptions:
        """A copy with some of them replaced."""
        other = copy.copy(self)
        for name, value in changes.items():
            setattr(other, name, value)
        return other

    def lane(self) -> Priority:
        """The lane of a call made now: a batch's > `with_options` > `use_priority` > client > `NORMAL`."""
        if current_batch.get() is not None:
            return _BATCH
        lane = self.pinned_priority
        if lane is None:
            lane = current_priority.get()
        if lane is None:
            lane = self.priority
        return _NORMAL if lane is None else lane
