from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given, strategies as st
from support.recording_limiter import RecordingLimiter

from whereby_async import ConfigurationError, Priority, RetryPolicy, SessionPool, WherebyClient, use_priority
from whereby_async.configuration import read_base_url, read_key, request_headers
from whereby_async.testing import FakeWhereby

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

KEY = "planted-key"
JWT = "eyJhbGciOiJub25lIn0.eyJpc3MiOiJwbGFudGVkIn0.planted"


def client(**options: Any) -> WherebyClient:
    """A client that sends nothing in this module unless told to."""
    given: dict[str, Any] = {"api_key": KEY, "limiter": RecordingLimiter(), **options}
    return WherebyClient(**given)


@pytest.fixture
async def fake() -> AsyncIterator[FakeWhereby]:
    """A server that takes the planted key."""
    async with FakeWhereby(api_key=KEY) as server:
        yield server


# The key


@pytest.mark.anyio
async def test_the_key_comes_from_the_environment(fake: FakeWhereby, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without `api_key=` the variable counts; whitespace around it does not."""
    monkeypatch.setenv("WHEREBY_API_KEY", f"  {KEY}\n")
    async with WherebyClient(base_url=fake.url, limiter=RecordingLimiter()) as whereby:
        assert await whereby.meetings.list().collect() == []


@pytest.mark.anyio
async def test_a_passed_key_wins_over_the_environment(fake: FakeWhereby, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is passed is what is used."""
    monkeypatch.setenv("WHEREBY_API_KEY", "another")
    async with WherebyClient(KEY, base_url=fake.url, limiter=RecordingLimiter()) as whereby:
        assert await whereby.meetings.list().collect() == []


def test_a_missing_key_names_both_ways_to_give_one() -> None:
    """Neither passed nor set: told at construction."""
    with pytest.raises(
        ConfigurationError, match=r"no API key: set the variable WHEREBY_API_KEY, or pass api_key= \(it was not set\)"
    ):
        WherebyClient()


@pytest.mark.parametrize("blank", ["", " ", "\n\t"])
def test_a_blank_key_is_none(blank: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blank is missing, passed or set; a passed blank does not fall back to the variable."""
    with pytest.raises(ConfigurationError, match="it was blank"):
        WherebyClient(blank)
    monkeypatch.setenv("WHEREBY_API_KEY", blank)
    with pytest.raises(ConfigurationError, match="it was blank"):
        WherebyClient()
    monkeypatch.setenv("WHEREBY_API_KEY", KEY)
    with pytest.raises(ConfigurationError, match="it was blank"):
        WherebyClient(blank)


@pytest.mark.parametrize("key", ["planted key", "planted\nkey", "planted\x00key", "plantedé", "planted\x7f"])
def test_a_key_that_no_header_can_carry_is_refused(key: str) -> None:
    """A line break in a key would be a header of its own; the error shows nothing of the key."""
    with pytest.raises(ConfigurationError, match="no header can carry") as caught:
        WherebyClient(key)
    assert "planted" not in str(caught.value)


@pytest.mark.parametrize("key", [5, b"planted", ["planted"]])
def test_a_key_of_another_type_is_refused(key: object) -> None:
    """The type is told, the value is not."""
    with pytest.raises(ConfigurationError, match=f"must be a string, not {type(key).__name__}") as caught:
        WherebyClient(cast("str", key))
    assert "planted" not in str(caught.value)


@given(st.text())
def test_no_error_about_a_key_shows_it(key: str) -> None:
    """Whatever the key: it is taken, or refused without being repeated."""
    try:
        read, _ = read_key(key)
    except ConfigurationError as error:
        told = str(error)
    else:
        assert read == key.strip()
        assert repr(read) == "'***'"
        return
    assert len(key.strip()) < 4 or key.strip() not in told


def test_headers_carry_the_bearer_silently() -> None:
    """The bearer is there and does not show."""
    headers = request_headers(read_key(KEY)[0])
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert headers["User-Agent"].startswith("whereby-async/")
    assert KEY not in repr(headers)


# The URL


@pytest.mark.parametrize(
    ("given", "used"),
    [
        (None, "https://api.whereby.dev/v1"),
        ("https://api.whereby.dev/v1", "https://api.whereby.dev/v1"),
        ("https://api.whereby.dev/v1/", "https://api.whereby.dev/v1"),
        (" https://proxy.example:8443/whereby//\n", "https://proxy.example:8443/whereby"),
        ("https://proxy.example", "https://proxy.example"),
        ("http://localhost:8080/v1", "http://localhost:8080/v1"),
        ("http://127.0.0.1:1/v1", "http://127.0.0.1:1/v1"),
        ("http://127.8.9.1/v1", "http://127.8.9.1/v1"),
        ("http://[::1]:9/v1", "http://[::1]:9/v1"),
        ("HTTPS://Api.Example/v1", "https://Api.Example/v1"),
    ],
)
def test_base_url_is_taken(given: str | None, used: str) -> None:
    """Https to anywhere, http to loopback only; a slash at the end does not count."""
    assert client(base_url=given).base_url == used


def test_base_url_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable counts if nothing is passed; an empty one does not."""
    monkeypatch.setenv("WHEREBY_BASE_URL", "https://other.example/v1/")
    assert client().base_url == "https://other.example/v1"
    assert client(base_url="https://passed.example").base_url == "https://passed.example"
    monkeypatch.setenv("WHEREBY_BASE_URL", "")
    assert client().base_url == "https://api.whereby.dev/v1"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "no usable URL"),
        ("api.whereby.dev/v1", "no usable URL"),
        ("ftp://api.whereby.dev", "no usable URL"),
        ("https://", "no usable URL"),
        ("https:///v1", "no usable URL"),
        ("https://api.example:port/v1", "no usable URL"),
        ("https://api.example:99999/v1", "no usable URL"),
        ("https://api.example:0/v1", "no usable URL"),
        ("https://[::1/v1", "no usable URL"),
        ("https://api .example/v1", "no usable URL"),
        ("https://api.example/v1\r\nX: y", "no usable URL"),
        ("https://äpi.example/v1", "no usable URL"),
        ("https://api.example/v1\x00", "no usable URL"),
        ("http://api.whereby.dev/v1", "in the clear"),
        ("http://localhost.example/v1", "in the clear"),
        ("http://whereby.localhost/v1", "in the clear"),
        ("http://128.0.0.1/v1", "in the clear"),
        ("http://0.0.0.0/v1", "in the clear"),
        ("http://10.0.0.1/v1", "in the clear"),
        ("https://user:planted@api.example/v1", "must not hold a user"),
        ("https://planted@api.example/v1", "must not hold a user"),
        ("https://user:planted/x@api.example/v1", "must not hold a user"),
        ("https://api.example/v1?key=planted", "query or a fragment"),
        ("https://api.example/v1#planted", "query or a fragment"),
        ("https://api.example/v1?", "query or a fragment"),
    ],
)
def test_base_url_that_cannot_be_used_is_refused(url: str, words: str) -> None:
    """The error says what is wrong and shows no password."""
    with pytest.raises(ConfigurationError, match="base_url") as caught:
        client(base_url=url)
    assert words in str(caught.value)
    assert "planted" not in str(caught.value)


