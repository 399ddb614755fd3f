"""What a test turns and reads at a fake server: the budget, the traffic, the faults, the log of requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .checks import require_count
from .spending import Spending
from .world import World

if TYPE_CHECKING:
    from collections.abc import Callable

    from .budget import PointPolicy
    from .faults import FaultPlan
    from .headers import HeaderStyle
    from .latency import Latency
    from .requests import RecordedRequest
    from .server import Service


class Controls(World):
    """A world behind a service, with the service's knobs and dials."""

    _policy: PointPolicy
    _service: Service

    @property
    def limit(self) -> int:
        """Points per period."""
        return self._policy.limit

    def set_limit(self, limit: int) -> None:
        """Change the plan, at once and in the middle of a window.

        Raises:
            ValueError: A limit that is not above 0.
        """
        require_count("limit", limit, least=1)
        self._policy.limit = limit

    def spend(self, points: int) -> None:
        """Let another consumer of the same organisation take points; too many are refused, as ours would be.

        Raises:
            ValueError: Points that are no whole number from 0.
        """
        require_count("points", points)
        with self._service.charging:
            self._policy.take(points, self._clock.elapsed())

    @property
    def costs(self) -> dict[str, int]:
        """The prices in points by operation; change them at any time: each operation has one, and there are no others."""
        return self._service.costs

    @property
    def header_style(self) -> HeaderStyle:
        """How it writes its rate-limit headers."""
        return self._service.header_style

    @property
    def latency(self) -> Latency:
        """Seconds that every request takes; change it at any time."""
        return self._service.traffic.latency

    @latency.setter
    def latency(self, latency: Latency) -> None:
        self._service.traffic.latency = latency

    @property
    def clock_skew(self) -> float:
        """Seconds by which its wall clock is ahead; changing it is a jump of that clock."""
        return self._clock.skew

    @clock_skew.setter
    def clock_skew(self, seconds: float) -> None:
        self._clock.skew = seconds

    @property
    def faults(self) -> FaultPlan:
        """The faults to come: `fake.faults.add(Fault(status=503))`."""
        return self._service.faults

    @property
    def requests(self) -> list[RecordedRequest]:
        """What has reached the server since it was made or `clear`ed, in the order of arrival; downloads too.

        All of it, or the newest `keep`.
        """
        return list(self._service.log.values())

    @property
    def points_spent(self) -> int:
        """Points that these requests were charged, those burned by refused ones among them."""
        return self._service.points_spent

    @property
    def throttled(self) -> int:
        """How many of them the budget refused with a 429; scripted ones do not count."""
        return self._service.throttled

    def subscribe(self, listener: Callable[[RecordedRequest], object]) -> None:
        """Tell `listener` of every request from now on, just before its answer goes out. It must not raise.

        Whoever serves for long may `clear` what was told, so that memory does not grow.

        Args:
            listener: Called in the server's loop, with the request as it will stand in `requests`.
        """
        self._service.listeners.append(listener)

    def spends(
        self,
        *,
        at_most: int | None = None,
        at_least: int | None = None,
        exactly: int | None = None,
        throttled: int | None = None,
    ) -> Spending:
        """Watch what a `with` block costs, and fail if it is not as expected.

        ```python
        with fake.spends(at_most=5, throttled=0):
            await what_is_to_be_tested()
        ```

        What others take by `spend` does not count. Requests count as they arrive: await what the block starts within it.

        Args:
            at_most: The most points that it may spend, those burned by refused requests among them.
            at_least: The fewest.
            exactly: Neither more nor fewer.
            throttled: How often exactly it may be refused with a 429, scripted ones left out; `None`: never mind.

        Returns:
            A context manager whose `points`, `throttled` and `charges` may be looked at, in the block and after it. It raises
            `AssertionError` with a list of calls and prices, unless the block raises something itself.

        Raises:
            ValueError: A number that is none, or bounds that contradict each other.
        """
        return Spending(
            self._service.watching, at_most=at_most, at_least=at_least, exactly=exactly, throttled=throttled
        )

    def clear(self) -> None:
        """Forget `requests`, `points_spent` and `throttled`; world, budget and faults stay as they are."""
        self._service.log.clear()
        self._service.points_spent = 0
        self._service.throttled = 0
