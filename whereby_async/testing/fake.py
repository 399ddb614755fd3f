"""`FakeWhereby`: the API on a loopback port, with its state in memory."""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Mapping
from types import TracebackType
from typing import Any, Self

import yarl
from aiohttp import web

import whereby_async

from ..errors import refuses
from ..limiter.point_budget import PointBudget, forget_budget
from ..options import is_loopback
from ..redaction import once_made
from .checks import Latency, latency_bounds, require_count, require_known, require_seconds, require_text
from .clock import ServerClock
from .faults import FaultPlan
from .policies import HEADER_STYLES, Algorithm, HeaderStyle, policy
from .requests import RecordedRequest
from .server import BASE_PATH, Service
from .spending import Spending
from .tcp import Acceptor, bound, family_of, http_origin
from .webhook_sender import FAKE_WEBHOOK_SECRET, Events, WebhookSender
from .world import World

FAKE_API_KEY = "eyJhbGciOiJub25lIn0.eyJpc3MiOiJmYWtlLXdoZXJlYnkifQ.not-a-real-key"
"""The key that a fake server takes unless told otherwise; it opens nothing else."""

_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - nothing listens by this
"""Addresses to listen on that are none to go to, and this machine's own for them."""
_LONGEST_LINE = 1 << 16
_LAST_PORT = 65535
_BACKLOG = 4096
_SHUTDOWN = 0.1
"""Seconds that aiohttp may take to close connections on which nothing is under way any more."""


