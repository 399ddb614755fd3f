"""What the benches share: medians and their intervals, and a server that keeps the budget as the service would."""

from __future__ import annotations

import http.client
import importlib
import json
import random
import statistics
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from support import checkout

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = 100


@pytest.fixture
def ratios(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(sys, "path", [str(checkout.ROOT), *sys.path])
    return importlib.import_module("benchmarks.kit.ratios")


def test_fifteen_pairs_leave_out_three_at_each_end(ratios: Any) -> None:
    """By the binomial distribution: the 4th and the 12th of 15 hold the true median with 96.5 %."""
    found = ratios.estimate(range(1, 16))
    assert (found.median, found.low, found.high, found.pairs) == (8, 4, 12, 15)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_few_values_have_no_interval_but_their_range(ratios: Any, count: int) -> None:
    """With fewer than six values no inner interval holds the median with 95 %."""
    found = ratios.estimate(range(count))
    assert (found.low, found.high) == (0, count - 1)


@pytest.mark.parametrize("count", [6, 15, 31])
def test_interval_holds_the_true_median_as_often_as_it_says(ratios: Any, count: int) -> None:
    """In 95 of 100 samples of a skewed distribution or more."""
    dice = random.Random(count)
    inside = 0
    for _ in range(2000):
        found = ratios.estimate([dice.lognormvariate(0, 1) for _ in range(count)])
        inside += found.low <= 1 <= found.high
    assert inside / 2000 > 0.94


def test_ratios_are_taken_pair_by_pair(ratios: Any) -> None:
    """A machine that is twice as slow for both in one turn changes nothing."""
    ours, theirs = [1.0, 2.0, 40.0], [2.0, 4.0, 80.0]
    assert ratios.ratio(ours, theirs).median == 0.5
    assert ratios.difference(ours, theirs).median == statistics.median([-1.0, -2.0, -40.0])


def test_percentiles_of_a_sorted_list(ratios: Any) -> None:
    """The 99th of a hundred values is the last but none below it."""
    assert ratios.percentile(list(range(100)), 0.5) == 50
    assert ratios.percentile(list(range(100)), 0.99) == 99
    assert ratios.percentile([7], 0.99) == 7


# The server


@pytest.fixture(scope="module")
def ports() -> Iterator[list[int]]:
    command = [sys.executable, "-m", "benchmarks.kit.server", "2"]
    environment = checkout.clean_environment(PYTHONPATH=str(checkout.ROOT))
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "encoding": "utf-8"}
    with subprocess.Popen(command, cwd=checkout.ROOT, env=environment, **pipes) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        yield json.loads(server.stdout.readline())["plain"]
        server.stdin.close()


def ask(port: int, method: str, path: str, body: bytes | None = None) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer, answer.read()
    finally:
        connection.close()


def left(port: int, method: str, path: str, body: bytes | None = None) -> int:
    """Points that remain after a request."""
    return int(ask(port, method, path, body)[0].headers["X-RateLimit-Remaining"])


def test_remaining_falls_by_the_price(ports: list[int]) -> None:
    """A read costs one point, a create three."""
    first = left(ports[0], "GET", "/v1/meetings/1")
    assert left(ports[0], "GET", "/v1/insights/rooms?limit=100") == first - 1
    assert left(ports[0], "POST", "/v1/meetings", b'{"endDate":"2099-01-01T00:00:00Z"}') == first - 4


def test_each_port_has_a_budget_of_its_own(ports: list[int]) -> None:
    """What one contestant spends, another does not see."""
    before = left(ports[1], "GET", "/v1/meetings/1")
    left(ports[0], "GET", "/v1/meetings/1")
    assert left(ports[1], "GET", "/v1/meetings/1") == before - 1


def test_answers_are_what_the_api_would_send(ports: list[int]) -> None:
    """A meeting, pages of a hundred, and a created one, each with the headers that tell of the budget."""
    answer, body = ask(ports[0], "GET", "/v1/meetings?limit=100")
    assert answer.status == 200
    assert {"Date", "X-RateLimit-Limit", "X-RateLimit-Reset"} <= set(answer.headers)
    assert len(json.loads(body)["results"]) == PAGE
    assert len(json.loads(ask(ports[0], "GET", "/v1/insights/rooms?limit=100")[1])["results"]) == PAGE
    answer, body = ask(ports[0], "POST", "/v1/meetings", b"{}")
    assert answer.status == 201
    assert "roomKey" in json.loads(body)["hostRoomUrl"]
    assert ask(ports[0], "GET", "/v1/nothing")[0].status == 404
