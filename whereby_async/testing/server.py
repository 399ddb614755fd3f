"""The HTTP side: from a request on the socket to the operations and back, with key, points and faults in between.

What becomes of a request, in this order: half of the latency; the key and the route are looked at (a wrong one costs
nothing); a fault may take it; its points are charged; the fault's delay; the world acts; the fault's answer delay; the
other half of the latency; the answer, or what the fault leaves of it. With the fault's `acts_in` the world acts after
that.
"""

from __future__ import annotations

import asyncio
import random
import threading
import weakref
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

import msgspec
from aiohttp import web

from .checks import Latency, latency_bounds
from .faults import STORAGE, Fault, FaultPlan
from .object_store import Blob, BytesBlob, byte_range, link_problem
from .policies import PriceList, http_date, milliseconds_left, rate_limit_headers
from .requests import RecordedRequest, as_table, read_request, target_of
from .spending import Charge, Spending
from .tcp import reset_when_closed
from .world import Route, World, find
from .world.api_call import ApiCall, RefusalError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .clock import ServerClock
    from .policies import HeaderStyle, PointPolicy

BASE_PATH = "/v1"
"""Where the API begins."""

_STORAGE_PATH = "/storage/"
_CHUNK = 1 << 18
_NO_FAULT = Fault()
_MOST_SHOWN = 20
"""Requests of one service that a failed test shows."""


class HttpAnswer(msgspec.Struct, kw_only=True):
    """What goes out: status, headers but `Content-Length`, and the body: `blob` from `start` to `stop` (its end)."""

    status: int
    headers: dict[str, str]
    blob: Blob = BytesBlob(b"")
    start: int = 0
    stop: int = -1

    def __post_init__(self) -> None:
        if self.stop < 0:
            self.stop = self.blob.size


def json_answer(status: int, content: object, headers: Mapping[str, str] | None = None) -> HttpAnswer:
    """An answer with `content` as JSON; `None` is no body."""
    if content is None:
        return HttpAnswer(status=status, headers=dict(headers or {}))
    given = {**(headers or {}), "Content-Type": "application/json; charset=utf-8"}
    return HttpAnswer(status=status, headers=given, blob=BytesBlob(msgspec.json.encode(content)))


class ServedRequest(msgspec.Struct, kw_only=True):
    """One request on its way through the server: its latency for both ways, its number and its record in the log."""

    request: web.BaseRequest
    latency: float
    number: int
    record: RecordedRequest


