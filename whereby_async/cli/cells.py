"""What stands in a row for a room, as a keyword of `meetings.create`. Pure but for nothing: text and JSON values in, checked."""

from __future__ import annotations

import inspect
import json
import re
from typing import TYPE_CHECKING, Any, Final, cast

from ..redaction import SilentDict
from ..resources import Meetings
from .exits import UsageError
from .values import moment

if TYPE_CHECKING:
    from collections.abc import Mapping

_OPTIONAL: Final = " | None"
_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_WORDS: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_PREFIX: Final = "room_name_prefix"
_LONGEST_PREFIX: Final = 29
"""Characters: the API takes 39, and a marker of ten goes behind it, by which a room is found whose answer was lost."""

KINDS: Final[Mapping[str, str]] = {
    name: str(parameter.annotation).removesuffix(_OPTIONAL)
    for name, parameter in inspect.signature(Meetings.create).parameters.items()
    if name != "self"
}
"""The keywords that a row may have, and their annotations."""


def keyword_of(column: str) -> str:
    """A column's name as a keyword: `endDate`, `end-date` and `end_date` are the same."""
    return _HUMP.sub("_", column.strip()).lower().replace("-", "_").replace(" ", "_")


def value_of(keyword: str, value: Any) -> Any:
    """A cell's text, or a JSON value, as the keyword takes it.

    Args:
        keyword: One of `KINDS`.
        value: What stands there.

    Raises:
        UsageError: It can not be used.
    """
    kind = KINDS[keyword]
    if kind == "bool":
        return _flag(keyword, value)
    if kind.startswith("Iterable"):
        return _names(keyword, value)
    if "Mapping" in kind:
        return _object(keyword, value)
    if not isinstance(value, str):
        raise UsageError(f"{keyword} must be text, not {json.dumps(value)}")
    if kind.startswith("datetime"):
        return moment(keyword, value, from_now=False)
    if keyword == _PREFIX and len(value) > _LONGEST_PREFIX:
        raise UsageError(f"{keyword} {value!r} has {len(value)} characters; {_LONGEST_PREFIX} is the most in an import")
    return value


def _flag(keyword: str, value: Any) -> bool:
    found = _WORDS.get(str(value).strip().lower())
    if found is None:
        raise UsageError(f"{keyword} is {value!r}: write true or false")
    return found


def _names(keyword: str, value: Any) -> list[str]:
    names: object = re.split(r"[\s,;]+", value.strip()) if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in cast("list[object]", names)):
        raise UsageError(f"{keyword} must be a list of names")
    return cast("list[str]", names)


def _object(keyword: str, value: Any) -> dict[str, Any]:
    found = value
    if isinstance(value, str):
        try:
            found = json.loads(value)
        except ValueError:
            raise UsageError(f"{keyword} is no JSON") from None
    if not isinstance(found, dict):
        raise UsageError(f"{keyword} must be a JSON object")
    return SilentDict(cast("dict[str, Any]", found))
