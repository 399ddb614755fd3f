"""The pytest plugin's fixtures for pytest-asyncio: one for each scope that a test's loop may have. Loaded only beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import pytest_asyncio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import pytest

    from .scene import Scene


def fixture_of(request: pytest.FixtureRequest) -> str | None:
    """The fixture in whose loop the test runs; `None` if pytest-asyncio does not run it.

    In its auto mode pytest-asyncio runs every async test, those that are marked for anyio too.
    """
    if not pytest_asyncio.is_async_test(request.node):
        return None
    marker = request.node.get_closest_marker("asyncio")
    asked: dict[str, Any] = {} if marker is None else dict(marker.kwargs)
    default = request.config.getini("asyncio_default_test_loop_scope")
    return _name(asked.get("loop_scope") or asked.get("scope") or default)


def _name(loop_scope: object) -> str:
    return f"_whereby_scene_in_{loop_scope}_loop"


def _fixture(loop_scope: Literal["session", "package", "module", "class", "function"]) -> Any:
    @pytest_asyncio.fixture(loop_scope=loop_scope, name=_name(loop_scope))
    async def scene(request: pytest.FixtureRequest) -> AsyncIterator[Scene]:
        from .scene import Scene

        async with Scene(request) as standing:
            yield standing

    return scene


in_session_loop: Any = _fixture("session")
in_package_loop: Any = _fixture("package")
in_module_loop: Any = _fixture("module")
in_class_loop: Any = _fixture("class")
in_function_loop: Any = _fixture("function")
