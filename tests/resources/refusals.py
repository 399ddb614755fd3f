"""Calls that are refused before anything is sent: a row for each, and what must hold for it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import pytest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from whereby_async import WherebyClient
    from whereby_async.testing import FakeWhereby


UNTIL = datetime(2099, 1, 1, tzinfo=UTC)


NAIVE = datetime(2099, 1, 1)  # noqa: DTZ001 - refusing it is the point


PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 32


TOO_LARGE = PNG.ljust(600_001, b"0")


Call: TypeAlias = "Callable[[Any], Awaitable[object]]"


CallWith: TypeAlias = "Callable[[Any, Any], Awaitable[object]]"


def bound(call: CallWith, argument: object) -> Call:
    """The call, given all but its client."""
    return lambda client: call(client, argument)


class Refusal(NamedTuple):
    """A call with something wrong in it.

    Attributes:
        name: The test's id.
        call: The call.
        error: What it raises.
        words: What the message says: the argument, the value, the way out.
    """

    name: str
    call: Call
    error: type[Exception]
    words: tuple[str, ...]


def refusal(name: str, call: Call, error: type[Exception], *words: str) -> Refusal:
    """A row of the tables below."""
    return Refusal(name, call, error, words)


async def assert_refused(fake: FakeWhereby, whereby: WherebyClient, row: Refusal) -> None:
    with pytest.raises(row.error, match="(?s)" + ".*".join(map(re.escape, row.words[:1]))) as caught:
        await row.call(whereby)
    for word in row.words:
        assert word in str(caught.value), row.name
    assert fake.requests == []
