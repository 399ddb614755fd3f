"""The name of a file in a directory."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from hypothesis import given, strategies as st

from whereby_async.downloads.sinks import file_name


@pytest.mark.parametrize(
    ("told", "name"),
    [
        ("demo-2025-11-11T19:04:23Z.mp4", "demo-2025-11-11T19:04:23Z.mp4"),
        ("../../etc/passwd", "passwd"),
        ("C:\\windows\\x.mp4", "x.mp4"),
        (".bashrc", "bashrc"),
        ("..", "the-id"),
        ("a/", "the-id"),
        (" . ", "the-id"),
        (None, "the-id"),
        ("a\x00b\n.mp4", "a_b_.mp4"),
        ("x" * 300 + ".mp4", "x" * 196 + ".mp4"),
        ("é" * 300, "é" * 100),
        ("x." + "y" * 300, ("x." + "y" * 300)[:200]),
    ],
)
def test_name(told: str | None, name: str) -> None:
    """What the API tells, but no path, nothing hidden and nothing too long; else the id."""
    assert file_name(told, "the-id") == name


def test_name_without_anything_to_go_by() -> None:
    """An id that is no name either."""
    assert file_name(None, "..") == "download"


@given(st.text(), st.text())
def test_any_name_stays_in_its_directory(told: str, fallback: str) -> None:
    """Whatever the server says, it is one plain name."""
    name = file_name(told, fallback)
    assert PurePosixPath(name).name == name
    assert name not in {"", ".", ".."}
    assert not name.startswith(".")
    assert len(name.encode()) <= 200
