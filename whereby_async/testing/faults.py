"""What can go wrong on the way, scripted: `Fault` says what, `FaultPlan` to which requests.

`server.py` does what a fault says.
"""

from __future__ import annotations

import math
import re
import reprlib
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Final, Generic, Literal, Protocol, TypeVar

import msgspec

from ..redaction import plain, shown
from .checks import meant
from .requests import RecordedRequest
from .world import COSTS

STORAGE = "storage"
"""The name by which downloads go where others have an operation's."""

_NO_SUCCESS = 300
_COUNTS = ("times", "skip", "truncate", "points")
_SECONDS = ("delay", "answer_delay", "acts_in", "drip")
_KINDS: Final[dict[str, type]] = {
    **dict.fromkeys(_COUNTS, int),
    **dict.fromkeys(_SECONDS, float),
    "operation": str, "status": int, "headers": Mapping, "content_type": str, "body": bytes, "redirect": str,
    "endless": bool, "garbage_headers": Mapping, "raw": bytes, "act": bool,
}  # fmt: skip
_OPTIONAL = {*_KINDS} - {"skip", "headers", "delay", "answer_delay", "drip", "endless"}
_STATUSES = range(100, 1000)
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_LINE_ENDS = re.compile(r"[\r\n\0]")


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that goes wrong, and for which requests.

    Faults below HTTP, such as a refused connection, are a `TcpFault`.

    A fault takes only requests that come with the right key. It happens whether or not the budget allows the request,
    and it changes or replaces the server's answer, a 429 too. One fault can do several things at once: be slow, break
    off and act late.

    Attributes:
        operation: The operation's name, such as `meetings.create`; `storage` for downloads; `None` for any operation.
        when: Takes only requests of which this is true, such as
            `lambda request: (request.json or {}).get("isLocked")`; a request without a JSON body has `json` `None`. If
            it raises, the fault does not take the request, and the error is raised at the server's exit, or by the
            pytest plugin when the test is over.
        times: How many requests it takes; `None` for all.
        skip: Let so many matching requests pass first: `skip=2` begins with the third.
        status: Answer with this status and `body`, or with `{"error": …}` if there is no `body`.
        headers: More headers for the answer, over the server's own.
        content_type: The answer's content type; `application/json` by default.
        body: The answer's body, byte for byte; the status is 200 unless said.
        redirect: Answer 302 (or `status`) to this URL.
        delay: Seconds that the request lies with the server before it acts. A client that has gone away by then does
            not stop it: the server acts late.
        answer_delay: Seconds between acting and answering. Others are served meanwhile: answers overtake one another.
        acts_in: Let the world change only so many seconds after the answer went out, or the connection ended. The
            answer must not depend on it: give a `status`, `body`, `redirect`, `raw` or `drop` too.
        drop: Close the connection with a reset, `before` or `after` acting.
        truncate: Announce the whole answer, send so many bytes of its body, and close.
        drip: Seconds between one byte of the body and the next.
        endless: Send the body again and again in chunks, without an end, until the client goes.
        garbage_headers: Replace the rate-limit headers by these.
        raw: Write these bytes to the connection in place of an answer, and close.
        act: Whether the world changes. By default it does unless the fault has a status of 300 or above, a redirect or
            `drop="before"`; with `acts_in` it always does.
        points: What the request is charged; `None` for its price. `0` is a fault in front of the API, such as a
            proxy's.

    Raises:
        TypeError: A part of another type.
        ValueError: An operation that there is not, an amount below 0, a status or header that HTTP has not, an unknown
            `drop`, or an `acts_in` without an answer of its own.
    """

    operation: str | None = None
    when: Callable[[RecordedRequest], object] | None = None
    times: int | None = 1
    skip: int = 0
    status: int | None = None
    headers: Mapping[str, str] = {}
    content_type: str | None = None
    body: bytes | None = None
    redirect: str | None = None
    delay: float = 0.0
    answer_delay: float = 0.0
    acts_in: float | None = None
    drop: Literal["before", "after"] | None = None
    truncate: int | None = None
    drip: float = 0.0
    endless: bool = False
    garbage_headers: Mapping[str, str] | None = None
    raw: bytes | None = None
    act: bool | None = None
    points: int | None = None

    def __post_init__(self) -> None:
        """Refuse what would never happen, or mean something else than it says."""
        self._check_types()
        if self.operation is not None and self.operation != STORAGE and self.operation not in COSTS:
            raise ValueError(f"no operation {self.operation!r}: {meant(self.operation, [*COSTS, STORAGE])}")
        if self.status is not None and self.status not in _STATUSES:
            raise ValueError(f"status={self.status}: a status has three digits")
        for name in (*_COUNTS, *_SECONDS):
            amount = getattr(self, name)
            if amount is not None and not 0 <= amount < math.inf:
                raise ValueError(f"{name} must {'not be below 0' if amount < 0 else 'have an end'}: {amount!r}")
        for name, value in {**self.headers, **(self.garbage_headers or {})}.items():
            _check_header(name, value)
        if self.drop not in {None, "before", "after"}:
            raise ValueError(f"drop is 'before' or 'after' acting, not {self.drop!r}")
        if self.acts_in is not None and (self.act is False or not self.answers_by_itself):
            raise ValueError(
                "acts_in answers first and acts later: give the answer too, such as status=504 or drop='before', and no"
                " act=False"
            )

    def _check_types(self) -> None:
        for name, kind in _KINDS.items():
            value = plain(getattr(self, name))
            msgspec.structs.force_setattr(self, name, value)
            if not (_is(kind, value) or (value is None and name in _OPTIONAL)):
                raise TypeError(f"{name}={shown(value)}: pass {'seconds' if kind is float else kind.__name__}")
        if self.when is not None and not callable(self.when):
            raise TypeError(f"when={shown(self.when)}: pass a function that is asked with the request")

    def __repr__(self) -> str:
        """Only what was said of it."""
        values = {name: getattr(self, name) for name in self.__struct_fields__}
        said = [f"{name}={reprlib.repr(value)}" for name, value in values.items() if value != getattr(_NOTHING, name)]
        return f"Fault({', '.join(said)})"

    @property
    def answers_by_itself(self) -> bool:
        """Whether what goes out does not depend on what the server does."""
        return self.drop is not None or any(
            part is not None for part in (self.status, self.body, self.redirect, self.raw)
        )

    @property
    def acts(self) -> bool:
        """Whether a request that it takes changes the world, before its answer or `acts_in` seconds after it."""
        if self.act is not None:
            return self.act
        refused = self.status is not None and self.status >= _NO_SUCCESS
        return self.acts_in is not None or not (refused or self.redirect is not None or self.drop == "before")


def _is(kind: type, value: object) -> bool:
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, int | float if kind is float else kind)


def _check_header(name: object, value: object) -> None:
    if not isinstance(name, str) or not isinstance(value, str):
        raise TypeError(f"headers are text by text, not {name!r}: {value!r}")
    if not _NAME.fullmatch(name) or _LINE_ENDS.search(value):
        raise ValueError(f"HTTP has no such header: {name!r}: {value!r}; what is no HTTP goes in raw=")


_NOTHING = Fault()


class _Plannable(Protocol):
    """What a fault says of the requests, connections or turns that it takes."""

    @property
    def times(self) -> int | None: ...
    @property
    def skip(self) -> int: ...


F = TypeVar("F", bound=_Plannable)


class PlannedFaults(Generic[F]):
    """Faults in the order in which they were added; each takes some of what matches it."""

    def __init__(self) -> None:
        self._faults: list[F] = []
        self._seen: list[int] = []
        self._lock = threading.RLock()  # the server may run in a thread of its own

    def __len__(self) -> int:
        return len(self._faults)

    def __iter__(self) -> Iterator[F]:
        return iter(list(self._faults))

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {len(self._faults)} to come>"

    def add(self, *faults: F) -> None:
        """Add faults behind those that wait already."""
        with self._lock:
            self._faults.extend(faults)
            self._seen.extend(0 for _ in faults)

    def clear(self) -> None:
        """Forget the faults that have not happened yet."""
        with self._lock:
            self._faults.clear()
            self._seen.clear()

    def _take(self, matches: Callable[[F], bool]) -> F | None:
        """The first fault that matches and has skipped enough; one of its turns is used up."""
        with self._lock:
            for index, fault in enumerate(self._faults):
                if fault.times == 0 or not matches(fault):
                    continue
                self._seen[index] += 1
                if self._seen[index] <= fault.skip:
                    continue
                if fault.times is not None and self._seen[index] >= fault.skip + fault.times:
                    del self._faults[index], self._seen[index]
                return fault
        return None


class FaultPlan(PlannedFaults[Fault]):
    """The faults to come, in the order in which they were added; the first that matches a request takes it."""

    def __init__(self) -> None:
        super().__init__()
        self._problem: Exception | None = None

    def add(self, *faults: Fault) -> None:
        """Add faults behind those that wait already.

        Args:
            faults: One or several.

        Raises:
            TypeError: Something else than a `Fault`, such as a list of them.
        """
        for fault in faults:
            if not isinstance(fault, Fault):
                raise TypeError(f"faults.add takes Fault(…), one or several as add(one, another), not {fault!r}")
        super().add(*faults)

    def raise_problem(self) -> None:
        """Raise, once, the first error that a `when` raised, if one did; the server's exit does that."""
        problem, self._problem = self._problem, None
        if problem is not None:
            raise problem

    @property
    def unused(self) -> list[Fault]:
        """The faults that have not done all that they were to: with `times` left, or endless and never met."""
        with self._lock:
            plan = list(zip(self._faults, self._seen, strict=True))
        return [fault for fault, seen in plan if fault.times or (fault.times is None and seen <= fault.skip)]

    def take(self, request: RecordedRequest) -> Fault | None:
        """The fault for a request that has come, or `None`; its turn is used up."""
        return self._take(lambda fault: self._matches(fault, request))

    def _matches(self, fault: Fault, request: RecordedRequest) -> bool:
        if fault.operation != request.operation and (fault.operation or request.operation == STORAGE):
            return False
        try:
            return fault.when is None or bool(fault.when(request))
        except Exception as error:  # noqa: BLE001 - raised by `raise_problem`: in here it would be a 500 of the server
            error.add_note(f"raised by `when` of {fault!r} for a request of {request.operation}")
            self._problem = self._problem or error
            return False


class UnusedFaultWarning(UserWarning):
    """A test passed though a fault that it scripted happened less often than scripted: it may not test what it should.

    The pytest plugin gives it at the test's end. Where a fault may or may not happen, let the test call
    `fake.faults.clear()` before it ends; pytest's `filterwarnings` silences the warning, or makes it an error.
    """
