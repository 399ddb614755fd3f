"""`Caller`: the client as downloads and waits see it, which do more than send one request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from .operation import Sender

if TYPE_CHECKING:
    from .limiter.protocol import Limiter, Priority
    from .transport import RetryPolicy, SessionPool
    from .waiting import WaitingCalls


class CallerOptions(Protocol):
    """The options of the view of the client that was called."""

    @property
    def key(self) -> str:
        """The API key."""
        ...

    @property
    def limiter(self) -> Limiter:
        """The point budget."""
        ...

    @property
    def retry(self) -> RetryPolicy:
        """The retry policy."""
        ...

    @property
    def timeout(self) -> float:
        """Seconds for one attempt."""
        ...

    @property
    def max_wait(self) -> float | None:
        """Seconds that one call may wait for points, or `None`."""
        ...

    def lane(self) -> Priority:
        """The lane of a call made now."""
        ...


class CallerState(Protocol):
    """What all views of the client share."""

    @property
    def pool(self) -> SessionPool:
        """The connections."""
        ...

    @property
    def waiting(self) -> WaitingCalls:
        """Ends pauses when the client is closed."""
        ...

    @property
    def closed(self) -> bool:
        """The client was closed."""
        ...


class Caller(Sender, Protocol):
    """Sends requests, and tells what it does so with."""

    @property
    def options(self) -> CallerOptions:
        """The options of this view."""
        ...

    @property
    def shared(self) -> CallerState:
        """What it shares with the other views."""
        ...

    def pinned(self) -> Caller:
        """The same, its lane fixed as it is now."""
        ...
