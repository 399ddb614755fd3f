"""Waits for what the server works on: transcriptions and summaries, looked at again and again until they are done."""

from __future__ import annotations

from .kinds import Kind
from .watch import Watches, wait_for

__all__ = ["Kind", "Watches", "wait_for"]
