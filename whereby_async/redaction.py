"""Keeps secrets out of reprs, log records, exceptions and tracebacks with locals.

`Secret`, `SilentBytes`, `SilentDict` and `SilentList` carry a secret through frames that are not ours (aiohttp's among
them) without showing it there; `redact` cleans text that somebody else wrote, such as the server's error message.
`shown` and `plain` are for what callers pass: how an error shows it, and its number.
"""

from __future__ import annotations

import functools
import operator
import re
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

MASK = "***"
_SHOWN = 200

_SECRET_TEXT = re.compile(
    r"(?P<keep>roomKey=|Bearer\s+|AWSAccessKeyId=|Signature=|X-Amz-[A-Za-z-]+=|[Tt]oken=|rtmps?://)[^\s\"'&<>,;]+"
    r"|eyJ[\w-]{4,}(?:\.[\w-]*){1,2}"
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{8,}"
)


class Secret(str):
    """Text whose repr is `'***'`. `str()` and formatting still give the text, as headers need it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"'{MASK}'"


class SilentBytes(bytes):
    """Bytes whose repr and str tell their length only; otherwise plain `bytes`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{len(self)} bytes>"

    def __str__(self) -> str:
        return repr(self)


class SilentDict(dict[str, Any]):
    """A dictionary whose repr tells its keys only."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<dict of {', '.join(str(key) for key in self)}>"


class SilentList(list[Any]):
    """A list whose repr tells its length only."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<list of {len(self)}>"


def once_made(show: Callable[[T], str]) -> Callable[[T], str]:
    """Let a `__repr__` serve an object whose `__init__` raised too, since a traceback with locals shows that object."""

    @functools.wraps(show)
    def show_any(self: T) -> str:
        try:
            return show(self)
        except AttributeError:
            return f"<{type(self).__name__}, not made>"

    return show_any


def as_secret(value: T) -> T:
    """The same, but text as a `Secret`; what is no text stays as it is."""
    return cast("T", Secret(value)) if isinstance(value, str) else value


def silent(value: T) -> T:
    """The same, but not shown in a traceback with locals: what a caller passed may hold a key or storage secrets.

    A dictionary and a list become ones that do not show their values; anything else stays as it is.
    """
    quiet: object = value
    if isinstance(value, dict):
        quiet = SilentDict(cast("dict[str, Any]", value))
    elif isinstance(value, list):
        quiet = SilentList(cast("list[Any]", value))
    return cast("T", quiet)


def plain(value: T) -> T:
    """A number or truth value of another library as Python's own; anything else as it is.

    NumPy's `int64` is no `int`, its `bool_` no `bool` and its `float32` no `float`; a `float64` is a `float`, whose
    `repr` no server reads.
    """
    given: Any = value
    if isinstance(given, float):
        return cast("T", float(given))
    if given is None or isinstance(given, int | str):
        return value
    try:
        return cast("T", operator.index(given))
    except TypeError:
        is_scalar = getattr(getattr(given, "dtype", None), "kind", "") in {"b", "f"} and given.shape == ()
        return given.item() if is_scalar else value


def shown(value: object) -> str:
    """A caller's value for an error's text: its repr, secrets masked, not too long."""
    text = redact(repr(str(value) if isinstance(value, str) else value))
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def redact(text: str, *secrets: str) -> str:
    """`text` with the given secrets, and all that looks like a key, a token or a signed link, replaced by `***`."""
    text = str(text)
    for secret in secrets:
        if secret:
            text = text.replace(secret, MASK)
    return _SECRET_TEXT.sub(lambda match: (match["keep"] or "") + MASK, text)
