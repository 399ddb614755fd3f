"""Keeps secrets out of reprs, log records, exceptions and tracebacks with locals.

`Secret`, `SilentBytes`, `SilentDict` and `SilentList` carry a secret through frames that are not ours (aiohttp's among
them) without showing it there; `redact` cleans text that somebody else wrote, such as the server's error message, and
`secrets_in` finds the secrets of a request that such a text may quote. `shown` and `plain` are for what callers pass:
how an error shows it, and its number.
"""

from __future__ import annotations

import functools
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, SupportsIndex, TypeVar, cast, overload
from urllib.parse import unquote

T = TypeVar("T")

MASK = "***"
_SHOWN = 200

_SHORTEST_SECRET: Final = 6
"""Characters of a secret that is looked for by its value. A shorter one would be found in the middle of words."""
_DEEPEST: Final = 50
_BACKSLASH: Final = r"(?i:\\(?:(?:u00|x)5c)?+|%(?:25)*+5c|&(?:amp;?+)*+(?:#0*+92|#x0*+5c|bsol);?+)"
_LOOKED_FOR: Final = 12
"""Characters of a secret that are looked for before all of it is: a pattern takes a millisecond for a few of them."""
_LONGEST_RUN: Final = 50
"""Backslashes, or spaces, that stand for one: each encoding of JSON in JSON doubles them."""

_SECRET_NAMES: Final = frozenset(
    {"accesskeyid", "accesskeysecret", "accesslink", "apikey", "roomkey", "secret", "webhooksecret"}
)
"""Names of a request's fields whose values are secrets, in lower case and without `_`."""
_SECRET_PATHS: Final = {"url": "streaming", "code": "dialin"}
"""The same for names that tell of a secret only somewhere below another."""
_ROOM_KEY: Final = re.compile(r"[?&]roomKey=([^&#]+)")
_SECRET_PARTS: Final = re.compile(r"[?&][^=&#]*=([^&#]+)|//[^/@:]*:([^/@]+)@|(?<=[^/])/([^/?#]+)(?=/?(?:[?#]|$))")
"""What of a URL that is a secret is one by itself: values of its query, its password, and its end (the stream key)."""

_SECRET_TEXT = re.compile(
    r"(?P<keep>roomKey=|Bearer\s+|AWSAccessKeyId=|Signature=|X-Amz-[A-Za-z-]+=|[Tt]oken=|rtmps?://)[^\s\"'&<>,;]+"
    r"|eyJ[\w-]{4,}(?:\.[\w-]*){1,2}"
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{8,}"
)


class Secret(str):
    """Text whose repr is `'***'`. `str()` and formatting still give the text, as headers need it.

    Its slices are secrets too: rich and structlog show the beginning of a long text in a traceback with locals.
    """

    __slots__ = ()

    def __getitem__(self, index: SupportsIndex | slice) -> Secret:
        return Secret(super().__getitem__(index))

    def __repr__(self) -> str:
        return f"'{MASK}'"


class SilentBytes(bytes):
    """Bytes whose repr and str, and those of their slices, tell their length only; otherwise plain `bytes`."""

    __slots__ = ()

    @overload
    def __getitem__(self, index: SupportsIndex) -> int: ...

    @overload
    def __getitem__(self, index: slice) -> SilentBytes: ...

    def __getitem__(self, index: SupportsIndex | slice) -> int | SilentBytes:
        found = super().__getitem__(index)
        return found if isinstance(found, int) else SilentBytes(found)

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
    """The same, but text as a `Secret`, and what was passed in its place `silent`: it may hold the secret as well."""
    if isinstance(value, str):
        return value if isinstance(value, Secret) else cast("T", Secret(value))
    return silent(value)


def silent(value: T) -> T:
    """The same, but not shown in a traceback with locals: what a caller passed may hold a key or storage secrets.

    A dictionary, a list (a tuple or a set becomes one) and bytes become ones that do not show their values; anything
    else stays as it is.
    """
    quiet: object = value
    if isinstance(value, dict):
        quiet = SilentDict(cast("dict[str, Any]", value))
    elif isinstance(value, list | tuple | set | frozenset):
        quiet = SilentList(cast("list[Any]", value))
    elif isinstance(value, bytes | bytearray):
        quiet = SilentBytes(value)
    return cast("T", quiet)


