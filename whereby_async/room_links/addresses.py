"""A room's address: what one looks like, and what stands on it already.

Whereby's own web component takes `https://<subdomain>.whereby.com/<room>` and nothing else, so neither does this: a
parameter on another host would do nothing, and over plain http the `roomKey` would travel in the clear.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_plus

from ..redaction import shown

if TYPE_CHECKING:
    from .parameters import Pairs

_ADDRESS: Final = re.compile(
    r"(?P<room>https://[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.whereby\.com(?::443)?/(?P<name>[^?#\s]*))"
    r"(?:\?(?P<query>[^#\s]*))?(?P<fragment>\#\S*)?",
    re.IGNORECASE | re.ASCII,
)
_SHAPE: Final = "https://<subdomain>.whereby.com/<room>"
_SECRET: Final = re.compile(r"(?<=//)[^/?#]*@|[?#].*", re.DOTALL)
_KEY: Final = "roomKey"


def checked(room_url: str) -> str:
    """The address, if it is one of a room.

    Raises:
        TypeError: It is no text.
        ValueError: It is none. The text never shows what stands behind the path.
    """
    if not isinstance(room_url, str):
        hint = " (which the API gives only if asked for with fields=)" if room_url is None else ""
        message = f"room_url is {type(room_url).__name__}: pass a meeting's room_url or host_room_url{hint}, a string"
        raise TypeError(message)
    problem = _problem(room_url)
    if problem:
        raise ValueError(f"room_url={shown(_SECRET.sub('***', room_url))} {problem}")
    return room_url


def _problem(room_url: str) -> str:
    match = _ADDRESS.fullmatch(room_url)
    if match is None:
        if room_url.lower().startswith("http://"):
            return f"is plain http, which would send a roomKey in the clear and gets no camera: pass {_SHAPE}"
        if room_url.startswith("/"):
            return f"is a room's name: pass the meeting's room_url, {_SHAPE}"
        return f"is no address of a Whereby room: pass a meeting's room_url as the API gave it, {_SHAPE}"
    if not match["name"].strip("/"):
        return f"names no room: pass {_SHAPE}"
    if any("?" in part and (_name(part) == _KEY or f"?{_KEY}=" in part) for part in _parts(match)):
        return "goes on with a second '?': pass it as the API gave it, and the parameters as keywords"
    return ""


def names_on(room_url: str) -> frozenset[str]:
    """The names of the parameters that an address carries."""
    match = _ADDRESS.fullmatch(room_url)
    return frozenset(map(_name, _parts(match))) if match else frozenset()


def joined(room_url: str, pairs: Pairs) -> str:
    """The address with these parameters: on it already, replaced where they stand; else behind the others.

    Raises:
        ValueError: The address has a `roomKey`, and `pairs` another one.
    """
    match = _ADDRESS.fullmatch(room_url)
    if match is None or _has_another_key(match, pairs):
        del match  # whose repr shows the beginning of the link
        raise ValueError("extra holds a roomKey, and room_url carries another one: pass the room_url that you mean")
    left = dict(pairs)
    parts: list[str | None] = []
    for part in _parts(match):
        name = _name(part)
        parts.append(left.pop(name, None) if name in pairs else part)
    query = "&".join(part for part in (*parts, *left.values()) if part)
    return match["room"] + (f"?{query}" if query else "") + (match["fragment"] or "")


def _has_another_key(match: re.Match[str], pairs: Pairs) -> bool:
    key = pairs.get(_KEY)
    return key is not None and any(_name(part) == _KEY and part != key for part in _parts(match))


def _parts(match: re.Match[str]) -> list[str]:
    return [part for part in (match["query"] or "").split("&") if part]


def _name(part: str) -> str:
    return unquote_plus(part.partition("=")[0])
