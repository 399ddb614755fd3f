"""`FakeWhereby`: the API on a loopback port, with its state in memory."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from aiohttp import web

from .budget import Algorithm, PointPolicy, policy
from .listener import Listener
from .routes import COSTS
from .server import BASE_PATH, Service
from .server_clock import ServerClock
from .world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType
    from typing import Self

    from ..client import WherebyClient
    from .faults import FaultPlan
    from .headers import HeaderStyle
    from .requests import RecordedRequest

FAKE_API_KEY = "eyJhbGciOiJub25lIn0.eyJpc3MiOiJmYWtlLXdoZXJlYnkifQ.not-a-real-key"
"""The key that a fake server takes unless told otherwise; it opens nothing else."""

_LONGEST_LINE = 1 << 16


class FakeWhereby(World):
    """A Whereby that runs in this process: all 27 operations over real HTTP on a loopback port, points enforced.

    Use it as `async with FakeWhereby() as fake:`, or with `await fake.start()` and `await fake.aclose()`. It can be
    started again after that, at the same port and with the same world. The `add_…` methods fill its world at any time.

    Args:
        limit: Points per period.
        period: Seconds.
        algorithm: How it counts points; see `whereby_async.testing.Algorithm`.
        header_style: How it writes `X-RateLimit-Reset`; `none` leaves out all rate-limit headers.
        latency: Seconds that every request takes, half on its way to the server and half on the way back.
        costs: Prices in points by operation name, such as `{"insights.rooms": 5}`, over 1 for GET, 2 for DELETE and 3
            for POST and PUT.
        clock_skew: Seconds by which its wall clock is ahead of this machine's.
        api_key: The key that it takes.
        host: The address to listen on.
        port: The port to listen on; 0 finds a free one.
        subdomain: The organisation's subdomain in room links.
        processing_time: Seconds until a new transcription or summary is ready; `None`: not until it is told to finish.

    Raises:
        ValueError: A limit or period that is not above 0, or a name that it does not know: an algorithm, a header
            style, an operation.
    """

    def __init__(  # noqa: PLR0913 - the options of a server
        self,
        *,
        limit: int = 1000,
        period: float = 60.0,
        algorithm: Algorithm = "fixed",
        header_style: HeaderStyle = "iso",
        latency: float = 0.0,
        costs: Mapping[str, int] | None = None,
        clock_skew: float = 0.0,
        api_key: str = FAKE_API_KEY,
        host: str = "127.0.0.1",
        port: int = 0,
        subdomain: str = "example",
        processing_time: float | None = 1.0,
    ) -> None:
        clock = ServerClock(clock_skew)
        super().__init__(clock, subdomain=subdomain, processing_time=processing_time)
        self.period = period
        self.algorithm: Algorithm = algorithm
        self.host = host
        self._port = port
        self._policy: PointPolicy = policy(algorithm, limit, period, phase=clock.wall())
        self._service = Service(
            self, clock, self._policy, header_style=header_style, latency=latency, costs=_checked(costs or {})
        )
        self._listener: Listener | None = None
        self.api_key = api_key

    def __repr__(self) -> str:
        where = self.url if self._listener is not None else "not running"
        return f"<FakeWhereby {where}, {self.limit} points per {self.period:g} s>"

    async def start(self) -> Self:
        """Listen.

        Raises:
            RuntimeError: It is running already.
        """
        if self._listener is not None:
            message = "the fake server is running already"
            raise RuntimeError(message)
        server = web.Server(
            self._service.handle, access_log=None, max_line_size=_LONGEST_LINE, max_field_size=_LONGEST_LINE
        )
        self._listener = Listener.open(server, self.host, self._port)
        self._port = self._listener.port
        self._service.origin = self._origin
        self._clock.start(asyncio.get_running_loop())
        return self

    async def aclose(self) -> None:
        """Stop: whatever is under way or stalled ends now, and no task, socket or timer is left. Twice is once."""
        listener, self._listener = self._listener, None
        if listener is None:
            return
        self._clock.stop()
        await listener.aclose()
        await self._service.stop()
        await listener.drop_connections()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    @property
    def port(self) -> int:
        """The port that it listens on; 0 before the first start if none was asked for."""
        return self._port

    @property
    def url(self) -> str:
        """The base URL for a client, such as `http://127.0.0.1:40123/v1`."""
        return self._origin + BASE_PATH

    @property
    def _origin(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self._port}"

    @property
    def api_key(self) -> str:
        """The key that it takes; setting another one makes it refuse the old, also in the middle of a job."""
        return self._api_key

    @api_key.setter
    def api_key(self, key: str) -> None:
        self._api_key = key
        self._service.keys = {key}

    def also_accept(self, key: str) -> None:
        """Take another key of the same organisation too, until `api_key` is set."""
        self._service.keys.add(key)

    def client(self, **options: Any) -> WherebyClient:
        """A `WherebyClient` of this server, with a budget of its own unless a `limiter` is given.

        Args:
            options: Any of the client's options.
        """
        from ..client import WherebyClient
        from ..limiter import PointBudget

        given: dict[str, Any] = {"api_key": self.api_key, "base_url": self.url, **options}
        if given.get("limiter") is None:
            given["limiter"] = PointBudget(period=self.period)
        return WherebyClient(**given)

    @property
    def limit(self) -> int:
        """Points per period."""
        return self._policy.limit

    def set_limit(self, limit: int) -> None:
        """Change the plan, at once and in the middle of a window.

        Raises:
            ValueError: A limit that is not above 0.
        """
        if limit <= 0:
            message = f"limit must be above 0, not {limit}"
            raise ValueError(message)
        self._policy.limit = limit

    def spend(self, points: int) -> None:
        """Let another consumer of the same organisation take points; too many are refused, as ours would be."""
        self._policy.take(points, self._clock.elapsed())

    @property
    def costs(self) -> dict[str, int]:
        """The prices in points by operation; change them at any time."""
        return self._service.costs

    @property
    def header_style(self) -> HeaderStyle:
        """How it writes `X-RateLimit-Reset`."""
        return self._service.header_style

    @property
    def latency(self) -> float:
        """Seconds that every request takes; change it at any time."""
        return self._service.latency

    @latency.setter
    def latency(self, seconds: float) -> None:
        self._service.latency = seconds

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
        """What has reached the server since it was made or `clear`ed, in the order of arrival; downloads too."""
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

    def clear(self) -> None:
        """Forget `requests`, `points_spent` and `throttled`; world, budget and faults stay as they are."""
        self._service.log.clear()
        self._service.points_spent = 0
        self._service.throttled = 0


def _checked(costs: Mapping[str, int]) -> dict[str, int]:
    unknown = sorted(costs.keys() - COSTS.keys())
    if unknown:
        message = f"costs names operations that there are not: {', '.join(unknown)}"
        raise ValueError(message)
    return dict(costs)
