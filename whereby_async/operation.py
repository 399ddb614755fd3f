"""An endpoint as a value (`Operation`), one call of it (`Request`), and what can send it (`Sender`). Pure.

Everything that can be wrong about a call is found while its request is made, before a point is spent.
"""

from __future__ import annotations

import dataclasses
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar
from urllib.parse import quote, unquote, urlencode

import msgspec

from .redaction import SilentBytes, secrets_in, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

_SEED_COSTS = {"GET": 1, "HEAD": 1, "OPTIONS": 1, "DELETE": 2}
_WRITE_COST = 3
_PLAIN_ID = re.compile(r"[A-Za-z0-9_~-][A-Za-z0-9._~-]*", re.ASCII).fullmatch
_NO_ROOM_NAME = re.compile(
    r"(?P<link>.*(?:://|\bwhereby\.com(?:/|$)|roomkey(?:=|%3d)))|(?:.+/|.*\\)",
    re.ASCII | re.DOTALL | re.IGNORECASE,
)
_BARE_NAME = re.compile(r"[A-Za-z0-9_-]+", re.ASCII).fullmatch
_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})


class FilePart(msgspec.Struct, frozen=True):
    """One file of a multipart body: all of it, so that a retry sends it whole."""

    field: str
    filename: str
    content_type: str
    content: SilentBytes

    def __repr__(self) -> str:
        return f"FilePart({self.field!r}, {self.filename!r}, {self.content_type!r}, {self.content!r})"


class Operation(Generic[T]):
    """One endpoint: what it is called, where it is, what it returns, and what it costs until its price is known.

    Attributes:
        name: Such as `meetings.create`; hooks, prices and errors go by it.
        method: The HTTP method, upper case.
        path: The path below the API's root, with one `{placeholder}` at most.
        decode: Turns a 2xx body into the result.
        cost: Seed price in points: read 1, delete 2, write 3. Source: "Rate limiting" in the Whereby REST API
            reference.
        idempotent: May be sent again although the first may have been acted on.
    """

    __slots__ = ("_around", "cost", "decode", "idempotent", "method", "name", "path")

    def __init__(  # noqa: PLR0913 - a row of the table has this many columns
        self,
        name: str,
        method: str,
        path: str,
        decode: Callable[[bytes], T],
        *,
        cost: int | None = None,
        idempotent: bool | None = None,
    ) -> None:
        self.name: str = name
        self.method: str = method
        self.path: str = path
        self.decode: Callable[[bytes], T] = decode
        self.cost: int = _SEED_COSTS.get(method, _WRITE_COST) if cost is None else cost
        self.idempotent: bool = method in _IDEMPOTENT if idempotent is None else idempotent
        before, _, rest = path.partition("{")
        placeholder, _, after = rest.partition("}")
        self._around = before, placeholder, after

    def __repr__(self) -> str:
        return f"<{self.name}: {self.method} {self.path}>"

    def bind(
        self,
        value: str = "",
        *,
        query: Iterable[tuple[str, str]] = (),
        json: SilentBytes | None = None,
        files: Iterable[FilePart] = (),
        form: Iterable[tuple[str, str]] = (),
    ) -> Request[T]:
        """One call of this operation.

        Args:
            value: What the path's placeholder stands for: an id or a room's name.
            query: Names and values, not yet encoded.
            json: The JSON body, encoded.
            files: Files of a multipart body.
            form: Plain fields beside the files.

        Raises:
            TypeError, ValueError: As `segment`.
        """
        path, (before, placeholder, after) = self.path, self._around
        if placeholder:
            encoded = room_segment if placeholder == "room_name" else segment
            path = before + encoded(placeholder, value) + after
        return Request(self, path, tuple(query), json, tuple(files), tuple(form))


@dataclasses.dataclass(slots=True, eq=False, repr=False)
class Request(Generic[T]):
    """One call of an operation, complete but for origin and key. Its path is encoded, its query not yet."""

    operation: Operation[T]
    path: str
    query: tuple[tuple[str, str], ...] = ()
    json: SilentBytes | None = None
    files: tuple[FilePart, ...] = ()
    form: tuple[tuple[str, str], ...] = ()

    @property
    def target(self) -> str:
        """Path and query as they go on the wire."""
        return f"{self.path}?{_encoded(self.query)}" if self.query else self.path

    def __repr__(self) -> str:
        return f"<request {self.operation.name}>"

    def secrets(self) -> tuple[str, ...]:
        """The secrets that it carries, for texts that may quote them. It takes time: for errors only."""
        body: object = msgspec.json.decode(self.json) if self.json is not None else None
        return tuple(secrets_in([body, *({name: value} for name, value in (*self.query, *self.form))]))

    def with_query(self, **changes: str | None) -> Request[T]:
        """The same call with some query values replaced, added, or (`None`) left out."""
        query = [pair for pair in self.query if pair[0] not in changes]
        query += [(name, value) for name, value in changes.items() if value is not None]
        return dataclasses.replace(self, query=tuple(query))


