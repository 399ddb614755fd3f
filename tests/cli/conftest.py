"""A server in a thread of its own for each test, the variables that lead to it, and `whereby` in this process."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

import pytest
from support.processes import Ended
from support.serving import Served

from whereby_async.cli import main

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.processes import Runner


@pytest.fixture
def served(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """A server of the test's own, with the options that the test is parametrised with."""
    with Served(**getattr(request, "param", {})) as running:
        for name, value in running.variables.items():
            monkeypatch.setenv(name, value)
        yield running


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Runner:
    """Runs `whereby` in this process; what was printed before is left out of what it said."""

    def run(*words: object, stdin: bytes = b"") -> Ended:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capsys.readouterr()
        code = main([str(word) for word in words])
        out, err = capsys.readouterr()
        return Ended(code, out, err)

    return run
