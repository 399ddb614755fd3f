"""What is told of operations that the API says are deprecated, or will go away."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from whereby_async import NotFoundError, RetryPolicy, WherebyClient
from whereby_async.deprecation import in_words, read_deprecation
from whereby_async.hooks import DeprecatedDetails
from whereby_async.limiter import Unlimited
from whereby_async.testing import FakeWhereby, Fault

if TYPE_CHECKING:
    from collections.abc import Iterable

pytestmark = pytest.mark.anyio

SINCE = datetime(2023, 6, 30, 23, 59, 59, tzinfo=UTC)
SUNSET = datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC)
HEADERS = {
    "Deprecation": "@1688169599",
    "Sunset": "Thu, 31 Dec 2026 23:59:59 GMT",
    "Link": '<https://docs.example/next>; rel="successor-version", <https://docs.example/end>; rel="deprecation"',
}
DETAILS = DeprecatedDetails(
    operation="meetings.list", deprecated=True, since=SINCE, sunset=SUNSET, link="https://docs.example/end"
)


class Told:
    """A hook that keeps what it is told."""

    def __init__(self) -> None:
        self.heard: list[DeprecatedDetails] = []

    def on_deprecated(self, details: DeprecatedDetails) -> None:
        self.heard.append(details)


def client_of(fake: FakeWhereby, hooks: Iterable[Any] = ()) -> WherebyClient:
    return fake.client(limiter=Unlimited(), retry=RetryPolicy(attempts=2, base=0), hooks=hooks)


async def test_each_operation_is_told_of_once(fake: FakeWhereby, caplog: pytest.LogCaptureFixture) -> None:
    """Over all calls and views of a client; the log once for all clients of an API."""
    fake.faults.add(Fault(operation="meetings.list", headers=HEADERS, times=None))
    hooks = [Told(), Told()]
    for hook in hooks:
        async with client_of(fake, [hook]) as client:
            await client.meetings.list()
            await client.with_options(timeout=5).meetings.list()
            await client.recordings.list()
        assert hook.heard == [DETAILS]
    [warning] = caplog.records
    assert (warning.name, warning.levelno) == ("whereby_async", logging.WARNING)
    assert warning.message == (
        "meetings.list: the API says that it is deprecated as of 2023-06-30 and to go away on 2026-12-31 23:59 UTC "
        "(see 'https://docs.example/end'); this is said only once"
    )


async def test_it_is_told_whatever_the_answer_and_whenever_it_comes(
    fake: FakeWhereby, caplog: pytest.LogCaptureFixture
) -> None:
    """A later answer may be the first that says so, and it may be a refusal, or one that is tried again."""
    hook = Told()
    async with client_of(fake, [hook]) as client:
        await client.meetings.list()
        assert hook.heard == []
        fake.faults.add(Fault(operation="meetings.list", status=503, headers={"sunset": HEADERS["Sunset"]}))
        await client.meetings.list()
        fake.faults.add(Fault(operation="meetings.get", status=404, headers={"DEPRECATION": "true"}))
        with pytest.raises(NotFoundError):
            await client.meetings.get("1")
    assert [(told.operation, told.deprecated, told.since, told.sunset) for told in hook.heard] == [
        ("meetings.list", False, None, SUNSET),
        ("meetings.get", True, None, None),
    ]
    assert [record.message.partition(";")[0] for record in caplog.records] == [
        "meetings.list: the API says that it is to go away on 2026-12-31 23:59 UTC",
        "meetings.get: the API says that it is deprecated",
    ]


async def test_a_hook_that_raises_breaks_no_call(fake: FakeWhereby, caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def on_deprecated(self, details: DeprecatedDetails) -> None:
            raise ValueError(details.operation)

    fake.faults.add(Fault(operation="meetings.list", headers=HEADERS))
    hook = Told()
    async with client_of(fake, [Broken(), hook]) as client:
        await client.meetings.list()
    assert hook.heard == [DETAILS]
    assert "Broken.on_deprecated raised" in caplog.text


async def test_names_that_hold_ids_are_not_told_of_for_ever(
    fake: FakeWhereby, caplog: pytest.LogCaptureFixture
) -> None:
    fake.faults.add(Fault(status=404, headers=HEADERS, times=None))
    hook = Told()
    async with client_of(fake, [hook]) as client:
        for number in range(1010):
            with pytest.raises(NotFoundError):
                await client.request("GET", f"/meetings/{number}")
    assert len(hook.heard) == 1000
    assert len(caplog.records) <= 1000


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({}, None),
        ({"Deprecation": "?0"}, None),
        ({"Deprecation": " FALSE "}, None),
        ({"Deprecation": "@1688169599;x=1"}, "deprecated as of 2023-06-30"),
        ({"Deprecation": "@1688169599.5"}, "deprecated as of 2023-06-30"),
        ({"Deprecation": "?1"}, "deprecated"),
        ({"Deprecation": "true"}, "deprecated"),
        ({"Deprecation": "Fri, 30 Jun 2023 23:59:59 GMT"}, "deprecated as of 2023-06-30"),
        ({"Deprecation": 'version="v1", date="x"'}, "deprecated"),
        ({"Deprecation": ""}, "deprecated"),
        ({"Deprecation": "@-5"}, "deprecated"),
        ({"Deprecation": "@9999999999999999"}, "deprecated"),
        ({"Deprecation": "@" + "9" * 9000}, "deprecated"),
        ({"Deprecation": "@x\x00\xff"}, "deprecated"),
        ({"Sunset": "2026-12-31T23:59:59Z"}, "to go away on 2026-12-31 23:59 UTC"),
        ({"Sunset": "soon"}, "to go away"),
        ({"Sunset": "Thu, 32 Dec 2026 23:59:59 GMT", "Deprecation": "false"}, "to go away"),
        ({"Sunset": "soon", "Link": "</end>;rel=sunset"}, "to go away (see '/end')"),
        ({"Sunset": "x", "Link": '</a>; rel="next sunset"; title="b, c"'}, "to go away (see '/a')"),
        ({"Sunset": "x", "Link": "</s>; rel=sunset, </d>; type=x; REL=Deprecation"}, "to go away (see '/d')"),
        ({"Sunset": "x", "Link": "</n>; rel=next, <>; rel=sunset, junk"}, "to go away"),
        ({"Sunset": "x", "Link": "<https://h/?token=planted>;rel=sunset"}, "to go away (see 'https://h/?token=***')"),
        ({"Sunset": "x", "Link": "<" * 60_000}, "to go away"),
        ({"Sunset": "x", "Link": "<a>" + ";a= " * 16_000}, "to go away"),
        ({"Sunset": "x", "Link": "<a>;" + " " * 60_000}, "to go away"),
        ({"Sunset": "x", "Link": "<a>" + ' ; rel = "' * 6_000}, "to go away"),
    ],
)
def test_headers_are_read_whatever_they_hold(headers: dict[str, str], words: str | None) -> None:
    details = read_deprecation("x", headers)
    assert (None if details is None else in_words(details)) == words