@lru_cache(maxsize=256)
def _encoded(query: tuple[tuple[str, str], ...]) -> str:
    """A query as it goes on the wire. It is cached, because most calls repeat the query of an earlier one."""
    return urlencode(query, quote_via=quote, safe="")


class Sender(Protocol):
    """What resources and paginators need of the client."""

    def send(self, request: Request[T], /) -> Coroutine[Any, Any, T]:
        """Send a request, with the points, retries and errors of the client."""
        ...

    def pinned(self) -> Sender:
        """The same sender, its priority fixed as it is now."""
        ...


def segment(name: str, value: str) -> str:
    """An id as one path segment, percent-encoded. `name` is the argument's, for the error.

    Raises:
        TypeError: The id is no string.
        ValueError: It could reach another endpoint (it is empty, `.` or `..`, or holds a slash or a control
            character), or it is no Unicode text.
    """
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, not {type(value).__name__}: {shown(value)}")
    if _PLAIN_ID(value):
        return value
    if not value.strip() or value in {".", ".."}:
        raise ValueError(f"{name}={shown(value)} is no id: pass the id that the API gave, such as '107585562'")
    if "/" in value or _has_control(value):
        msg = f"{name}={shown(value)} holds a slash or a control character: pass a bare id or name, not a path or a URL"
        raise ValueError(msg)
    return quote(unicode_text(name, value), safe="")


def unicode_text(name: str, value: str) -> str:
    """The same text, or `ValueError` if it holds half a surrogate pair, which no URL and no form can carry."""
    if not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value):
        msg = f"{name}={shown(value)} holds half a surrogate pair, which is not Unicode text: decode it as UTF-8 first"
        raise ValueError(msg)
    return value


def with_slash(name: str, value: str) -> str:
    """A room's name, or its beginning, with the slash that it has in the API; one that is empty stays as it is.

    Raises:
        ValueError: It is a link to the room, whose key is not repeated, or a path, with a slash behind its beginning
            or a backslash, such as Git Bash makes of a word with a slash at its beginning.
    """
    if found := _NO_ROOM_NAME.match(value):
        last = re.split(r"[/\\]", re.split(r"[?#]", value, maxsplit=1)[0])[-1]
        advice = "pass a bare name" + (f", here {shown(last)}" if _BARE_NAME(last) else ", such as 'weekly'")
        if found["link"] is not None:
            raise ValueError(f"{name}=… is a link to a room, not its name: {advice}")
        msg = (
            f"{name}={shown(value)} is a path, not a room's name (Git Bash makes one of a name with a slash): {advice}"
        )
        raise ValueError(msg)
    return value if not value.strip() or value.startswith("/") else "/" + value


def room_segment(name: str, value: str) -> str:
    """A room's name as one path segment. One leading slash is dropped, as Whereby's own clients do.

    Raises:
        TypeError, ValueError: As `segment` and `with_slash`.
    """
    bare = with_slash(name, value)[1:] if isinstance(value, str) else value
    if isinstance(bare, str) and bare.strip() in {"", ".", ".."}:
        raise ValueError(f"{name}={shown(value)} is no room's name: pass one such as 'weekly'")
    return segment(name, bare)


def relative_path(path: str) -> str:
    """A path of `client.request`, encoded, and checked so that it stays below the API's root.

    What is percent-encoded already stays as it is, an encoded slash (`/rooms/%2Fdemo/theme/logo`) too.

    Raises:
        TypeError: The path is no string.
        ValueError: It is empty or absolute, leaves the root, or holds a query, a fragment or a control character.
    """
    if not isinstance(path, str):
        raise TypeError(f"path must be a string, not {type(path).__name__}: {shown(path)}")
    decoded = unquote(unicode_text("path", path))
    if "?" in path or "#" in path or _has_control(decoded):
        msg = (
            f"path={shown(path)} holds a query, a fragment or a character that no path has: "
            "pass query values as params="
        )
        raise ValueError(msg)
    parts = path.removeprefix("/").split("/")
    empty = any(not unquote(part).strip("/ ") for part in parts)
    if empty or "://" in decoded or any(part in {".", ".."} for part in decoded.split("/")):
        msg = (
            f"path={shown(path)} must be a path below the API's root, such as '/meetings', without '.', '..' or a host"
        )
        raise ValueError(msg)
    return "/" + quote(path.removeprefix("/"), safe="/%:@!$&'()*+,;=~")


def _has_control(text: str) -> bool:
    """Whether a text holds a backslash or a control character, which some servers read as path or line separators."""
    return any(c == "\\" or ord(c) < 0x20 or ord(c) == 0x7F for c in text)  # noqa: PLR2004 - C0 and DEL
