"""Fleets of processes, each test with a budget and a store of its own."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import pytest
from support.fleet import KINDS, Fleet, Store, Yard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def yard() -> Iterator[Yard]:
    yard = Yard()
    yield yard
    yard.close()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """All stores, and a file where no store is needed."""
    if "kind" in metafunc.fixturenames:
        needs_store = {"store", "mortal"} & {*metafunc.fixturenames}
        needs_store |= {"kind"} & {*inspect.signature(metafunc.function).parameters}
        stores = [pytest.param(kind, marks=[] if needs_store else pytest.mark.long) for kind in KINDS]
        metafunc.parametrize("kind", stores if needs_store else ["file", *stores])


@pytest.fixture
def store(tmp_path: Path, kind: str) -> Iterator[Store]:
    with Store(tmp_path / "store", kind=kind) as store:
        yield store


@pytest.fixture
def where(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path) if kind == "file" else str(request.getfixturevalue("store").url)


@pytest.fixture
def fleet(yard: Yard, where: str) -> Iterator[Callable[..., Fleet]]:
    made: list[Fleet] = []

    def make(count: int, *, url: str = where, **options: Any) -> Fleet:
        made.append(Fleet(yard, url, count=count, **options))
        return made[-1]

    yield make
    for fleet in made:
        fleet.close()
