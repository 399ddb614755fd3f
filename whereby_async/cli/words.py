"""What the options of the API's operations are for, in the words of the command line.

An option that is not here has the text of its method's docstring.
"""

from __future__ import annotations

from typing import Final

_JSON = "JSON in the API's spelling, or @FILE (@- for stdin)"
_OTHERWISE = "; the organisation's setting if left out."

TEXTS: Final = {
    "end_date": "When it ends: 2026-12-01T10:00:00Z, or from now: +90m, +2h, +7d. An hour later the room is deleted.",
    "start_date": "Deprecated by the API, which ignores it: a meeting starts when it is made.",
    "is_locked": "Only hosts let people in.",
    "room_mode": "normal (up to 4 people, the API's default) or group (up to 200).",
    "room_name_pattern": "uuid (the API's default) or human-short, for the rest of the name.",
    "template_type": "viewerMode: a locked group room, answered with host and viewer link.",
    "recording": f"How it is recorded: {_JSON}{_OTHERWISE}",
    "live_transcription": f"How it is transcribed: {_JSON}{_OTHERWISE}",
    "streaming": f"Where it is streamed to: {_JSON}.",
    "room_preferences": f"What the room offers: {_JSON}.",
    "fields": "One more field to answer: hostRoomUrl, viewerRoomUrl or dialIn; once for each. The links open the room.",
    "extra": "A parameter that this version does not know: KEY=VALUE (a value that is JSON counts as such), or @FILE.",
    "page_size": "Rows a page, 1 to 100; each page is one call.",
    "cursor": "Go on from a cursor that was kept.",
    "prefetch": "Pages to read ahead.",
    "max_items": "Stop after so many rows.",
    "ids": "Ids; @FILE reads them from a file, one a line, and @- from stdin.",
    "image": "A file: PNG is advised; JPEG, GIF, WebP and SVG are sent too.",
    "created_from": "Only rooms made then or later: 2026-12-01T00:00:00Z, or from now, as in --created-from=-7d.",
    "created_to": "Only rooms made then or earlier.",
    "palette": "A built-in palette, in place of an image.",
    "theme": "A built-in theme, in place of an image.",
    "template": "How it is laid out; the API's default is General Bulleted.",
}
"""Texts by keyword."""

NAMES: Final = {"fields": "--field"}
"""Options that are not spelled as their keyword, since they are given once for each value."""
