"""`Model`, the base of every Struct of this package, and `Page`, which every list of the API comes in.

msgspec shows a Struct in three ways: `repr`, `str` and `rich`. All three go through `Model` here, so that a subclass
only names the fields that must not show. The attributes themselves stay plain `str` with the whole value.

pydantic, and FastAPI with it, takes the Structs for types of its own: `Model` tells it how. What it says of a value
that does not fit shows none of it, since links hold keys: so msgspec reads the values, and pydantic gets the fields for
its schema page only.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any, ClassVar, Final, Generic, TypeAlias, TypeVar, cast, get_args, overload

from msgspec import UNSET, Meta, MsgspecError, Struct, UnsetType, convert, structs, to_builtins

from ..errors import refuses
from ..redaction import MASK, Secret, redact

T = TypeVar("T")

Timestamp: TypeAlias = Annotated[datetime, Meta(tz=True)]
"""An aware `datetime`. The strict decoder refuses a naive one, so that the tolerant one reads it as UTC."""

_QUERY: Final = re.compile(r"([?#]).+", re.DOTALL)
_STEP: Final = re.compile(r"\.(\w+)|\[(\d+)\]")
"""A step of the path by which msgspec says where a value is, such as `$.results[0].meetingId`."""
_ATTRIBUTE: Final = re.compile(r"^ {4}(\w+): (.+(?:\n {8}.+)*)", re.MULTILINE)
"""An attribute and its text, as docstrings list them."""

_NO_ASYNC_FOR: Final = (
    "a Page is read with `for`; to walk all pages leave out the `await`: `async for item in client.meetings.list()`"
)


class Model(Struct, frozen=True, kw_only=True, rename="camel"):
    """What all Structs of this package share: how they are spelled on the wire, and which fields never show.

    Results of the API and bodies for it are both `Model`s. They are frozen, compare by value, pickle and copy. In
    `repr`, in `str` and when `rich` prints them, secrets are masked and fields that are `UNSET` are left out.

    The rows of lists are `gc=False`: text, numbers, dates and what is made of those cannot refer to the row, so the
    garbage collector has nothing to find there. That saves 16 bytes each, and the collector's runs while a page is
    decoded. A subclass inherits it; one with fields that could refer to itself says `gc=True`.

    A field of a pydantic model, and what a function of FastAPI takes or returns, may be a `Model`, a `list[Meeting]` or
    a `Page[Meeting]`. It takes an instance, or a dictionary in the spelling of the wire (`meetingId`), which is read
    strictly, as JSON of your own and not as an answer of the API. It gives the same spelling, whatever `by_alias` says,
    with links and keys in full. `exclude_none`, `include` and `exclude` (by names on the wire) are heeded; what is
    `UNSET` is left out; `exclude_unset` and `exclude_defaults` leave out nothing else. FastAPI takes a `Model` for the
    body of a request if it is told so: `Annotated[RecordingOptions, Body()]`.
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

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """How pydantic reads, writes and describes this class, or the `Page` of something that `source` is."""
        from pydantic_core import InitErrorDetails, PydanticCustomError, ValidationError, core_schema

        def read(value: object, _: object) -> object:
            if isinstance(value, cls):
                return value
            what, path = "this is a call that was not awaited: write `await` before it", ""
            if not hasattr(value, "__await__"):
                try:
                    return cast("object", convert(value, source))
                except (MsgspecError, ValueError, OverflowError, RecursionError) as refusal:
                    what, _, path = redact(str(refusal)).partition(" - at `$")
            where = tuple(int(index) if index else name for name, index in _STEP.findall(path))
            error = PydanticCustomError("whereby_value", cast("Any", what))
            raise ValidationError.from_exception_data(
                cls.__name__, [InitErrorDetails(type=error, loc=where, input=MASK)]
            )

        def write(value: object, write_fields: Any, info: Any) -> object:
            if isinstance(value, Model):
                left_out = _whole_names(info.exclude)  # in Python's spelling too, since a link must not slip through
                names = zip(value.__struct_encode_fields__, value.__struct_fields__, strict=True)
                told = ((wire_name, getattr(value, name)) for wire_name, name in names if name not in left_out)
                fields = [*_tag_of(type(value)), *told]
                value = {wire_name: each for wire_name, each in fields if each is not UNSET}
            return write_fields(value)

        return core_schema.no_info_wrap_validator_function(
            read,
            handler.generate_schema(_typed_dict(source)),
            serialization=core_schema.wrap_serializer_function_ser_schema(write, info_arg=True),
        )


