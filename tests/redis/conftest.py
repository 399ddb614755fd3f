"""A real store for the whole run, Valkey and Redis where there is one; each test has a budget's name of its own."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from support.budgets import LIMIT, PERIOD
from support.fleet import KINDS, Store

from whereby_async.limiter import HostPointBudget, RedisPointBudget
from whereby_async.testing import TcpProxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path


@pytest.fixture(scope="session", params=KINDS)
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store that all tests share, so no test may break it."""
    with Store(tmp_path_factory.mktemp("running"), kind=request.param) as store:
        yield store


@pytest.fixture
def store(running: Store) -> str:
    return running.url


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    return f"{request.node.name}-{time.monotonic_ns()}".replace("{", "").replace("}", "")


@pytest.fixture
def client(running: Store) -> Iterator[Any]:
    with running.client() as client:
        yield client


@pytest.fixture
async def made() -> AsyncIterator[list[Any]]:
    """Budgets that are closed after the test."""
    made: list[HostPointBudget | RedisPointBudget] = []
    yield made
    for budget in made:
        await budget.aclose()


@pytest.fixture
def make(store: str, name: str, made: list[Any]) -> Callable[..., Any]:
    """Makes budgets of one name in the store, each of which stands for a process."""

    def make(url: Any = store, **options: Any) -> Any:
        options = {"name": name, "period": PERIOD, "limit": LIMIT, **options}
        made.append(RedisPointBudget(url, **options))
        return made[-1]

    return make


@pytest.fixture(params=["file", "store"])
def share(request: pytest.FixtureRequest, make: Any, made: list[Any], tmp_path: Path) -> Callable[..., Any]:
    """Makes budgets that lie in one file or in the store, each of which stands for a process."""

    def share(**options: Any) -> Any:
        options = {"period": PERIOD, "limit": LIMIT, **options}
        made.append(HostPointBudget(tmp_path / "b", **options))
        return made[-1]

    return make if request.param == "store" else share


@pytest.fixture
def own_store(running: Store, tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "own", kind=running.kind) as store:
        yield store


@pytest.fixture
def plain(own_store: Store) -> Iterator[Any]:
    with own_store.client() as plain:
        yield plain


@pytest.fixture
async def wire(own_store: Store) -> AsyncIterator[TcpProxy]:
    """A wire to that, which the test may break."""
    async with TcpProxy(f"http://127.0.0.1:{own_store.port}") as wire:
        yield wire
