"""From the bytes of an answer to what an operation returns. Pure.

**Theory.** Two decoders stand behind one call. The strict one is msgspec's own, made on first use: a clean answer pays
for nothing else. Only when it refuses, the tolerant one reads the body once more as plain JSON, repairs what is known
to be off (see `repairs`), and converts. What then still does not fit is truly wrong and raises `ResponseDecodeError`,
which keeps the body and says where. Behind both, meetings that came without their room's name get it (see `room_names`).

Bodies hold secrets (a `roomKey`, an access link). So the parsed values live only in frames that have returned by the
time of the raise, nothing is chained, and the body in the raising frame has a silent repr: a traceback that prints
locals shows none of it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, TypeVar, cast, get_args, get_origin, overload

import msgspec

from ..errors import ResponseDecodeError
from ..redaction import SilentBytes, redact
from .repairs import repair_for
from .room_names import naming_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from .repairs import Repair
    from .room_names import Naming

T = TypeVar("T")

_BOM: Final = b"\xef\xbb\xbf"
_REFUSALS: Final = (msgspec.MsgspecError, ValueError, OverflowError, RecursionError)
_WHERE: Final = re.compile(r"(?P<what>.*) - at (?:`key` in )?`(?P<path>\$.*)`", re.DOTALL)

_SURROGATES: Final = re.compile(
    r"""\\\\                                                        # an escaped backslash, or
    | \\u[dD][89abAB][0-9a-fA-F]{2} \\u[dD][c-fC-F][0-9a-fA-F]{2}   # a pair, both as they should be, or
    | (?P<half> \\u[dD][89a-fA-F][0-9a-fA-F]{2} )                   # half a pair
    """,
    re.VERBOSE,
)


class _Problem(NamedTuple):
    """Why a body could not be decoded, and where."""

    what: str
    path: str = "$"


class Decoder(Generic[T]):
    """Turns bodies into one type. Make one per operation and keep it: it builds its machinery on the first call.

    Attributes:
        result_type: What a call returns.
    """

    __slots__ = ("_name_rooms", "_repair", "_strict", "_subject", "_takes_nothing", "result_type")

    result_type: type[T]

    def __init__(self, type_: type[T], subject: str = "the answer") -> None:
        self.result_type = type_
        self._subject = subject
        self._takes_nothing = cast("object", type_) is Any
        self._strict: Callable[[bytes], T] | None = None
        self._name_rooms: Naming | None = None
        self._repair: Repair | None = None

    def __repr__(self) -> str:
        return f"decoder({_name(self.result_type)})"

    def __call__(self, body: bytes) -> T:
        """Decode a body.

        Missing, null and extra fields and unknown words never fail, nor do the known deviations of the API: numbers
        for text and text for numbers, seconds or milliseconds for dates, a bare list for a page, an object for a list
        of one, and a few more. Dates without an offset are UTC. Rows that are null are left out.

        Args:
            body: The answer's body, free of transfer and content encodings.

        Raises:
            ResponseDecodeError: The body is not JSON, or not what the operation returns.
        """
        strict = self._strict or self._made()
        try:
            result = strict(body)
        except _REFUSALS:
            pass
        else:
            if self._name_rooms is not None:
                self._name_rooms(result)
            return result
        outcome = self._tolerantly(body)
        if isinstance(outcome, _Problem):
            body = SilentBytes(body)
            message = f"{self._subject} is not {_article(_name(self.result_type))}: {outcome.what} at {outcome.path}"
            raise ResponseDecodeError(message, body=body, path=outcome.path)
        return outcome

    def _made(self) -> Callable[[bytes], T]:
        strict = msgspec.json.Decoder(self.result_type).decode
        self._name_rooms = naming_for(self.result_type)
        self._strict = strict  # last: whoever finds it, in another thread too, finds the rest
        return strict

    def _tolerantly(self, body: bytes) -> T | _Problem:
        if self._repair is None:
            self._repair = repair_for(self.result_type)
        try:
            value = _loosely(body)
        except RecursionError:
            return _Problem("it is nested too deeply")
        except _REFUSALS:
            return cast("T", None) if self._takes_nothing and not body.strip() else _not_json(body)
        try:
            result = msgspec.convert(self._repair(value), self.result_type)
        except _REFUSALS as refusal:
            return _problem(refusal)
        if self._name_rooms is not None:
            self._name_rooms(result)
        return result


@overload
def decoder(type_: type[T]) -> Decoder[T]: ...


@overload
def decoder(type_: Any) -> Decoder[Any]: ...


def decoder(type_: Any) -> Decoder[Any]:
    """A callable that turns the body of an answer into `type_`; see `Decoder`.

    Args:
        type_: A result type such as `Meeting`, `Page[Meeting]` or `list[ParticipantDetails]`, or any other type that
            msgspec can decode. `Any` gives plain values, and `None` for an empty body.
    """
    return Decoder(type_)


def no_content(body: bytes) -> None:
    """The decoder of operations that return nothing (204): whatever bytes come are let go."""


def _loosely(body: bytes) -> object:
    """The body as plain JSON; a byte-order mark is dropped, bytes and escapes that are no Unicode become U+FFFD."""
    text = bytes(body).removeprefix(_BOM).decode("utf-8", "replace")
    return cast("object", msgspec.json.decode(_SURROGATES.sub(_whole, text)))


def _whole(match: re.Match[str]) -> str:
    return r"\ufffd" if match["half"] else match[0]


def _not_json(body: bytes) -> _Problem:
    start = bytes(body[:64]).removeprefix(_BOM).lstrip()
    if not start:
        return _Problem("expected JSON, found an empty body")
    if start.startswith(b"<"):
        return _Problem("expected JSON, found HTML or XML")
    if start.startswith((b"{", b"[", b'"')):
        return _Problem("expected JSON, found malformed or cut-off JSON")
    return _Problem("expected JSON, found something else")


def _problem(refusal: Exception) -> _Problem:
    text = redact(str(refusal))
    match = _WHERE.fullmatch(text)
    what, path = (match["what"], match["path"]) if match else (text, "$")
    return _Problem(what[:1].lower() + what[1:], path)


def _name(type_: Any) -> str:
    origin = get_origin(type_)
    if origin is None:
        return getattr(type_, "__name__", None) or str(type_)
    arguments = ", ".join(_name(argument) for argument in get_args(type_))
    return f"{_name(origin)}[{arguments}]"


def _article(name: str) -> str:
    return f"{'an' if name[0] in 'AEIOU' else 'a'} {name}"
