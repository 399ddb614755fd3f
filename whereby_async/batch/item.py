"""The items of a batch: where they are read from, which method is called with them, and the outcome of each one."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping, Sized
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, TypeAlias, TypeGuard, TypeVar, cast

from .. import operations
from ..errors import APIConnectionError, ConfigurationError, ServiceUnavailableError, WherebyError
from ..operation import Operation, unicode_text
from ..redaction import plain, shown
from ..resources import Insights, Meetings, Recordings, Rooms, Summaries, Transcriptions

if TYPE_CHECKING:
    from collections.abc import Awaitable

T = TypeVar("T")

Requests: TypeAlias = Iterable[Mapping[str, Any]] | AsyncIterable[Mapping[str, Any]]
"""The keyword dictionaries of a batch, from any iterable."""

KeyOf: TypeAlias = Callable[[Mapping[str, Any]], str | int] | str
"""How to tell the items apart: a function of the item, or the name of an entry in it."""

OutcomeState: TypeAlias = Literal["ok", "failed", "unknown"]
"""`ok`: done. `failed`: it surely did nothing, or may be repeated. `unknown`: a create of which nobody knows whether it
happened.
"""

NOT_KEPT: Final = object()
"""In place of a result that the journal does not keep."""

_Given: TypeAlias = Mapping[str, Any]

_LONGEST_KEY: Final = 200
_RESOURCES: Final = (Insights, Meetings, Recordings, Rooms, Summaries, Transcriptions)
_OPERATIONS: Final[dict[str, Operation[Any]]] = {
    value.name: value for value in vars(operations).values() if isinstance(value, Operation)
}
_COST_AS: Final = {
    "recordings.download": "recordings.access_link",
    "rooms.reset_background": "rooms.set_background",
    "rooms.reset_knock_background": "rooms.set_knock_background",
    "rooms.reset_logo": "rooms.set_logo",
    "rooms.reset_theme_tokens": "rooms.set_theme_tokens",
    "summaries.wait": "summaries.get",
    "transcriptions.download": "transcriptions.access_link",
    "transcriptions.wait": "transcriptions.get",
}
"""Methods without an operation of their own, and the operation that costs as much."""


class Method(Generic[T]):
    """The method that a batch calls, and what is known of it.

    Attributes:
        name: Such as `meetings.create`; for a function of the caller's its module and name.
        call: The callable itself.
        operation: The operation behind it; `None` for a function of the caller's.
        idempotent: May be called again although it may have happened.
        resource: The resource that it belongs to, if it does.
        keywords: What a `functools.partial` always passes.
    """

    def __init__(self, call: Callable[..., Awaitable[T]], *, idempotent: bool | None = None) -> None:
        """Look at a callable; `idempotent=None` stands for what is known of its operation."""
        if not callable(call):
            msg = f"method={shown(call)} can not be called: pass the method itself, such as client.meetings.create"
            if inspect.iscoroutine(call):
                call.close()
                name = call.__qualname__
                msg = f"method is a call that was already made ({name}): pass the method without parentheses"
            raise ConfigurationError(msg)
        inner, keywords = _unwrapped(call)
        self.keywords: Mapping[str, Any] = keywords
        self.call: Callable[..., Awaitable[T]] = call
        self.resource: object = getattr(inner, "__self__", None)
        self.name: str = _name_of(inner, self.resource)
        self.operation: Operation[Any] | None = None
        if isinstance(self.resource, _RESOURCES):
            self.operation = _OPERATIONS.get(_COST_AS.get(self.name, self.name))
        known = self.operation is not None and self.operation.idempotent
        self.idempotent: bool = known if idempotent is None else idempotent

    @property
    def makes_rooms(self) -> bool:
        """Whether it is `meetings.create`, whose rooms can be found again."""
        return self.operation is operations.CREATE_MEETING

    @property
    def reads(self) -> bool:
        """Whether it only reads, and may be called again for its result."""
        return self.operation is not None and self.operation.method == "GET" and self.name not in _COST_AS

    def takes(self, keyword: str) -> bool:
        """Whether it has a parameter of that name."""
        try:
            parameters = inspect.signature(self.call).parameters
        except (TypeError, ValueError):
            return True
        return keyword in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def is_out_of_reach(error: Exception) -> TypeGuard[APIConnectionError]:
    """Whether the service can not be reached by any item: for longer than a call waits for it, or for good."""
    barred = isinstance(error, APIConnectionError) and error.permanent and not error.may_have_happened
    return barred or isinstance(error, ServiceUnavailableError)


def operation_of(method: str | Callable[..., Any]) -> Operation[Any]:
    """The operation behind a method, or with that name."""
    if isinstance(method, str):
        found = _OPERATIONS.get(_COST_AS.get(method, method))
        if found is None:
            names = ", ".join(sorted(_OPERATIONS))
            msg = f"operation={shown(method)} is none of the API's: pass a method, or one of {names}"
            raise ConfigurationError(msg)
        return found
    known = Method[Any](method)
    if known.operation is None:
        msg = f"{known.name}: what it costs is not known; pass a method of the client, or an operation's name"
        raise ConfigurationError(msg)
    return known.operation


def _unwrapped(call: object) -> tuple[object, Mapping[str, Any]]:
    keywords: dict[str, Any] = {}
    while isinstance(call, functools.partial):
        keywords = {**call.keywords, **keywords}
        call = call.func
    return call, keywords


def _name_of(call: object, owner: object) -> str:
    name = getattr(call, "__qualname__", None) or type(call).__qualname__
    if isinstance(owner, _RESOURCES):
        return f"{type(owner).__name__.lower()}.{getattr(call, '__name__', name)}"
    return f"{getattr(call, '__module__', None) or type(call).__module__}.{name}"


@dataclass(slots=True, eq=False)
class Item:
    """One item of the input.

    Attributes:
        index: Its place, from 0.
        key: What the journal knows it by.
        given: The item as it came.
        request: The keywords of its call.
        fault: Why it can not be called at all, if it can not.
    """

    index: int
    key: str
    given: Mapping[str, Any]
    request: Mapping[str, Any]
    fault: Exception | None = None


class ItemSource:
    """The input of a batch, read one item at a time, by one task.

    Attributes:
        total: How many items there are, if the input can say.
    """

    def __init__(self, requests: Requests, key: KeyOf | None, method: Method[Any]) -> None:
        self.total: int | None = len(requests) if isinstance(requests, Sized) else None
        self._plain, self._async = _iterators(requests)
        if key is not None and not callable(key) and not isinstance(key, str):
            msg = f"key={shown(key)}: pass a function that gives an item's key, or the name of the entry that is it"
            raise ConfigurationError(msg)
        self._key = key
        self._drop = key if isinstance(key, str) and not method.takes(key) else None
        self._index = 0

    async def next(self) -> Item | None:
        """The next item; `None` at the end. What the input raises goes on as it is."""
        try:
            given = next(self._plain) if self._async is None else await anext(self._async)
        except (StopIteration, StopAsyncIteration):
            return None
        # A copy: an input that fills one dictionary again and again would change items that are still to be sent.
        given = dict(given) if isinstance(given, Mapping) else given
        item = Item(self._index, str(self._index), given, given)
        self._index += 1
        try:
            self._prepare(item)
        except Exception as error:  # noqa: BLE001 - whatever the caller's key function raises
            item.fault = error
        return item

    def _prepare(self, item: Item) -> None:
        if not isinstance(item.given, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance] - callers without types
            raise TypeError(f"item {item.index} is of type {type(item.given).__name__}, no dictionary of keywords")
        if self._key is None:
            return
        key = item.given[self._key] if isinstance(self._key, str) else self._key(item.given)
        item.key = key_text(key, f"the key of item {item.index}")
        if self._drop is not None:
            item.request = {name: value for name, value in item.given.items() if name != self._drop}

    async def aclose(self) -> None:
        """Close the input, if it is an async generator; anything else is left as it is."""
        items: object = self._async
        if inspect.isasyncgen(items):
            await items.aclose()


def key_text(key: object, name: str) -> str:
    """A key as the journal writes it.

    Raises:
        ValueError: It can be no key; the text calls it by the name.
    """
    key = plain(key)
    if isinstance(key, bool) or not isinstance(key, str | int) or not 0 < len(str(key)) <= _LONGEST_KEY:
        wanted = f"a key is text of 1 to {_LONGEST_KEY} characters, or a whole number"
        raise ValueError(f"{name} is {shown(key)}: {wanted}")
    return unicode_text("key", str(key))


def _iterators(requests: Requests) -> tuple[Iterator[_Given], AsyncIterator[_Given] | None]:
    """One iterator or the other."""
    if isinstance(requests, AsyncIterable):
        return iter(()), aiter(requests)
    if isinstance(requests, Iterable) and not isinstance(cast("object", requests), str | bytes | Mapping):
        return iter(requests), None
    msg = f"requests is {type(requests).__name__}, no list or iterator of keyword dictionaries: pass [{{…}}, …]"
    raise ConfigurationError(msg)


class Outcome(Generic[T]):
    """What came of one item of a batch. Its repr shows neither the request nor the result.

    Attributes:
        index: The item's place in the input, from 0.
        key: What the journal knows it by: what `key=` gave, else the index as text.
        item: The item as the input gave it.
        state: `ok`, `failed` or `unknown`.
        error: Why it failed, or is unknown; `None` if it is done.
        resumed: An earlier run of the same journal finished it; nothing was sent for it now (unless `refetch=True`).
        adopted: Its answer had been lost, and the room that it made was found in the list.
    """

    __slots__ = ("_result", "adopted", "error", "index", "item", "key", "resumed", "state")

    def __init__(  # noqa: PLR0913 - a record
        self,
        index: int,
        key: str,
        item: Mapping[str, Any],
        *,
        state: OutcomeState = "ok",
        result: object = None,
        error: Exception | None = None,
        resumed: bool = False,
        adopted: bool = False,
    ) -> None:
        self.index: int = index
        self.key: str = key
        self.item: Mapping[str, Any] = item
        self.state: OutcomeState = state
        self.error: Exception | None = error
        self.resumed: bool = resumed
        self.adopted: bool = adopted
        self._result = result

    @property
    def ok(self) -> bool:
        """Whether it is done."""
        return self.state == "ok"

    @property
    def result(self) -> T:
        """What the call returned.

        Of a resumed item it is what the journal knows, ids only: `Meeting(meeting_id=…)` and nothing else in it. Pass
        `refetch=True` to the batch for the whole, room links included.

        Raises:
            Exception: The item's own `error`, if it is not done.
            LookupError: The item was resumed, and the journal does not keep results of this kind.
        """
        if self.error is not None:
            raise self.error
        if self._result is NOT_KEPT:
            msg = (
                f"item {self.key!r} was done by an earlier run, whose result the journal does not keep: "
                "pass refetch=True to read it again"
            )
            raise LookupError(msg)
        return cast("T", self._result)

    def __repr__(self) -> str:
        notes = "".join(f", {word}" for word in ("resumed", "adopted") if getattr(self, word))
        error = "" if self.error is None else f", {type(self.error).__name__}"
        return f"<Outcome {self.index} {self.key!r}: {self.state}{error}{notes}>"


class OutcomeUnknownError(WherebyError):
    """A create was sent, nobody knows whether it happened, and it is not sent again. The text says why.

    `may_have_happened` is `True`; what the call itself raised, if it was made in this run, is the `__cause__`.
    """

    may_have_happened: bool = True


class EarlierFailureError(WherebyError):
    """The item failed in an earlier run of the same journal; `retry_failed=True` would try it again.

    Attributes:
        kind: The name of the error's class then, such as `BadRequestError`.
        status: The HTTP status then, if there was one.
    """

    kind: str
    status: int | None

    def __init__(self, message: str, *, kind: str = "", status: int | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.status = status
