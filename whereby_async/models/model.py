"""`Model`, the base of every Struct of this package, and `Page`, which every list of the API comes in.

msgspec shows a Struct in three ways: `repr`, `str` and `rich`. All three go through `Model` here, so that a subclass
only names the fields that must not show. The attributes themselves stay plain `str` with the whole value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any, ClassVar, Final, Generic, TypeAlias, TypeVar

from msgspec import UNSET, Meta, Struct

from ..redaction import MASK, Secret, redact

T = TypeVar("T")

Timestamp: TypeAlias = Annotated[datetime, Meta(tz=True)]
"""An aware `datetime`. The strict decoder refuses a naive one, so that the tolerant one reads it as UTC."""

_QUERY: Final = re.compile(r"([?#]).+", re.DOTALL)


class Model(Struct, frozen=True, kw_only=True, rename="camel"):
    """What all Structs of this package share: how they are spelled on the wire, and which fields never show.

    Results of the API and bodies for it are both `Model`s. They are frozen, compare by value, pickle and copy. In
    `repr`, in `str` and when `rich` prints them, secrets are masked and fields that are `UNSET` are left out.

    The rows of lists are `gc=False`: text, numbers, dates and what is made of those cannot refer to the row, so the
    garbage collector has nothing to find there. That saves 16 bytes each, and the collector's runs while a page is
    decoded. A subclass inherits it; one with fields that could refer to itself says `gc=True`.
    """

    _secrets: ClassVar[frozenset[str]] = frozenset()
    """Fields whose text never shows. A Struct in such a field shows itself; anything else there does not show."""

    _links: ClassVar[frozenset[str]] = frozenset()
    """Fields that hold a link: shown without its query, which may carry a `roomKey`."""

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self.__rich_repr__())
        return f"{type(self).__name__}({shown})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """What `rich` shows: the same fields as `repr`, with the same masks."""
        fields = ((name, getattr(self, name)) for name in self.__struct_fields__)
        return [(name, self._masked(name, value)) for name, value in fields if value is not UNSET]

    def _masked(self, name: str, value: object) -> object:
        if value is None or isinstance(value, Model):
            return value
        if name in self._secrets:
            return MASK
        if name in self._links:
            return redact(_QUERY.sub(r"\1" + MASK, value)) if isinstance(value, str) else MASK
        return value


class UnreadableValue(Model, frozen=True, kw_only=True, gc=False):
    """A value of an answer that could not be read, and became `None`.

    Attributes:
        row: The index of its row in `Page.results`, or in the list that was answered; `None` if the answer is one
            object.
        field: The field's name on the wire, such as `endDate` or `roomPreferences.dialIn`.
        text: The value as it came, as JSON if it was no text. A `repr` shows none that may hold a secret.
    """

    row: int | None
    field: str
    text: str

    def _masked(self, name: str, value: object) -> object:
        value = super()._masked(name, value)
        return redact(value) if isinstance(value, str) and not isinstance(value, Secret) else value


class Page(Model, Generic[T], frozen=True, kw_only=True, rename="camel"):
    """One page of a list. Whereby REST API reference, any `GET` of a list.

    `len(page)` and `for item in page` are about `results`. A page is true if it holds results or if more follow, so
    that a loop `while page:` does not stop at an empty page in the middle of a list.

    Attributes:
        results: The items of this page, in the server's order.
        cursor: What to ask for to get the next page, an opaque text; `None` if this is the last one.
        unreadable: The values of `results` that could not be read, such as the date `Invalid date`, and are `None`
            there. What deletes or decides by a field leaves their rows alone.
    """

    results: list[T]
    cursor: Annotated[str, Meta(min_length=1)] | None = None  # the tolerant decoder turns "" into None
    unreadable: tuple[UnreadableValue, ...] = ()

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
