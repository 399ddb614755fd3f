"""`Paginator`: a list of the API as an async iterable that walks all its pages.

Source: "cursor" and "limit" of every list in the Whereby REST API reference; the insights answer 10 rows a page and the
other lists 50 unless told otherwise, so `limit` is always sent.

The iterators are plain objects, not async generators: a `break` leaves nothing behind that would have to be closed.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Generator, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Final, Generic, Self, TypeVar

from .errors import ResponseDecodeError, refuses
from .models.model import Page
from .operation import Request, Sender
from .redaction import plain

if TYPE_CHECKING:
    from anyio.abc import TaskGroup
    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

T = TypeVar("T")

MAX_PAGE_SIZE = 100
"""Rows. The API gives no more in one page."""

_HOW_TO_READ: Final = (
    "a list of the API is read with `async for item in …`; `await ….collect()` makes a list, `await …` the first page"
)
_HOW_TO_READ_PAGES: Final = (
    "pages are read with `async for page in ….pages()`; `await` without `pages()` gives the first"
)


# By `__getitem__` Python also refuses `for` and `list()`, and by `__len__` an `if`, which would always hold.
@refuses(__getitem__=_HOW_TO_READ, __len__=_HOW_TO_READ, __enter__=_HOW_TO_READ, __getattr__=_HOW_TO_READ)
class Paginator(Generic[T]):
    """A list that has not been read yet. Nothing is sent until it is awaited or iterated. It is awaitable, but no
    coroutine: for a task of its own take `collect()`.

    - `async for item in paginator` walks all pages; iterating again starts again.
    - `async for page in paginator.pages()` gives them as `Page`s, each with the cursor to go on from.
    - `await paginator` is the first page; the next iteration over the same object begins with it.
    - `await paginator.collect(max_items=…)` is a list.
    - `async with paginator as items:` reads up to `prefetch` pages ahead, and stops when the block ends.

    Each page is one call of the list's operation and costs as much. Its priority is that of the moment in which the
    paginator was made. The cursors of some lists are offsets: rows that are deleted while one pages make it skip
    others.

    Iterating raises what any call raises, and `ResponseDecodeError` if the server gives the same cursor twice, which
    would never end.
    """

    __slots__ = ("_ahead", "_first", "_page_size", "_prefetch", "_request", "_sender", "_tasks")

    def __init__(self, sender: Sender, request: Request[Page[T]], *, page_size: int, prefetch: int = 0) -> None:
        """Made by the `list` methods of the client's resources; the request's query holds `limit`, the page size."""
        self._sender = sender
        self._request = request
        self._page_size = page_size
        self._prefetch = prefetch
        self._first: Page[T] | None = None
        self._tasks: TaskGroup | None = None
        self._ahead: list[MemoryObjectReceiveStream[Page[T] | Exception]] = []

    def __repr__(self) -> str:
        return f"<Paginator {self._request.operation.name} page_size={self._page_size}>"

    def __await__(self) -> Generator[object, None, Page[T]]:
        return self._first_page().__await__()

    async def _first_page(self) -> Page[T]:
        if self._first is None:
            self._first = await self._sender.send(self._request)
        return self._first

    def __aiter__(self) -> AsyncIterator[T]:
        return _Items(self.pages())

    def pages(self) -> AsyncIterator[Page[T]]:
        """The pages, one call each, from the first (or from the `cursor=` that the list was asked for)."""
        if self._tasks is None or not self._prefetch:
            return self._walk()
        import anyio  # who reads no pages ahead does not load it

        send, receive = anyio.create_memory_object_stream["Page[T] | Exception"](self._prefetch - 1)
        self._ahead.append(receive)
        self._tasks.start_soon(_read_ahead, self._walk(), send)
        return _PagesAhead(receive)

    async def collect(self, max_items: int | None = None) -> list[T]:
        """All items as a list, or the first `max_items`; no page asked for is larger than what is still wanted.

        Raises:
            ValueError: `max_items` is negative or no whole number.
        """
        max_items = plain(max_items)
        if max_items is not None and (not isinstance(max_items, int) or max_items < 0):
            raise ValueError(f"max_items={max_items!r}: pass a whole number from 0, or None for all")
        items: list[T] = []
        if max_items != 0:
            async for page in self._walk(max_items):
                items += page.results
        return items if max_items is None else items[:max_items]

    def _walk(self, max_items: int | None = None) -> _Pages[T]:
        first, self._first = self._first, None
        return _Pages(self._sender, self._request, first, self._page_size, math.inf if max_items is None else max_items)

    async def __aenter__(self) -> Self:
        if self._tasks is not None:
            raise RuntimeError("this paginator is entered already: make another one")
        import anyio

        self._tasks = await anyio.create_task_group().__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        tasks, self._tasks = self._tasks, None
        try:
            if tasks is not None:
                tasks.cancel_scope.cancel()
                # The block's own error is not passed in: it would come out wrapped in a group.
                await tasks.__aexit__(None, None, None)
        finally:  # `__aexit__` raises a cancellation again
            while self._ahead:
                self._ahead.pop().close()


@refuses(__getitem__=_HOW_TO_READ_PAGES, __await__=_HOW_TO_READ_PAGES)
class _Pages(AsyncIterator[Page[T]]):
    """Walks the pages, one call at a time."""

    __slots__ = ("_ahead", "_cursor", "_over", "_page_size", "_request", "_seen", "_sender", "_stuck", "_wanted")

    def __init__(
        self, sender: Sender, request: Request[Page[T]], first: Page[T] | None, page_size: int, wanted: float
    ) -> None:
        self._sender = sender
        self._request = request
        self._ahead = first
        self._page_size = page_size
        self._wanted = wanted
        self._cursor: str | None = None
        self._seen = {value for name, value in request.query if name == "cursor"}
        self._stuck = self._over = False

    async def __anext__(self) -> Page[T]:
        if self._over:
            raise StopAsyncIteration
        if self._stuck:
            name = self._request.operation.name
            msg = f"{name}: the server gave the cursor {self._cursor!r} twice; its pages would never end"
            raise ResponseDecodeError(msg, body=b"", path="$.cursor", operation=name)
        page, self._ahead = self._ahead, None
        if page is None:
            page = await self._sender.send(self._next_request())
        self._wanted -= len(page.results)
        self._follow(page.cursor)
        return page

    def _next_request(self) -> Request[Page[T]]:
        if self._cursor is None and self._wanted >= self._page_size:
            return self._request
        limit = str(int(min(self._page_size, self._wanted)))
        return self._request.with_query(limit=limit, **({"cursor": self._cursor} if self._cursor else {}))

    def _follow(self, cursor: str | None) -> None:
        """Remember the cursor of the page that has just come, from which the next page goes on."""
        if not cursor or self._wanted <= 0:
            self._over = True
            return
        self._stuck = cursor in self._seen  # raised at the next step, so that this page is not lost
        self._seen.add(cursor)
        self._cursor = cursor


class _Items(AsyncIterator[T]):
    """The items of pages, one by one."""

    __slots__ = ("_pages", "_rest")

    def __init__(self, pages: AsyncIterator[Page[T]]) -> None:
        self._pages = pages
        self._rest: Iterator[T] = iter(())

    async def __anext__(self) -> T:
        while True:
            for item in self._rest:
                return item
            self._rest = iter((await anext(self._pages)).results)


@refuses(__getitem__=_HOW_TO_READ_PAGES, __await__=_HOW_TO_READ_PAGES)
class _PagesAhead(AsyncIterator[Page[T]]):
    """The pages that a task of the paginator's `async with` block reads ahead."""

    __slots__ = ("_stream",)

    def __init__(self, stream: MemoryObjectReceiveStream[Page[T] | Exception]) -> None:
        self._stream = stream

    async def __anext__(self) -> Page[T]:
        import anyio

        try:
            page = await self._stream.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None
        except anyio.ClosedResourceError:
            msg = "the `async with` block that read these pages ahead has ended: iterate inside of it"
            raise RuntimeError(msg) from None
        if isinstance(page, Exception):
            raise page
        return page


async def _read_ahead(pages: AsyncIterator[Page[T]], send: MemoryObjectSendStream[Page[T] | Exception]) -> None:
    """Send the pages, and at last the error if there is one: raised here, it would come out wrapped in a group."""
    async with send:
        try:
            async for page in pages:
                await send.send(page)
        except Exception as error:  # noqa: BLE001 - handed to whoever iterates
            await send.send(error)