class Service:
    """The fake service behind the socket. Its options are those of `FakeWhereby`, which checks them."""

    def __init__(  # noqa: PLR0913 - the options of a server
        self,
        world: World,
        clock: ServerClock,
        policy: PointPolicy,
        *,
        costs: Mapping[str, int],
        header_style: HeaderStyle,
        seed: int,
        keep: int | None,
    ) -> None:
        self._world = world
        self._clock = clock
        self._keep = keep
        self.policy = policy
        self.header_style: HeaderStyle = header_style
        self.latency: Latency = 0.0
        self.costs: PriceList = PriceList(costs)
        self.keys: set[str] = set()
        self.faults: FaultPlan = FaultPlan()
        self.log: dict[int, RecordedRequest] = {}
        self.listeners: list[Callable[[RecordedRequest], object]] = []
        self.watching: list[Spending] = []
        self.points_spent: int = 0
        self.throttled: int = 0
        self._origin = ""
        self._chance = random.Random(seed)  # noqa: S311 - chance is to repeat itself here
        self._charging = threading.Lock()
        self.arrived: int = 0
        self._running: set[asyncio.Task[Any]] = set()
        self._late: set[asyncio.TimerHandle] = set()
        _services.add(self)

    def start(self, origin: str) -> None:
        """Begin to serve; `origin` is scheme, host and port of access links, empty for those that a request names."""
        self._origin = origin
        self._clock.start(asyncio.get_running_loop())

    async def stop(self) -> None:
        """Cancel all requests under way. Faults whose `acts_in` is not over yet never act."""
        while self._late:
            self._late.pop().cancel()
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def spend(self, points: int) -> None:
        """Let another consumer of the same organisation take points."""
        with self._charging:
            self.policy.take(points, self._clock.elapsed())

    def clear(self) -> None:
        """Forget requests and totals."""
        self.log.clear()
        self.points_spent = 0
        self.throttled = 0

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Serve one request in the current task, which `stop` can cancel."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine runs in a task
        self._running.add(task)
        try:
            latency = self._draw_latency()
            await _pause(latency / 2)
            path = target_of(request).partition("?")[0]
            if path.startswith(_STORAGE_PATH):
                return await self._serve_file(request, path, latency)
            return await self._serve_call(request, path, latency)
        except ConnectionError:  # the client has gone away, in the middle of its request or of its answer
            return web.Response()
        finally:
            self._running.discard(task)

    async def _serve_call(self, request: web.BaseRequest, path: str, latency: float) -> web.StreamResponse:
        found = find(request.method, path.removeprefix(BASE_PATH)) if path.startswith(BASE_PATH) else 404
        right = self._key_is_right(request)
        if isinstance(found, int):
            served = await self._arrive(request, "", "", latency)
            return await self._finish(served, self._turned_away(found if right else 401), _NO_FAULT)
        route, parameters = found
        served = await self._arrive(request, route.operation, route.template, latency)
        if not right:
            return await self._finish(served, self._turned_away(401), _NO_FAULT)
        fault = self.faults.take(served.record) or _NO_FAULT
        headers, refused = self._charge(served, route, fault)
        await _pause(fault.delay)
        answer = refused or json_answer(204, None)
        if refused is None and fault.acts_in is not None:
            sent_in = fault.answer_delay + latency / 2
            self._later(sent_in + fault.acts_in, lambda: self._act(served, route, parameters))
        elif refused is None and fault.acts:
            answer = self._act(served, route, parameters)
        answer.headers = {**headers, **answer.headers, "Date": http_date(self._clock.wall())}
        return await self._finish(served, answer, fault)

    async def _serve_file(self, request: web.BaseRequest, path: str, latency: float) -> web.StreamResponse:
        served = await self._arrive(request, STORAGE, _STORAGE_PATH + "{fileId}", latency)
        fault = self.faults.take(served.record) or _NO_FAULT
        await _pause(fault.delay)
        answer = file_answer(self._world, request, path.removeprefix(_STORAGE_PATH))
        self._note(served, acted=answer.status in {200, 206})
        answer.headers["Date"] = http_date(self._clock.wall())
        return await self._finish(served, answer, fault)

    async def _arrive(self, request: web.BaseRequest, operation: str, template: str, latency: float) -> ServedRequest:
        record = await read_request(request, operation, template)
        self._world.move_on()
        self.arrived += 1
        self.log[self.arrived] = record
        while self._keep is not None and len(self.log) > self._keep:
            del self.log[next(iter(self.log))]
        return ServedRequest(request=request, latency=latency, number=self.arrived, record=record)

    def _note(self, served: ServedRequest, **changes: Any) -> None:
        """Write into the log what has become of a request; one that was forgotten stays so."""
        served.record = msgspec.structs.replace(served.record, **changes)
        if served.number in self.log:
            self.log[served.number] = served.record

    async def _finish(self, served: ServedRequest, answer: HttpAnswer, fault: Fault) -> web.StreamResponse:
        answer = _altered(answer, fault)
        await _pause(fault.answer_delay)
        await _pause(served.latency / 2)
        silent = fault.drop is not None or fault.raw is not None
        self._note(served, status=0 if silent else answer.status)
        for listener in self.listeners:
            listener(served.record)
        return await _send(served.request, answer, fault)

    def _draw_latency(self) -> float:
        if callable(self.latency):
            return self.latency()
        least, most = latency_bounds(self.latency)
        return least if least == most else self._chance.uniform(least, most)

    def _key_is_right(self, request: web.BaseRequest) -> bool:
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        return scheme.lower() == "bearer" and key.strip() in self.keys

    def _turned_away(self, status: int) -> HttpAnswer:
        """An answer that costs nothing."""
        phrase = HTTPStatus(status).phrase.capitalize()
        return json_answer(status, {"error": phrase}, {"Date": http_date(self._clock.wall())})

    def _charge(self, served: ServedRequest, route: Route, fault: Fault) -> tuple[dict[str, str], HttpAnswer | None]:
        """The rate-limit headers, and the 429 if there is one."""
        price = self.costs[route.operation] if fault.points is None else fault.points
        if price <= 0:
            return {}, None
        with self._charging:
            decision = self.policy.take(price, self._clock.elapsed())
        self.points_spent += decision.charged
        self._note(served, points=decision.charged, remaining=decision.remaining)
        charge = Charge(operation=route.operation, points=decision.charged, throttled=not decision.allowed)
        for spending in list(self.watching):
            spending.charges.append(charge)
        headers = rate_limit_headers(self.header_style, decision, self._clock.wall(), self.policy.period)
        if decision.allowed:
            return headers, None
        self.throttled += 1
        left = {"msLeft": milliseconds_left(decision)}
        return headers, json_answer(429, {"error": "Rate limit active for throttle key: organization:1", "data": left})

    def _later(self, seconds: float, act: Callable[[], object]) -> None:
        def due() -> None:
            self._late.discard(timer)
            act()

        timer = asyncio.get_running_loop().call_later(seconds, due)
        self._late.add(timer)

    def _act(self, served: ServedRequest, route: Route, parameters: dict[str, str]) -> HttpAnswer:
        record = served.record
        query: dict[str, str] = {}
        for name, value in record.query:
            query[name] = f"{query[name]},{value}" if name in query else value
        call = ApiCall(
            path=parameters,
            query=query,
            content_type=served.request.content_type,
            json=record.json,
            files=record.files,
            origin=self._origin or f"http://{served.request.host}",
        )
        self._world.move_on()
        try:
            answer = route.act(self._world, call)
        except RefusalError as refusal:
            return json_answer(refusal.status, {"error": refusal.message})
        self._note(served, acted=True)
        return json_answer(answer.status, answer.content)


