"""Which proxy a URL goes through, by the options and by the environment's variables."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

import pytest
from support.attempts import attempt
from support.wire_server import WireServer, answer_each

from whereby_async import ConfigurationError, SessionPool, WherebyClient
from whereby_async.transport.proxies import ProxyChoice

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = "planted.api-key"


@pytest.fixture
def proxy_of(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str | None]:
    """The proxy that a URL goes through, with these variables and no others that matter."""

    def proxy_of(url: str, **variables: str) -> str | None:
        for name in ("https_proxy", "http_proxy", "all_proxy", "no_proxy"):
            for spelled in (name, name.upper()):
                monkeypatch.delenv(spelled, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        found = ProxyChoice(None, trust_env=True)(url)
        return None if found is None else found.url

    return proxy_of


@pytest.mark.parametrize(
    ("url", "listed"),
    [
        ("https://10.1.2.3/v1", "10.0.0.0/8"),
        ("https://10.1.2.3/v1", "localhost, 10.1.0.0/16 ,example.com"),
        ("https://10.1.2.3/v1", "10.1.2.99/24"),  # with bits behind the network's
        ("https://10.1.2.3:8443/v1", "10.1.2.3/32"),
        ("https://10.1.2.3/v1", "10.1.2.3"),
        ("https://10.1.2.3/v1", "10.0.0.0/255.0.0.0"),
        ("https://10.1.2.3/v1", "10.1.2.3:443"),
        ("https://[fd00::1]/v1", "fd00::/8"),
        ("https://[fd00::1]:8443/v1", "10.0.0.0/8,fd00::/8"),
        ("https://[fd00::1]/v1", "fd00::1"),
        ("https://[fd00::1]/v1", "[fd00::1]"),
        ("https://[fd00::1]:8443/v1", "[fd00::1]:8443"),
        ("https://[fd00::1]/v1", "FD00:0:0::1"),  # another spelling
        ("https://api.example/v1", "api.example:443"),  # https's own port
        ("https://api.example/v1", "example"),
        ("https://api.example/v1", ".example"),
        ("https://API.example/v1", "api.EXAMPLE"),
        ("https://api.example/v1", "*"),
    ],
)
@pytest.mark.parametrize("variable", ["no_proxy", "NO_PROXY"])
def test_what_no_proxy_lists_goes_past_the_proxy(
    proxy_of: Callable[..., str | None], url: str, listed: str, variable: str
) -> None:
    """Names with their subdomains, addresses however they are written, and networks."""
    assert proxy_of(url, HTTPS_PROXY="http://proxy:3128", **{variable: listed}) is None


@pytest.mark.parametrize(
    ("url", "listed"),
    [
        ("https://11.1.2.3/v1", "10.0.0.0/8"),
        ("https://10.1.2.3/v1", "fd00::/8,::/0"),
        ("https://[fd00::1]/v1", "0.0.0.0/0"),
        ("https://[fd00::1]:8443/v1", "[fd00::1]:443"),
        ("https://10.example/v1", "10.0.0.0/8"),
        ("https://api.example/v1", "0.0.0.0/0,::/0"),  # a name, whatever it resolves to
        ("https://10.1.2.3/v1", "10.0.0.0/99, ,10/8,[],/"),  # nothing of this is a network
        ("https://api.example/v1", "api.example:8443"),
        ("https://api.example/v1", "pi.example"),
    ],
)
def test_what_it_does_not_list_goes_through_the_proxy(
    proxy_of: Callable[..., str | None], url: str, listed: str
) -> None:
    assert proxy_of(url, HTTPS_PROXY="http://proxy:3128", NO_PROXY=listed) == "http://proxy:3128"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.9.1:8443", "[::1]:8443"])
def test_this_machine_itself_is_reached_without_the_environments_proxy(
    proxy_of: Callable[..., str | None], host: str
) -> None:
    """A proxy that is elsewhere would reach another machine by these names."""
    assert proxy_of(f"https://{host}/v1", https_proxy="http://proxy:3128", all_proxy="http://proxy:3128") is None


def test_https_has_its_own_variable_before_the_one_for_all(proxy_of: Callable[..., str | None]) -> None:
    """Http has none, and goes through none."""
    assert proxy_of("https://api.example", HTTP_PROXY="http://a", ALL_PROXY="http://b") == "http://b"
    assert proxy_of("https://api.example", all_proxy="http://b", HTTPS_PROXY="http://c") == "http://c"
    assert proxy_of("https://api.example", HTTPS_PROXY="http://c", https_proxy="d:1") == "http://d:1"
    assert proxy_of("https://api.example", HTTP_PROXY="http://a") is None
    assert proxy_of("http://api.example", HTTP_PROXY="http://a", ALL_PROXY="http://b") is None


WRONG = ("http://user:planted@proxy:99999", "http://user:planted@", "user:planted@[::1")
SOCKS = tuple(f"{scheme}://user:planted@proxy:1080" for scheme in ("socks5", "socks5h", "socks4", "SOCKS", "socks4a"))


@pytest.mark.parametrize("variable", ["ALL_PROXY", "all_proxy", "HTTPS_PROXY", "https_proxy"])
@pytest.mark.parametrize("url", [*WRONG, *SOCKS])
def test_a_proxy_of_the_environment_that_can_not_be_used_is_named(
    proxy_of: Callable[..., str | None], variable: str, url: str
) -> None:
    """By its variable, and as SOCKS if it is that; its password shows nowhere."""
    with pytest.raises(ConfigurationError, match=rf"^{variable} (?:names|is) ") as caught:
        proxy_of("https://api.example/v1", **{variable: url})
    assert ("SOCKS" in str(caught.value)) == (url in SOCKS)
    assert "NO_PROXY=*" in str(caught.value)
    shown = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
    assert "planted" not in shown.partition("whereby_async/transport")[2]


def test_it_is_said_when_the_client_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not by each call of a batch; a client that goes through no proxy does not mind."""
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1080")
    pool = SessionPool(trust_env=True)
    with pytest.raises(ConfigurationError, match="ALL_PROXY names a SOCKS proxy"):
        WherebyClient(KEY, pool=pool)
    WherebyClient(KEY, pool=pool, base_url="http://127.0.0.1:1/v1")
    WherebyClient(KEY)
    monkeypatch.setenv("NO_PROXY", "*")
    WherebyClient(KEY, pool=pool)


@pytest.mark.parametrize("url", [*WRONG[:2], *SOCKS, "proxy:3128", "", "ftp://proxy"])
def test_a_proxy_that_is_passed_and_can_not_be_used_is_refused(url: str) -> None:
    """By the pool itself, with its option's name."""
    with pytest.raises(ConfigurationError, match=r"^proxy (?:names|is) .*'http://proxy\.example:3128'$") as caught:
        SessionPool(proxy=url)
    assert ("SOCKS" in str(caught.value)) == (url in SOCKS)
    assert "planted" not in str(caught.value)


@pytest.mark.anyio
async def test_another_way_that_can_not_be_used_ends_the_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as to a storage, which the client does not know beforehand; what needs no proxy goes on."""
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1080")
    pool = SessionPool(trust_env=True)
    async with WireServer(answer_each) as server:
        with pytest.raises(ConfigurationError, match="ALL_PROXY"):
            await pool.send(attempt("https://storage.example"))
        assert (await pool.send(attempt(server.url))).status == 200
    assert pool.in_use == 0
    await pool.aclose()
