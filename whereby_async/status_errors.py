"""Turns an answer that is not 2xx into an error that says what to do. Pure."""

from __future__ import annotations

import codecs
import http
import re
from typing import TYPE_CHECKING, Any, cast

import msgspec

from .errors import APIStatusError, RateLimitError, status_error_class
from .redaction import MASK, mask, redact, silent

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .rate_limit import RateLimit

_WORDS = 300
"""Characters of the server's words that an error tells."""
_LOOKED_AT = 40 * _WORDS
"""How much of them, or of a body that is no JSON, is looked at."""
_DEEPEST = 50
"""Levels of nesting that `data` may have."""
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_TIMED_OUT = 408
_CLIENT_ERROR = 400
_SERVER_ERROR = 500
_CHARSET = re.compile(r"""charset\s*=\s*["']?([\w.:+-]+)""", re.IGNORECASE)
_NO_CHARSETS = frozenset({"utf-8", "unicode-escape", "raw-unicode-escape", "utf-7", "idna", "punycode"})
"""Codecs of Python that are not obeyed: the body is read as UTF-8 anyway, or text would be made of its escapes."""
_ROOT = re.compile(r"/v\d+\Z")
_TAGS = re.compile(r"<(script|style)\b.*?</\1\s*>|<[^>]*>", re.DOTALL | re.IGNORECASE)

_ADVICE = {
    401: "Check the API key: {key_source}.",
    403: "The key is right, but the organisation's plan or storage does not allow this.",
    404: "It does not exist, or it was deleted.",
}


def status_error(  # noqa: PLR0913 - the parts of an answer, and whose call it was
    operation: str,
    status: int,
    body: bytes,
    content_type: str = "",
    *,
    rate_limit: RateLimit,
    key: str,
    key_source: str,
    base_url: str = "",
    secrets: Iterable[str] = (),
) -> APIStatusError:
    """The error for an answer: `{"error": …, "data": …}` from the API, or anything from a proxy.

    The body is read in the charset that `content_type` names, unless it is UTF-8. The API key is masked wherever the
    server repeats it, the `secrets` of the request in the text only: `data` and `body` stay as they came. `key_source`
    says where the key came from; a `base_url` that does not end as the API's root does explains a 404.
    """
    body = body.replace(key.encode(), MASK.encode())
    words, data = _server_words(_in_utf_8(body, content_type), (key, *secrets))
    message = redact(words)
    text = f"{operation}: {status} {_phrase(status)}".rstrip()
    if message:
        text += f": {message}"
    if advice := _advice(status, rate_limit, key_source, base_url):
        text = f"{text.rstrip('.')}. {advice}"
    error = status_error_class(status)(
        text,
        status=status,
        message=message,
        data=silent(data),
        operation=operation,
        rate_limit=rate_limit,
        body=body,
        # A redirect may follow an act, and so may a 408 of a server or a proxy that waits for neither.
        may_have_happened=status >= _SERVER_ERROR or status < _CLIENT_ERROR or status == _TIMED_OUT,
    )
    if isinstance(error, RateLimitError):
        error.retry_after = rate_limit.retry_after
    return error


def _phrase(status: int) -> str:
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return ""


def _advice(status: int, rate_limit: RateLimit, key_source: str, base_url: str) -> str:
    if status == http.HTTPStatus.TOO_MANY_REQUESTS:
        wait = rate_limit.retry_after
        return "The organisation's points are spent" + (f"; again in {wait:.1f} s." if wait is not None else ".")
    if status in _REDIRECTS:
        return "Redirects are not followed, so that the key stays with its origin; check base_url."
    if status == http.HTTPStatus.NOT_FOUND and base_url and not _ROOT.search(base_url):
        return f"Check base_url={redact(base_url)!r}: it does not end in /v1, as the API's root does."
    return _ADVICE.get(status, "").format(key_source=key_source)


def _in_utf_8(body: bytes, content_type: str) -> bytes:
    """The body, or the beginning of one in another charset, which is enough for its words.

    What is UTF-8 and more than ASCII is no other charset, whatever the server says.
    """
    body = body.removeprefix(codecs.BOM_UTF8)
    named = _CHARSET.search(content_type)
    if named is None or (not body.isascii() and _is_utf_8(body)):
        return body
    try:
        if codecs.lookup(named[1]).name in _NO_CHARSETS:
            return body
        return body[:_LOOKED_AT].decode(named[1], "replace").removeprefix("\ufeff").encode()
    except (LookupError, UnicodeError):  # there is no such charset
        return body


def _is_utf_8(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def _server_words(body: bytes, secrets: tuple[str, ...]) -> tuple[str, Any]:
    """The server's `error`, else its `message`, else its text without tags; and its `data`.

    The words are masked before they are cut, so that no part of a secret is left.
    """
    try:
        answer: object = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        text = mask(body[:_LOOKED_AT].decode("utf-8", "replace"), *secrets)
        return _shorten(_TAGS.sub(" ", text[: _WORDS * 20])), None
    if isinstance(answer, dict):
        told = cast("dict[str, Any]", answer)
        words = told.get("error") or told.get("message") or ""
        data = told.get("data")
        text = mask((words if isinstance(words, str) else msgspec.json.encode(words).decode())[:_LOOKED_AT], *secrets)
        return _shorten(text), data if _shallow(data, _DEEPEST) else None
    return _shorten(mask(answer[:_LOOKED_AT], *secrets) if isinstance(answer, str) else ""), None


def _shallow(value: Any, levels: int) -> bool:
    """Whether a value is nested no deeper than `levels`: what is nested too deeply cannot be pickled or copied."""
    if not isinstance(value, dict | list):
        return True
    inner = cast("Iterable[Any]", value.values() if isinstance(value, dict) else value)
    return levels > 0 and all(_shallow(each, levels - 1) for each in inner)


def _shorten(text: str) -> str:
    """One line of printable text, not too long."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= _WORDS else line[: _WORDS - 1] + "…"
