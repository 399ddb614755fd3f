"""The command line's way to the API: the environment's proxy, another one, or none."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from anyio.from_thread import start_blocking_portal
from support.wire_server import WireServer, answering

from whereby_async.cli.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.processes import Runner

REFUSAL = b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"
LOOK = ("meetings", "list", "--max-outage", "0")


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[WireServer]:
    """A proxy that lets nobody through; no variable names it yet."""
    for name in ("https_proxy", "all_proxy", "no_proxy"):
        for spelled in (name, name.upper()):
            monkeypatch.delenv(spelled, raising=False)
    monkeypatch.setenv("WHEREBY_API_KEY", "planted.api-key")
    monkeypatch.setenv("WHEREBY_BASE_URL", "https://api.example/v1")
    with ExitStack() as stack:
        portal = stack.enter_context(start_blocking_portal())
        yield stack.enter_context(portal.wrap_async_context_manager(WireServer(answering(REFUSAL))))


@pytest.fixture
def closed() -> Iterator[str]:
    """Where nobody listens; by this address it is not known to be this machine."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        yield f"0.0.0.0:{unused.getsockname()[1]}"


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
def test_the_environments_proxy_is_used(
    proxy: WireServer, variable: str, here: Runner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With the user that the variable holds; what `.netrc` has for the hosts plays no part."""
    (tmp_path / "netrc").write_text(
        "machine 127.0.0.1 login a password netrc\nmachine api.example login a password b\n"
    )
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for user, header in (("", b""), ("user:pass@", b"Proxy-Authorization: Basic dXNlcjpwYXNz\r\n")):
        monkeypatch.setenv(variable, f"http://{user}127.0.0.1:{proxy.port}")
        assert here(*LOOK).code == ExitCode.NO_ANSWER
        request = proxy.requests[-1]
        assert request.startswith(b"CONNECT api.example:443 HTTP/1.1\r\n")
        assert b"planted" not in request
        assert header in request
        assert (b"Authorization" in request) == bool(header)
    assert proxy.connections == 2


def test_the_demo_of_an_account_goes_by_it_too(
    proxy: WireServer, here: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    assert here("demo").code == ExitCode.NO_ANSWER
    assert proxy.requests[0].startswith(b"CONNECT api.example:443 HTTP/1.1\r\n")
    monkeypatch.setenv("HTTPS_PROXY", "socks5://127.0.0.1:1080")
    ended = here("demo")
    assert (ended.code, ended.err.count("\n")) == (ExitCode.WRONG_USAGE, 1)
    assert proxy.connections == 1


def test_the_option_comes_before_the_environment(
    proxy: WireServer, here: Runner, monkeypatch: pytest.MonkeyPatch, closed: str
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://{closed}")
    monkeypatch.setenv("NO_PROXY", "*")
    for words in (("--proxy", proxy.url, *LOOK), (*LOOK, f"--proxy={proxy.url}")):
        assert here(*words).code == ExitCode.NO_ANSWER
    assert [request.split(b"\r\n")[0] for request in proxy.requests] == [b"CONNECT api.example:443 HTTP/1.1"] * 2


@pytest.mark.usefixtures("proxy")
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (LOOK, "connection failed through the proxy {} (Connection refused; nothing was sent)"),
        ((*LOOK[:2], "--max-outage", ".2"), "https://api.example can not be reached through the proxy {} since "),
    ],
)
def test_a_proxy_that_is_down_is_named(
    words: tuple[str, ...], told: str, here: Runner, monkeypatch: pytest.MonkeyPatch, closed: str
) -> None:
    """Else the service would seem to be down; by host and port, without the user, and in no words of Python."""
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:planted@{closed}")
    ended = here(*words)
    assert ended.code == ExitCode.NO_ANSWER
    assert told.format(closed) in ended.err
    assert "planted" not in ended.err
    assert "('" not in ended.err


@pytest.mark.parametrize("past", ["--no-proxy", "0.0.0.0", "0.0.0.0/8"])
def test_a_way_past_the_environments_proxy(
    proxy: WireServer, past: str, here: Runner, monkeypatch: pytest.MonkeyPatch, closed: str
) -> None:
    """By the option, or by `NO_PROXY`; also if the proxy can not be used."""
    option = (past,) if past.startswith("-") else ()
    monkeypatch.setenv("NO_PROXY", "" if option else past)
    for url in (proxy.url, "socks5://127.0.0.1:1080"):
        monkeypatch.setenv("HTTPS_PROXY", url)
        ended = here(*LOOK, "--base-url", f"https://{closed}/v1", *option)
        assert ended.code == ExitCode.NO_ANSWER
        assert "nothing was sent" in ended.err
    assert proxy.connections == 0


@pytest.mark.parametrize(
    ("variable", "words", "complaint"),
    [
        ("", "--proxy http://user:planted@proxy.example:3128", "--proxy holds a user or a password"),
        ("", "--proxy http://planted@proxy.example:3128", "set the variable HTTPS_PROXY instead"),
        ("", "--proxy=user:planted@proxy.example", "everybody can see a command line"),
        ("", "--proxy http://proxy.example --no-proxy", "--proxy and --no-proxy: pass one of them"),
        ("", "--proxy proxy.example:3128", "--proxy is no URL that can be used: pass one like 'http://"),
        ("", "--proxy socks5://proxy.example", "--proxy names a SOCKS proxy, which can not be used: pass one like"),
        ("ALL_PROXY=socks5://u:planted@proxy.example:1080", "", "ALL_PROXY names a SOCKS proxy"),
        ("https_proxy=http://u:planted@proxy.example:x", "", "https_proxy is no URL that can be used"),
    ],
)
def test_a_proxy_that_can_not_be_used_is_named(
    proxy: WireServer, variable: str, words: str, complaint: str, *, here: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 2 and one line, before anything is sent, and without the password."""
    if variable:
        monkeypatch.setenv(*variable.split("=", 1))
    for command in (["meetings", "list"], ["meetings", "purge", "--everything", "--yes"]):
        ended = here(*command, *words.split())
        assert (ended.code, ended.out, ended.err.count("\n")) == (ExitCode.WRONG_USAGE, "", 1)
        assert complaint in ended.err
        assert "planted" not in ended.err
    assert proxy.connections == 0
