"""Waits for what the server works on: transcriptions and summaries, looked at again and again until they are done.

Hundreds of waits of one client share looks at the list where that is cheaper: 300 waits of a minute cost 33 points on a plan of
1,000 points a minute, and 18 on one of 100.
"""

from __future__ import annotations

from .kinds import Kind
from .watch import Watches, wait_for

__all__ = ["Kind", "Watches", "wait_for"]