_services: weakref.WeakSet[Service] = weakref.WeakSet()
"""The fake services of this process."""


def arrived_so_far() -> Mapping[Service, int]:
    """How many requests have reached each fake service of this process."""
    return weakref.WeakKeyDictionary({service: service.arrived for service in _services})


def latest_requests(before: Mapping[Service, int] | None) -> str:
    """The newest requests that have reached each service since `before`, as lines for people; `""` without any."""
    tables: list[str] = []
    for service in list(_services):
        start = 0 if before is None else before.get(service, 0)
        records = [record for number, record in list(service.log.items()) if number > start]
        if records:
            left_out = len(records) - _MOST_SHOWN
            table = as_table(records[-_MOST_SHOWN:], service.keys)
            tables.append(table if left_out <= 0 else f"{left_out} earlier ones are left out\n{table}")
    return "\n\n".join(tables)


def file_answer(world: World, request: web.BaseRequest, file_id: str) -> HttpAnswer:
    """What the storage behind access links answers: the file, a part of it, or an error in XML, as S3 does."""
    problem = _file_problem(world, request, file_id)
    if problem is not None:
        return problem
    blob = world.files[file_id]
    headers = {"ETag": blob.etag, "Accept-Ranges": "bytes", "Content-Type": world.content_type(file_id)}
    unchanged = request.headers.get("If-Range") in {None, blob.etag}
    part = byte_range(request.headers.get("Range") if unchanged else None, blob.size)
    if part is None:
        return HttpAnswer(status=200, headers=headers, blob=blob)
    if not part:
        answer = _xml_error(416, "InvalidRange", "The range is not satisfiable")
        answer.headers["Content-Range"] = f"bytes */{blob.size}"
        return answer
    headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{blob.size}"
    return HttpAnswer(status=206, headers=headers, blob=blob, start=part.start, stop=part.stop)


