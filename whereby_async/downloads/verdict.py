"""What the storage's answer to a request for a file, or for the rest of it, means. Pure.

The one thing that must not happen is that bytes of two versions of a file end up in one. A version is known by its strong
ETag, else by its modification date (`Last-Modified`); a part of a file is asked for only with that in `If-Range`, and what the
answer says of itself is compared again, since not every storage heeds it. Where a storage names neither, no part is asked for.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import msgspec

from ..rate_limit import RateLimit

if TYPE_CHECKING:
    from collections.abc import Mapping

_CONTENT_RANGE: Final = re.compile(r"bytes\s+(\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", re.IGNORECASE)
_UNSATISFIED: Final = re.compile(r"bytes\s+\*/(\d{1,18})", re.IGNORECASE)
_DIGITS: Final = re.compile(r"\d{1,18}")
_STRONG_TAG: Final = re.compile(r'"[\x21\x23-\x7e]*"')

_PAGES: Final = frozenset({"text/html", "application/xhtml+xml"})
"""What neither a recording nor a transcript ever is."""

_OK, _PARTIAL, _UNSATISFIABLE = 200, 206, 416
_STALE_LINK: Final = frozenset({400, 401, 403, 404, 410})
_LATER: Final = frozenset({408, 425, 429})
_SERVER_ERROR = 500


class Version(msgspec.Struct, frozen=True):
    """One version of a file, as far as the storage tells.

    Attributes:
        size: Its bytes; `None` if untold.
        tag: What `If-Range` takes: a strong ETag or a date; `None` if there is neither.
    """

    size: int | None = None
    tag: str | None = None

    def same_as(self, other: Version) -> bool:
        """Whether both are surely the same."""
        sizes = {self.size, other.size} - {None}
        return self.tag is not None and self.tag == other.tag and len(sizes) <= 1


Meaning: TypeAlias = Literal["body", "complete", "anew", "refused", "later", "unusable"]
"""`body`: bytes of the file come. `complete`: there are none left. `anew`: what is here belongs to no version that can be gone
on with. `refused`: the link is not good, any more or at all. `later`: the storage cannot now. `unusable`: no way to go on."""


class Verdict(msgspec.Struct, frozen=True):
    """What an answer means.

    Attributes:
        meaning: In a word.
        start: With `body`: where in the file it begins.
        version: With `body`: the file's version.
        reason: With `unusable`: why, for a person.
        retry_after: With `later`: seconds that the storage named, or `None`.
    """

    meaning: Meaning
    start: int = 0
    version: Version = Version()
    reason: str = ""
    retry_after: float | None = None


def judge(status: int, headers: Mapping[str, str], position: int, known: Version) -> Verdict:
    """What an answer means to who has `position` bytes of the version `known`, and has asked for the rest."""
    if status == _UNSATISFIABLE:
        return _beyond(headers, position)
    if status in _STALE_LINK:
        return Verdict("refused")
    if status in _LATER or status >= _SERVER_ERROR:
        return Verdict("later", retry_after=RateLimit.from_response(status, headers).retry_after)
    if status not in {_OK, _PARTIAL}:
        return Verdict("unusable", reason=f"the storage answered with status {status}")
    if (reason := _no_file(headers)) is not None:
        return Verdict("unusable", reason=reason)
    return _whole(headers, known) if status == _OK else _part(headers, position, known)


def _no_file(headers: Mapping[str, str]) -> str | None:
    """Why what comes cannot be the file's bytes, if it cannot."""
    encoding = headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in {"", "identity"}:  # its lengths and ranges would be those of something else than the file
        return f"the storage sent content encoding {encoding[:20]!r}, which was not asked for"
    kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return (
        f"{kind} came, a web page in place of the file: is there a login page on the way?" if kind in _PAGES else None
    )


def _beyond(headers: Mapping[str, str], position: int) -> Verdict:
    found = _UNSATISFIED.fullmatch(headers.get("Content-Range", "").strip())
    return Verdict("complete" if found and position and int(found[1]) == position else "anew")


def _whole(headers: Mapping[str, str], known: Version) -> Verdict:
    length = _DIGITS.fullmatch(headers.get("Content-Length", "").strip())
    if length is None and headers.get("Transfer-Encoding", "").strip().lower() != "chunked":
        return Verdict(
            "unusable", reason="the storage does not say how long the file is, so a broken one would look whole"
        )
    version = Version(int(length[0]) if length else None, _tag(headers))
    if version.size is None and version.same_as(known):
        version = known
    return Verdict("body", version=version)


def _part(headers: Mapping[str, str], position: int, known: Version) -> Verdict:
    found = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", "").strip())
    if found is None or int(found[1]) != position:
        return (
            Verdict("anew")
            if position
            else Verdict("unusable", reason="the storage sent a part that was not asked for")
        )
    size = int(found[2]) + 1 if found[3] == "*" else int(found[3])
    tag = _tag(headers)
    if position and (tag not in {None, known.tag} or known.size not in {None, size}):
        return Verdict("anew")
    return Verdict("body", start=position, version=Version(size, tag or known.tag))


def _tag(headers: Mapping[str, str]) -> str | None:
    tag = headers.get("ETag", "").strip()
    if tag:
        return tag if _STRONG_TAG.fullmatch(tag) else None  # a weak one promises equal meaning, not equal bytes
    return headers.get("Last-Modified", "").strip() or None