def type_name(value: object) -> str:
    """The name of a value's type, for an error's text: as the caller knows it, if it was made `silent` meanwhile."""
    quiet = (SilentBytes, "bytes"), (SilentDict, "dict"), (SilentList, "list")
    return next((name for kind, name in quiet if isinstance(value, kind)), type(value).__name__)


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
    """`text` with `***` in place of the given secrets, as `mask`, and of all that looks like a key or a signed link."""
    return _SECRET_TEXT.sub(lambda match: (match["keep"] or "") + MASK, mask(str(text), *secrets))


def mask(text: str, *secrets: str) -> str:
    """`text` with `***` in place of the given secrets, however escaped; those of less than six characters stay."""
    long_enough = {found for secret in secrets if len(found := secret.strip()) >= _SHORTEST_SECRET}
    begun = (each for each in long_enough if re.search(_escaped(each, _LOOKED_FOR), text))
    patterns = [_escaped(each) for each in sorted(begun, key=len, reverse=True)]
    return re.sub("|".join(patterns), MASK, text) if patterns else text


def secrets_in(value: object, *names: str) -> Iterator[str]:
    """The secrets that a request carries, by the names of its fields; room keys in links wherever they are.

    Args:
        value: The request's body, query or keywords: dictionaries, Structs and lists of values.
        names: The names that lead to it.
    """
    if fields := getattr(value, "__struct_fields__", None):
        value = {name: getattr(value, name) for name in fields}
    if len(names) > _DEEPEST:
        return
    if isinstance(value, Mapping):
        for name, inner in cast("Mapping[object, object]", value).items():
            yield from secrets_in(inner, *names, str(name).replace("_", "").lower())
    elif isinstance(value, list | tuple):
        for inner in cast("list[object]", value):
            yield from secrets_in(inner, *names[:-1], "", *names[-1:])
    elif isinstance(value, str | int):
        yield from _secrets_of(str(value), names)


def _secrets_of(text: str, names: tuple[str, ...]) -> Iterator[str]:
    last = names[-1] if names else ""
    if last in _SECRET_NAMES or _SECRET_PATHS.get(last) in names:
        yield text
        if "://" in text:
            yield unquote(text)
            yield from (unquote(part) for parts in _SECRET_PARTS.findall(text) for part in parts)
    else:
        yield from map(unquote, _ROOM_KEY.findall(text))


def _escaped(secret: str, most: int | None = None) -> str:
    """A pattern for a secret as it is, and escaped for JSON, URLs, HTML or Python, each character by itself; or for its
    first characters, `most` of them.

    It is possessive and bounded, so that no text makes it slow. A `+` is a space to whoever decodes forms, who may trim
    it at an end, and the other way round.
    """
    runs = re.findall(rf"[\s+]+|(?:{_BACKSLASH})+|.", secret, re.DOTALL)[:most]
    patterns = [_run(run) for run in runs]
    for end in (0, -1):
        if runs[end][0] == "+" and len(runs) > 1:
            patterns[end] = f"(?:{patterns[end]})?+"
    return "".join(patterns)


def _run(run: str) -> str:
    """A pattern for one character, a run of spaces, or a run of what may be backslashes or be meant as it stands."""
    if run[0] == "+" or run[0].isspace():
        blanks = "|".join(map(_escapes, sorted({run[0], "+", " "})))
        return rf"(?:{blanks}|\s|(?:{_BACKSLASH}){{1,8}}+[nrtfv]){{1,{_LONGEST_RUN}}}+"
    each = "".join(map(_escapes, run))
    return f"(?:(?:{_BACKSLASH}){{1,{_LONGEST_RUN}}}+|{each})" if len(run) > 1 or run == "\\" else each


@functools.lru_cache(maxsize=512)
def _escapes(character: str) -> str:
    """A pattern for one character, plain or escaped, with any number of backslashes before it, escaped or not."""
    from html.entities import html5  # seldom needed, and large

    code, utf_16 = ord(character), character.encode("utf-16-be", "surrogatepass").hex()
    octets = character.encode("utf-8", "surrogatepass").hex()
    names = {name.rstrip(";") for name, meant in html5.items() if meant == character}
    backslashes = f"(?:{_BACKSLASH}){{0,8}}+"
    escaped = (
        backslashes.join(f"u{utf_16[at : at + 4]}" for at in range(0, len(utf_16), 4)),
        f"U{code:08x}",
        f"x{code:02x}",
        "".join(f"%(?:25)*{octets[at : at + 2]}" for at in range(0, len(octets), 2)),
        f"&(?:amp;?+)*(?:{'|'.join((f'#0*+{code}', f'#x0*+{code:x}', *sorted(names)))});?+",
    )
    return f"{backslashes}(?:{re.escape(character)}|(?i:{'|'.join(escaped)}))"  # digits and names are in either case
