"""What is known of the method that a batch calls: its operation, whether it may be repeated, and what else it can do."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast

from .. import operations
from ..errors import ConfigurationError
from ..operation import Operation
from ..redaction import shown
from ..resources import Insights, Meetings, Recordings, Rooms, Summaries, Transcriptions

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

T = TypeVar("T")

_RESOURCES: Final = (Insights, Meetings, Recordings, Rooms, Summaries, Transcriptions)
_BY_NAME: Final[Mapping[str, Operation[Any]]] = {
    operation.name: operation
    for operation in cast("list[Operation[Any]]", [v for v in vars(operations).values() if isinstance(v, Operation)])
}
_GO_BY: Final = {
    "recordings.download": "recordings.access_link",
    "rooms.reset_background": "rooms.set_background",
    "rooms.reset_knock_background": "rooms.set_knock_background",
    "rooms.reset_logo": "rooms.set_logo",
    "rooms.reset_theme_tokens": "rooms.set_theme_tokens",
    "summaries.wait": "summaries.get",
    "transcriptions.download": "transcriptions.access_link",
    "transcriptions.wait": "transcriptions.get",
}
"""Methods without an operation of their own, and the one that they cost as much as."""


class Method(Generic[T]):
    """A method as a batch sees it.

    Attributes:
        name: Such as `meetings.create`; of a function of the caller's its module and name.
        call: What is called.
        operation: The operation behind it; `None` if it is the caller's own function.
        idempotent: May be called again although it may have happened.
        resource: The resource that it belongs to, if it does.
        keywords: What a `functools.partial` always passes.
    """

    def __init__(self, call: Callable[..., Awaitable[T]], *, idempotent: bool | None = None) -> None:
        """Look at a callable.

        Args:
            call: A method of the client's resources, or any function that returns an awaitable.
            idempotent: The caller's word on it; `None` for what is known.

        Raises:
            ConfigurationError: It can not be called.
        """
        if not callable(call):
            msg = f"method={shown(call)} can not be called: pass the method itself, such as client.meetings.create"
            if inspect.iscoroutine(call):
                call.close()
                msg = (
                    f"method is a call that was already made ({call.__qualname__}): pass the method without parentheses"
                )
            raise ConfigurationError(msg)
        inner, keywords = _unwrapped(call)
        self.keywords: Mapping[str, Any] = keywords
        self.call: Callable[..., Awaitable[T]] = call
        self.resource: object = getattr(inner, "__self__", None)
        self.name: str = _name_of(inner, self.resource)
        self.operation: Operation[Any] | None = None
        if isinstance(self.resource, _RESOURCES):
            self.operation = _BY_NAME.get(_GO_BY.get(self.name, self.name))
        known = self.operation is not None and self.operation.idempotent
        self.idempotent: bool = known if idempotent is None else idempotent

    @property
    def makes_rooms(self) -> bool:
        """It is `meetings.create`, whose rooms can be found again."""
        return self.operation is operations.CREATE_MEETING

    @property
    def reads(self) -> bool:
        """It only reads, and may be called again for its result."""
        return self.operation is not None and self.operation.method == "GET" and self.name not in _GO_BY

    def takes(self, keyword: str) -> bool:
        """Whether it has a parameter of that name."""
        try:
            parameters = inspect.signature(self.call).parameters
        except (TypeError, ValueError):
            return True
        return keyword in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def operation_named(name: str) -> Operation[Any]:
    """An operation of the API by its name.

    Raises:
        ConfigurationError: There is none.
    """
    found = _BY_NAME.get(_GO_BY.get(name, name))
    if found is None:
        msg = f"operation={shown(name)} is none of the API's: pass a method, or one of {', '.join(sorted(_BY_NAME))}"
        raise ConfigurationError(msg)
    return found


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
