"""The name that a file gets in a directory of the caller's. Pure."""

from __future__ import annotations

import os
import re
from typing import Final

_CONTROL: Final = "\\x00-\\x1f\\x7f\\ud800-\\udfff"
_FOREIGN: Final = re.compile(f"[{_CONTROL}]" if os.name == "posix" else f'[{_CONTROL}<>:"|?*]')
_LONGEST: Final = 200
"""Bytes; most file systems take 255, and `.part.json` has to fit as well."""


def file_name(told: str | None, fallback: str) -> str:
    """A name for a file, wherever the caller's directory is: no path, not hidden, no character that the system refuses.

    Args:
        told: The name that the API tells, such as `demo-2025-11-11T19:04:23Z.mp4`; nothing in it is trusted.
        fallback: The name if there is nothing left of that; the id.
    """
    for name in (told or "", fallback):
        last = re.split(r"[/\\]", name)[-1]
        safe = _FOREIGN.sub("_", last).strip(" ").lstrip(".").rstrip(". ")
        if safe:
            return _shortened(safe)
    return "download"


def _shortened(name: str) -> str:
    """Not too long, its ending kept."""
    if len(name.encode()) <= _LONGEST:
        return name
    stem, dot, ending = name.rpartition(".")
    tail = f"{dot}{ending}" if dot and len(ending.encode()) < _LONGEST // 4 else ""
    kept = (stem if tail else name).encode()[: _LONGEST - len(tail.encode())]
    return kept.decode(errors="ignore") + tail
