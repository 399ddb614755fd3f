"""The pytest plugin: fixtures `fake_whereby` and `whereby_client`, marker `whereby`. Imports nothing until one of them is used.

```python
@pytest.mark.whereby(limit=100, algorithm="sliding_log")
async def test_report_is_cheap(fake_whereby: FakeWhereby, whereby_client: WherebyClient) -> None:
    fake_whereby.add_recording(room_name="/weekly")
    with fake_whereby.spends(at_most=3):
        await report(whereby_client)
```

The server runs in a thread of its own, so that every loop reaches it: the test's under anyio's plugin or pytest-asyncio (either
mode, any loop scope), another fixture's, that of an `IsolatedAsyncioTestCase`, one that a test without any makes. A test whose
own loop is a `SimulatedLoop`, `@simulated` ones above all, has it in that loop. What is called back, `subscribe` and
`Fault(when=…)`, is so in the server's thread. Both are closed when the test is over, however it ends. A fault that was scripted and never happened is told by an `UnusedFaultWarning`, unless the test
failed anyway.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from ..client import WherebyClient
    from .fake import FakeWhereby
    from .scene import Scene

_MARKER = (
    "whereby(**options): options of the server behind `fake_whereby` and `whereby_client`, such as limit=100,"
    " algorithm='sliding_log'; client={...} holds options of the client."
)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker; under pytest-asyncio, fixtures that it takes for its own."""
    config.addinivalue_line("markers", _MARKER)
    if config.pluginmanager.has_plugin("asyncio"):
        from . import asyncio_fixtures

        config.pluginmanager.register(asyncio_fixtures, asyncio_fixtures.__name__)


@pytest.fixture
def fake_whereby(_whereby_scene: Scene) -> FakeWhereby:
    """A `FakeWhereby` that runs, with the options of `@pytest.mark.whereby(…)`."""
    return _whereby_scene.fake


@pytest.fixture
def whereby_client(_whereby_scene: Scene) -> WherebyClient:
    """A `WherebyClient` of `fake_whereby`, with a budget of its own."""
    return _whereby_scene.client


@pytest.fixture
def _whereby_scene(request: pytest.FixtureRequest) -> Iterator[Scene]:
    from .scene import set_up

    yield from set_up(request)


@pytest.fixture
async def _whereby_scene_under_anyio(request: pytest.FixtureRequest) -> AsyncIterator[Scene]:
    from .scene import Scene

    async with Scene(request) as scene:
        yield scene
