"""Checks whether a body is what Whereby signed, and recent. Pure but for the clock, which can be passed instead.

**Theory.** Whereby sends `Whereby-Signature: t=<unix seconds>,v1=<hex>`, where `v1` is the HMAC-SHA256, under the
webhook's secret, of `t`, a full stop, and the body's very bytes. Both go into the digest as they came: a body that was
parsed and serialised again is another body. The header is read by its keys. Keys of future schemes are ignored, and
several `v1` (as while a secret is changed) are all tried, and so is each secret of ours. Everything else in a header is
malformed and refused. The age is checked last, so that "too old" is only said of what Whereby did sign; it counts in
both directions, since a time far ahead would never expire.

No secret outlives the check: the frames that held the secret, the body or a digest have returned by the time of the
raise, so that a traceback with locals shows none of them.
"""

from __future__ import annotations

import hmac
import math
import re
import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final, TypeAlias

from ..errors import ConfigurationError, WebhookVerificationError
from ..models.encoding import RefusedError
from ..redaction import plain

SIGNATURE_HEADER: Final = "Whereby-Signature"
"""The header that carries the signature."""

Body: TypeAlias = bytes | bytearray | memoryview
"""A request's body as it came; anything else than these is refused."""

SignatureHeader: TypeAlias = str | bytes | Iterable[str | bytes] | None
"""The header's value; or, where it may come several times, a list of values; or `None`, which is always refused."""

Secrets: TypeAlias = str | Iterable[str]
"""A webhook's secret, or several of them while they are being changed."""

_BLANK: Final = " \t\r\n"
_LATEST: Final = 1e12
"""Seconds since 1970, some 30,000 years: a later time is a mistake."""
_TIME: Final = re.compile("[0-9]{1,12}")
_DIGEST: Final = re.compile("[0-9a-f]{64}")
_USUAL: Final = re.compile(f"t=({_TIME.pattern}),v1=({_DIGEST.pattern})")
"""The header as Whereby sends it now. `_elements` takes 2 µs more, a third of `unwrap` (benchmarks/webhooks.py)."""

_RAW: Final = (
    "pass the request's body as it came, before anything parses it: `await request.body()` in Starlette and FastAPI, "
    "`await request.read()` in aiohttp, `request.body` in Django. JSON that was parsed and serialised again has other "
    "bytes, and its signature cannot match"
)
_MISMATCH: Final = (
    "no v1 signature matches the body. Check that the body is the request's raw bytes (JSON that was parsed and "
    "serialised again has other bytes: the commonest mistake), and that the secret is the one of this very webhook in "
    "the dashboard"
)


def sign(body: Body, secret: str, *, at: float | datetime | None = None) -> str:
    """The `Whereby-Signature` header that Whereby would send with a body: for testing the code that receives it.

    Args:
        body: The body's bytes.
        secret: The webhook's secret.
        at: When it is signed, in seconds since 1970 or as an aware `datetime`; fractions are cut off. `None` is now.

    Raises:
        ConfigurationError: The secret is blank or no text.
        TypeError: The body is not bytes.
        ValueError: `at` is naive, or no time from 1970 on.
    """
    try:
        moment = _seconds("at", at)
        if moment < 0:
            raise RefusedError(ValueError(f"at={at!r} is before 1970: no signature can be dated so"))
        signed_at = str(int(moment))
        return f"t={signed_at},v1={_digest(_key(secret), signed_at, raw_bytes(body))}"
    except RefusedError as refused:
        error = refused.error
    del body, secret
    raise error


def refusal(
    body: Body, signature: SignatureHeader, secret: Secrets, tolerance: float | None, now: float | datetime | None
) -> Exception | None:
    """The error to raise; `None` if the body is Whereby's and recent."""
    try:
        _verify(body, signature, secret, tolerance, now)
    except RefusedError as refused:
        return refused.error
    return None


def _verify(
    body: Body, signature: SignatureHeader, secret: Secrets, tolerance: float | None, now: float | datetime | None
) -> None:
    keys = [_key(secret)] if isinstance(secret, str) else _keys(secret)
    content = raw_bytes(body)
    usual = _USUAL.fullmatch(signature) if isinstance(signature, str) else None
    signed_at, digests = (usual[1], [usual[2]]) if usual else _elements(signature)
    if not _one_matches(keys, signed_at, content, digests):
        blank = any(key.strip() != key for key in keys)
        hint = "; it begins or ends with white space now: was a line break read with it?" if blank else ""
        raise RefusedError(WebhookVerificationError(_MISMATCH + hint))
    if tolerance is not None:
        _require_recent(int(signed_at), tolerance, now)


def _one_matches(keys: list[bytes], signed_at: str, content: bytes, digests: list[str]) -> bool:
    for key in keys:
        expected = _digest(key, signed_at, content)
        for digest in digests:
            if hmac.compare_digest(expected, digest):
                return True
    return False


def _digest(key: bytes, signed_at: str, content: bytes) -> str:
    return hmac.digest(key, b"%b.%b" % (signed_at.encode(), content), "sha256").hex()


