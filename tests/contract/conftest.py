"""The official specification, for all tests that compare with it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from contract.reference import Spec

_FILE = Path(__file__).parents[3] / "shared" / "api" / "openapi.json"


@pytest.fixture(scope="session")
def spec() -> Spec:
    """The specification; the tests that need it are skipped where it is not beside the repository."""
    if not _FILE.exists():
        pytest.skip(f"the official specification is not at {_FILE}")
    return Spec(json.loads(_FILE.read_text(encoding="utf-8")))
