"""The pytest plugin's fixtures for pytest-asyncio: one for each scope that a test's loop may have. Loaded only beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import pytest_asyncio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import pytest

    from .scene import Scene


def fixture_name(loop_scope: object) -> str:
    """The name of the fixture for tests whose loop has that scope."""
    return f"_whereby_scene_in_{loop_scope}_loop"


def _fixture(loop_scope: Literal["session", "package", "module", "class", "function"]) -> Any:
    @pytest_asyncio.fixture(loop_scope=loop_scope, name=fixture_name(loop_scope))
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