def _require_recent(signed_at: int, tolerance: float, now: float | datetime | None) -> None:
    tolerance = plain(tolerance)
    if isinstance(tolerance, bool) or not isinstance(tolerance, int | float) or not tolerance >= 0:  # NaN is neither
        message = f"tolerance={tolerance!r}: pass seconds from 0, or None to take signatures of any age"
        raise RefusedError(ValueError(message))
    age = _seconds("now", now) - signed_at
    if abs(age) > tolerance:
        seconds = math.ceil(abs(age))  # 300.2 s are more than 300
        when = f"{seconds} s ago" if age > 0 else f"{seconds} s ahead of this machine's clock"
        message = (
            f"the signature is right, but it was made {when}, and tolerance={tolerance:g} s. Check this machine's "
            "clock; if that is right, the request was held up on its way, or somebody sent an old one again"
        )
        raise RefusedError(WebhookVerificationError(message))


def _seconds(name: str, moment: float | datetime | None) -> float:
    if moment is None:
        return time.time()
    moment = plain(moment)
    # pandas' NaT is a `datetime` that is not equal to itself, and has no offset to ask for.
    if isinstance(moment, datetime) and moment == moment and moment.utcoffset() is not None:  # noqa: PLR0124 - NaT
        return moment.timestamp()
    if isinstance(moment, bool) or not isinstance(moment, int | float) or not -_LATEST < moment < _LATEST:
        message = f"{name}={moment!r}: pass seconds since 1970, as time.time() has them, or an aware datetime"
        raise RefusedError(ValueError(message))
    return moment


def _keys(secrets: Iterable[str]) -> list[bytes]:
    if not isinstance(secrets, Iterable) or isinstance(secrets, bytes | bytearray | memoryview):
        message = f"secret must be a string or a list of them, not {type(secrets).__name__}: is its variable set?"
        raise RefusedError(ConfigurationError(message))
    keys = list(map(_key, secrets))
    if not keys:
        raise RefusedError(ConfigurationError("secret is an empty list: pass the webhook's secret from the dashboard"))
    return keys


def _key(secret: str) -> bytes:
    if not isinstance(secret, str):
        message = f"secret must be a string or a list of strings; {type(secret).__name__} is neither"
        raise RefusedError(ConfigurationError(message))
    if not secret.strip():
        raise RefusedError(ConfigurationError("secret is blank: pass the webhook's secret from the dashboard"))
    try:
        return secret.encode()
    except UnicodeEncodeError:
        pass
    raise RefusedError(ConfigurationError("secret holds half a surrogate pair, which is not Unicode text"))


def raw_bytes(body: Body) -> bytes:
    """The body's bytes. Anything else, such as text or parsed JSON, is refused."""
    if isinstance(body, bytes):
        return body
    if isinstance(body, bytearray | memoryview):
        return bytes(body)
    raise RefusedError(TypeError(f"body must be bytes, not {type(body).__name__}: {_RAW}"))


def _elements(signature: SignatureHeader) -> tuple[str, list[str]]:
    """The one time and the digests that a header names."""
    elements = [element.strip(_BLANK).partition("=") for text in _texts(signature) for element in text.split(",")]
    if not all(equals for _, equals, _ in elements):
        raise _malformed("holds an element that is not key=value")
    times = {value for key, _, value in elements if key == "t"}
    digests = [value for key, _, value in elements if key == "v1"]
    if len(times) != 1:
        raise _malformed("names two different times" if times else "has no t=")
    if not digests:
        raise _malformed("has no v1=")
    signed_at = times.pop()
    if not _TIME.fullmatch(signed_at):
        raise _malformed("has a t that is not a time in whole seconds")
    if not all(map(_DIGEST.fullmatch, digests)):
        raise _malformed("has a v1 that is not 64 lower-case hexadecimal digits")
    return signed_at, digests


def _texts(signature: SignatureHeader) -> list[str]:
    """The header's values as text."""
    if isinstance(signature, Mapping):
        raise _malformed("is a whole set of headers here: pass headers['Whereby-Signature']")
    values = [signature] if isinstance(signature, str | bytes) else signature
    if values is None or not isinstance(values, Iterable):
        raise _missing("is no text")
    texts = [value.decode("latin-1") if isinstance(value, bytes) else value for value in values]
    if not all(isinstance(text, str) for text in texts):
        raise _malformed("is no text")
    if not any(text.strip(_BLANK) for text in texts):
        raise _missing("is empty")
    return texts


def _missing(what: str) -> RefusedError:
    message = (
        f"there is no signature to check: what was passed for the {SIGNATURE_HEADER} header {what}. Pass its value, "
        f"such as request.headers.get({SIGNATURE_HEADER!r}); without that header the request is not Whereby's, or a "
        "proxy cut it off"
    )
    return RefusedError(WebhookVerificationError(message))


def _malformed(what: str) -> RefusedError:
    message = (
        f"the {SIGNATURE_HEADER} header {what}. Pass its value whole, as it came: t=<unix seconds>,v1=<64 hex digits>"
    )
    return RefusedError(WebhookVerificationError(message))
