"""What can go wrong on the way, scripted: `Fault` says what, `FaultPlan` to which requests."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - msgspec resolves annotations at run time
from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

_NO_SUCCESS = 300


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that goes wrong, and for which requests.

    What lies below HTTP, such as a refused connection, is a `TcpFault`'s business.

    A fault takes a request that came with the right key; what it scripts happens whatever the budget says, and goes on
    the server's answer (a 429 among them) where it does not replace it.

    Attributes:
        operation: The operation's name, such as `meetings.create`; `storage` for downloads; `None` for any operation.
        times: How many requests it takes; `None` for all.
        skip: Let so many matching requests pass first.
        status: Answer with this status and `body`, or with `{"error": …}` if there is no `body`.
        headers: More headers for the answer, over the server's own.
        content_type: The answer's content type; `application/json` by default.
        body: The answer's body, byte for byte; the status is 200 unless said.
        redirect: Answer 302 (or `status`) to this URL.
        delay: Seconds that the request lies with the server before it acts. A client that has gone away by then does
            not stop it: the server acts late.
        answer_delay: Seconds between acting and answering.
        drop: Close the connection with a reset, `before` or `after` acting.
        truncate: Announce the whole answer, send so many bytes of its body, and close.
        drip: Seconds between one byte of the body and the next.
        endless: Send the body again and again in chunks, without an end, until the client goes.
        garbage_headers: Replace the rate-limit headers by these.
        raw: Write these bytes to the connection in place of an answer, and close.
        act: Does the world change? By default it does unless the fault is one of status 300 or above, a redirect, or
            `drop="before"`.
        points: What the request is charged; `None` for its price. `0` is a fault in front of the API, such as a
            proxy's.
    """

    operation: str | None = None
    times: int | None = 1
    skip: int = 0
    status: int | None = None
    headers: Mapping[str, str] = {}
    content_type: str | None = None
    body: bytes | None = None
    redirect: str | None = None
    delay: float = 0.0
    answer_delay: float = 0.0
    drop: Literal["before", "after"] | None = None
    truncate: int | None = None
    drip: float = 0.0
    endless: bool = False
    garbage_headers: Mapping[str, str] | None = None
    raw: bytes | None = None
    act: bool | None = None
    points: int | None = None

    @property
    def acts(self) -> bool:
        """Whether a request that it takes changes the world."""
        if self.act is not None:
            return self.act
        refused = self.status is not None and self.status >= _NO_SUCCESS
        return not (refused or self.redirect is not None or self.drop == "before")


class FaultPlan:
    """The faults to come, in the order in which they were added; the first that matches a request takes it."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._seen: list[int] = []

    def __len__(self) -> int:
        return len(self._faults)

    def __iter__(self) -> Iterator[Fault]:
        return iter(self._faults)

    def __repr__(self) -> str:
        return f"<FaultPlan: {len(self._faults)} to come>"

    def add(self, *faults: Fault) -> None:
        """Add faults behind those that wait already."""
        self._faults.extend(faults)
        self._seen.extend(0 for _ in faults)

    def clear(self) -> None:
        """Forget the faults that have not happened yet."""
        self._faults.clear()
        self._seen.clear()

    def take(self, operation: str) -> Fault | None:
        """The fault for a request of `operation` that has come, or `None`; its turn is used up."""
        for index, fault in enumerate(self._faults):
            if fault.times == 0 or (fault.operation != operation and (fault.operation or operation == "storage")):
                continue
            self._seen[index] += 1
            if self._seen[index] <= fault.skip:
                continue
            if fault.times is not None and self._seen[index] >= fault.skip + fault.times:
                del self._faults[index], self._seen[index]
            return fault
        return None