@refuses(
    __enter__="use `async with FakeWhereby() as fake:`, or `with FakeWhereby().in_thread() as fake:` in code that does"
    " not await"
)
class FakeWhereby(World):
    """A Whereby that runs in this process: all operations over real HTTP on a loopback port, points enforced.

    Use it as `async with FakeWhereby() as fake:`, or with `await fake.start()` and `await fake.aclose()`. It can be
    started again after that, at the same port and with the same world; `away` does both. The `add_…` methods fill its
    world at any time. Code that does not await, such as a test that calls an app by `TestClient`, runs it by
    `with FakeWhereby().in_thread() as fake:`.

    Args:
        limit: Points per period.
        period: Seconds.
        algorithm: How it counts points; see `whereby_async.testing.Algorithm`.
        header_style: How it writes its rate-limit headers: the format of `X-RateLimit-Reset`, or the draft of the IETF
            whose fields it sends instead; `none` leaves out all of them. See `whereby_async.testing.HeaderStyle`.
        latency: Seconds that every request takes, half on its way to the server and half on the way back; a pair such
            as `(0.05, 0.2)` draws them for each request, and a function is asked for them.
        costs: Prices in points by operation name, such as `{"insights.rooms": 5}`, over 1 for GET, 2 for DELETE and 3
            for POST and PUT.
        clock_skew: Seconds by which its wall clock is ahead of this machine's, which freezegun may have frozen.
        api_key: The key that it takes.
        host: The address to listen on.
        port: The port to listen on; 0 finds a free one.
        subdomain: The organisation's subdomain in room links.
        processing_time: Seconds until a new transcription or summary is ready; `None`: not until it is told to finish.
        ignores_name_filter: `GET /meetings` ignores `roomName[…]`, which is documented but not in the
            specification.
        forgets_points: Points that were spent do not survive a restart: whenever it stops, by `aclose` or `away`, it
            forgets them. By default its count goes on.
        keep: The most requests that are kept in `requests`, the newest ones; `None` for all. Give a bound to a server
            that stays up for long, or memory grows with what it serves.
        seed: The seed of a random `latency` between bounds.

    Raises:
        TypeError: A price that is no whole number.
        ValueError: Anything that no server can have: a limit or period that is not above 0, a price, `keep`,
            `processing_time` or latency below 0, a blank key, or a name that it does not know: an algorithm, a header
            style, an operation.

    Attributes:
        period: Seconds.
        algorithm: How it counts points.
        host: The address that it listens on.
        events: Makes webhook events that fit its world, for `webhook_sender`.
    """

    def __init__(  # noqa: PLR0913 - the options of a server
        self,
        *,
        limit: int = 1000,
        period: float = 60.0,
        algorithm: Algorithm = "fixed",
        header_style: HeaderStyle = "iso",
        latency: Latency = 0.0,
        costs: Mapping[str, int] | None = None,
        clock_skew: float = 0.0,
        api_key: str = FAKE_API_KEY,
        host: str = "127.0.0.1",
        port: int = 0,
        subdomain: str = "example",
        processing_time: float | None = 1.0,
        ignores_name_filter: bool = False,
        forgets_points: bool = False,
        keep: int | None = None,
        seed: int = 0,
    ) -> None:
        limit = require_count("limit", limit, least=1)
        period = require_seconds("period", period, above=True)
        clock_skew = require_seconds("clock_skew", clock_skew, least=-math.inf)
        require_text("host", host)
        port = require_count("port", port, most=_LAST_PORT)
        require_text("subdomain", subdomain)
        if processing_time is not None:
            processing_time = require_seconds("processing_time", processing_time)
        if keep is not None:
            keep = require_count("keep", keep)
        require_known("header style", header_style, HEADER_STYLES)
        clock = ServerClock(clock_skew)
        super().__init__(clock, subdomain=subdomain, processing_time=processing_time)
        self.ignores_name_filter = ignores_name_filter
        self.period: float = period
        self.algorithm: Algorithm = algorithm
        self.host: str = host
        self.events: Events = Events(self)
        self._port = port
        self._budget: PointBudget | None = None
        self._phase = clock.wall()
        self._policy = policy(algorithm, limit, period, phase=self._phase)
        self._forgets_points = forgets_points
        self._service = Service(
            self,
            clock,
            self._policy,
            costs=costs or {},
            header_style=header_style,
            seed=seed,
            keep=keep,
        )
        self.latency = latency
        self._listening: tuple[Acceptor, web.Server] | None = None
        self._home: asyncio.AbstractEventLoop | None = None
        self._bound: socket.socket | None = None
        self.api_key = api_key
        self._is_new = True

    @once_made
    def __repr__(self) -> str:
        where = self.url if self._listening is not None else "not running"
        return f"<FakeWhereby {where}, {self.limit} points per {self.period:g} s>"

    async def start(self) -> Self:
        """Listen.

        Raises:
            RuntimeError: It is running already.
            OSError: The port is taken, or the address is none of this machine.
        """
        if self._listening is not None:
            raise RuntimeError("the fake server is running already")
        sock, self._bound = self._bound, None
        if sock is None:
            sock = socket.create_server((self.host, self._port), family=family_of(self.host), backlog=_BACKLOG)
        self._port = sock.getsockname()[1]
        if self._is_new:  # ports come again, and this process keeps the budget of a server that had this one
            self._is_new = False
            forget_budget(self.url, self.api_key)
        self._service.start(self._origin if is_loopback(self.host) else "")
        server = web.Server(
            self._service.handle, access_log=None, max_line_size=_LONGEST_LINE, max_field_size=_LONGEST_LINE
        )

        async def serve(connection: socket.socket) -> None:
            with contextlib.suppress(OSError):
                await asyncio.get_running_loop().connect_accepted_socket(server, connection)

        self._listening = Acceptor(sock, serve), server
        self._home = asyncio.get_running_loop()
        return self

    async def aclose(self) -> None:
        """Stop: whatever is under way or stalled ends now, and no task, socket or timer is left. Again is no error.

        Its clock goes on, so windows of points end meanwhile. A server that runs in a thread can be stopped from any
        loop.
        """
        await self._at_home(self._stop)

    async def _at_home(self, act: Callable[[], Coroutine[Any, Any, object]]) -> None:
        """Do something in the loop that the server runs in, or ran in last, which may be that of another thread."""
        home = self._home
        if home is None or home is asyncio.get_running_loop() or not home.is_running():
            await act()
        else:
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(act(), home))

    async def _stop(self) -> None:
        if self._listening is None:
            return
        acceptor, server = self._listening
        self._listening = None
        await acceptor.stop()
        await self._service.stop()
        server.pre_shutdown()
        await server.shutdown(_SHUTDOWN)
        if self._forgets_points:
            self._policy = self._service.policy = policy(self.algorithm, self.limit, self.period, phase=self._phase)

    @contextlib.asynccontextmanager
    async def away(self) -> AsyncGenerator[None]:
        """A block during which the service is not there, as in a restart of its own; afterwards it is back.

        ```python
        async with fake.away():
            await asyncio.sleep(10)
        ```

        Connections that stand end, with all that is under way on them, and new ones are refused. The block may run in
        any loop.

        Raises:
            RuntimeError: It is not running.
        """
        if self._listening is None:
            raise RuntimeError("the fake server is not running, so it can not go away")
        await self.aclose()
        self._bound = bound(self.host, self._port)
        try:
            yield
        finally:
            await self._at_home(self.start)

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
        if error is None:
            self.faults.raise_problem()

    @contextlib.contextmanager
    def in_thread(self) -> Generator[FakeWhereby, None, None]:
        """Run it in a thread of its own, for tests and code that do not await.

        ```python
        with FakeWhereby().in_thread() as fake:
            asyncio.run(what_is_to_be_tested(fake.url))
        ```

        Raises:
            RuntimeError: It is running already.
        """
        from anyio.from_thread import start_blocking_portal

        with start_blocking_portal("asyncio") as portal:
            portal.call(self.start)
            try:
                yield self
            finally:
                portal.call(self.aclose)
        self.faults.raise_problem()

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
        return http_origin(_ANY.get(self.host, self.host), self._port)

    @property
    def api_key(self) -> str:
        """The key that it takes; setting another one makes it refuse the old, also in the middle of a job."""
        return self._api_key

    @api_key.setter
    def api_key(self, key: str) -> None:
        require_text("api_key", key)
        self._api_key = key
        self._service.keys = {key}

    def also_accept(self, key: str) -> None:
        """Take another key of the same organisation too, until `api_key` is set."""
        self._service.keys.add(key)

    def client(self, **options: Any) -> whereby_async.WherebyClient:
        """A `WherebyClient` of this server, which shares one budget with other such clients, as those of one key do.

        `limiter=PointBudget(period=fake.period)` gives one a budget of its own.

        Args:
            options: Any of the client's options.

        Raises:
            RuntimeError: The server has not been started yet, so its port is not known.
        """
        if self._port == 0:
            raise RuntimeError(
                "the fake server has no port yet: start it first, by `async with` or `in_thread()`, or give it a port="
            )
        from ..client import WherebyClient

        given: dict[str, Any] = {"api_key": self.api_key, "base_url": self.url, **options}
        if given.get("limiter") is None:
            self._budget = self._budget or PointBudget(period=self.period)
            given["limiter"] = self._budget
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
        limit = require_count("limit", limit, least=1)
        self._policy.limit = limit

    def spend(self, points: int) -> None:
        """Let another consumer of the same organisation take points; too many are refused, as ours would be.

        Raises:
            ValueError: Points that are no whole number from 0.
        """
        self._service.spend(require_count("points", points))

    @property
    def costs(self) -> dict[str, int]:
        """The prices in points by operation; change them at any time. Each operation has one; there are no others."""
        return self._service.costs

    @property
    def header_style(self) -> HeaderStyle:
        """How it writes its rate-limit headers."""
        return self._service.header_style

    @property
    def latency(self) -> Latency:
        """Seconds that every request takes; change it at any time."""
        return self._service.latency

    @latency.setter
    def latency(self, latency: Latency) -> None:
        if not callable(latency):
            latency_bounds(latency)
        self._service.latency = latency

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
        """Call `listener` with every request from now on, just before its answer goes out. It must not raise.

        A server that stays up for long may `clear` the log now and then, so that memory does not grow.

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

        What others take by `spend` does not count. Requests count as they arrive: await in the block what it starts.

        Args:
            at_most: The most points that it may spend, those burned by refused requests among them.
            at_least: The fewest.
            exactly: Neither more nor fewer.
            throttled: How often exactly it must be refused with a 429, scripted ones left out; `None` for any number.

        Returns:
            A context manager whose `points`, `throttled` and `charges` may be looked at, in the block and after it. It
            raises `AssertionError` with a list of calls and prices, unless the block raises something itself.

        Raises:
            ValueError: A number that is none, or bounds that contradict each other.
        """
        return Spending(
            self._service.watching, at_most=at_most, at_least=at_least, exactly=exactly, throttled=throttled
        )

    def clear(self) -> None:
        """Forget `requests`, `points_spent` and `throttled`; world, budget and faults stay as they are."""
        self._service.clear()

    def webhook_sender(  # noqa: PLR0913 - the rules of delivery
        self,
        url: str | yarl.URL,
        *,
        secret: str = FAKE_WEBHOOK_SECRET,
        timeout: float = 5.0,
        retries: int = 2,
        backoff: float = 0.5,
        signs_again: bool = False,
    ) -> WebhookSender:
        """A sender that posts signed events to a URL; see `WebhookSender` for arguments and errors.

        Signatures are dated by this machine's clock, which is the receiver's too (also in a simulated loop), plus
        `clock_skew`.
        """
        return WebhookSender(
            url,
            secret=secret,
            timeout=timeout,
            retries=retries,
            backoff=backoff,
            signs_again=signs_again,
            now=lambda: time.time() + self.clock_skew,
        )
