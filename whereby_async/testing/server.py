"""The HTTP side: from a request on the socket to the routes and back, with key, points and faults in between.

What becomes of a request, in this order: half of the latency; the key and the route are looked at (a wrong one costs
nothing); a fault may take it; its points are charged; the fault's delay; the world acts; the fault's answer delay; the
other half of the latency; the answer, or what the fault leaves of it. With the fault's `acts_in` the world acts after that.
"""

from __future__ import annotations

import asyncio
import threading
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from aiohttp import web

from .arrivals import Exchange, record_of, target_of
from .calls import Call, RefusalError
from .delivery import NO_FAULT, Reply, altered, deliver
from .faults import STORAGE, Fault, FaultPlan
from .filestore import serve_file
from .headers import HeaderStyle, http_date, milliseconds_left, rate_limit_headers
from .routes import Route, find
from .spending import Charge, Spending

if TYPE_CHECKING:
    from collections.abc import Callable

    from .budget import PointPolicy
    from .latency import Traffic
    from .requests import RecordedRequest
    from .server_clock import ServerClock
    from .world import World

BASE_PATH = "/v1"
"""Where the API begins."""

_STORAGE = "/storage/"


class Service:
    """The fake service behind the socket."""

    def __init__(  # noqa: PLR0913 - the parts of a server
        self,
        world: World,
        clock: ServerClock,
        policy: PointPolicy,
        *,
        header_style: HeaderStyle,
        traffic: Traffic,
        costs: dict[str, int],
        keep: int | None,
    ) -> None:
        self.world = world
        self.clock = clock
        self.policy = policy
        self.header_style: HeaderStyle = header_style
        self.traffic = traffic
        self.keep = keep
        self.costs = costs
        self.keys: set[str] = set()
        self.faults: FaultPlan = FaultPlan()
        self.log: dict[int, RecordedRequest] = {}
        self.listeners: list[Callable[[RecordedRequest], object]] = []
        self.watching: list[Spending] = []
        self.origin = ""
        self.points_spent: int = 0
        self.throttled: int = 0
        self.charging: threading.Lock = threading.Lock()
        self._count = 0
        self._running: set[asyncio.Task[Any]] = set()
        self._late: set[asyncio.TimerHandle] = set()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Serve one request; the task that does is known, so that `stop` can end it."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine runs in a task
        self._running.add(task)
        try:
            latency = self.traffic.draw()
            await _pause(latency / 2)
            path = target_of(request).partition("?")[0]
            if path.startswith(_STORAGE):
                return await self._serve_file(request, path, latency)
            return await self._serve_call(request, path, latency)
        except ConnectionError:  # the client has gone away, in the middle of its request or of its answer
            return web.Response()
        finally:
            self._running.discard(task)

    async def stop(self) -> None:
        """End what is under way, stalled or not; what was to act late never does."""
        while self._late:
            self._late.pop().cancel()
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _serve_call(self, request: web.BaseRequest, path: str, latency: float) -> web.StreamResponse:
        found = find(request.method, path.removeprefix(BASE_PATH)) if path.startswith(BASE_PATH) else 404
        if isinstance(found, int):
            exchange = self._log(await record_of(request, "", ""), latency)
            return await self._finish(request, exchange, self._turned_away(request, found), NO_FAULT)
        route, parameters = found
        exchange = self._log(await record_of(request, route.operation, route.template), latency)
        if not self._key_is_right(request):
            return await self._finish(request, exchange, self._turned_away(request, 401), NO_FAULT)
        fault = self.faults.take(exchange.record) or NO_FAULT
        headers, refused = self._charge(exchange, route, fault)
        await _pause(fault.delay)
        reply = refused or Reply.of_json(HTTPStatus.NO_CONTENT, {}, None)
        if refused is None and fault.acts_in is not None:
            sent_in = fault.answer_delay + exchange.latency / 2
            self._later(sent_in + fault.acts_in, lambda: self._act(exchange, route, parameters))
        elif refused is None and fault.acts:
            reply = self._act(exchange, route, parameters)
        reply.headers = {**headers, **reply.headers, "Date": http_date(self.clock.wall())}
        return await self._finish(request, exchange, reply, fault)

    async def _serve_file(self, request: web.BaseRequest, path: str, latency: float) -> web.StreamResponse:
        exchange = self._log(await record_of(request, STORAGE, _STORAGE + "{fileId}"), latency)
        fault = self.faults.take(exchange.record) or NO_FAULT
        await _pause(fault.delay)
        reply = serve_file(self.world, request.method, path.removeprefix(_STORAGE), target_of(request), request.headers)
        exchange.note(acted=reply.status in {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT})
        reply.headers["Date"] = http_date(self.clock.wall())
        return await self._finish(request, exchange, reply, fault)

    async def _finish(
        self, request: web.BaseRequest, exchange: Exchange, reply: Reply, fault: Fault
    ) -> web.StreamResponse:
        reply = altered(reply, fault)
        await _pause(fault.answer_delay)
        await _pause(exchange.latency / 2)
        silent = fault.drop is not None or fault.raw is not None
        exchange.note(status=0 if silent else reply.status)
        for tell in self.listeners:
            tell(exchange.record)
        return await deliver(request, reply, fault)

    def _log(self, record: RecordedRequest, latency: float) -> Exchange:
        self.world.move_on()
        self._count += 1
        exchange = Exchange(self.log, self._count, record, latency)
        while self.keep is not None and len(self.log) > self.keep:
            del self.log[next(iter(self.log))]
        return exchange

    def _key_is_right(self, request: web.BaseRequest) -> bool:
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        return scheme.lower() == "bearer" and key.strip() in self.keys

    def _turned_away(self, request: web.BaseRequest, status: int) -> Reply:
        """An answer that costs nothing: a wrong key before an unknown route."""
        status = status if self._key_is_right(request) else HTTPStatus.UNAUTHORIZED
        phrase = HTTPStatus(status).phrase.capitalize()
        return Reply.of_json(status, {"Date": http_date(self.clock.wall())}, {"error": phrase})

    def _charge(self, exchange: Exchange, route: Route, fault: Fault) -> tuple[dict[str, str], Reply | None]:
        """The rate-limit headers, and the 429 if there is one."""
        price = self.costs[route.operation] if fault.points is None else fault.points
        if price <= 0:
            return {}, None
        with self.charging:
            verdict = self.policy.take(price, self.clock.elapsed())
        self.points_spent += verdict.charged
        exchange.note(points=verdict.charged, remaining=verdict.remaining)
        charge = Charge(operation=route.operation, points=verdict.charged, throttled=not verdict.allowed)
        for spending in list(self.watching):
            spending.charges.append(charge)
        headers = rate_limit_headers(self.header_style, verdict, self.clock.wall(), self.policy.period)
        if verdict.allowed:
            return headers, None
        self.throttled += 1
        left = {"msLeft": milliseconds_left(verdict)}
        content = {"error": "Rate limit active for throttle key: organization:1", "data": left}
        return headers, Reply.of_json(HTTPStatus.TOO_MANY_REQUESTS, {}, content)

    def _later(self, seconds: float, act: Callable[[], object]) -> None:
        def due() -> None:
            self._late.discard(timer)
            act()

        timer = asyncio.get_running_loop().call_later(seconds, due)
        self._late.add(timer)

    def _act(self, exchange: Exchange, route: Route, parameters: dict[str, str]) -> Reply:
        record = exchange.record
        query: dict[str, str] = {}
        for name, value in record.query:
            query.setdefault(name, value)
        kind = record.headers.get("content-type", "").partition(";")[0].strip().lower()
        call = Call(
            path=parameters, query=query, content_type=kind, json=record.json, files=record.files, origin=self.origin
        )
        self.world.move_on()
        try:
            answer = route.act(self.world, call)
        except RefusalError as refusal:
            return Reply.of_json(refusal.status, {}, {"error": refusal.message})
        exchange.note(acted=True)
        return Reply.of_json(answer.status, {}, answer.content)


async def _pause(seconds: float) -> None:
    if seconds > 0:
        await asyncio.sleep(seconds)