@pytest.mark.parametrize("url", [5, b"https://api.example", ["https://api.example"]])
def test_base_url_of_another_type_is_refused(url: object) -> None:
    """The type is told."""
    with pytest.raises(ConfigurationError, match=f"base_url must be a string, not {type(url).__name__}"):
        client(base_url=url)


def test_a_key_passed_for_a_url_does_not_show() -> None:
    """Who mixes up the two does not find the key in a log."""
    with pytest.raises(ConfigurationError) as caught:
        client(base_url=JWT)
    assert "planted" not in str(caught.value)


@given(st.text(st.characters(codec="utf-8")).map(lambda text: "http://" + text))
def test_http_never_leaves_the_machine(url: str) -> None:
    """Whatever the rest of an http URL: it is refused, or its host is loopback."""
    try:
        used = read_base_url(url)
    except ConfigurationError:
        return
    assert used.startswith(("http://localhost", "http://127.", "http://[::1]"))


# Numbers, lanes, hooks


@pytest.mark.parametrize("timeout", [0, -1, math.nan, math.inf, "30", None, True, 10**400])
def test_a_timeout_that_is_no_time_is_refused(timeout: object) -> None:
    """Zero, negative, endless or no number: told, with the way to a deadline; so in a view."""
    with pytest.raises(ConfigurationError, match="timeout=") as caught:
        client(timeout=timeout)
    assert "asyncio.timeout" in str(caught.value)
    with pytest.raises(ConfigurationError, match="timeout="):
        client().with_options(timeout=cast("float", timeout))


@pytest.mark.parametrize("max_wait", [-1, -0.001, math.nan, "5", True, 10**400])
def test_a_max_wait_that_is_no_time_is_refused(max_wait: object) -> None:
    """Negative or no number: told, with what 0 and None mean; so in a view."""
    with pytest.raises(ConfigurationError, match="max_wait=") as caught:
        client(max_wait=max_wait)
    assert "fail at once" in str(caught.value)
    with pytest.raises(ConfigurationError, match="max_wait="):
        client().with_options(max_wait=cast("float", max_wait))


