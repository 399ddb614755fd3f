"""What answers say of the end of their operation: `Deprecation` (RFC 9745), `Sunset` (RFC 8594), and their links."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from multidict import istr

from .hooks import DeprecatedDetails
from .notify import logger, name_in_log, tell
from .rate_limit import read_date
from .redaction import redact, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .hooks import Hook

DEPRECATION: Final = istr("Deprecation")
SUNSET: Final = istr("Sunset")
"""Both are looked up in each answer; of this type they cost less than one plain name."""

_NOT_DEPRECATED: Final = frozenset({"?0", "false"})
_LINK: Final = re.compile(r'<([^<>]*+)>((?:\s*+;\s*+[\w*-]++\s*+(?:=\s*+(?:"[^"]*+"|[^\s",;]++))?+)*+)')
_RELATIONS: Final = re.compile(r';\s*+rel\s*+=\s*+(?:"([^"]*+)"|([^\s",;]++))', re.IGNORECASE)
_MOST_OPERATIONS: Final = 1000
"""Operations that are told of; their names may hold ids, and then there is no end of them."""

_warned: Final[set[tuple[str, str]]] = set()


class Deprecations:
    """Tells what answers say of the end of an operation: the log once in a process, the hooks once for each client."""

    __slots__ = ("_base_url", "_hooks", "_told")

    def __init__(self, base_url: str, hooks: tuple[Hook, ...]) -> None:
        self._base_url = base_url
        self._hooks = hooks
        self._told: set[str] = set()

    def note(self, operation: str, headers: Mapping[str, str]) -> None:
        """Tell of an operation whose answer has one of the headers, if that is news."""
        if operation in self._told or len(self._told) >= _MOST_OPERATIONS:
            return
        details = read_deprecation(operation, headers)
        if details is None:
            return
        self._told.add(operation)
        known = self._base_url, operation
        if known not in _warned and len(_warned) < _MOST_OPERATIONS:
            _warned.add(known)
            name, words = name_in_log(operation), in_words(details)
            logger.warning("%s: the API says that it is %s; this is said only once", name, words)
        tell(self._hooks, "on_deprecated", details)


def read_deprecation(operation: str, headers: Mapping[str, str]) -> DeprecatedDetails | None:
    """What an answer says of the end of its operation; `None` if nothing. Never raises, whatever the headers hold.

    Args:
        operation: The operation's name.
        headers: The answer's; look-up ignores case.
    """
    deprecation, sunset = headers.get(DEPRECATION, "?0").strip(), headers.get(SUNSET)
    deprecated = deprecation.lower() not in _NOT_DEPRECATED
    if not deprecated and sunset is None:
        return None
    return DeprecatedDetails(
        operation=operation,
        deprecated=deprecated,
        since=read_date(deprecation.partition(";")[0].removeprefix("@")),
        sunset=None if sunset is None else read_date(sunset),
        link=_link(headers),
    )


def in_words(details: DeprecatedDetails) -> str:
    """The same for people, to go behind "it is"."""
    since, sunset, link = details.since, details.sunset, details.link
    words: list[str] = []
    if details.deprecated:
        words.append("deprecated" + ("" if since is None else f" as of {since:%Y-%m-%d}"))
    if sunset is not None or not words:
        words.append("to go away" + ("" if sunset is None else f" on {sunset:%Y-%m-%d %H:%M} UTC"))
    return " and ".join(words) + ("" if link is None else f" (see {shown(link)})")


def _link(headers: Mapping[str, str]) -> str | None:
    """Where a person can read about it: the link of the relation `deprecation`, else `sunset`."""
    links: dict[str, str] = {}
    for name, value in headers.items():
        if name.lower() == "link":
            for target, parameters in _LINK.findall(value):
                if found := _RELATIONS.search(parameters):
                    for relation in (found[1] or found[2] or "").lower().split():
                        links.setdefault(relation, target)
    link = links.get("deprecation") or links.get("sunset")
    return redact(link) if link else None
