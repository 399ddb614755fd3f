"""`Page`: what every list of the API comes in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Generic, TypeVar

from msgspec import Meta

from .model import Model

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")


class Page(Model, Generic[T], frozen=True, kw_only=True, rename="camel"):
    """One page of a list. Whereby REST API reference, any `GET` of a list.

    `len(page)` and `for item in page` are about `results`. A page is true if it holds results or if more follow, so
    that a loop `while page:` does not stop at an empty page in the middle of a list.

    Attributes:
        results: The items of this page, in the server's order.
        cursor: What to ask for to get the next page, an opaque text; `None` if this is the last one.
    """

    results: list[T]
    cursor: Annotated[str, Meta(min_length=1)] | None = None  # the tolerant decoder turns "" into None

    @property
    def has_more(self) -> bool:
        """Does another page follow? An empty page can have one behind it."""
        return bool(self.cursor)

    def __len__(self) -> int:
        return len(self.results)

    def __iter__(self) -> Iterator[T]:
        return iter(self.results)

    def __bool__(self) -> bool:
        return bool(self.results) or self.has_more
