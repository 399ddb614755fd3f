"""What the storage's answer to a request for a file, or for the rest of it, means. Pure.

Bytes of two versions of a file must never end up in one. A version is known by its strong ETag, else by its
modification date (`Last-Modified`). A part of a file is asked for only with that in `If-Range`, and what the answer
says of itself is compared again, since not every storage heeds it. Where a storage names neither, no part is asked for.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import msgspec

from ..rate_limit import RateLimit
from ..transport.body import can_undo, compressions

if TYPE_CHECKING:
    from collections.abc import Mapping

_CONTENT_RANGE: Final = re.compile(r"bytes\s+(\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", re.IGNORECASE)
_UNSATISFIED: Final = re.compile(r"bytes\s+\*/(\d{1,18})", re.IGNORECASE)
_DIGITS: Final = re.compile(r"\d{1,18}")
_STRONG_TAG: Final = re.compile(r'"[\x21\x23-\x7e]*"')

_PAGES: Final = frozenset({"text/html", "application/xhtml+xml"})
"""Types that neither a recording nor a transcript ever has."""

_OK, _PARTIAL, _UNSATISFIABLE = 200, 206, 416
_STALE_LINK: Final = frozenset({400, 401, 403, 404, 410})
_LATER: Final = frozenset({408, 421, 425, 429})
_SERVER_ERROR = 500


class Version(msgspec.Struct, frozen=True):
    """One version of a file, as far as the storage says.

    Attributes:
        size: Its bytes; `None` if unknown.
        tag: What `If-Range` takes: a strong ETag or a date; `None` if there is neither.
    """

    size: int | None = None
    tag: str | None = None

    def same_as(self, other: Version) -> bool:
        """Whether both are surely the same."""
        sizes = {self.size, other.size} - {None}
        return self.tag is not None and self.tag == other.tag and len(sizes) <= 1


Meaning: TypeAlias = Literal["body", "complete", "restart", "refused", "later", "unusable"]
"""`body`: bytes of the file follow. `complete`: none are missing. `restart`: what is here belongs to no version that
can be completed. `refused`: the link is not valid. `later`: the storage cannot answer now. `unusable`: no way to go
on."""


class StorageVerdict(msgspec.Struct, frozen=True):
    """What an answer of the storage means.

    Attributes:
        meaning: In a word.
        start: With `body`: at which byte of the file it begins.
        version: With `body`: the file's version.
        reason: With `unusable`: why, for a person.
        retry_after: With `later`: seconds that the storage named, or `None`.
    """

    meaning: Meaning
    start: int = 0
    version: Version = Version()
    reason: str = ""
    retry_after: float | None = None


def judge(status: int, headers: Mapping[str, str], position: int, known: Version) -> StorageVerdict:
    """What an answer means if `position` bytes of the version `known` are here, and the rest was asked for."""
    if status == _UNSATISFIABLE:
        return _beyond(headers, position)
    if status in _STALE_LINK:
        return StorageVerdict("refused")
    if status in _LATER or status >= _SERVER_ERROR:
        return StorageVerdict("later", retry_after=RateLimit.from_response(status, headers).retry_after)
    if status not in {_OK, _PARTIAL}:
        return StorageVerdict("unusable", reason=f"the storage answered with status {status}")
    if (reason := _no_file(status, headers)) is not None:
        return StorageVerdict("unusable", reason=reason)
    return _whole(headers, known) if status == _OK else _rest(headers, position, known)


def _no_file(status: int, headers: Mapping[str, str]) -> str | None:
    """The reason why the body cannot be the file's bytes, if it cannot."""
    # Lengths and ranges are those of what was compressed, so only a whole one is of use.
    if (encodings := compressions(headers)) and not (status == _OK and can_undo(encodings)):
        return f"the storage sent content encoding {encodings[-1]!r}, which was not asked for"
    kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind in _PAGES:
        return f"{kind} came, a web page in place of the file: is there a login page on the way?"
    return None


def _beyond(headers: Mapping[str, str], position: int) -> StorageVerdict:
    found = _UNSATISFIED.fullmatch(headers.get("Content-Range", "").strip())
    return StorageVerdict("complete" if found and position and int(found[1]) == position else "restart")


def _whole(headers: Mapping[str, str], known: Version) -> StorageVerdict:
    length = _DIGITS.fullmatch(headers.get("Content-Length", "").strip())
    if length is None and headers.get("Transfer-Encoding", "").strip().lower() != "chunked":
        reason = "the storage does not say how long the file is, so a broken one would look whole"
        return StorageVerdict("unusable", reason=reason)
    if compressions(headers):
        return StorageVerdict("body")  # which size the file has, and which bytes a range would be of, is not known
    version = Version(int(length[0]) if length else None, _tag(headers))
    if version.size is None and version.same_as(known):
        version = known
    return StorageVerdict("body", version=version)


def _rest(headers: Mapping[str, str], position: int, known: Version) -> StorageVerdict:
    found = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", "").strip())
    if found is None or int(found[1]) != position:
        reason = "" if position else "the storage sent a part that was not asked for"
        return StorageVerdict("restart" if position else "unusable", reason=reason)
    size = int(found[2]) + 1 if found[3] == "*" else int(found[3])
    tag = _tag(headers)
    if position and (tag not in {None, known.tag} or known.size not in {None, size}):
        return StorageVerdict("restart")
    return StorageVerdict("body", start=position, version=Version(size, tag or known.tag))


def _tag(headers: Mapping[str, str]) -> str | None:
    tag = headers.get("ETag", "").strip()
    if tag:
        return tag if _STRONG_TAG.fullmatch(tag) else None  # a weak one promises equal meaning, not equal bytes
    return headers.get("Last-Modified", "").strip() or None
