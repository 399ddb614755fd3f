"""What verifies, what does not, and what the refusals say."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from support.webhook_samples import AT, SECRET, VECTOR, VECTOR_DIGEST, VECTOR_HEADER

from whereby_async import ConfigurationError, ResponseDecodeError, WebhookVerificationError
from whereby_async.webhooks import RoomClientJoined, sign, unwrap, verify_signature

BODIES = {
    "the documented shape": VECTOR,
    "not ASCII": '{"displayName":"Zoë 🎥 ١"}'.encode(),
    "empty": b"",
    "line breaks": b'{\r\n  "a": "b\r\n"\r\n}\r\n',
    "not Unicode": b"\xff\xfe\x00\x80",
    "large": b"x" * 1_000_000,
    "looks like a header": b"t=1,v1=0",
}
OTHER = "0" * 64


def signed(body: bytes, secret: str = SECRET, at: int = AT) -> str:
    """The digest, as the docs tell to make it, by other means than ours."""
    return hmac.new(secret.encode(), str(at).encode() + b"." + body, hashlib.sha256).hexdigest()


def header(body: bytes, secret: str = SECRET, at: int = AT) -> str:
    return f"t={at},v1={signed(body, secret, at)}"


def refused(body: Any, signature: Any, secret: Any = SECRET, **options: Any) -> str:
    with pytest.raises(WebhookVerificationError) as caught:
        verify_signature(body, signature, secret, **({"now": AT} | options))
    text = str(caught.value)
    assert caught.value.__cause__ is caught.value.__context__ is None
    for secret_text in (SECRET, VECTOR_DIGEST, "Customer"):
        assert secret_text not in text
    return text


def test_the_vector_verifies() -> None:
    """A digest that Python, Node and OpenSSL agree about; the event behind it is read."""
    assert signed(VECTOR) == VECTOR_DIGEST
    verify_signature(VECTOR, VECTOR_HEADER, SECRET, now=AT)
    joined = unwrap(VECTOR, VECTOR_HEADER, SECRET, now=AT)
    assert isinstance(joined, RoomClientJoined)
    assert joined.data.display_name == "Customer"


@pytest.mark.parametrize("name", BODIES)
def test_any_bytes_verify(name: str) -> None:
    """Bodies are bytes: whatever they hold, they are never parsed to be verified."""
    body = BODIES[name]
    verify_signature(body, header(body), SECRET, now=AT)
    verify_signature(bytearray(body), header(body), SECRET, now=AT)
    verify_signature(memoryview(body), header(body), SECRET, now=AT)
    assert "no v1 signature matches" in refused(body + b"\n", header(body))
    assert "no v1 signature matches" in refused(body[:-1] or b"x", header(body))


@pytest.mark.parametrize(
    "signature",
    [
        VECTOR_HEADER,
        VECTOR_HEADER.encode(),
        f"\r\n {VECTOR_HEADER}\r\n",
        f"t={AT}, v1={VECTOR_DIGEST}",
        f"v1={VECTOR_DIGEST},t={AT}",
        f"t={AT},v1={OTHER},v1={VECTOR_DIGEST}",
        f"t={AT},v1={VECTOR_DIGEST},v1={OTHER}",
        f"t={AT},v0={OTHER},v1={VECTOR_DIGEST},v2=x=y,kid=",
        f"{VECTOR_HEADER},{VECTOR_HEADER}",
        f"{VECTOR_HEADER}, t={AT},v1={OTHER}",
        [VECTOR_HEADER],
        [VECTOR_HEADER, VECTOR_HEADER],
        (VECTOR_HEADER.encode(), f"t={AT},v1={OTHER}"),
        [f"t={AT}", f"v1={VECTOR_DIGEST}"],
        iter([VECTOR_HEADER]),
    ],
)
def test_headers_that_say_the_same_verify(signature: Any) -> None:
    """In any order, with blanks, unknown schemes and several digests; once or several times, as text or bytes."""
    verify_signature(VECTOR, signature, SECRET, now=AT)


@pytest.mark.parametrize(
    ("signature", "told"),
    [
        (None, r"request\.headers\.get\('Whereby-Signature'\)"),
        ("", "is empty"),
        (b" \r\n", "is empty"),
        ([], "is empty"),
        ([""], "is empty"),
        (5, "is no text"),
        ([None], "is no text"),
        ({"Whereby-Signature": VECTOR_HEADER}, r"headers\['Whereby-Signature'\]"),
        ("nonsense", "key=value"),
        (f"{VECTOR_HEADER},", "key=value"),
        (f"{VECTOR_HEADER};", "64 lower-case"),
        (f"Whereby-Signature: {VECTOR_HEADER}", "has no t="),
        (VECTOR_DIGEST, "key=value"),
        (f"v1={VECTOR_DIGEST}", "has no t="),
        (f"t={AT}", "has no v1="),
        (f"t={AT},v0={VECTOR_DIGEST}", "has no v1="),
        (f"t={AT},t={AT + 1},v1={VECTOR_DIGEST}", "two different times"),
        ([VECTOR_HEADER, header(VECTOR, at=AT + 1)], "two different times"),
        (f"t=,v1={VECTOR_DIGEST}", "whole seconds"),
        (f"t=-{AT},v1={VECTOR_DIGEST}", "whole seconds"),
        (f"t={AT}.0,v1={VECTOR_DIGEST}", "whole seconds"),
        (f"t={AT:_},v1={VECTOR_DIGEST}", "whole seconds"),
        (f"t=١{AT},v1={VECTOR_DIGEST}", "whole seconds"),
        (f"t={'9' * 5000},v1={VECTOR_DIGEST}", "whole seconds"),
        (f"t={AT},v1=", "64 lower-case"),
        (f"t={AT},v1={VECTOR_DIGEST.upper()}", "64 lower-case"),
        (f"t={AT},v1={VECTOR_DIGEST[:-1]}", "64 lower-case"),
        (f"t={AT},v1={VECTOR_DIGEST}0", "64 lower-case"),
        (f"t={AT},v1={'é' * 64}", "64 lower-case"),
        (f"t={AT},v1={VECTOR_DIGEST},v1=x", "64 lower-case"),
        (f"t={AT},v1={VECTOR_DIGEST}".encode("utf-16"), "key=value|has no"),
        (f"t={AT + 1},v1={VECTOR_DIGEST}", "no v1 signature matches"),
        (f"t=0{AT},v1={VECTOR_DIGEST}", "no v1 signature matches"),
        (f"t={AT},v1={OTHER}", "no v1 signature matches"),
        (f"t={AT},v1={hashlib.sha256(VECTOR).hexdigest()}", "no v1 signature matches"),
        (f"t={AT},v1={hmac.digest(SECRET.encode(), VECTOR, 'sha256').hex()}", "no v1 signature matches"),
    ],
)
def test_any_other_header_is_refused(signature: Any, told: str) -> None:
    """Malformed headers of any kind are one error, which says what to look at."""
    with pytest.raises(WebhookVerificationError, match=told):
        unwrap(VECTOR, signature, SECRET, now=AT)
    refused(VECTOR, signature, tolerance=None)


def test_a_body_that_was_serialised_again_is_refused_with_a_hint() -> None:
    body = json.dumps(json.loads(VECTOR)).encode()
    assert "parsed and serialised again" in refused(body, VECTOR_HEADER)


@pytest.mark.parametrize("body", [VECTOR.decode(), json.loads(VECTOR), None, [1], bytearray])
def test_a_body_that_is_not_bytes_is_a_type_error(body: Any) -> None:
    """No request could make it right, so it is not told as a bad signature; it says how to get the bytes."""
    for call in (verify_signature, unwrap):
        with pytest.raises(TypeError, match=r"await request\.body\(\)"):
            call(body, VECTOR_HEADER, SECRET, now=AT)


@pytest.mark.parametrize("age", [-300, -1, 0, 1, 300])
def test_a_recent_signature_verifies(age: float) -> None:
    verify_signature(VECTOR, VECTOR_HEADER, SECRET, now=AT + age)
    verify_signature(VECTOR, VECTOR_HEADER, SECRET, now=AT + age, tolerance=abs(age))
    verify_signature(VECTOR, VECTOR_HEADER, SECRET, now=datetime.fromtimestamp(AT + age, UTC))


@pytest.mark.parametrize(
    ("age", "told"),
    [
        (301, "301 s ago"),
        (-301, "301 s ahead"),
        (300.2, "301 s ago"),
        (-300.2, "301 s ahead"),
        (1e9, "ago"),
        (-1e9, "ahead"),
    ],
)
def test_an_old_signature_is_refused_and_so_is_one_of_the_future(age: float, told: str) -> None:
    """Both say that the signature itself is right, by how much it is too old, and to look at the clock."""
    text = refused(VECTOR, VECTOR_HEADER, now=AT + age)
    assert told in text
    assert "clock" in text
    for tolerance in (None, float("inf"), 10**400):
        verify_signature(VECTOR, VECTOR_HEADER, SECRET, now=AT + age, tolerance=tolerance)


def test_a_wrong_signature_is_told_before_its_age() -> None:
    assert "no v1 signature matches" in refused(VECTOR, f"t={AT},v1={OTHER}", now=AT + 10_000)


def test_now_is_this_machines_clock() -> None:
    """Without `now`, what was signed a moment ago verifies and the vector is too old."""
    recent = sign(VECTOR, SECRET)
    verify_signature(VECTOR, recent, SECRET)
    assert abs(int(recent[2:].partition(",")[0]) - time.time()) < 60
    with pytest.raises(WebhookVerificationError, match="ago"):
        verify_signature(VECTOR, VECTOR_HEADER, SECRET)


@pytest.mark.parametrize("tolerance", [-1, float("nan"), True, "300"])
def test_a_tolerance_that_is_none_is_refused(tolerance: Any) -> None:
    with pytest.raises(ValueError, match="tolerance="):
        verify_signature(VECTOR, VECTOR_HEADER, SECRET, tolerance=tolerance, now=AT)


@pytest.mark.parametrize(
    "now", [float("nan"), float("inf"), 10**400, True, "1710000000", datetime.fromisoformat("2024-03-09")]
)
def test_a_time_that_is_none_is_refused(now: Any) -> None:
    """A naive datetime would be hours off."""
    with pytest.raises(ValueError, match="now="):
        verify_signature(VECTOR, VECTOR_HEADER, SECRET, now=now)


@pytest.mark.parametrize("secrets", [[SECRET, "new"], ("old", SECRET), {"a", "b", SECRET}, iter(["x", SECRET])])
def test_one_of_several_secrets_is_enough(secrets: Any) -> None:
    """While a secret is changed, deliveries come with the old one and with the new one."""
    verify_signature(VECTOR, VECTOR_HEADER, secrets, now=AT)


def test_a_secret_is_taken_as_it_stands() -> None:
    """In UTF-8, with all its blanks; a mismatch hints at those."""
    for secret in ("clé 🔑", " blanks \n", "x" * 500):
        verify_signature(VECTOR, header(VECTOR, secret), secret, now=AT)
    assert "line break" in refused(VECTOR, VECTOR_HEADER, SECRET + "\n")
    assert "line break" not in refused(VECTOR, VECTOR_HEADER, "other")
    refused(VECTOR, VECTOR_HEADER, ["other", "another"])


@pytest.mark.parametrize("secret", ["", " \n", [], ["", SECRET], [SECRET, " "], None, b"bytes", 5, [None], "\ud800"])
def test_a_secret_that_is_none_is_a_configuration_error(secret: Any) -> None:
    """A blank variable must not turn into a key that anybody can guess, not even beside a good one."""
    for call in (verify_signature, unwrap):
        with pytest.raises(ConfigurationError, match="secret"):
            call(VECTOR, VECTOR_HEADER, secret, now=AT)
    if not isinstance(secret, list):
        with pytest.raises(ConfigurationError, match="secret"):
            sign(VECTOR, secret)


def test_a_verified_body_that_is_no_event_keeps_its_body() -> None:
    """It is Whereby's, so that it is not a bad signature: the error is the one for answers that cannot be read."""
    with pytest.raises(ResponseDecodeError, match="the webhook's body") as caught:
        unwrap(b"[]", header(b"[]"), SECRET, now=AT)
    assert caught.value.body == b"[]"
    assert caught.value.__context__ is None


@pytest.mark.parametrize("at", [AT, AT + 0.9, datetime.fromtimestamp(AT, UTC)])
def test_sign_makes_the_header_that_whereby_sends(at: float | datetime) -> None:
    assert sign(VECTOR, SECRET, at=at) == VECTOR_HEADER
    assert sign(bytearray(VECTOR), SECRET, at=at) == VECTOR_HEADER


def test_sign_refuses_what_cannot_be_signed() -> None:
    """Text, and a time that is none or before 1970, which would get another date than it was given."""
    with pytest.raises(TypeError, match="bytes"):
        sign(VECTOR.decode(), SECRET)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] - on purpose
    with pytest.raises(ValueError, match="at="):
        sign(VECTOR, SECRET, at=float("nan"))
    for early in (-1, -0.5, datetime(1969, 12, 31, tzinfo=UTC)):
        with pytest.raises(ValueError, match=r"at=.* is before 1970"):
            sign(VECTOR, SECRET, at=early)