def _whole_names(exclude: Any) -> set[object]:
    """The fields that pydantic's `exclude` leaves out whole."""
    if isinstance(exclude, dict):
        return {name for name, what in cast("dict[object, object]", exclude).items() if what is True or what is ...}
    return {*(exclude or ())}


def _tag_of(kind: type[Struct]) -> list[tuple[str, Any]]:
    """The field that msgspec writes first, and its text, if a Struct has one, as a webhook's events have `type`."""
    config = kind.__struct_config__
    return [] if config.tag_field is None else [(config.tag_field, config.tag)]


@functools.cache  # pydantic tells types of one name apart by their identity
def _typed_dict(source: Any) -> Any:
    """A Struct's fields as they are on the wire, with what its docstring says of them, as pydantic knows types."""
    from typing import Literal, NotRequired, Union

    from pydantic import Field, PlainSerializer
    from typing_extensions import TypedDict  # on 3.11 pydantic does not take that of typing

    kind = getattr(source, "__origin__", source)
    docs = [inspect.cleandoc(each.__doc__ or "").partition("\n\nAttributes:\n") for each in kind.__mro__]
    texts = {name: " ".join(text.split()) for _, _, all_ in reversed(docs) for name, text in _ATTRIBUTE.findall(all_)}
    fields: dict[str, Any] = {name: cast("Any", Literal)[tag] for name, tag in _tag_of(kind)}
    anything = Annotated[Any, PlainSerializer(lambda value: to_builtins(value, builtin_types=(datetime,)))]
    is_open = getattr(kind, "__parameters__", ()) and get_args(source) in {(), (Any,)}
    for field in structs.fields(kind[anything] if is_open else source):
        choices = tuple(each for each in get_args(field.type) if each is not UnsetType)
        type_ = Union[choices] if UnsetType in get_args(field.type) else field.type  # noqa: UP007 - of a tuple
        told = Field(title=field.name.replace("_", " ").capitalize(), description=texts.get(field.name))
        explained = cast("Any", Annotated)[type_, told]
        if field.name in kind._secrets | kind._links and str in {type_, *get_args(type_)}:  # noqa: SLF001 - a Model's
            # pydantic would warn of what is no text, and show it.
            explained = Annotated[explained, PlainSerializer(lambda value: value)]
        fields[field.encode_name] = explained if field.required else NotRequired[explained]
    name = kind.__name__ if kind is source else re.sub(r"\w+\.", "", str(source))
    typed_dict = cast("Any", TypedDict)(name, fields)
    typed_dict.__doc__, typed_dict.__module__ = docs[0][0], kind.__module__
    return typed_dict


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


@refuses(__aiter__=_NO_ASYNC_FOR)
class Page(Model, Generic[T], frozen=True, kw_only=True, rename="camel"):
    """One page of a list. Whereby REST API reference, any `GET` of a list.

    `len(page)`, `for item in page`, `page[0]` and `page[:10]` (a list) are about `results`. A page is true if it holds
    results or if more follow, so that a loop `while page:` does not stop at an empty page in the middle of a list.

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

    @overload
    def __getitem__(self, index: int, /) -> T: ...

    @overload
    def __getitem__(self, index: slice, /) -> list[T]: ...

    def __getitem__(self, index: int | slice, /) -> T | list[T]:
        return self.results[index]

    def __bool__(self) -> bool:
        return bool(self.results) or self.has_more