@pytest.mark.anyio
@pytest.mark.parametrize(("given", "asked"), [(None, None), (0, 0.0), (2.5, 2.5), (math.inf, None)])
async def test_max_wait_reaches_the_limiter(given: float | None, asked: float | None, fake: FakeWhereby) -> None:
    """The limiter is told how long a call may wait; endless is `None`."""
    limiter = RecordingLimiter()
    async with fake.client(limiter=limiter, max_wait=given) as whereby:
        await whereby.meetings.list()
        await whereby.with_options(max_wait=7).meetings.list()
    assert [permit.max_wait for permit in limiter.permits] == [asked, 7.0]


@pytest.mark.parametrize("priority", [5, "BATCH", -1])
def test_a_lane_that_is_none_is_refused(priority: object) -> None:
    """By the client, a view and `use_priority` alike, naming the three."""
    words = r"is no lane: pass Priority\.INTERACTIVE, Priority\.NORMAL or Priority\.BATCH"
    with pytest.raises(ConfigurationError, match=words):
        client(priority=priority)
    with pytest.raises(ConfigurationError, match=words):
        client().with_options(priority=cast("Priority", priority))
    with pytest.raises(ConfigurationError, match=words), use_priority(cast("Priority", priority)):
        pass


def test_a_hook_without_a_method_is_refused() -> None:
    """A misspelt hook would never be told anything: it is told of at construction."""

    class Misspelt:
        def on_atempt(self, details: object) -> None:
            """Never called."""

    with pytest.raises(
        ConfigurationError,
        match=r"has none of the methods on_call, on_attempt, on_retry, on_response, on_end, on_limiter, on_wait",
    ):
        client(hooks=[Misspelt()])


def test_a_bare_hook_is_told_to_be_a_list() -> None:
    """One hook without its list is a plain error, not one about iteration."""

    class Hook:
        def on_retry(self, details: object) -> None:
            """Never called."""

    with pytest.raises(ConfigurationError, match=r"hooks holds the class Hook and not an object of it: pass Hook\(\)"):
        client(hooks=[Hook])
    with pytest.raises(ConfigurationError, match=r"hooks=.* is no list of hooks: pass \["):
        client(hooks=Hook())


def test_a_repr_shows_where_and_no_key() -> None:
    """A client's and a view's repr tell the URL only."""
    whereby = client(base_url="https://api.example/v1")
    assert repr(whereby) == "<WherebyClient https://api.example/v1>"
    assert repr(whereby.with_options(timeout=1)) == "<WherebyClient view https://api.example/v1>"


def test_retry_policy_is_checked_when_it_is_made() -> None:
    """A policy that is wrong never reaches a client."""
    with pytest.raises(ConfigurationError, match="attempts=0"):
        client(retry=RetryPolicy(attempts=0))


def test_views_share_what_they_do_not_replace() -> None:
    """The limiter stays the same object unless another one is given."""
    whereby = client()
    other = RecordingLimiter()
    assert whereby.with_options(api_key="rotated").limiter is whereby.limiter
    assert whereby.with_options(limiter=other).limiter is other
    assert whereby.with_options().base_url == whereby.base_url


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"retry": 3}, "retry=3 is no RetryPolicy"),
        ({"pool": "x"}, "pool='x' is no SessionPool"),
        ({"limiter": "x"}, "limiter='x' has no acquire"),
    ],
)
def test_an_option_of_another_type_is_refused(options: dict[str, Any], told: str) -> None:
    """At construction and in a view, before a call could stumble over it."""
    with pytest.raises(ConfigurationError, match=told):
        WherebyClient("k" * 20, **options)
    if "pool" not in options:
        with pytest.raises(ConfigurationError, match=told):
            WherebyClient("k" * 20).with_options(**options)


@pytest.mark.parametrize("options", [{"api_key": None}, {"retry": None}, {"limiter": None}])
def test_a_view_takes_none_for_nothing_that_cannot_be_left_out(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`None` is not the environment's key, nor a default."""
    monkeypatch.setenv("WHEREBY_API_KEY", "another-key")
    with pytest.raises(ConfigurationError):
        WherebyClient("k" * 20).with_options(**options)


def test_an_async_hook_is_refused() -> None:
    """It would be called and never run."""

    class Hook:
        async def on_response(self, details: object) -> None:
            raise AssertionError

    with pytest.raises(ConfigurationError, match=r"Hook\.on_response is async"):
        WherebyClient("k" * 20, hooks=[Hook()])


def test_an_object_that_was_not_made_has_a_repr() -> None:
    """A traceback with locals shows objects whose constructor failed."""
    assert repr(object.__new__(WherebyClient)) == "<WherebyClient, not made>"
    assert repr(object.__new__(SessionPool)) == "<SessionPool, not made>"
