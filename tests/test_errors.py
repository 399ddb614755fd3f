from __future__ import annotations

import copy
import json
import pickle
import traceback
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import pytest
from recording_limiter import RecordingLimiter

import whereby_async
from whereby_async import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    BudgetError,
    BudgetTimeoutError,
    ClientClosedError,
    ConfigurationError,
    ConflictError,
    InternalServerError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    ResponseDecodeError,
    RetryPolicy,
    Throttled,
    UnprocessableEntityError,
    WebhookVerificationError,
    WherebyClient,
    WherebyError,
)
from whereby_async.errors import status_error_class
from whereby_async.rate_limit import RateLimit
from whereby_async.testing import FakeWhereby, Fault

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

Duplicate: TypeAlias = "Callable[[WherebyError], WherebyError]"

BODY = b'{"error": "planted-body", "data": {"msLeft": 1500}}'
PARTS: dict[str, Any] = {
    "message": "planted-words",
    "data": {"msLeft": 1500},
    "operation": "meetings.get",
    "rate_limit": RateLimit(limit=100, remaining=0, retry_after=1.5),
    "body": BODY,
}

STATUSES = {
    300: APIStatusError,
    302: APIStatusError,
    304: APIStatusError,
    400: BadRequestError,
    401: AuthenticationError,
    402: APIStatusError,
    403: PermissionDeniedError,
    404: NotFoundError,
    405: APIStatusError,
    409: ConflictError,
    413: APIStatusError,
    418: APIStatusError,
    422: UnprocessableEntityError,
    429: RateLimitError,
    500: InternalServerError,
    502: InternalServerError,
    503: InternalServerError,
    504: InternalServerError,
    599: InternalServerError,
}

PARENTS = {
    ConfigurationError: WherebyError,
    ClientClosedError: WherebyError,
    APIConnectionError: WherebyError,
    APITimeoutError: APIConnectionError,
    APIStatusError: WherebyError,
    BadRequestError: APIStatusError,
    AuthenticationError: APIStatusError,
    PermissionDeniedError: APIStatusError,
    NotFoundError: APIStatusError,
    ConflictError: APIStatusError,
    UnprocessableEntityError: APIStatusError,
    InternalServerError: APIStatusError,
    RateLimitError: APIStatusError,
    BudgetError: WherebyError,
    BudgetTimeoutError: BudgetError,
    ResponseDecodeError: WherebyError,
    WebhookVerificationError: WherebyError,
    Throttled: WherebyError,
}


def one_of_each() -> list[WherebyError]:
    """An error of each class, all its parts filled."""
    errors: list[WherebyError] = [
        WherebyError("text"),
        Throttled("text"),
        ConfigurationError("text"),
        ClientClosedError("text"),
        APIConnectionError("text", operation="meetings.create", may_have_happened=True),
        APITimeoutError("text", operation="meetings.create", may_have_happened=True),
        BudgetError("text"),
        BudgetTimeoutError("text", retry_after=2.5),
        ResponseDecodeError("text", body=BODY, path="$.results[0]", operation="meetings.list"),
        WebhookVerificationError("text"),
        *(kind("text", status=status, may_have_happened=True, **PARTS) for status, kind in STATUSES.items()),
    ]
    for error in errors:
        if isinstance(error, RateLimitError):
            error.retry_after = 1.5
    return errors


each_error = pytest.mark.parametrize("error", one_of_each(), ids=lambda error: f"{type(error).__name__}")


def test_the_tree_is_the_documented_one() -> None:
    """Each class has its one documented parent, all hang below `WherebyError`, and none is missing at the top."""
    for kind, parent in PARENTS.items():
        assert kind.__bases__[0] is parent
        assert getattr(whereby_async, kind.__name__) is kind
    assert {type(error) for error in one_of_each()} == {WherebyError, *PARENTS}
    assert issubclass(RateLimitError, Throttled)
    assert issubclass(BudgetTimeoutError, Throttled)
    assert {kind for kind in PARENTS if issubclass(kind, Throttled)} == {Throttled, RateLimitError, BudgetTimeoutError}


