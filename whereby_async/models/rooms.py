"""Rooms: the words that `client.rooms` takes. Its operations return nothing."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

BackgroundPalette: TypeAlias = Literal["default", "grey", "purple", "burgund"] | str  # noqa: PYI051 - the words are for completion, any text is taken
"""The colours of a built-in background."""

BackgroundTheme: TypeAlias = Literal["default", "mountains", "characters", "rocks"] | str  # noqa: PYI051 - the words are for completion, any text is taken
"""The picture of a built-in background."""

BACKGROUND_PALETTES: Final = ("default", "grey", "purple", "burgund")
"""The documented values of a background's `palette`."""

BACKGROUND_THEMES: Final = ("default", "mountains", "characters", "rocks")
"""The documented values of a background's `theme`."""