def _file_problem(world: World, request: web.BaseRequest, file_id: str) -> HttpAnswer | None:
    if request.method not in {"GET", "HEAD"}:
        return _xml_error(405, "MethodNotAllowed", "The specified method is not allowed")
    if "Authorization" in request.headers:
        text = "Only one auth mechanism allowed; only the Signature query string parameter or the Authorization header"
        return _xml_error(400, "InvalidArgument", text)
    path, _, query = target_of(request).partition("?")
    reason = link_problem(path, query, world.now())
    if reason is not None:
        return _xml_error(403, "AccessDenied", reason)
    if file_id not in world.files:
        return _xml_error(404, "NoSuchKey", "The specified key does not exist")
    return None


def _xml_error(status: int, code: str, message: str) -> HttpAnswer:
    body = f"<Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
    blob = BytesBlob(f'<?xml version="1.0" encoding="UTF-8"?>\n{body}'.encode())
    return HttpAnswer(status=status, headers={"Content-Type": "application/xml"}, blob=blob)


def _altered(answer: HttpAnswer, fault: Fault) -> HttpAnswer:
    """The answer as the fault replaces it and its headers."""
    headers = answer.headers
    if fault.redirect is not None:
        headers = {name: value for name, value in headers.items() if name != "Content-Type"}
        headers["Location"] = fault.redirect
        answer = HttpAnswer(status=fault.status or 302, headers=headers, blob=BytesBlob(fault.body or b""))
    elif fault.body is not None:
        headers = {**headers, "Content-Type": "application/json"}
        answer = HttpAnswer(status=fault.status or 200, headers=headers, blob=BytesBlob(fault.body))
    elif fault.status is not None:
        answer = json_answer(fault.status, {"error": f"Scripted fault: status {fault.status}"}, headers)
    if fault.garbage_headers is not None:
        replaced = ("X-RateLimit-", "RateLimit", "Retry-After")
        kept = {name: value for name, value in answer.headers.items() if not name.startswith(replaced)}
        answer.headers = {**kept, **fault.garbage_headers}
    if fault.content_type is not None:
        answer.headers["Content-Type"] = fault.content_type
    answer.headers.update(fault.headers)
    return answer


async def _send(request: web.BaseRequest, answer: HttpAnswer, fault: Fault) -> web.StreamResponse:
    """Send the answer, or as much of it as the fault lets through."""
    if fault.drop is not None:
        _reset(request)
        return web.Response()
    if fault.raw is not None:
        _hang_up(request, fault.raw)
        return web.Response()
    whole = fault.truncate is None and not fault.drip and not fault.endless
    if whole and answer.stop - answer.start <= _CHUNK:
        body = answer.blob.read(answer.start, answer.stop)
        return web.Response(status=answer.status, headers=answer.headers, body=body)
    response = web.StreamResponse(status=answer.status, headers=answer.headers)
    if not fault.endless:
        response.content_length = answer.stop - answer.start
    await response.prepare(request)
    while request.method != "HEAD":
        await _write_body(response, answer, fault)
        if not fault.endless:
            break
    if fault.truncate is not None:
        _hang_up(request)
    return response


async def _write_body(response: web.StreamResponse, answer: HttpAnswer, fault: Fault) -> None:
    stop = answer.stop if fault.truncate is None else min(answer.stop, answer.start + fault.truncate)
    step = 1 if fault.drip else _CHUNK
    for start in range(answer.start, stop, step):
        await response.write(answer.blob.read(start, min(start + step, stop)))
        await _pause(fault.drip)


def _hang_up(request: web.BaseRequest, last: bytes = b"") -> None:
    """Close the request's connection in order, after some last bytes."""
    if request.transport is not None:
        request.transport.write(last)
        request.transport.close()


def _reset(request: web.BaseRequest) -> None:
    """Close the request's connection so that the peer sees a reset."""
    if request.transport is not None:
        reset_when_closed(request.transport.get_extra_info("socket"))
        request.transport.abort()


async def _pause(seconds: float) -> None:
    if seconds > 0:
        await asyncio.sleep(seconds)
