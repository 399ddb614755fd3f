"""What the fuzz tests try: valid bytes and JSON, spoilt in any place; and how hard they try."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, TypeVar, cast

from hypothesis import HealthCheck, settings, strategies as st

from whereby_async.errors import ResponseDecodeError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")

_WANTED = os.environ.get("WHEREBY_EXAMPLES")


def effort(examples: int) -> Callable[[Any], Any]:
    """So many examples, the same ones each time; or as many as `WHEREBY_EXAMPLES` says, new ones each time."""
    return settings(
        max_examples=int(_WANTED) if _WANTED else examples,
        deadline=None,
        database=None,
        derandomize=not _WANTED,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
    )


_SPLICES = (
    *(b"", b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\r\n", b"\r\n\r\n", b"\n", b"{", b"]", b'"', b"\\ud800", b"null"),
    *(b"1e999", b"9" * 400, b"9" * 5000, b"[" * 2000, b'{"a":' * 400, b" " * 70_000),
)

_WORDS: tuple[Any, ...] = (
    *(None, True, "", "\ud800", "\x00\r\n", "x" * 5000, 0, -1, 2**63, 2**64, 10**400, 10**4000, 1.5, -0.0, 1e308),
    *([], {}, [[]], [None], {"": None}, "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"),
    *("2025-02-30T25:61:61Z", 1e17, "1e999", "NaN", "٣"),
)


def words() -> st.SearchStrategy[Any]:
    """Values that JSON can hold and an answer should not."""
    return st.sampled_from(_WORDS) | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()


@st.composite
def spoilt(draw: st.DrawFn, originals: Sequence[bytes], splices: Sequence[bytes] = _SPLICES) -> bytes:
    """One of the originals with a few edits."""
    data = draw(st.sampled_from(originals))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        length = draw(st.sampled_from((0, 0, 1, 2, 10, 1000)))
        piece = draw(st.sampled_from(splices) | st.binary(max_size=8))
        match draw(st.sampled_from(("replace", "cut", "double"))):
            case "replace":
                data = data[:start] + piece + data[start + length :]
            case "cut":
                data = data[:start]
            case _:
                data = data[:start] + data[start : start + length] * 2 + data[start + length :]
    return data


@st.composite
def encoded(draw: st.DrawFn, values: st.SearchStrategy[Any]) -> bytes:
    """A value as JSON, escaped or not."""
    return json.dumps(draw(values), ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")


@st.composite
def altered(draw: st.DrawFn, original: Any) -> Any:
    """The same JSON with anything in one or several of its places."""
    value = original
    for _ in range(draw(st.integers(1, 3))):
        value = draw(_altered_once(value))
    return value


@st.composite
def _altered_once(draw: st.DrawFn, value: Any) -> Any:
    keys = keys_of(value)
    if not keys or draw(st.integers(0, 3)) == 0:
        return draw(words())
    key = draw(st.sampled_from(keys))
    changed: Any = value.copy()
    if draw(st.integers(0, 4)) == 0:
        del changed[key]
    else:
        changed[key] = draw(_altered_once(value[key]))
    return changed


def keys_of(value: Any) -> list[Any]:
    """The keys of an object, the indices of an array; nothing else has any."""
    if isinstance(value, dict):
        return list(cast("dict[str, Any]", value))
    return [*range(len(value))] if isinstance(value, list) else []  # pyright: ignore[reportUnknownArgumentType] - JSON


def attempted(act: Callable[[], T]) -> tuple[T | None, ResponseDecodeError | None]:
    """What came of it: the result, or the one error that is allowed."""
    try:
        return act(), None
    except ResponseDecodeError as error:
        return None, error
