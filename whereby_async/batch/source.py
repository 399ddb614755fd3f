"""The input of a batch: items with their keys, read one at a time as there is room for them."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping, Sized
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import msgspec

from ..errors import ConfigurationError
from ..operation import unicode_text
from ..redaction import shown

if TYPE_CHECKING:
    from .methods import Method

Requests: TypeAlias = Iterable[Mapping[str, Any]] | AsyncIterable[Mapping[str, Any]]
"""The keyword dictionaries of a batch, from any iterable."""

KeyOf: TypeAlias = Callable[[Mapping[str, Any]], str | int] | str
"""How to tell the items apart: a function of the item, or the name of an entry in it."""

_Given: TypeAlias = Mapping[str, Any]

_LONGEST_KEY = 200


class Item:
    """One item of the input.

    Attributes:
        index: Its place, from 0.
        key: What the journal knows it by.
        given: The item as it came.
        request: The keywords of its call.
        fault: What is wrong with it, if it can not even be called.
    """

    __slots__ = ("fault", "given", "index", "key", "request")

    def __init__(self, index: int, given: Mapping[str, Any]) -> None:
        self.index: int = index
        self.key: str = str(index)
        self.given: Mapping[str, Any] = given
        self.request: Mapping[str, Any] = given
        self.fault: Exception | None = None


class Source:
    """Reads the input, by one task.

    Attributes:
        total: How many items there are, if the input can say.
    """

    def __init__(self, requests: Requests, key: KeyOf | None, method: Method[Any]) -> None:
        """Take an input.

        Raises:
            ConfigurationError: It can not be iterated, or `key` is neither a function nor a name.
        """
        self.total: int | None = len(requests) if isinstance(requests, Sized) else None
        self._plain, self._async = _items(requests)
        if key is not None and not callable(key) and not isinstance(key, str):
            msg = f"key={shown(key)}: pass a function that gives an item's key, or the name of the entry that is it"
            raise ConfigurationError(msg)
        self._key = key
        self._drop = key if isinstance(key, str) and not method.takes(key) else None
        self._index = 0

    async def next(self) -> Item | None:
        """The next item; `None` at the end.

        Raises:
            Exception: What the input raised.
        """
        try:
            given = next(self._plain) if self._async is None else await anext(self._async)
        except (StopIteration, StopAsyncIteration):
            return None
        # A copy: an input that fills one dictionary again and again would change items that are still to be sent.
        item = Item(self._index, dict(given) if isinstance(given, Mapping) else given)
        self._index += 1
        try:
            self._prepare(item)
        except Exception as error:  # noqa: BLE001 - whatever the caller's key function raises
            item.fault = error
        return item

    def _prepare(self, item: Item) -> None:
        if not isinstance(item.given, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance] - callers without types
            msg = f"item {item.index} is {shown(item.given)}, no dictionary of keywords"
            raise TypeError(msg)
        if self._key is None:
            return
        key = item.given[self._key] if isinstance(self._key, str) else self._key(item.given)
        if isinstance(key, bool) or not isinstance(key, str | int) or not 0 < len(str(key)) <= _LONGEST_KEY:
            msg = f"the key of item {item.index} is {shown(key)}: a key is text of 1 to {_LONGEST_KEY} characters, or a number"
            raise ValueError(msg)
        item.key = unicode_text("key", str(key))
        if self._drop is not None:
            item.request = {name: value for name, value in item.given.items() if name != self._drop}

    async def aclose(self) -> None:
        """Close the input, if it is an async generator; anything else is left as it is."""
        items: object = self._async
        if inspect.isasyncgen(items):
            await items.aclose()


def _items(requests: Requests) -> tuple[Iterator[_Given], AsyncIterator[_Given] | None]:
    """One iterator or the other."""
    if isinstance(requests, AsyncIterable):
        return iter(()), aiter(requests)
    if isinstance(requests, Iterable) and not isinstance(cast("object", requests), str | bytes | Mapping):
        return iter(requests), None
    msg = f"requests is {type(requests).__name__}, no list or iterator of keyword dictionaries: pass [{{…}}, …]"
    raise ConfigurationError(msg)


def digest(request: Mapping[str, Any]) -> str:
    """By what a journal knows a request again: the same in every run, whatever the order of the keywords."""
    return blake2b(msgspec.json.encode(_plain(request), order="sorted"), digest_size=6).hexdigest()


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(name): _plain(inner) for name, inner in cast("Mapping[object, object]", value).items()}
    if isinstance(value, msgspec.Struct):
        return [type(value).__name__, _plain(msgspec.structs.asdict(value))]
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in cast("list[object]", value)]
    return _simple(value)


def _simple(value: object) -> object:
    if isinstance(value, datetime):
        return (value.astimezone(UTC) if value.tzinfo else value).isoformat()
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str | PurePath):
        return str(value)
    if isinstance(value, bytes | bytearray):
        return blake2b(value, digest_size=16).hexdigest()
    return type(value).__name__
