"""The fake service's whole world."""

from __future__ import annotations

from .media import MediaWorld
from .meetings import MeetingWorld


class World(MeetingWorld, MediaWorld):
    """All that the fake service knows; the routes work on it, and tests fill it."""