def pickled(protocol: int) -> Duplicate:
    """A duplicate that went through a pickle."""
    return lambda error: cast("WherebyError", pickle.loads(pickle.dumps(error, protocol)))


DUPLICATES: dict[str, Duplicate] = {"copy": copy.copy, "deepcopy": copy.deepcopy} | {
    f"pickle{protocol}": pickled(protocol) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
}


@each_error
@pytest.mark.parametrize("duplicate", DUPLICATES.values(), ids=DUPLICATES)
def test_every_error_copies_and_pickles(error: WherebyError, duplicate: Duplicate) -> None:
    """A copy has the same class, text and parts, and its repr is as silent."""
    error.add_note("a note")
    other = duplicate(error)
    assert type(other) is type(error)
    assert other.args == error.args
    assert str(other) == str(error)
    assert vars(other) == vars(error)
    assert [type(part) for part in vars(other).values()] == [type(part) for part in vars(error).values()]
    assert repr(other) == repr(error)


@each_error
def test_no_repr_shows_a_body(error: WherebyError) -> None:
    """Neither repr, nor str, nor a formatted traceback with locals shows the body that an error keeps."""
    try:
        raise error
    except WherebyError as caught:
        told = "".join(traceback.TracebackException.from_exception(caught, capture_locals=True).format())
    for text in (repr(error), str(error), repr(vars(error).get("body")), told.replace(repr(BODY), "")):
        assert "planted-body" not in text


@pytest.mark.parametrize(("status", "kind"), STATUSES.items())
def test_a_status_has_its_class(status: int, kind: type[APIStatusError]) -> None:
    """The documented statuses have classes of their own, from 500 on it is the server's failure."""
    assert status_error_class(status) is kind


def test_who_did_nothing_says_so() -> None:
    """Errors of ours that are raised before anything was sent have `may_have_happened=False`; an answer that does not decode was acted on."""
    for kind in (ConfigurationError, ClientClosedError, BudgetError, BudgetTimeoutError, WebhookVerificationError):
        assert kind("text").may_have_happened is False
    assert APIConnectionError("text").may_have_happened is False
    assert ResponseDecodeError("text", body=b"").may_have_happened is True


def test_a_decode_error_is_told_with_its_operation() -> None:
    """`during` puts the operation in front and keeps body and path."""
    error = ResponseDecodeError("the answer is odd", body=BODY, path="$.x").during("meetings.get")
    assert str(error) == "meetings.get: the answer is odd"
    assert (error.body, error.path, error.operation) == (BODY, "$.x", "meetings.get")


# Over a socket: what a person sees.


@pytest.fixture
async def fake() -> AsyncIterator[FakeWhereby]:
    """A server with points for everything."""
    async with FakeWhereby(limit=1_000_000) as server:
        yield server


async def error_of(fake: FakeWhereby, fault: Fault | None = None, **options: Any) -> APIStatusError:
    """What a read ends with."""
    if fault is not None:
        fake.faults.add(fault)
    options = {"limiter": RecordingLimiter(), "retry": RetryPolicy(attempts=1), "max_wait": 0, **options}
    async with fake.client(**options) as client:
        with pytest.raises(APIStatusError) as caught:
            await client.meetings.get("1")
    return caught.value


@pytest.mark.anyio
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
    assert error.may_have_happened is (status < 400 or status >= 500)


