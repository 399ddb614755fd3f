"""What can be waited for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..models import Page
    from ..operation import Operation


class Job(Protocol):
    """Work of the server's, as it is listed and as it is read by its id."""

    @property
    def state(self) -> str | None:
        """How far it is, in the server's word."""
        ...

    @property
    def error(self) -> str | None:
        """Why it failed, if the server says so."""
        ...

    @property
    def is_done(self) -> bool:
        """Is it ready or failed? A state that this version does not know counts as still under way."""
        ...

    @property
    def is_failed(self) -> bool:
        """Did it fail for good?"""
        ...


J = TypeVar("J", bound=Job)


class Kind(Generic[J]):
    """One kind of job.

    Attributes:
        name: Such as `transcription`, for errors.
        get: Reads one job.
        list: Lists all of them.
        placeholder: What `get` calls the id in its path.
        id_of: A job's id.
    """

    __slots__ = ("get", "id_of", "list", "name", "placeholder")

    def __init__(
        self,
        name: str,
        *,
        get: Operation[J],
        list: Operation[Page[J]],  # noqa: A002 - as `get`, after the method
        placeholder: str,
        id_of: Callable[[J], str],
    ) -> None:
        self.name: str = name
        self.get: Operation[J] = get
        self.list: Operation[Page[J]] = list
        self.placeholder: str = placeholder
        self.id_of: Callable[[J], str] = id_of
