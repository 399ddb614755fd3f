"""`SeenEvents` remembers which events were handled, and which are being worked on."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Generator
from contextlib import contextmanager

from ..errors import WherebyError
from ..redaction import once_made, plain


class EventInProgressError(WherebyError):
    """An event came again while an earlier delivery is worked on: answer 503, and Whereby sends it once more.

    An answer of 2xx would lose the event if that work fails, since nobody would send it again.
    """


class SeenEvents:
    """Remembers ids of events, so that one that is delivered twice is handled once. For one process; thread-safe.

    Whereby delivers an event up to three times if it gets an answer of 5xx, or none within 5 s. And anybody who has a
    delivery can send it again as long as its signature is recent.

    ```python
    seen = SeenEvents()

    try:
        with seen.once(event.id) as is_new:  # forgotten again if the block raises, so that the next delivery counts
            if is_new:
                await work_on(event)
    except EventInProgressError:  # an earlier delivery is being worked on, and may fail yet
        return 503
    ```

    It is bounded twice: by count and by age; the oldest ids go first. It must remember longer than a signature stays
    valid (twice the tolerance). It is not shared between processes: there, let the database refuse the second delivery
    (a unique key on the event's id).

    `event_id in seen` asks without remembering, and `len(seen)` is how many ids are remembered, those that are being
    worked on included.
    """

    __slots__ = ("_clock", "_lock", "_max_age", "_max_count", "_seen_at", "_working")

    def __init__(
        self,
        max_count: int = 10_000,
        *,
        max_age: float = 3600.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Remember nothing yet.

        Args:
            max_count: How many ids at most; each takes about 250 bytes.
            max_age: Seconds for which an id is remembered.
            clock: Tells the time in seconds; must not go backwards.

        Raises:
            ValueError: `max_count` is not at least 1, or `max_age` is not above 0.
        """
        max_count, max_age = plain(max_count), plain(max_age)
        if isinstance(max_count, bool) or not isinstance(max_count, int) or max_count < 1:
            raise ValueError(f"max_count={max_count!r}: pass a whole number from 1")
        if isinstance(max_age, bool) or not isinstance(max_age, int | float) or not max_age > 0:
            raise ValueError(f"max_age={max_age!r}: pass seconds above 0")
        import threading  # here, since who only verifies and parses need not pay for it

        self._max_count = max_count
        self._max_age = max_age
        self._clock = clock
        self._lock = threading.Lock()
        self._seen_at: OrderedDict[str, float] = OrderedDict()
        self._working: dict[str, object] = {}

    @once_made
    def __repr__(self) -> str:
        return f"SeenEvents(max_count={self._max_count}, max_age={self._max_age:g}) with {len(self)} ids"

    def add(self, event_id: str) -> bool:
        """Remember an id; `True` if it is new.

        It counts as handled from now on, so an event is lost if its work fails later. `once` remembers it only when the
        work is done.

        Args:
            event_id: The `id` of an event.

        Raises:
            TypeError: It is no string, such as the event itself.
        """
        event_id = _checked(event_id)
        with self._lock:
            if self._knows(event_id):
                return False
            self._remember(event_id)
            return True

    def discard(self, event_id: str) -> None:
        """Forget an id, if it is remembered: its event was not handled after all.

        Args:
            event_id: The `id` of an event.
        """
        with self._lock:
            self._seen_at.pop(event_id, None)
            self._working.pop(event_id, None)

    @contextmanager
    def once(self, event_id: str) -> Generator[bool]:
        """Handle an event once: gives `True` if it is new, `False` if it was handled.

        It counts as handled when the block has ended. If the block raises or is cancelled, the event is forgotten.

        Args:
            event_id: The `id` of an event.

        Raises:
            EventInProgressError: The block of an earlier delivery is still at work: answer 503.
            TypeError: It is no string, such as the event itself.
        """
        event_id = _checked(event_id)
        turn = object()  # `discard` may end it early, and another one begin
        with self._lock:
            if event_id in self._working:
                raise EventInProgressError(f"the event {event_id[:80]!r} is being worked on already: answer 503")
            is_new = not self._knows(event_id)
            if is_new:
                self._working[event_id] = turn
        done = False
        try:
            yield is_new
            done = True
        finally:
            with self._lock:
                if self._working.get(event_id) is turn:
                    del self._working[event_id]
                    if done:
                        self._remember(event_id)

    def __contains__(self, event_id: object) -> bool:
        with self._lock:
            return self._knows(event_id)

    def __len__(self) -> int:
        with self._lock:
            self._drop_the_old()
            return len(self._seen_at) + len(self._working)

    def _knows(self, event_id: object) -> bool:
        self._drop_the_old()
        return event_id in self._seen_at or event_id in self._working

    def _remember(self, event_id: str) -> None:
        now = self._drop_the_old()
        if len(self._seen_at) >= self._max_count:
            self._seen_at.popitem(last=False)
        self._seen_at[event_id] = now

    def _drop_the_old(self) -> float:
        """Drop what is too old; the time now."""
        now = self._clock()
        while self._seen_at and now - next(iter(self._seen_at.values())) > self._max_age:
            self._seen_at.popitem(last=False)
        return now


def _checked(event_id: str) -> str:
    if not isinstance(event_id, str):
        raise TypeError(f"an event's id is text, not {type(event_id).__name__}: pass event.id")
    return event_id
