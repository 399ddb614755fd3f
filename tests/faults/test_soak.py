"""The soak in small: the same program, a few thousand calls."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from types import ModuleType

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "soak.py"

pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason="the benchmarks are not here")


def program() -> ModuleType:
    """The program as a module."""
    spec = importlib.util.spec_from_file_location("soak", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
def test_thousands_of_calls_with_faults_and_cancels_reconcile() -> None:
    """Every create is accounted for, and nothing is left over."""
    ran = subprocess.run(
        [sys.executable, str(PROGRAM), "--calls", "3000", "--seconds-limit", "60"],
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, ""), ran.stdout
    assert "reconciles" in ran.stdout
    assert "Error" in ran.stdout


def test_what_does_not_reconcile_is_told() -> None:
    """Twice acted, succeeded without an act, acted in spite of the word that it has not, never called."""
    soak = program()
    fine = bytes([soak.SUCCEEDED, soak.MAY_HAVE, soak.MAY_HAVE, soak.HAS_NOT, soak.CANCELLED, soak.CANCELLED, 0])
    assert soak.complaints(fine, bytes([1, 0, 1, 0, 0, 1, 0])) == []
    assert len(soak.complaints(fine, bytes([0, 0, 1, 0, 0, 1, 0]))) == 1
    assert len(soak.complaints(fine, bytes([1, 2, 1, 0, 0, 1, 0]))) == 1
    assert len(soak.complaints(fine, bytes([1, 0, 1, 1, 0, 1, 0]))) == 1
    assert len(soak.complaints(fine, bytes([1, 0, 1, 0, 0, 1, 1]))) == 1
