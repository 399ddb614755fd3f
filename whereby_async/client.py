"""`WherebyClient`: lifecycle and options. The send loop is in `sender.py`, the network in `transport/`."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar, cast, overload

from msgspec import UNSET, UnsetType

from .configuration import (
    read_base_url,
    read_hooks,
    read_key,
    read_max_wait,
    read_timeout,
    request_headers,
    require,
    require_limiter,
)
from .limiter.shared import shared_budget
from .models.decoding import decoder
from .models.encoding import encode
from .operation import Operation, relative_path
from .redaction import SilentDict, as_secret, silent
from .resources import Insights, Meetings, Recordings, Rooms, Summaries, Transcriptions, arguments
from .resources.files import file_parts
from .scopes import as_priority
from .sender import ClientSender, SendOptions, SharedState
from .transport import RetryPolicy, SessionPool

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import TracebackType

    from .hooks import Hook
    from .limiter.protocol import Limiter, Priority
    from .resources.files import FileSource

T = TypeVar("T")


_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})


class WherebyClient:
    """A client of the Whereby REST API that spends the organisation's points per minute wisely.

    ```python
    async with WherebyClient() as whereby:  # the key from WHEREBY_API_KEY
        meeting = await whereby.meetings.create(end_date=datetime.now(UTC) + timedelta(hours=1))
    ```

    It is bound to no event loop: a module-level client works under several `asyncio.run` in a row, in threads that each run
    a loop, and in forked children. Used without `async with`, each loop's connections close with their loop.

    Args:
        api_key: The API key; else the variable `WHEREBY_API_KEY`.
        base_url: The API's root; else the variable `WHEREBY_BASE_URL`, else `https://api.whereby.dev/v1`. Plain http only to
            loopback addresses.
        limiter: Any `Limiter`. Default: the process's own `PointBudget` for this base_url and key, so that clients made per
            request share one account.
        pool: A `SessionPool`; default: one of its own, closed with the client. One that you pass stays yours.
        retry: When failed attempts are made again; default `RetryPolicy()`.
        timeout: Seconds for one attempt, from its connection slot to the last byte of the answer.
        max_wait: The longest that one call, all its attempts together, may wait for points, in seconds; `0` fails at once
            instead of waiting, `None` waits as long as it takes.
        priority: The lane of its calls, unless `use_priority` or `with_options` says otherwise; default `Priority.NORMAL`.
        hooks: Objects that are told of attempts, retries, answers, waits, throttling and prices (see `whereby_async.hooks`).

    Raises:
        ConfigurationError: The key is missing or blank, or an option can not be used.
    """

    _is_view: bool = False

    def __init__(  # noqa: PLR0913 - the options of a client
        self,
        api_key: str | None = None,
        *,
        base_url: str | None = None,
        limiter: Limiter | None = None,
        pool: SessionPool | None = None,
        retry: RetryPolicy | None = None,
        timeout: float = 30.0,
        max_wait: float | None = None,
        priority: Priority | None = None,
        hooks: Iterable[Hook] = (),
    ) -> None:
        api_key, base_url = as_secret(api_key), as_secret(base_url)
        key, key_source = read_key(api_key)
        root = read_base_url(base_url)
        if pool is not None:
            require("pool", pool, SessionPool, advice="pass a SessionPool(), or nothing for one of its own")
        self._owned_pool = SessionPool() if pool is None else None
        if self._owned_pool is not None:
            self._owned_pool.name_after(f"WherebyClient(base_url={root!r})")
        self._shared = SharedState(root, pool or cast("SessionPool", self._owned_pool), read_hooks(hooks))
        self._use(
            SendOptions(
                headers=request_headers(key),
                key=key,
                key_source=key_source,
                limiter=limiter if limiter is not None else shared_budget(root, key),
                retry=retry if retry is not None else RetryPolicy(),
                timeout=read_timeout(timeout),
                max_wait=read_max_wait(max_wait),
                priority=None if priority is None else as_priority(priority),
            )
        )

    def _use(self, options: SendOptions) -> None:
        require_limiter(options.limiter)
        require("retry", options.retry, RetryPolicy, advice="pass a RetryPolicy(…)")
        self._options = options
        self._sender = ClientSender(self._shared, options)
        self._shared.listen_to(options.limiter)

    def __repr__(self) -> str:
        if not hasattr(self, "_shared"):
            return "<WherebyClient, not made>"
        view = " view" if self._is_view else ""
        return f"<WherebyClient{view} {self._shared.base_url}{' closed' if self._shared.closed else ''}>"

    @functools.cached_property
    def meetings(self) -> Meetings:
        """Make, read, list and delete meetings."""
        return Meetings(self._sender)

    @functools.cached_property
    def recordings(self) -> Recordings:
        """Read, list, delete and link to recordings."""
        return Recordings(self._sender)

    @functools.cached_property
    def transcriptions(self) -> Transcriptions:
        """Start, read, list, delete and link to transcriptions."""
        return Transcriptions(self._sender)

    @functools.cached_property
    def summaries(self) -> Summaries:
        """Start, read, list and delete summaries."""
        return Summaries(self._sender)

    @functools.cached_property
    def rooms(self) -> Rooms:
        """Set and reset the themes of rooms."""
        return Rooms(self._sender)

    @functools.cached_property
    def insights(self) -> Insights:
        """Read insights into rooms, sessions and participants."""
        return Insights(self._sender)

    @property
    def base_url(self) -> str:
        """The API's root, without a slash at its end."""
        return self._shared.base_url

    @property
    def limiter(self) -> Limiter:
        """The point budget that this client (or view) spends from."""
        return self._options.limiter

    @property
    def closed(self) -> bool:
        """Whether the client was closed."""
        return self._shared.closed

    def with_options(  # noqa: PLR0913 - the options that a view may replace
        self,
        *,
        timeout: float | UnsetType = UNSET,
        max_wait: float | UnsetType | None = UNSET,
        priority: Priority | UnsetType | None = UNSET,
        retry: RetryPolicy | UnsetType = UNSET,
        limiter: Limiter | UnsetType = UNSET,
        api_key: str | UnsetType = UNSET,
    ) -> WherebyClient:
        """A cheap view of this client with some options replaced; it shares the rest, and closing it closes nothing.

        Args:
            timeout: Seconds for one attempt.
            max_wait: Seconds that one call may wait for points; `None` for as long as it takes.
            priority: The lane of all calls of the view, whatever `use_priority` says; `None` gives that up again.
            retry: Another policy.
            limiter: Another budget; needed with the key of another organisation.
            api_key: Another key of the *same* organisation (rotation): it spends from the same budget.

        Raises:
            ConfigurationError: A value can not be used.
        """
        api_key = as_secret(api_key)
        changes: dict[str, object] = SilentDict()
        if timeout is not UNSET:
            changes["timeout"] = read_timeout(timeout)
        if max_wait is not UNSET:
            changes["max_wait"] = read_max_wait(max_wait)
        if priority is not UNSET:
            changes["pinned_priority"] = None if priority is None else as_priority(priority)
        if retry is not UNSET:
            changes["retry"] = retry
        if limiter is not UNSET:
            changes["limiter"] = limiter
        if api_key is not UNSET:
            require("api_key", api_key, str, advice="pass the other key")
            key, source = read_key(api_key)
            changes |= {"key": key, "key_source": source, "headers": request_headers(key)}
        view = object.__new__(type(self))
        view._owned_pool = None
        view._shared = self._shared
        view._is_view = True
        view._use(self._options.replaced(**changes))
        return view

    @overload
    async def request(
        self,
        method: str,
        path: str,
        *,
        operation: str | None = None,
        params: Mapping[str, Any] | None = None,
        json: object = None,
        files: Mapping[str, FileSource] | None = None,
        cost: int | None = None,
        idempotent: bool | None = None,
    ) -> Any: ...

    @overload
    async def request(
        self,
        method: str,
        path: str,
        *,
        operation: str | None = None,
        params: Mapping[str, Any] | None = None,
        json: object = None,
        files: Mapping[str, FileSource] | None = None,
        cost: int | None = None,
        idempotent: bool | None = None,
        type: type[T],
    ) -> T: ...

    @overload
    async def request(
        self,
        method: str,
        path: str,
        *,
        operation: str | None = None,
        params: Mapping[str, Any] | None = None,
        json: object = None,
        files: Mapping[str, FileSource] | None = None,
        cost: int | None = None,
        idempotent: bool | None = None,
        type: Any,
    ) -> Any: ...

    async def request(  # noqa: PLR0913 - the parts of a request
        self,
        method: str,
        path: str,
        *,
        operation: str | None = None,
        params: Mapping[str, Any] | None = None,
        json: object = None,
        files: Mapping[str, FileSource] | None = None,
        cost: int | None = None,
        idempotent: bool | None = None,
        type: Any = Any,  # noqa: A002 - the name in the contract
    ) -> Any:
        """Reach an endpoint that this version does not know, under the same limiter, retries and errors.

        Args:
            method: The HTTP method.
            path: The path below the API's root, such as `/meetings`; no host, no `..`, no query.
            operation: The name for hooks, errors and learned prices; default: method and path.
            params: Query values: strings, numbers, booleans, datetimes, lists of strings (one comma list); `None` is left out.
            json: The JSON body: a dictionary in wire spelling, or a Struct.
            files: Files of a multipart body by field name: bytes, a path or a binary file.
            cost: Points it costs until its price is known; default 1 for a GET, 2 for a DELETE, else 3.
            idempotent: Whether it may be sent again although the first may have been acted on; default: not for POST and PATCH.
            type: What the answer is decoded to; by default as JSON has it, an empty body as `None`.

        Raises:
            ValueError: The method, the path or a value can not be used.
            TypeError: A value has a type that can not be sent.
        """
        json, params = silent(json), silent(params)
        verb = method.upper()
        if verb not in _METHODS:
            msg = f"method={method!r}: pass one of {', '.join(sorted(_METHODS))}"
            raise ValueError(msg)
        if json is not None and files:
            msg = "pass either json= or files=, not both"
            raise ValueError(msg)
        checked = relative_path(path)
        points = None if cost is None else arguments.whole("cost", cost, 1, 1_000_000)
        name = operation or f"{verb} {checked}"
        called: Operation[Any] = Operation(name, verb, checked, decoder(type), cost=points, idempotent=idempotent)
        body = None if json is None else encode(json)
        query = arguments.query(params)
        return await self._sender.send(called.bind(query=query, json=body, files=await file_parts(files or {})))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the client: its own pool's sessions in every loop, each on its own. A second call does nothing.

        Calls that wait for points or for a connection get `ClientClosedError`; calls on the wire fail with
        `APIConnectionError`, unless the pool was passed in, which stays open; calls that pause before another attempt end
        with the error of their last. A view's `aclose` does nothing.
        """
        if self._is_view or self._shared.closed:
            return
        self._shared.closed = True
        self._shared.waiting.send_away()
        self._shared.stop_listening()
        if self._owned_pool is not None:
            await self._owned_pool.aclose()
