"""The benches' server keeps the budget that the service would."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from support import checkout

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = 100


@pytest.fixture(scope="module")
def ports() -> Iterator[list[int]]:
    """Two ports of one server."""
    command = [sys.executable, "-m", "benchmarks.kit.server", "2"]
    environment = checkout.clean_environment(PYTHONPATH=str(checkout.ROOT))
    with subprocess.Popen(
        command,
        cwd=checkout.ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        yield json.loads(server.stdout.readline())["plain"]
        server.stdin.close()


def ask(port: int, method: str, path: str, body: bytes | None = None) -> tuple[http.client.HTTPResponse, bytes]:
    """One request, and what came of it."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer, answer.read()
    finally:
        connection.close()


def left(port: int, method: str, path: str, body: bytes | None = None) -> int:
    """How many points remain behind a request."""
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
