"""Fleets of processes, each test with a budget and a store of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from fleet.fleet import Fleet, Yard
from fleet.stores import KINDS, Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def yard() -> Iterator[Yard]:
    """Processes for all tests."""
    yard = Yard()
    yield yard
    yard.close()


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Which store."""
    return str(request.param)


@pytest.fixture
def store(tmp_path: Path, kind: str) -> Iterator[Store]:
    """A store of the test's own."""
    with Store(tmp_path / "store", kind=kind) as store:
        yield store


@pytest.fixture
def fleet(yard: Yard, store: Store) -> Iterator[Callable[..., Fleet]]:
    """Makes fleets on the store."""
    made: list[Fleet] = []

    def make(count: int, *, url: str = store.url, **options: Any) -> Fleet:
        made.append(Fleet(yard, url, count=count, **options))
        return made[-1]

    yield make
    for fleet in made:
        fleet.close()
