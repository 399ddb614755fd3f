"""`WherebyClient`: options and lifecycle. Its operations are in `resources/`, the send loop is in `sender.py`."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Awaitable, Callable, Iterable
from types import TracebackType
from typing import Any, Self, TypeVar, cast

from msgspec import UNSET, UnsetType

import whereby_async

from .context import as_priority
from .errors import refuses
from .hooks import Hook
from .limiter.point_budget import shared_budget
from .limiter.protocol import Limiter, Priority
from .operations import LIST_MEETINGS
from .options import (
    read_base_url,
    read_hooks,
    read_key,
    read_max_outage,
    read_max_wait,
    read_timeout,
    request_headers,
    require,
    require_limiter,
    set_up_log,
)
from .polling import Watches
from .redaction import SilentDict, as_secret, once_made
from .resources import ApiRoot
from .sender import ClientSender, SendOptions, SharedState
from .transport import ReachabilitySnapshot, RetryPolicy, SessionPool

T = TypeVar("T")


@refuses(__enter__="use `async with WherebyClient(…) as client:`, in an `async def` function")
class WherebyClient(ApiRoot):
    """A client of the Whereby REST API that spends the organisation's points per minute wisely.

    ```python
    async with WherebyClient() as whereby:  # the key from WHEREBY_API_KEY
        meeting = await whereby.meetings.create(end_date=datetime.now(UTC) + timedelta(hours=1))
    ```

    The operations are in its six resources: `help(WherebyClient.meetings)` tells of those on meetings.

    It is bound to no event loop: a module-level client works under several `asyncio.run` in a row, in threads that each
    run a loop, and in forked children. Used without `async with`, each loop's connections close with their loop.

    It logs to the logger `whereby_async`: at DEBUG a line for each attempt and each answer, at INFO one when calls
    begin to wait longer than a second for points, at WARNING what somebody should know. No line holds a key or a link.
    Of a call it names the operation; of a path in that name only the first part, since the rest may be an id. For a
    script that sets up no logging, the variable `WHEREBY_LOG` (`debug`, `info`, `warning`, `error` or `critical`)
    prints the log: when a client is made, the logger gets that level unless the program has set one, and its lines go
    to stderr unless the program has handlers, then or later.

    Args:
        api_key: The API key; else the variable `WHEREBY_API_KEY`, else the file that `WHEREBY_API_KEY_FILE` names, as
            Docker, Kubernetes and systemd pass secrets. It is read once, here: for a key that is renewed while the
            program runs make a new client, or `with_options(api_key=…)`. Both variables set are refused.
        base_url: The API's root; else the variable `WHEREBY_BASE_URL`, else `https://api.whereby.dev/v1`. Plain http
            only to loopback addresses, unless `insecure_http` allows more.
        insecure_http: Allow an http `base_url` that leads to another machine or container, such as
            `http://whereby-sandbox:8700/v1`. The API key and all data then go there in the clear, which a WARNING says
            once; never through a proxy. Default: whether the variable `WHEREBY_INSECURE_HTTP` is `1`. `True` is refused
            beside an https `base_url`.
        limiter: Any `Limiter`. Default: the process's own `PointBudget` for this base_url and key, so that clients made
            per request share one account.
        pool: A `SessionPool`; default: one of its own, closed with the client. One that you pass stays yours.
        retry: When failed attempts are made again; default `RetryPolicy()`.
        timeout: Seconds for one attempt, from its connection slot to the last byte of the answer.
        max_wait: The longest that one call, all its attempts together, may wait for points, in seconds; `0` fails at
            once instead of waiting, `None` waits as long as it takes.
        max_outage: The longest that one call may wait for a service that can not be reached, in seconds, all its waits
            together, beside `max_wait`; `0` does not wait: the call goes by `retry` alone. `None` waits as long as it
            takes. It can not be reached if a connection can not be made, or if five attempts in a row end in a 502,
            503, 504, 520 to 523 or 530, or without an answer on a fresh connection; a call that is alone has made its
            attempts before. A call gives up as soon as the next probe would come too late. What is passed here holds
            for all priorities. Default, by what is called:

            | what | seconds |
            |---|---|
            | calls with `Priority.INTERACTIVE` | 0 |
            | calls with `Priority.NORMAL` | 2 |
            | calls with `Priority.BATCH`, batches and all calls in them | 900 |
            | downloads (`recordings.download`, `transcriptions.download`) and `wait` | 900 |
            | on the command line: `import`, `sync`, `export`, `purge` and `wait` | 900 |

        priority: The priority of its calls, unless `use_priority` or `with_options` says otherwise; default
            `Priority.NORMAL`.
        hooks: Objects that are told of calls, attempts, retries, answers, waits, throttling and prices (see
            `whereby_async.hooks`); a hook that is in the list twice is told once.

    Raises:
        ConfigurationError: The key is missing, blank or no key, its file can not be read, or an option or variable can
            not be used.
    """

    _is_view: bool = False

    def __init__(  # noqa: PLR0913 - the options of a client
        self,
        api_key: str | None = None,
        *,
        base_url: str | None = None,
        insecure_http: bool | None = None,
        limiter: Limiter | None = None,
        pool: SessionPool | None = None,
        retry: RetryPolicy | None = None,
        timeout: float = 30.0,
        max_wait: float | None = None,
        max_outage: float | UnsetType | None = UNSET,
        priority: Priority | None = None,
        hooks: Iterable[Hook] = (),
    ) -> None:
        api_key, base_url = as_secret(api_key), as_secret(base_url)
        set_up_log()
        key, key_source = read_key(api_key)
        root = read_base_url(base_url, insecure_http)
        if pool is not None:
            require("pool", pool, SessionPool, advice="pass a SessionPool(), or nothing for one of its own")
        self._owned_pool = SessionPool() if pool is None else None
        if self._owned_pool is not None:
            self._owned_pool.name_after(f"WherebyClient(base_url={root!r})")
        safe_read = LIST_MEETINGS.bind(query=[("limit", "1")])
        self._shared = SharedState(root, pool or cast("SessionPool", self._owned_pool), read_hooks(hooks), safe_read)
        self._watches = Watches()
        self._use(
            SendOptions(
                headers=request_headers(key),
                key=key,
                key_source=key_source,
                limiter=limiter if limiter is not None else shared_budget(root, key),
                retry=retry if retry is not None else RetryPolicy(),
                timeout=read_timeout(timeout),
                max_wait=read_max_wait(max_wait),
                max_outage=UNSET if max_outage is UNSET else read_max_outage(max_outage),
                priority=None if priority is None else as_priority(priority),
            )
        )

    def _use(self, options: SendOptions) -> None:
        require_limiter(options.limiter)
        require("retry", options.retry, RetryPolicy, advice="pass a RetryPolicy(…)")
        self._options = options
        self._send_by(ClientSender(self._shared, options), self._watches)
        if (name_after := getattr(options.limiter, "name_after", None)) is not None:
            name_after(self._shared.base_url, options.key)
        self._shared.subscriptions.add(options.limiter, self._shared.base_url)

    @once_made
    def __repr__(self) -> str:
        view = " view" if self._is_view else ""
        return f"<WherebyClient{view} {self._shared.base_url}{' closed' if self._shared.closed else ''}>"

    @property
    def base_url(self) -> str:
        """The API's root, without a slash at its end."""
        return self._shared.base_url

    @property
    def limiter(self) -> Limiter:
        """The point budget that this client (or view) spends from."""
        return self._options.limiter

    @property
    def reachability(self) -> ReachabilitySnapshot:
        """Whether the API can be reached, as far as this process knows, such as for a health check.

        It sends nothing, and says what the last calls found out: after an outage it is `ready` again when a call has
        tried. Where only calls of one operation fail, it is `ready`.
        """
        return self._shared.reachability.snapshot()

    @property
    def closed(self) -> bool:
        """Whether the client was closed."""
        return self._shared.closed

    def with_options(  # noqa: PLR0913 - the options that a view may replace
        self,
        *,
        timeout: float | UnsetType = UNSET,
        max_wait: float | UnsetType | None = UNSET,
        max_outage: float | UnsetType | None = UNSET,
        priority: Priority | UnsetType | None = UNSET,
        retry: RetryPolicy | UnsetType = UNSET,
        limiter: Limiter | UnsetType = UNSET,
        api_key: str | UnsetType = UNSET,
    ) -> WherebyClient:
        """A cheap view of this client with some options replaced; it shares the rest, and closing it closes nothing.

        Args:
            timeout: Seconds for one attempt.
            max_wait: Seconds that one call may wait for points; `None` for as long as it takes.
            max_outage: Seconds that one call may wait for a service that can not be reached; `None` for as long as it
                takes.
            priority: The priority of all calls of the view, whatever `use_priority` says; `None` gives that up again.
            retry: Another policy.
            limiter: Another budget; needed with the key of another organisation.
            api_key: Another key of the *same* organisation (rotation): it spends from the same budget.

        Raises:
            ConfigurationError: A value can not be used.
        """
        api_key = as_secret(api_key)
        changes: dict[str, Any] = SilentDict()
        if timeout is not UNSET:
            changes["timeout"] = read_timeout(timeout)
        if max_wait is not UNSET:
            changes["max_wait"] = read_max_wait(max_wait)
        if max_outage is not UNSET:
            changes["max_outage"] = read_max_outage(max_outage)
        if priority is not UNSET:
            changes["pinned_priority"] = None if priority is None else as_priority(priority)
        if retry is not UNSET:
            changes["retry"] = retry
        if limiter is not UNSET:
            changes["limiter"] = limiter
        if api_key is not UNSET:
            key, source = read_key(api_key or "")  # None is no other key, and not the environment's
            changes |= {"key": key, "key_source": source, "headers": request_headers(key)}
        view = object.__new__(type(self))
        view._owned_pool = None
        view._shared = self._shared
        view._watches = self._watches
        view._is_view = True
        view._use(dataclasses.replace(self._options, **changes))
        return view

    def batch(  # noqa: PLR0913 - the options of a job
        self,
        method: Callable[..., Awaitable[T]],
        requests: whereby_async.batch.Requests,
        *,
        concurrency: int = 64,
        journal: str | os.PathLike[str] | None = None,
        lock: bool = True,
        key: whereby_async.batch.KeyOf | None = None,
        ordered: bool = False,
        stop_on_error: bool = False,
        retry_failed: bool = False,
        refetch: bool = False,
        idempotent: bool | None = None,
        mark: bool = True,
        absent_after: float | None = None,
        same_organisation: bool = False,
        max_outage: float | UnsetType | None = UNSET,
        on_progress: whereby_async.batch.OnProgress | None = None,
        progress_interval: float = 1.0,
    ) -> whereby_async.batch.Batch[T]:
        """Call a method once for each of many requests, with the priority `BATCH`; outcomes come out as they finish.

        ```python
        async with client.batch(client.meetings.create, requests, journal="run.jsonl") as outcomes:
            async for outcome in outcomes:
                ...
        ```

        With a journal the job can be killed at any moment and run again. Reads, deletes and PUTs then run at least
        once; `meetings.create` at most once, as long as the API's list of meetings is complete (see `mark`); other
        creates at most once: those whose outcome is unknown stay so. One item that fails never stops the rest unless
        asked. See `whereby_async.batch` for what comes out, and what iterating raises.

        Args:
            method: A method of this client or of a view of it, or any function that returns an awaitable, in which
                several calls may be made. A list method gives the first page; for all of it pass a function with
                `collect()`.
            requests: Keyword dictionaries, from any iterable or async iterable, read as it goes, by one task in this
                loop: an iterator that blocks, blocks the loop. What it raises comes out behind what was under way.
            concurrency: How many calls may be under way, or waiting for points, at once.
            journal: A file that is made if it is not there, and gone on with if it is.
            lock: Keep other batches off the journal. `False` is for a file system without locks, where the journal is
                refused otherwise: nothing then keeps a second job off it, and two on one journal make rooms twice.
            key: How the journal tells items apart: a function of the item, or the name of an entry in it, which is
                taken out if the method has no such parameter. Default: by their place in the input, which then must be
                the same each time.
            ordered: Outcomes come in the order of the input; at most four times `concurrency` items are begun beyond
                the one whose turn it is.
            stop_on_error: The first item that fails or ends `unknown` ends the job: what is under way comes out, then
                its error is raised.
            retry_failed: Items that failed in an earlier run of the journal are tried again; else they come out again,
                but for those that failed because the service was away.
            refetch: Results of items that an earlier run finished are read again, room links with their keys included,
                at the price of a read; else `result` is what the journal keeps, ids only.
            idempotent: Whether the method may be called again although it may have happened; known for the client's own
                methods.
            mark: Put a marker of ten characters behind each meeting's `room_name_prefix`, which then may have 29 of the
                API's 39 characters, so that a create whose answer was lost is found in the list and adopted, or, if it
                is surely not there, sent again. Without it such a create ends `unknown`.
            absent_after: Seconds for which a lost create is looked up before its absence from the list counts. They
                begin one timeout after the create may last have left; default: three more timeouts. A server that acts
                later than that makes a second room.
            same_organisation: The journal was made with another API key of the same organisation.
            max_outage: Seconds that each call may wait for a service that can not be reached; meanwhile the job pauses
                as a whole. Past it the job ends with `ServiceUnavailableError`, and the next run with the journal goes
                on. `None` waits as long as it takes; default: the client's, else 900.
            on_progress: Told of the progress, each `progress_interval` seconds and at the end; an error in it is logged
                once.
            progress_interval: Seconds.

        Raises:
            ConfigurationError: An option can not be used.
        """
        from .batch.job import Batch, BatchOptions

        options = BatchOptions(
            concurrency=concurrency,
            journal=journal,
            lock=lock,
            ordered=ordered,
            stop_on_error=stop_on_error,
            retry_failed=retry_failed,
            refetch=refetch,
            mark=mark,
            absent_after=absent_after,
            same_organisation=same_organisation,
            max_outage=UNSET if max_outage is UNSET else read_max_outage(max_outage),
            on_progress=on_progress,
            progress_interval=progress_interval,
        )
        sender = ClientSender(self._shared, self._options)
        return Batch(sender, method, requests, key=key, idempotent=idempotent, options=options)

    def estimate(self, operation: str | Callable[..., Any], n: int) -> whereby_async.batch.Estimate:
        """What `n` calls would take, in points and time, by the prices learned so far and the budget as it is now.

        Sends nothing and costs nothing. It leaves out retries, look-ups, the pages of lists behind the first, and what
        the budget keeps from batches in reserve, which may move the end of a job to the end of the last window.

        Args:
            operation: A method of this client, such as `client.meetings.create`, or an operation's name.
            n: How many calls.

        Raises:
            ConfigurationError: The operation is not known, or `n` is no number of calls.
        """
        from .batch.estimate import estimate

        return estimate(self.limiter, operation, n)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the client: its own pool's sessions in every loop, each on its own. A second call does nothing.

        Calls that wait for points, for a connection or for a service that can not be reached get `ClientClosedError`;
        calls on the wire fail with `APIConnectionError`, unless the pool was passed in, which stays open; calls that
        pause before another attempt end with the error of their last. A view's `aclose` does nothing.
        """
        if self._is_view or self._shared.closed:
            return
        self._shared.closed = True
        self._shared.waiting.close()
        self._shared.subscriptions.end()
        if self._owned_pool is not None:
            await self._owned_pool.aclose()