@pytest.mark.anyio
async def test_401_names_the_variable(fake: FakeWhereby, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong key from the environment: the error names the variable, and shows no key."""
    monkeypatch.setenv("WHEREBY_API_KEY", "planted-key")
    error = await error_of(fake, api_key=None)
    assert isinstance(error, AuthenticationError)
    assert "Check the API key: it comes from the variable WHEREBY_API_KEY." in str(error)
    assert "planted-key" not in repr(vars(error)) + str(error)


@pytest.mark.anyio
async def test_401_names_the_argument(fake: FakeWhereby, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong key that was passed: the error says so, also when a variable is set."""
    monkeypatch.setenv("WHEREBY_API_KEY", fake.api_key)
    error = await error_of(fake, api_key="planted-key")
    assert "Check the API key: it was passed as api_key=." in str(error)
    assert "WHEREBY_API_KEY" not in str(error)


@pytest.mark.anyio
async def test_401_of_a_view_names_the_view_s_key(fake: FakeWhereby) -> None:
    """A key of `with_options` is the one that is told of."""
    async with fake.client(limiter=RecordingLimiter()) as client:
        with pytest.raises(AuthenticationError, match="it was passed as api_key="):
            await client.with_options(api_key="planted-key").meetings.get("1")


@pytest.mark.anyio
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
    """403 speaks of the plan, 429 says when, a redirect points to base_url."""
    assert advice in str(await error_of(fake, fault))


@pytest.mark.anyio
async def test_429_tells_when_in_seconds(fake: FakeWhereby) -> None:
    """`retry_after` is what the server said, `None` if it said nothing."""
    error = await error_of(fake, Fault(status=429, body=b'{"error": "Slow", "data": {"msLeft": 38689}}'))
    assert isinstance(error, RateLimitError)
    assert error.retry_after == pytest.approx(38.689)
    silent = await error_of(fake, Fault(status=429, garbage_headers={}, body=b""))
    assert isinstance(silent, Throttled)
    assert silent.retry_after is None
    assert not error.may_have_happened


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("body", "message", "data"),
    [
        (b'{"error": "Could not find meeting"}', "Could not find meeting", None),
        (b'{"message": "From a gateway"}', "From a gateway", None),
        (b'{"error": "", "message": "Second"}', "Second", None),
        (b'{"error": {"code": 5}}', "{'code': 5}", None),
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


@pytest.mark.anyio
@pytest.mark.parametrize("depth", [200, 900, 5000, 100_000])
async def test_nested_nonsense_is_an_error_like_any_other(depth: int, fake: FakeWhereby) -> None:
    """Deep nesting in an error's body breaks nothing."""
    body = b'{"error": ' + b"[" * depth + b"]" * depth + b"}"
    error = await error_of(fake, Fault(status=400, body=body))
    assert isinstance(error, BadRequestError)
    assert len(error.message) <= 300


@pytest.mark.anyio
async def test_long_words_are_cut(fake: FakeWhereby) -> None:
    """A proxy's page does not fill the log; the body is kept whole."""
    body = b"<p>" + b"words " * 10_000
    error = await error_of(fake, Fault(status=502, body=body))
    assert len(error.message) == 300
    assert error.message.endswith("…")
    assert error.body == body


@pytest.mark.anyio
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


@pytest.mark.anyio
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
    """What looks like a key or a signed link does not get into the text of an error."""
    error = await error_of(fake, Fault(status=400, body=json.dumps({"error": f"odd: {secret}."}).encode()))
    assert "planted" not in str(error).lower()
    assert "***" in error.message


@pytest.mark.anyio
async def test_an_error_holds_no_request_and_no_header(fake: FakeWhereby) -> None:
    """What an error keeps is what the docs say, and nothing more."""
    error = await error_of(fake, Fault(status=429))
    assert set(vars(error)) == {
        "status",
        "message",
        "data",
        "operation",
        "rate_limit",
        "body",
        "may_have_happened",
        "retry_after",
    }
    assert error.__cause__ is None
    assert error.__context__ is None


@pytest.mark.anyio
async def test_an_answer_that_does_not_decode_keeps_its_body(fake: FakeWhereby) -> None:
    """A 2xx with the wrong body: the operation and the place are told, the body is kept, the server did act."""
    fake.faults.add(Fault(body=b'{"results": [{"planted": 1}], "cursor": null}'))
    async with WherebyClient(fake.api_key, base_url=fake.url, limiter=RecordingLimiter()) as client:
        with pytest.raises(
            ResponseDecodeError, match=r"^recordings\.list: the answer is not a Page\[Recording\]"
        ) as caught:
            await client.recordings.list()
    assert caught.value.path.startswith("$.results[0]")
    assert caught.value.body == b'{"results": [{"planted": 1}], "cursor": null}'
    assert caught.value.may_have_happened is True
    assert caught.value.operation == "recordings.list"
    assert "planted" not in repr(caught.value)
