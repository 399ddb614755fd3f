"""What a person sees when the server says no, over a socket."""

from __future__ import annotations

import functools
import html
import json
import pickle
import re
import sys
import time
import timeit
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote, quote_plus

import pytest
from support.recording_limiter import RecordingLimiter

from whereby_async import (
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    ConflictError,
    InternalServerError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    ResponseDecodeError,
    RetryPolicy,
    Throttled,
    UnprocessableEntityError,
    WherebyClient,
)
from whereby_async.models import LiveTranscriptionDestination, LiveTranscriptionOptions
from whereby_async.redaction import mask
from whereby_async.testing import FakeWhereby, Fault

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import FrameType

pytestmark = pytest.mark.anyio

STATUSES = {
    **dict.fromkeys((300, 302, 304, 402, 405, 408, 413, 418, 421, 425), APIStatusError),
    400: BadRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    422: UnprocessableEntityError,
    429: RateLimitError,
    **dict.fromkeys((500, 502, 503, 504, 599), InternalServerError),
}


async def error_of(fake: FakeWhereby, fault: Fault | None = None, **options: Any) -> APIStatusError:
    if fault is not None:
        fake.faults.add(fault)
    options = {"limiter": RecordingLimiter(), "retry": RetryPolicy(attempts=1), "max_wait": 0, **options}
    async with fake.client(**options) as client:
        with pytest.raises(APIStatusError) as caught:
            await client.meetings.get("1")
    return caught.value


@pytest.mark.parametrize(("status", "kind"), STATUSES.items())
async def test_every_status_but_2xx_is_an_error(status: int, kind: type[APIStatusError], fake: FakeWhereby) -> None:
    """The error tells operation, status and the server's words, and keeps its parts."""
    body = b"" if status == 304 else b'{"error": "Server words", "data": {"x": 1}}'
    error = await error_of(fake, Fault(status=status, body=body, headers={"X-RateLimit-Remaining": "77"}))
    assert type(error) is kind
    assert str(error).startswith(f"meetings.get: {status}")
    assert (error.status, error.operation, error.body) == (status, "meetings.get", body)
    assert error.rate_limit is not None
    assert error.rate_limit.remaining == 77
    if body:
        assert ": Server words" in str(error)
        assert (error.message, error.data) == ("Server words", {"x": 1})
    assert error.may_have_happened is (status < 400 or status >= 500 or status == 408)


