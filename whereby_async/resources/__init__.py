"""The API's resources: thin typed methods that check their arguments, bind an operation and send it."""

from __future__ import annotations

from .files import ImageSource
from .insights import Insights
from .meetings import Meetings
from .recordings import Recordings
from .rooms import Rooms
from .root import ApiRoot
from .summaries import Summaries
from .transcriptions import Transcriptions

__all__ = ["ApiRoot", "ImageSource", "Insights", "Meetings", "Recordings", "Rooms", "Summaries", "Transcriptions"]
