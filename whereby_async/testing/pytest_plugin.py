"""The pytest plugin: fixtures `fake_whereby` and `whereby_client`, marker `whereby`. Imports nothing until it is used.

```python
@pytest.mark.whereby(limit=100, algorithm="sliding_log")
async def test_report_is_cheap(fake_whereby: FakeWhereby, whereby_client: WherebyClient) -> None:
    fake_whereby.add_recording(room_name="/weekly")
    with fake_whereby.spends(at_most=3):
        await report(whereby_client)
```

The server runs in a thread of its own, so that every loop reaches it: the test's under anyio's plugin or pytest-asyncio
(either mode, any loop scope), another fixture's, that of an `IsolatedAsyncioTestCase`, one that a test without any
makes. A test whose own loop is a `SimulatedLoop`, as with `@simulated`, has the server in that loop. Functions given to
`subscribe` and `Fault(when=…)` are called in the server's thread. Server and client are closed when the test is over,
however it ends. A fault that was scripted and never happened gives an `UnusedFaultWarning`, unless the test failed
anyway. The report of a test that failed has a section `whereby calls`: the last 20 requests that reached the server in
that test, and any other `FakeWhereby` that is still there.
"""

from __future__ import annotations

import inspect
import sys
import warnings
from contextlib import ExitStack, contextmanager
from functools import cached_property
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator, Iterator, Mapping
    from types import TracebackType
    from typing import Self

    from ..client import WherebyClient
    from .fake import FakeWhereby

_MARKER = (
    "whereby(**options): options of the server behind `fake_whereby` and `whereby_client`, such as limit=100,"
    " algorithm='sliding_log'; client={...} holds options of the client."
)
_SERVER = f"{__package__}.server"
_ARRIVED: pytest.StashKey[Mapping[Any, int]] = pytest.StashKey()
"""How many requests had reached each server before a test."""
_LOOP_SCOPES: tuple[Any, ...] = ("session", "package", "module", "class", "function")


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker; under pytest-asyncio, fixtures that it takes for its own."""
    config.addinivalue_line("markers", _MARKER)
    if config.pluginmanager.has_plugin("asyncio"):
        fixtures = _asyncio_fixtures()
        config.pluginmanager.register(fixtures, fixtures.__name__)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Note where the test begins, if there can be servers by now."""
    if server := sys.modules.get(_SERVER):
        item.stash[_ARRIVED] = server.arrived_so_far()


@pytest.hookimpl(wrapper=True, tryfirst=True)  # the outermost one knows whether the failure was expected
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the calls of a test that failed to its report."""
    report = yield
    if report.failed and (server := sys.modules.get(_SERVER)):
        calls = server.latest_requests(item.stash.get(_ARRIVED, None))
        if not calls and "_whereby_pair" in getattr(item, "fixturenames", ()):
            calls = "none reached the server"
        if calls:
            report.sections.append(("whereby calls", calls))
    return report


@pytest.fixture
def fake_whereby(_whereby_pair: ServerAndClient) -> FakeWhereby:
    """A `FakeWhereby` that runs, with the options of `@pytest.mark.whereby(…)`."""
    return _whereby_pair.fake


@pytest.fixture
def whereby_client(_whereby_pair: ServerAndClient) -> WherebyClient:
    """A `WherebyClient` of `fake_whereby`, with the budget of all clients that it makes."""
    return _whereby_pair.client


@pytest.fixture
def _whereby_pair(request: pytest.FixtureRequest) -> Iterator[ServerAndClient]:
    """Server and client of a test, where that test can use them; afterwards, warns of faults that were not used."""
    failed = request.session.testsfailed
    with _running(request) as pair:
        yield pair
    if request.session.testsfailed != failed:
        return
    pair.fake.faults.raise_problem()
    if unused := pair.fake.faults.unused:
        from .faults import UnusedFaultWarning

        what = ", ".join(map(repr, unused))
        warnings.warn(f"scripted and not happened in {request.node.name}: {what}", UnusedFaultWarning, stacklevel=1)


@pytest.fixture
async def _whereby_pair_under_anyio(request: pytest.FixtureRequest) -> AsyncIterator[ServerAndClient]:
    async with ServerAndClient(request) as pair:
        yield pair


def _asyncio_fixtures() -> ModuleType:
    """A plugin with fixtures for pytest-asyncio: one for each scope that a test's loop may have."""
    import pytest_asyncio

    plugin = ModuleType("whereby_async.testing.asyncio_fixtures")
    for scope in _LOOP_SCOPES:

        async def pair(request: pytest.FixtureRequest) -> AsyncIterator[ServerAndClient]:
            async with ServerAndClient(request) as pair:
                yield pair

        setattr(plugin, f"in_{scope}_loop", pytest_asyncio.fixture(pair, loop_scope=scope, name=_asyncio_name(scope)))
    return plugin


def _asyncio_name(loop_scope: object) -> str:
    return f"_whereby_pair_in_{loop_scope}_loop"


class ServerAndClient:
    """A server with the options of the test's marker `whereby`, and a client of it once it is asked for."""

    def __init__(self, request: pytest.FixtureRequest) -> None:
        from .fake import FakeWhereby

        options = _options(request)
        self._client_options: dict[str, Any] = options.pop("client", {})
        self.fake: FakeWhereby = FakeWhereby(**options)
        self._thread = ExitStack()

    @cached_property
    def client(self) -> WherebyClient:
        """The client."""
        return self.fake.client(**self._client_options)

    async def __aenter__(self) -> Self:
        """Serve from a thread, so that any loop can call; in a loop whose clock is simulated, from that one."""
        import asyncio

        from .clock import SimulatedLoop

        if isinstance(asyncio.get_running_loop(), SimulatedLoop):
            await self.fake.start()
        else:
            self._thread.enter_context(self.fake.in_thread())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if "client" in vars(self):
                await self.client.aclose()
        finally:
            self._thread.close()
            await self.fake.aclose()


@contextmanager
def _running(request: pytest.FixtureRequest) -> Generator[ServerAndClient, None, None]:
    import asyncio

    from .clock import is_simulated, simulation

    test: Any = getattr(request.node, "function", None)
    simulates = is_simulated(test)
    if not simulates and (fixture := _async_fixture(request, test)) is not None:
        yield request.getfixturevalue(fixture)
        return
    with simulation() if simulates else asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        pair = runner.run(ServerAndClient(request).__aenter__())
        try:
            yield pair
        finally:
            runner.run(pair.__aexit__(None, None, None))


def _async_fixture(request: pytest.FixtureRequest, test: Any) -> str | None:
    """The fixture that runs in the test's own loop; `None` if that loop is not known, or there is none."""
    if (fixture := _asyncio_fixture(request)) is not None:
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
    return "_whereby_pair_under_anyio"


def _asyncio_fixture(request: pytest.FixtureRequest) -> str | None:
    """The fixture in whose loop pytest-asyncio runs the test; `None` if it does not run it.

    In its auto mode pytest-asyncio runs every async test, those that are marked for anyio too.
    """
    if not request.config.pluginmanager.has_plugin("asyncio"):
        return None
    import pytest_asyncio

    if not pytest_asyncio.is_async_test(request.node):
        return None
    marker = request.node.get_closest_marker("asyncio")
    asked: dict[str, Any] = {} if marker is None else dict(marker.kwargs)
    default = request.config.getini("asyncio_default_test_loop_scope")
    return _asyncio_name(asked.get("loop_scope") or asked.get("scope") or default)


def _options(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The options of all its markers, the nearest over the others."""
    from .checks import meant
    from .fake import FakeWhereby

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