@pytest.mark.parametrize(
    ("passed", "variable", "source"),
    [
        (None, "planted-key", "it comes from the variable WHEREBY_API_KEY."),
        ("planted-key", "another", "it was passed as api_key=."),
    ],
)
async def test_401_names_where_the_key_came_from(
    passed: str | None, variable: str, source: str, fake: FakeWhereby, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHEREBY_API_KEY", variable)
    error = await error_of(fake, api_key=passed)
    assert isinstance(error, AuthenticationError)
    assert str(error).endswith(f"Check the API key: {source}")
    assert "planted-key" not in repr(vars(error)) + str(error)


async def test_401_of_a_view_names_the_view_s_key(fake: FakeWhereby) -> None:
    async with fake.client(limiter=RecordingLimiter()) as client:
        with pytest.raises(AuthenticationError, match="it was passed as api_key="):
            await client.with_options(api_key="planted-key").meetings.get("1")


@pytest.mark.parametrize(
    ("fault", "advice"),
    [
        (Fault(status=403), "the organisation's plan or storage does not allow this"),
        (Fault(status=404), "It does not exist, or it was deleted."),
        (Fault(redirect="https://elsewhere.example/"), "check base_url"),
        (Fault(status=307, redirect="https://elsewhere.example/"), "Redirects are not followed"),
        (Fault(status=429, body=b'{"error": "Slow", "data": {"msLeft": 38689}}'), "again in 38.7 s."),
        (Fault(status=429, garbage_headers={"Retry-After": "2.5"}), "again in 2.5 s."),
        (Fault(status=429, garbage_headers={}, body=b""), "The organisation's points are spent."),
    ],
)
async def test_the_error_says_what_to_do(fault: Fault, advice: str, fake: FakeWhereby) -> None:
    assert advice in str(await error_of(fake, fault))


@pytest.mark.parametrize("path", ["", "/", "/V1", "/v1/meetings"])
async def test_404_of_a_wrong_base_url_names_it(path: str, fake: FakeWhereby) -> None:
    """A URL without the API's version is no meeting that was deleted."""
    root = fake.url.removesuffix("/v1") + path
    error = await error_of(fake, base_url=root)
    assert isinstance(error, NotFoundError)
    assert str(error).endswith(f"Check base_url={root.rstrip('/')!r}: it does not end in /v1, as the API's root does.")


async def test_429_tells_when_in_seconds(fake: FakeWhereby) -> None:
    """`retry_after` is what the server said, `None` if it said nothing."""
    error = await error_of(fake, Fault(status=429, body=b'{"error": "Slow", "data": {"msLeft": 38689}}'))
    assert isinstance(error, RateLimitError)
    assert error.retry_after == pytest.approx(38.689)
    silent = await error_of(fake, Fault(status=429, garbage_headers={}, body=b""))
    assert isinstance(silent, Throttled)
    assert silent.retry_after is None
    assert not error.may_have_happened


@pytest.mark.parametrize(
    ("body", "message", "data"),
    [
        (b'{"error": "Could not find meeting"}', "Could not find meeting", None),
        (b'{"message": "From a gateway"}', "From a gateway", None),
        (b'{"error": "", "message": "Second"}', "Second", None),
        (b'{"error": {"code": 5}}', '{"code":5}', None),
        (b'{"error": null, "data": [1]}', "", [1]),
        (b'{"data": {"msLeft": 5}}', "", {"msLeft": 5}),
        (b'"only text"', "only text", None),
        (b"[1, 2]", "", None),
        (b"5", "", None),
        (b"", "", None),
        (b"plain words\r\n on two  lines\x00\x1b[31m", "plain words on two lines [31m", None),
        (b"<html><head><style>p {x}</style><script>evil()</script></head><body><h1>502</h1> Bad", "502 Bad", None),
        (b"\xff\xfe not utf-8", "�� not utf-8", None),
        (b'{"error": "cut off', '{"error": "cut off', None),
        (b'{"error": "line\\nbreak\\u0000"}', "line break", None),
    ],
)
async def test_the_servers_words_are_taken_from_whatever_came(
    body: bytes, message: str, data: object, fake: FakeWhereby
) -> None:
    """`error`, else `message`, else the text without tags; one printable line; never a failure of its own."""
    error = await error_of(fake, Fault(status=400, body=body, content_type="text/html"))
    assert (error.message, error.data, error.body) == (message, data, body)
    assert "\n" not in str(error)


LATIN = "<h1>Zugriff für Sie gesperrt – 5 €</h1>"
WORDS = "Zugriff für Sie gesperrt – 5 €"


@pytest.mark.parametrize(
    ("content_type", "body", "message"),
    [
        ("text/html; charset=windows-1252", LATIN.encode("cp1252"), WORDS),
        ('text/html; Charset = "Windows-1252"', LATIN.encode("cp1252"), WORDS),
        ("text/html;charset=utf-16", LATIN.encode("utf-16"), WORDS),
        (
            "text/plain; format=flowed; charset=shift_jis; x=y",
            "ご利用できません".encode("shift_jis"),
            "ご利用できません",
        ),
        ("application/json; charset=iso-8859-1", '{"error": "gelöscht"}'.encode("latin-1"), "gelöscht"),
        ("text/html; charset=utf-8", LATIN.encode(), WORDS),
        ("text/html; charset=UTF8", LATIN.encode("cp1252"), "Zugriff f�r Sie gesperrt � 5 �"),
        ("text/html; charset=klingon", LATIN.encode(), WORDS),
        ("text/html; charset=hex", LATIN.encode(), WORDS),
        ("text/html; charset=idna", b"\xff" * 70 + LATIN.encode(), None),
        ("text/html; charset=", LATIN.encode(), WORDS),
        ("text/html; charset=utf-16", b"<p>odd", None),
        ("text/html; charset=utf-7", b"<p>+AGE-bc", "+AGE-bc"),
        ("text/html; charset=unicode_escape", b"<p>C:\\new", r"C:\new"),
        ("text/html; charset=Raw-Unicode-Escape", rb"<p>\u0041", r"\u0041"),
        ("text/html; charset=punycode", b"<p>Zugriff gesperrt-1a", "Zugriff gesperrt-1a"),
        ("text/html; charset=punycode", LATIN.encode(), WORDS),
        ("application/json; charset=ISO-8859-1", '{"error": "gelöscht – 5 €"}'.encode(), "gelöscht – 5 €"),
        ("text/html; charset=windows-1252", LATIN.encode(), WORDS),
        ("text/html; charset=us-ascii", LATIN.encode(), WORDS),
        ("text/html; charset=utf-16-le", LATIN.encode("utf-16-le"), WORDS),
        ("application/json", b'\xef\xbb\xbf{"error": "gone"}', "gone"),
        ("application/json; charset=utf-8", '\ufeff{"error": "gelöscht"}'.encode(), "gelöscht"),
        ("application/json; charset=iso-8859-1", b'\xef\xbb\xbf{"error": "gone"}', "gone"),
        ("application/json; charset=utf-16", '{"error": "gelöscht"}'.encode("utf-16"), "gelöscht"),
        ("application/json; charset=utf-16-be", '\ufeff{"error": "gone"}'.encode("utf-16-be"), "gone"),
        ("text/plain", "\ufeffgelöscht".encode(), "gelöscht"),
    ],
)
async def test_the_server_s_words_are_read_in_its_charset(
    content_type: str, body: bytes, message: str | None, fake: FakeWhereby
) -> None:
    """If there is such a charset and the body is no UTF-8; without a byte order mark; the body stays as it came."""
    error = await error_of(fake, Fault(status=502, body=body, content_type=content_type))
    assert error.body == body
    assert message in {None, error.message}


@pytest.mark.parametrize("depth", [200, 900, 5000, 100_000])
async def test_nested_nonsense_is_an_error_like_any_other(depth: int, fake: FakeWhereby) -> None:
    body = b'{"error": ' + b"[" * depth + b"]" * depth + b"}"
    error = await error_of(fake, Fault(status=400, body=body))
    assert isinstance(error, BadRequestError)
    assert len(error.message) <= 300


async def test_long_words_are_cut(fake: FakeWhereby) -> None:
    """A proxy's page does not fill the log; the body is kept whole."""
    body = b"<p>" + b"words " * 10_000
    error = await error_of(fake, Fault(status=502, body=body))
    assert len(error.message) == 300
    assert error.message.endswith("…")
    assert error.body == body


@pytest.mark.parametrize("key", ["planted-key", "eyJhbGciOiJub25lIn0.eyJpc3MiOiJwbGFudGVkIn0.planted"])
async def test_a_key_that_the_server_repeats_is_masked(key: str, fake: FakeWhereby) -> None:
    """Message, data and body of the error show `***` instead, and so does its pickle."""
    fake.also_accept(key)
    body = json.dumps({"error": f"bad key {key}", "data": {"key": key}}).encode()
    error = await error_of(fake, Fault(status=400, body=body), api_key=key)
    assert error.message == "bad key ***"
    assert error.data == {"key": "***"}
    assert b"***" in error.body
    told = f"{error} {error!r} {vars(error)!r}".encode() + bytes(error.body) + pickle.dumps(error)
    assert key.encode() not in told


@pytest.mark.parametrize(
    "secret",
    [
        "https://x.whereby.com/y?roomKey=planted.jwt.here",
        "Bearer planted",
        "AKIAPLANTED000001",
        "https://s3/x?AWSAccessKeyId=planted&Signature=planted%2B",
        "rtmp://planted/key",
    ],
)
async def test_secrets_in_the_servers_words_are_masked(secret: str, fake: FakeWhereby) -> None:
    error = await error_of(fake, Fault(status=400, body=json.dumps({"error": f"odd: {secret}."}).encode()))
    assert "planted" not in str(error).lower()
    assert "***" in error.message


ODD = "pL4/nt+ed&'q\"<é😀>=b\\ck%5Cx 9+"
"""A secret of which every coding escapes something."""
ESCAPES: dict[str, Callable[[str], str]] = {
    "plain": str,
    "JSON": lambda text: json.dumps(text)[1:-1],
    "JSON with slashes escaped": lambda text: json.dumps(text, ensure_ascii=False)[1:-1].replace("/", "\\/"),
    "JSON in JSON": lambda text: json.dumps(json.dumps(text))[3:-3],
    "URL": lambda text: quote(text, safe=""),
    "URL in lower case": lambda text: re.sub("%..", lambda octet: octet[0].lower(), quote(text)),
    "form": quote_plus,
    "URL in a URL": lambda text: quote(quote(text, safe=""), safe=""),
    "HTML": html.escape,
    "HTML by numbers": lambda text: "".join(f"&#{ord(c)};" for c in text),
    "HTML by numbers in hexadecimal": lambda text: "".join(f"&#x{ord(c):X};" for c in text),
    "HTML by names": lambda text: html.escape(text).replace("/", "&sol;").replace("é", "&eacute;"),
    "HTML in HTML": lambda text: html.escape(html.escape(text)),
    "HTML by numbers without semicolons": lambda text: re.sub(
        r";(?!\d)", "", "".join(c if c.isalnum() else f"&#{ord(c)};" for c in text)
    ),
    "HTML without semicolons": lambda text: html.escape(text).replace("&amp;", "&amp").replace("&lt;", "&lt"),
    "HTML without semicolons in HTML": lambda text: html.escape(html.escape(text).replace(";", "")),
    "form, decoded": lambda text: text.replace("+", " "),
    "form, decoded and trimmed": lambda text: text.replace("+", " ").strip(),
    "form, decoded, in JSON": lambda text: json.dumps(text.replace("+", " "))[1:-1],
    "form, decoded, in a URL": lambda text: quote(text.replace("+", " ")),
    "backslashes": lambda text: re.sub(r"(\W)", r"\\\1", text),
    "backslashes in JSON": lambda text: json.dumps(re.sub(r"(\W)", r"\\\1", text))[1:-1],
    "backslashes in a URL": lambda text: quote(re.sub(r"(\W)", r"\\\1", text), safe=""),
    "backslashes in a URL in a URL": lambda text: quote(quote(re.sub(r"(\W)", r"\\\1", text), safe=""), safe=""),
    "backslashes before a URL's octets": lambda text: re.sub(r"(%[0-7].)", r"%5C\1", quote(text, safe="")),
    "backslashes in HTML": lambda text: html.escape(re.sub(r"(\W)", r"\\\1", text)).replace("\\", "&#92;"),
    "backslashes by name in HTML": lambda text: html.escape(re.sub(r"(\W)", r"\\\1", text)).replace("\\", "&bsol;"),
    "backslashes by number": lambda text: re.sub(r"(\W)", r"\\\1", text).replace("\\", "\\u005C"),
    "repr": lambda text: repr(text)[1:-1],
    "ascii": lambda text: ascii(text)[1:-1],
    "repr in JSON": lambda text: json.dumps(repr(text))[2:-2],
}
END = datetime(2099, 1, 1, tzinfo=UTC)
STREAM = f"rtmp://live.example/app/{quote(ODD, safe='')}"
CARRIERS: dict[str, Callable[[WherebyClient], Awaitable[object]]] = {
    "accessKeySecret": lambda w: w.meetings.create(
        end_date=END, recording={"type": "cloud", "destination": {"provider": "s3", "accessKeySecret": ODD}}
    ),
    "accessKeyId, in a Struct": lambda w: w.meetings.create(
        end_date=END,
        live_transcription=LiveTranscriptionOptions(
            destination=LiveTranscriptionDestination(provider="s3", access_key_id=ODD), start_trigger="manual"
        ),
    ),
    "stream key": lambda w: w.meetings.create(end_date=END, streaming={"destination": {"url": STREAM}}),
    "stream key in a query": lambda w: w.meetings.create(
        end_date=END, streaming={"destination": {"url": f"rtmps://h/a?k={quote(ODD, safe='')}"}}
    ),
    "password of a stream": lambda w: w.meetings.create(
        end_date=END, streaming={"destination": {"url": f"rtmps://u:{quote(ODD, safe='')}@h/a"}}
    ),
    "roomKey in any field": lambda w: w.request(
        "POST", "/meetings", json={"rooms": [f"https://s.whereby.com/r?a=b&roomKey={quote(ODD, safe='')}#x"]}
    ),
    "roomKey in a query": lambda w: w.request("GET", "/meetings", params={"roomKey": ODD}),
    "accessLink": lambda w: w.request("POST", "/meetings", json=[{"accessLink": ODD}]),
    "webhook secret": lambda w: w.request("POST", "/meetings", json={"webhook": {"secret": ODD}}),
    "dial-in code": lambda w: w.request("POST", "/meetings", json={"dialIn": {"code": ODD}}),
    "a form's field": lambda w: w.rooms.set_logo("/r", b"\x89PNG\r\n\x1a\n", extra={"accessKeySecret": ODD}),
}


async def quoting(fake: FakeWhereby, call: Callable[[WherebyClient], Awaitable[object]], body: bytes) -> APIStatusError:
    fake.faults.add(Fault(status=400, body=body, content_type="text/html"))
    async with fake.client(limiter=RecordingLimiter(), retry=RetryPolicy(attempts=1)) as client:
        with pytest.raises(BadRequestError) as caught:
            await call(client)
    return caught.value


@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize("escape", ESCAPES)
async def test_a_secret_of_the_request_is_masked_however_it_is_quoted(
    carrier: str, escape: str, fake: FakeWhereby
) -> None:
    """In JSON and in a page; the body stays as it came."""
    said = f'"x.y" with value "{ESCAPES[escape](ODD)}" fails to match'
    for body in (json.dumps({"error": said}), json.dumps({"message": {"a": [said]}}), said):
        error = await quoting(fake, CARRIERS[carrier], body.encode())
        assert error.body == body.encode()
        assert 'with value "***" fails to match' in error.message.replace('\\"', '"')
        assert error.message in str(error)


@pytest.mark.parametrize(
    "secret", [ODD, "\\\\+", "+" * 7 + "a", "%5c" * 9 + "a", "&amp;" * 9 + "a", "a" * 9 + "b", "% " * 9]
)
def test_no_text_makes_masking_slow(secret: str) -> None:
    """The time grows with the text, and not with a power of it."""

    def seconds(text: str) -> float:
        run = functools.partial(mask, text, f"{secret}!padded")
        return min(timeit.repeat(run, time.process_time, number=1, repeat=4))

    for unit in ("\\", "%", "%5C", "%25", "&", "&amp;", "&amp", "&#92;", "&#0", "+", " ", "a", "\\u005c", "\\n"):
        short = (unit * 5000)[:5000]
        assert seconds(short * 5) < 15 * seconds(short) + 0.25  # the rest is for busy machines


def test_masking_a_long_secret_takes_no_longer() -> None:
    """Where it is not in the text: a key's pattern took a millisecond for each of its characters."""

    def calls(secret: str) -> int:
        count = 0

        def note(_frame: FrameType, event: str, _: object) -> None:
            nonlocal count
            count += event == "call"

        sys.setprofile(note)
        try:
            assert mask("Could not find meeting abcdefgh", secret) == "Could not find meeting abcdefgh"
        finally:
            sys.setprofile(None)
        return count

    calls("abcdefghij")  # what is known of each character is kept
    assert calls("jihgfedcba" * 300) < 2 * calls("jihgfedcbaabcd")


@pytest.mark.parametrize("length", range(240, 310))
async def test_no_part_of_a_secret_is_left_where_words_are_cut(length: int, fake: FakeWhereby) -> None:
    error = await quoting(fake, CARRIERS["accessKeySecret"], json.dumps({"error": "w" * length + ODD}).encode())
    assert error.message.strip("w") in {"***", "**…", "*…", "…"}


async def test_only_what_the_request_carried_is_masked_and_no_short_words(fake: FakeWhereby) -> None:
    """Names, the bucket and other values of the request stay readable; so does a secret that is an everyday word."""
    recording = {
        "type": "cloud",
        "destination": {"bucket": "my-bucket", "accessKeyId": "cloud", "accessKeySecret": ODD},
    }

    async def create(client: WherebyClient) -> object:
        return await client.meetings.create(
            end_date=END, recording=recording, streaming={"destination": {"url": "rtmp://live.example/app"}}
        )

    told = "accessKeySecret is not for my-bucket of cloud, nor for live.example"
    assert (await quoting(fake, create, json.dumps({"error": told}).encode())).message == told


async def test_an_answer_that_does_not_decode_quotes_no_secret_of_the_request(fake: FakeWhereby) -> None:
    """Which value is none of an enum's, is said in words that are msgspec's."""
    fake.faults.add(Fault(body=json.dumps("PLANTEDwords").encode()))
    async with fake.client(limiter=RecordingLimiter()) as client:
        with pytest.raises(ResponseDecodeError, match=r"invalid enum value '\*\*\*'") as caught:
            await client.request("POST", "/meetings", json={"secret": "PLANTEDwords"}, type=Literal["a"])
    assert caught.value.body == b'"PLANTEDwords"'


async def test_an_error_holds_no_request_and_no_header(fake: FakeWhereby) -> None:
    error = await error_of(fake, Fault(status=429))
    kept = ["body", "data", "may_have_happened", "message", "operation", "rate_limit", "retry_after", "status"]
    assert sorted(vars(error)) == kept
    assert error.__cause__ is None
    assert error.__context__ is None


async def test_an_answer_that_does_not_decode_keeps_its_body(fake: FakeWhereby) -> None:
    """A 2xx with the wrong body: the operation and the place are told, the body is kept, the server did act."""
    fake.faults.add(Fault(body=b'{"results": [{"planted": 1}], "cursor": null}'))
    async with WherebyClient(fake.api_key, base_url=fake.url, limiter=RecordingLimiter()) as client:
        with pytest.raises(ResponseDecodeError, match=r"^recordings\.list: the answer can not be read: ") as caught:
            await client.recordings.list()
    assert caught.value.path.startswith("$.results[0]")
    assert caught.value.body == b'{"results": [{"planted": 1}], "cursor": null}'
    assert caught.value.may_have_happened is True
    assert caught.value.operation == "recordings.list"
    assert "planted" not in repr(caught.value)
