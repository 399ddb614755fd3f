"""What one test has of the pytest plugin: its server, its client, and the loop or thread that they live in."""

from __future__ import annotations

import asyncio
import inspect
import warnings
from contextlib import ExitStack, contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pytest

from .clock import SimulatedLoop
from .fake import FakeWhereby
from .simulated import is_simulated, simulation
from .spelling import meant
from .unused_faults import UnusedFaultWarning

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from types import TracebackType
    from typing import Self

    from ..client import WherebyClient


class Scene:
    """A server as the test's marker `whereby` has it, and a client of it once it is asked for.

    Args:
        request: The fixture's request.

    Attributes:
        fake: The server.
    """

    def __init__(self, request: pytest.FixtureRequest) -> None:
        options = _options(request)
        self._client_options: dict[str, Any] = options.pop("client", {})
        self.fake: FakeWhereby = FakeWhereby(**options)
        self._thread = ExitStack()

    @cached_property
    def client(self) -> WherebyClient:
        """The client."""
        return self.fake.client(**self._client_options)

    async def aclose_client(self) -> None:
        """Close the client if there is one."""
        if "client" in vars(self):
            await self.client.aclose()

    async def __aenter__(self) -> Self:
        """Serve from a thread, so that any loop can call; in a loop whose clock is simulated, from that one."""
        if isinstance(asyncio.get_running_loop(), SimulatedLoop):
            await self.fake.start()
        else:
            self._thread.enter_context(self.fake.in_thread())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self.aclose_client()
        finally:
            self._thread.close()
            await self.fake.aclose()


def set_up(request: pytest.FixtureRequest) -> Iterator[Scene]:
    """The scene of a test, where that test can use it; afterwards, what it left unused is told.

    Args:
        request: The fixture's request.
    """
    failed = request.session.testsfailed
    with _standing(request) as scene:
        yield scene
    if request.session.testsfailed == failed:
        scene.fake.faults.raise_problem()
    unused = scene.fake.faults.unused
    if unused and request.session.testsfailed == failed:
        what = ", ".join(map(repr, unused))
        warnings.warn(f"scripted and not happened in {request.node.name}: {what}", UnusedFaultWarning, stacklevel=1)


@contextmanager
def _standing(request: pytest.FixtureRequest) -> Generator[Scene, None, None]:
    test: Any = getattr(request.node, "function", None)
    if is_simulated(test):
        with _in_simulation(request) as scene:
            yield scene
    elif (fixture := _async_fixture(request, test)) is not None:
        yield request.getfixturevalue(fixture)
    else:
        with _in_thread(request) as scene:
            yield scene


@contextmanager
def _in_simulation(request: pytest.FixtureRequest) -> Generator[Scene, None, None]:
    with simulation() as runner:
        scene = runner.run(Scene(request).__aenter__())
        try:
            yield scene
        finally:
            runner.run(scene.__aexit__(None, None, None))


@contextmanager
def _in_thread(request: pytest.FixtureRequest) -> Generator[Scene, None, None]:
    scene = Scene(request)
    with scene.fake.in_thread():
        try:
            yield scene
        finally:
            asyncio.run(scene.aclose_client())


def _async_fixture(request: pytest.FixtureRequest, test: Any) -> str | None:
    """The fixture that runs in the test's own loop; `None`: nobody can tell that loop, if there is one."""
    if request.config.pluginmanager.has_plugin("whereby_async.testing.asyncio_fixtures"):
        from .asyncio_fixtures import fixture_of

        if (fixture := fixture_of(request)) is not None:
            return fixture
    inner = test.hypothesis.inner_test if hasattr(test, "hypothesis") else test
    if not inspect.iscoroutinefunction(inner) or "anyio_backend" not in request.fixturenames:
        return None
    backend: str | tuple[str, object] = request.getfixturevalue("anyio_backend")
    name = backend if isinstance(backend, str) else backend[0]
    if name != "asyncio":
        pytest.fail(
            f"fake_whereby runs on asyncio, not on {name}: let a fixture anyio_backend return 'asyncio'", pytrace=False
        )
    return "_whereby_scene_under_anyio"


def _options(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The options of all its markers, the nearest over the others."""
    options: dict[str, Any] = {}
    for marker in reversed(list(request.node.iter_markers("whereby"))):
        if marker.args:
            pytest.fail(f"@pytest.mark.whereby takes keywords, such as limit=100, not {marker.args!r}", pytrace=False)
        options.update(marker.kwargs)
    known = ["client", *inspect.signature(FakeWhereby).parameters]
    for name in options:
        if name not in known:
            pytest.fail(f"@pytest.mark.whereby has no option {name!r}: {meant(name, known)}", pytrace=False)
    return options
