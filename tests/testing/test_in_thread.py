"""A fake server in a thread of its own, for code that does not await; and what importing the kit costs."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import urllib.request

import pytest

import whereby_async.testing
from whereby_async.testing import FakeWhereby, Fault


def ask(fake: FakeWhereby) -> int:
    """A call by somebody who has never heard of asyncio."""
    request = urllib.request.Request(fake.url + "/meetings", headers={"Authorization": f"Bearer {fake.api_key}"})
    with urllib.request.urlopen(request) as answer:
        status: int = answer.status
        return status


def test_server_runs_beside_code_that_does_not_await() -> None:
    """It answers while the block lasts, keeps its world, comes back at the same port, and leaves no thread."""
    fake = FakeWhereby(limit=2)
    before = threading.active_count()
    urls: list[str] = []
    for _ in range(2):
        with fake.in_thread() as running, fake.spends(exactly=1):
            assert running is fake
            assert ask(fake) == 200
            urls.append(fake.url)
    assert threading.active_count() == before
    assert len(fake.requests) == 2
    assert urls[0] == urls[1]


def test_loops_of_ones_own_reach_it() -> None:
    """`asyncio.run` in the block, with a client, as often as one likes."""

    async def rooms(fake: FakeWhereby) -> int:
        async with fake.client() as whereby:
            return len(await whereby.meetings.list().collect())

    with FakeWhereby().in_thread() as fake:
        fake.add_meeting()
        assert [asyncio.run(rooms(fake)) for _ in range(2)] == [1, 1]


def test_error_in_the_block_ends_it_all_the_same() -> None:
    """The block's error comes out, and the server is down."""
    fake = FakeWhereby()
    with pytest.raises(ZeroDivisionError), fake.in_thread():
        raise ZeroDivisionError
    assert "not running" in repr(fake)


def test_second_thread_is_refused() -> None:
    """It runs once at a time, and goes on."""
    with FakeWhereby().in_thread() as fake:
        with pytest.raises(RuntimeError, match="running already"), fake.in_thread():
            raise AssertionError
        assert "not running" not in repr(fake)


def test_plain_with_is_told_the_way() -> None:
    """Who does not await needs the thread."""
    with pytest.raises(TypeError, match=r"with FakeWhereby\(\)\.in_thread\(\) as fake"), FakeWhereby():
        pass


def test_client_needs_the_servers_port() -> None:
    """Before the first start nobody knows it, unless it was given."""
    with pytest.raises(RuntimeError, match="the fake server has no port yet: start it first"):
        FakeWhereby().client()
    assert "41999" in repr(FakeWhereby(port=41999).client())


def test_error_in_when_comes_out_of_the_block() -> None:
    """In the caller's thread."""
    with pytest.raises(ZeroDivisionError), FakeWhereby().in_thread() as fake:  # noqa: PT012 - the block is the subject
        fake.faults.add(Fault(when=lambda _: 1 / 0))
        assert ask(fake) == 200


def test_importing_the_kit_loads_nothing() -> None:
    """Its name is free; each part comes when it is touched, a fault without aiohttp."""
    program = """
import sys
import whereby_async.testing
heavy = {"aiohttp", "msgspec", "anyio", "asyncio", "pytest", "hypothesis"}
assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()
from whereby_async.testing import Fault, UnusedFaultWarning
assert "aiohttp" not in sys.modules and "pytest" not in sys.modules
from whereby_async.testing import FakeWhereby
assert "aiohttp" in sys.modules and "pytest" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_unknown_part_is_an_attribute_error() -> None:
    """And all that there are can be listed and had."""
    assert not hasattr(whereby_async.testing, "FakeWherby")
    with pytest.raises(AttributeError, match="has no attribute 'FakeWherby'"):
        _ = whereby_async.testing.FakeWherby  # pyright: ignore[reportAttributeAccessIssue,reportUnknownMemberType,reportUnknownVariableType] - the subject
    assert set(whereby_async.testing.__all__) <= set(dir(whereby_async.testing))
    assert [name for name in whereby_async.testing.__all__ if not hasattr(whereby_async.testing, name)] == []
