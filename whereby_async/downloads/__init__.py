"""Downloads: a file behind an access link, to a path or into an object of the caller's.

`client.recordings.download(…)` and `client.transcriptions.download(…)` return a `Download`; while they run,
`on_progress=` is called with `Progress`.
"""

from __future__ import annotations

from .sinks import BinaryWritable, Destination
from .transfer import Download, OnProgress, Progress, download

__all__ = ["BinaryWritable", "Destination", "Download", "OnProgress", "Progress", "download"]
