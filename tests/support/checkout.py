"""The checkout that the tests run in: its files, and copies of it to build and install from."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
INSTALL = "pip install whereby-async"
"""The README's command."""


def files() -> list[str]:
    """The files that belong to the project: those that git knows, and new ones that it does not ignore."""
    if not (ROOT / ".git").exists():
        pytest.skip("needs a git checkout, to tell the project's files from others")
    done = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        encoding="utf-8",
    )
    return sorted(name for name in done.stdout.split("\0") if name and (ROOT / name).is_file())


def copy_to(place: Path) -> Path:
    """A fresh checkout in `place`, without anything that was built or run here."""
    for name in files():
        target = place / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target)
    return place


def clean_environment(**variables: str) -> dict[str, str]:
    """This process's environment without what would reach into a Python of its own."""
    prefixes = ("COV", "PYTEST", "PYTHON", "VIRTUAL_ENV", "WHEREBY")
    return {name: value for name, value in os.environ.items() if not name.startswith(prefixes)} | variables
