"""The extra: nobody pays for it who does not use it, and who lacks it is told."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider

from whereby_async import ConfigurationError
from whereby_async.otel import OpenTelemetryHooks

_CALL = """
import asyncio, sys
from whereby_async.testing import FakeWhereby

class Hook:
    def on_end(self, details): print(details.operation, details.status)

async def main():
    async with FakeWhereby() as fake, fake.client(hooks=[Hook()]) as whereby:
        await whereby.meetings.list()

asyncio.run(main())
print([name for name in sys.modules if name.startswith("opentelemetry")])
"""

_MISSING = """
import sys

class Nowhere:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {absent!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Nowhere())
try:
    from whereby_async.otel import OpenTelemetryHooks
except ImportError as error:
    print(type(error).__name__, error.name, error)
"""


def _run(program: str) -> str:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, check=True, encoding="utf-8"
    ).stdout


def test_calls_with_other_hooks_load_no_opentelemetry() -> None:
    """Neither importing the client nor using it with hooks does."""
    assert _run(_CALL) == "meetings.list 200\n[]\n"


def test_without_the_extra_the_error_says_what_to_install() -> None:
    """It is an `ImportError` like any other."""
    told = _run(_MISSING.format(absent="opentelemetry"))
    assert told.startswith("ModuleNotFoundError opentelemetry")
    assert "pip install 'whereby-async[otel]'" in told


def test_another_module_that_is_missing_is_told_by_its_own_name() -> None:
    """The advice is not given where it does not help."""
    assert _run(_MISSING.format(absent="msgspec")) == "ModuleNotFoundError msgspec No module named 'msgspec'\n"


@pytest.mark.parametrize("name", ["tracer_provider", "meter_provider"])
@pytest.mark.parametrize("odd", ["x", 5, TracerProvider])
def test_a_provider_that_is_none_is_refused(name: str, odd: Any) -> None:
    """By its name, when the hooks are made."""
    with pytest.raises(
        ConfigurationError, match=rf"{name}=.* has no get_(tracer|meter): pass one of OpenTelemetry's SDK"
    ):
        OpenTelemetryHooks(**{name: odd})


def test_the_hooks_alone_load_no_sdk_and_no_client() -> None:
    """The API is all that they need."""
    program = "import sys, whereby_async.otel; print([n for n in sys.modules if n in ('aiohttp', 'opentelemetry.sdk')])"
    assert _run(program) == "[]\n"
