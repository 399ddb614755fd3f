"""Turns an answer that is not 2xx into the error that a person can act on. Pure."""

from __future__ import annotations

import http
import re
from typing import TYPE_CHECKING, Any, Protocol, cast

import msgspec

from .errors import APIStatusError, RateLimitError, status_error_class
from .redaction import MASK, redact, silent

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .rate_limit import RateLimit
    from .transport import Answer

_WORDS = 300
_DEEPEST = 50
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_CLIENT_ERROR = 400
_SERVER_ERROR = 500
_TAGS = re.compile(r"<(script|style)\b.*?</\1\s*>|<[^>]*>", re.DOTALL | re.IGNORECASE)

_ADVICE = {
    401: "Check the API key: {key_source}.",
    403: "The key is right, but the organisation's plan or storage does not allow this.",
    404: "It does not exist, or it was deleted.",
}


class KeyHolder(Protocol):
    """Whose call it was: where its key came from, and the key, to be masked should the server repeat it."""

    @property
    def key(self) -> str:
        """The API key."""
        ...

    @property
    def key_source(self) -> str:
        """Such as `the variable WHEREBY_API_KEY`."""
        ...


def status_error(operation: str, answer: Answer, rate_limit: RateLimit, holder: KeyHolder) -> APIStatusError:
    """The error for an answer: `{"error": …, "data": …}` from the API, or anything from a proxy.

    Args:
        operation: The operation's name.
        answer: The answer, its status not 2xx.
        rate_limit: What its headers said.
        holder: Whose call it was.
    """
    status = answer.status
    body = answer.body.replace(holder.key.encode(), MASK.encode())  # an error holds no key, not even a repeated one
    words, data = _server_words(body)
    message = redact(words, holder.key)
    text = f"{operation}: {status} {_phrase(status)}".rstrip()
    if message:
        text += f": {message}"
    if advice := _advice(status, rate_limit, holder.key_source):
        text = f"{text.rstrip('.')}. {advice}"
    error = status_error_class(status)(
        text,
        status=status,
        message=message,
        data=silent(data),
        operation=operation,
        rate_limit=rate_limit,
        body=body,
        may_have_happened=status >= _SERVER_ERROR or status < _CLIENT_ERROR,  # a redirect may follow an act
    )
    if isinstance(error, RateLimitError):
        error.retry_after = rate_limit.retry_after
    return error


def _phrase(status: int) -> str:
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return ""


def _advice(status: int, rate_limit: RateLimit, key_source: str) -> str:
    if status == http.HTTPStatus.TOO_MANY_REQUESTS:
        wait = rate_limit.retry_after
        return "The organisation's points are spent" + (f"; again in {wait:.1f} s." if wait is not None else ".")
    if status in _REDIRECTS:
        return "Redirects are not followed, so that the key stays with its origin; check base_url."
    return _ADVICE.get(status, "").format(key_source=key_source)


def _server_words(body: bytes) -> tuple[str, Any]:
    """What the server said: `error`, else `message`, else its text without tags; and its `data`."""
    try:
        answer: object = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        text = _TAGS.sub(" ", body[: _WORDS * 20].decode("utf-8", "replace"))
        return _shorten(text), None
    if isinstance(answer, dict):
        told = cast("dict[str, Any]", answer)
        words = told.get("error") or told.get("message") or ""
        data = told.get("data")
        return _shorten(words if isinstance(words, str) else str(words)), data if _shallow(data, _DEEPEST) else None
    return _shorten(answer if isinstance(answer, str) else ""), None


def _shallow(value: Any, levels: int) -> bool:
    """Whether it is nested no deeper than that: an error has to be pickled and copied, which a thousand levels prevent."""
    if not isinstance(value, dict | list):
        return True
    inner = cast("Iterable[Any]", value.values() if isinstance(value, dict) else value)
    return levels > 0 and all(_shallow(each, levels - 1) for each in inner)


def _shorten(text: str) -> str:
    """One line of printable text, not too long."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= _WORDS else line[: _WORDS - 1] + "…"
