"""A real store for the whole run, Valkey and Redis where there is one; each test has a budget's name of its own."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from support.budgets import LIMIT, PERIOD
from support.fleet import KINDS, Store

from whereby_async.limiter import HostPointBudget, RedisPointBudget

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path


@pytest.fixture(scope="session", params=KINDS)
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store that all tests use, so none may break it."""
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
async def make(store: str, name: str) -> AsyncIterator[Any]:
    """Makes budgets of one name in the store, each of which stands for a process, and closes them."""
    made: list[RedisPointBudget] = []

    def make(url: Any = store, **options: Any) -> RedisPointBudget:
        options = {"name": name, "period": PERIOD, "limit": LIMIT, **options}
        made.append(RedisPointBudget(url, **options))
        return made[-1]

    yield make
    for budget in made:
        await budget.aclose()


@pytest.fixture(params=["file", "store"])
async def share(request: pytest.FixtureRequest, store: str, name: str, tmp_path: Path) -> AsyncIterator[Any]:
    """Makes budgets that lie in one file or in the store, each of which stands for a process, and closes them."""
    made: list[HostPointBudget | RedisPointBudget] = []
    url = store if request.param == "store" else ""

    def share(**options: Any) -> HostPointBudget | RedisPointBudget:
        options = {"period": PERIOD, "limit": LIMIT, **options}
        made.append(RedisPointBudget(url, name=name, **options) if url else HostPointBudget(tmp_path / "b", **options))
        return made[-1]

    yield share
    for budget in made:
        await budget.aclose()


@pytest.fixture
def own_store(running: Store, tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "own") as store:
        yield store


@pytest.fixture
def plain(own_store: Store) -> Iterator[Any]:
    with own_store.client() as plain:
        yield plain
