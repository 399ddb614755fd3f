"""What people write in the first hour instead of `async for`, `async with` and `await`, and what they are then told."""

from __future__ import annotations

import contextlib
import copy
import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pytest

from whereby_async import Page, Paginator, SessionPool, WherebyClient
from whereby_async.batch import Batch
from whereby_async.models import Meeting
from whereby_async.testing import FakeWhereby, TcpProxy

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.anyio

CLIENT: Any = WherebyClient("key")
READ = r"a list of the API is read with `async for item in …`; `await ….collect\(\)` makes a list, `await …` the first page"
PAGES = r"pages are read with `async for page in ….pages\(\)`"
RUN = r"use `async with client\.batch\(…\) as outcomes:`, and in it `async for outcome in outcomes:`"


def a_list() -> Any:
    return CLIENT.meetings.list()


def a_batch() -> Any:
    return CLIENT.batch(CLIENT.meetings.get, [])


def walk(what: Any) -> None:
    for _ in what:
        pass


def enter(what: Any) -> None:
    with what:
        pass


def enter_on_a_stack(what: Any) -> None:
    with contextlib.ExitStack() as stack:
        stack.enter_context(what)


def choose(what: Any) -> None:
    if what:
        pass


def first(what: Any) -> Any:
    return what[0]


def some(what: Any) -> Any:
    return what[:10]


def unpack(what: Any) -> list[Any]:
    return [*what]


def seek(what: Any) -> bool:
    return "1" in what


MISTAKES: list[tuple[Any, Any, str]] = [
    (walk, a_list, READ),
    (list, a_list, READ),
    (sorted, a_list, READ),
    (len, a_list, READ),
    (reversed, a_list, READ),
    (choose, a_list, READ),
    (enter, a_list, READ),
    (first, a_list, READ),
    (some, a_list, READ),
    (unpack, a_list, READ),
    (seek, a_list, READ),
    (walk, lambda: a_list().pages(), PAGES),
    (list, lambda: a_list().pages(), PAGES),
    (enter, a_batch, RUN),
    (walk, a_batch, RUN),
    (list, a_batch, RUN),
    (enter, lambda: CLIENT, "use `async with WherebyClient"),
    (enter, CLIENT.with_options, "use `async with WherebyClient"),
    (enter_on_a_stack, lambda: CLIENT, "use `async with WherebyClient"),
    (enter, SessionPool, "use `async with SessionPool"),
    (enter, FakeWhereby, r"use `async with FakeWhereby\(\) as fake:`, or `with FakeWhereby\(\)\.in_thread\(\) as"),
    (enter, lambda: TcpProxy("http://127.0.0.1:1"), "use `async with TcpProxy"),
]


@pytest.mark.parametrize(("mistake", "what", "words"), MISTAKES)
def test_a_plain_statement_says_which_one_it_should_be(
    mistake: Callable[[Any], object], what: Callable[[], Any], words: str
) -> None:
    with pytest.raises(TypeError, match=words):
        mistake(what())


async def test_await_for_async_with_is_told_and_so_are_pages_that_are_awaited() -> None:
    with pytest.raises(TypeError, match=RUN):
        await a_batch()
    with pytest.raises(TypeError, match=PAGES):
        await a_list().pages()


async def test_pages_that_are_read_ahead_are_told_alike(fake: FakeWhereby, whereby: WherebyClient) -> None:
    async with whereby.meetings.list(prefetch=1) as items:
        pages: Any = items.pages()
        with pytest.raises(TypeError, match=PAGES):
            walk(pages)
        with pytest.raises(TypeError, match=PAGES):
            await pages


async def test_a_page_says_that_it_is_in_memory() -> None:
    page: Any = Page(results=[Meeting(meeting_id="1")])
    with pytest.raises(TypeError, match=r"a Page is read with `for`; to walk all pages leave out the `await`"):
        [each async for each in page]


@pytest.mark.parametrize("name", ["results", "cursor", "has_more", "reslts"])
def test_a_list_that_was_not_awaited_has_no_attributes_of_a_page(name: str) -> None:
    with pytest.raises(AttributeError, match=f"'Paginator' object has no attribute '{name}'; {READ}") as caught:
        getattr(a_list(), name)
    assert (caught.value.name, type(caught.value.obj)) == (name, Paginator)
    assert not hasattr(a_list(), name)
    assert getattr(a_list(), name, None) is None


def test_what_is_told_changes_nothing_else() -> None:
    """A list that was not read copies, and is no sequence; what is told is what `help` says of the methods."""
    paginator = a_list()
    assert repr(copy.copy(paginator)) == repr(paginator)
    assert not isinstance(paginator, Iterable | Sequence | Mapping)
    assert str(inspect.getdoc(vars(Batch)["__await__"])).startswith("Not there: use `async with client.batch(…)")
