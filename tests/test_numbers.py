"""Numbers, truth values and dates of other libraries, such as NumPy's and pandas', wherever a number or a date goes."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from whereby_async import ConfigurationError, RetryPolicy, SessionPool, WherebyClient, room_link
from whereby_async.limiter import HostPointBudget, PointBudget, RedisPointBudget, Unlimited
from whereby_async.models.encoding import encode
from whereby_async.options import read_base_url, read_max_outage, read_max_wait, read_timeout
from whereby_async.redaction import plain
from whereby_async.resources.arguments import query, whole
from whereby_async.testing import FakeWhereby, Fault, WebhookSender
from whereby_async.webhooks import SeenEvents, sign, verify_signature

if TYPE_CHECKING:
    from collections.abc import Callable


class Five:
    """A whole number as other libraries have them: no `int`, but usable as one."""

    def __index__(self) -> int:
        return 5


class Scalar:
    """What tells NumPy's truth values and floats from other objects."""

    def __init__(self, value: bool | float) -> None:
        self.dtype = SimpleNamespace(kind=type(value).__name__[0])
        self.shape = ()
        self.item = lambda: value


class NaT(datetime):
    """A `datetime` that has no offset to ask for, as pandas' is."""

    __hash__ = datetime.__hash__

    def __eq__(self, _: object) -> bool:
        return False

    def __ne__(self, _: object) -> bool:
        return True

    def __str__(self) -> str:
        return "NaT"

    def utcoffset(self) -> timedelta:
        raise ValueError("NaTType does not support utcoffset")


def number_of(kind: str) -> Any:
    """Five, of a kind; skips where NumPy is not installed."""
    if kind in {"__index__", "scalar"}:
        return Five() if kind == "__index__" else Scalar(5.0)
    return getattr(pytest.importorskip("numpy"), kind)(5)


COUNTS = ["__index__", "int64", "uint8", "array"]
SECONDS = [*COUNTS, "scalar", "float64", "float32"]


@pytest.mark.anyio
@pytest.mark.parametrize("kind", COUNTS)
async def test_whole_numbers_of_other_libraries_are_numbers(kind: str) -> None:
    """In queries, bodies, options, budgets, batches, links, and with the fake server."""
    five = number_of(kind)
    pool = SessionPool(connections=five, downloads=five, max_body=100_000)
    async with (
        FakeWhereby(limit=five, costs={"meetings.list": five}, keep=five) as fake,
        fake.client(retry=RetryPolicy(attempts=five), pool=pool, limiter=Unlimited()) as whereby,
    ):
        fake.set_limit(1000)
        fake.add_recording(size=five)
        fake.add_session("/a", participants=five)
        fake.faults.add(Fault(status=503, points=five))
        with fake.spends(exactly=10):
            assert await whereby.meetings.list(page_size=five, prefetch=five, extra={"n": five}).collect(five) == []
        assert list(fake.requests[-1].query) == [("n", "5"), ("limit", "5")]
        await whereby.meetings.create(end_date="2099-01-01T00:00:00Z", extra={"n": five, "list": [five]})
        sent: Any = fake.requests[-1].json
        assert (sent["n"], sent["list"]) == (5, [5])
        requests = [{"meeting_id": "1", "id": five}]
        async with whereby.batch(whereby.meetings.delete, requests, key="id", concurrency=five) as outcomes:
            assert [outcome.key async for outcome in outcomes] == ["5"]
        assert whereby.estimate("meetings.get", five).calls == 5
        fake.spend(five)
    await pool.aclose()
    budget = PointBudget(five, costs={"a": five})
    assert (budget.snapshot().limit, budget.snapshot().costs) == (5, {"a": 5})
    assert type(budget.snapshot().limit) is int
    assert (await budget.acquire(five)).cost == 5
    assert budget.forecast(five).windows == 2
    assert HostPointBudget(limit=five).snapshot().limit == RedisPointBudget("redis://h", limit=five).snapshot().limit
    assert room_link("https://a.whereby.com/b", extra={"n": five}) == "https://a.whereby.com/b?n=5"
    assert SeenEvents(five).add("a")


@pytest.mark.parametrize("kind", SECONDS)
def test_seconds_of_other_libraries_are_numbers(kind: str) -> None:
    five = number_of(kind)
    assert (read_timeout(five), read_max_wait(five), read_max_outage(five)) == (5.0, 5.0, 5.0)
    written = "5" if kind in COUNTS else "5.0"
    assert repr(RetryPolicy(base=five, cap=five).cap) == written
    SessionPool(keepalive=five)
    PointBudget(period=five, reserve=plain(five) / 10)
    HostPointBudget(period=five)
    RedisPointBudget("redis://h", period=five, timeout=five)
    SeenEvents(max_age=five)
    FakeWhereby(period=five, processing_time=five, clock_skew=five, latency=five)
    FakeWhereby().add_recording(duration=five)
    assert Fault(delay=five).delay == 5
    assert WebhookSender("http://a", timeout=five, backoff=five).timeout == 5
    signature = sign(b"{}", "s", at=five)
    assert signature.startswith("t=5,")
    verify_signature(b"{}", signature, "s", tolerance=five, now=five)
    assert query(n=five) == [("n", written)]
    assert json.loads(encode({"n": five})) == {"n": 5}


@pytest.mark.parametrize("kind", ["scalar", "bool_"])
@pytest.mark.parametrize("truth", [False, True])
def test_truth_values_of_other_libraries_are_truth_values(truth: bool, kind: str) -> None:
    value: Any = Scalar(truth) if kind == "scalar" else pytest.importorskip("numpy").bool_(truth)
    word = "true" if truth else "false"
    assert query(a=value) == [("a", word)]
    assert encode({"a": value, "b": [value]}) == f'{{"a":{word},"b":[{word}]}}'.encode()
    assert room_link("https://a.whereby.com/b", chat=value) == room_link("https://a.whereby.com/b", chat=truth)
    assert Fault(status=500, act=value).act is truth
    if truth:
        assert read_base_url("http://numbers.internal", value) == "http://numbers.internal"
    with pytest.raises(ConfigurationError, match="timeout="):
        read_timeout(value)
    with pytest.raises(ValueError, match="page_size="):
        whole("page_size", value, 0, 100)


def test_what_is_no_number_stays_what_it_is() -> None:
    numpy = pytest.importorskip("numpy")
    others: tuple[object, ...] = (numpy.array([1, 2]), numpy.datetime64("NaT"), [], b"5", object(), "5", None)
    for other in others:
        assert plain(other) is other


@pytest.mark.parametrize("kind", ["a datetime like it", "pandas"])
@pytest.mark.parametrize("argument", ["end_date", "created_from", "body.when", "now"])
def test_nat_of_pandas_is_named_with_its_argument(argument: str, kind: str) -> None:
    nat: Any = pytest.importorskip("pandas").NaT if kind == "pandas" else NaT(2026, 1, 1, tzinfo=UTC)
    whereby = WherebyClient("key")
    calls: dict[str, Callable[[], Any]] = {
        "end_date": lambda: whereby.meetings.create(end_date=nat).send(None),
        "created_from": lambda: whereby.insights.rooms(created_from=nat),
        "body.when": lambda: encode({"body": {"when": nat}}),
        "now": lambda: verify_signature(b"{}", sign(b"{}", "s"), "s", now=nat),
    }
    with pytest.raises(ValueError, match=rf"^{re.escape(argument)}\b.*NaT"):
        calls[argument]()
