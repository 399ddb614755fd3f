"""Whatever comes as a webhook is an event or an error that is allowed; what Whereby did not sign never verifies.

The long command: `WHEREBY_EXAMPLES=100000 python -m pytest tests/fuzz --timeout=0`.
"""

from __future__ import annotations

import copy
import json
import pickle

import pytest
from fuzz.inputs import altered, attempted, effort, encoded, spoilt, words
from hypothesis import given, strategies as st
from support.webhook_samples import AT, DATA, SECRET, VECTOR, VECTOR_DIGEST, VECTOR_HEADER, event

from whereby_async.errors import ResponseDecodeError, WebhookVerificationError
from whereby_async.webhooks import Event, WebhookEvent, parse_event, sign, unwrap, verify_signature

BODIES = [event(type_) for type_ in (*DATA, "summary.finished")]

BITS = (
    b"t=",
    b"v1=",
    b"v0=",
    b",",
    b"=",
    b" ",
    b"\r\n",
    b"\x00",
    b"\xff",
    b"\xd9\xa1",
    str(AT).encode(),
    VECTOR_DIGEST.encode(),
    b"0" * 64,
    b"9" * 5000,
)


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """Any bytes; events, spoilt; and events with anything in any place."""
    match draw(st.sampled_from(("bytes", "spoilt", "altered", "altered", "word"))):
        case "bytes":
            return draw(st.binary())
        case "spoilt":
            return draw(spoilt(BODIES))
        case "altered":
            return draw(encoded(altered(json.loads(draw(st.sampled_from(BODIES))))))
        case _:
            types = st.sampled_from(list(DATA)) | words()
            return draw(encoded(st.fixed_dictionaries({"id": words(), "type": types, "data": words()})))


def read(body: bytes) -> Event | None:
    """The event, or none if there was the error for that, which keeps the body and says where."""
    found, error = attempted(lambda: parse_event(body))
    if error is not None:
        assert error.body == body
        assert error.path.startswith("$")
        assert error.__context__ is None
        assert str(error).startswith("the webhook's body can not be read: ")
    return found


@effort(500)
@given(body=bodies())
def test_any_body_is_an_event_or_a_decode_error(body: bytes) -> None:
    """An event can be shown, pickled and copied, and keeps what was sent; a signature changes nothing about it."""
    found = read(body)
    if found is None:
        with pytest.raises(ResponseDecodeError):
            unwrap(body, sign(body, SECRET, at=AT), SECRET, now=AT)
        return
    assert isinstance(found, WebhookEvent)
    assert found.body == body
    repr(found)
    assert pickle.loads(pickle.dumps(found)) == found == unwrap(body, sign(body, SECRET, at=AT), SECRET, now=AT)
    assert copy.deepcopy(found).body == body


def says_the_same(header: bytes) -> bool:
    """Whether a header still names the right time and digest, and nothing else that counts."""
    elements = [element.strip(b" \t\r\n") for element in header.split(b",")]
    if not all(b"=" in element for element in elements):
        return False
    times = {element for element in elements if element.startswith(b"t=")}
    digests = {element for element in elements if element.startswith(b"v1=")}
    well_formed = all(len(digest) == 67 and not digest[3:].strip(b"0123456789abcdef") for digest in digests)
    return times == {f"t={AT}".encode()} and f"v1={VECTOR_DIGEST}".encode() in digests and well_formed


@effort(500)
@given(header=spoilt([VECTOR_HEADER.encode()], BITS) | st.binary(), text=st.booleans())
def test_a_spoilt_header_verifies_only_if_it_still_says_the_same(header: bytes, text: bool) -> None:
    """Else it is `WebhookVerificationError`, and nothing but that."""
    given_header = header.decode("utf-8", "surrogateescape") if text else header
    if says_the_same(header):
        verify_signature(VECTOR, given_header, SECRET, now=AT)
        return
    with pytest.raises(WebhookVerificationError) as caught:
        verify_signature(VECTOR, given_header, SECRET, now=AT, tolerance=None)
    assert VECTOR_DIGEST not in str(caught.value)


@effort(300)
@given(body=spoilt([VECTOR]) | st.binary())
def test_a_spoilt_body_never_verifies(body: bytes) -> None:
    """One byte is enough."""
    if body != VECTOR:
        with pytest.raises(WebhookVerificationError):
            verify_signature(body, VECTOR_HEADER, SECRET, now=AT, tolerance=None)


@effort(200)
@given(body=st.binary(), secret=st.text(st.characters(exclude_categories=["Cs"])), at=st.integers(0, 10**11))
def test_what_was_signed_verifies(body: bytes, secret: str, at: int) -> None:
    """Any bytes, under any secret that is not blank, at its own time and in no other century."""
    if secret.strip():
        verify_signature(body, sign(body, secret, at=at), secret, now=at)
        with pytest.raises(WebhookVerificationError):
            verify_signature(body, sign(body, secret, at=at), secret, now=at + 3e9)
