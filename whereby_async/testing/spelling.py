"""What to say of a name that there is not: which there are, and which was probably meant. Pure."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def meant(name: str, known: Iterable[str]) -> str:
    """`did you mean …?` if a known name is like it, else all of them.

    Args:
        name: The name that there is not.
        known: Those that there are.
    """
    names = list(known)
    close = get_close_matches(name, names, n=1, cutoff=0.7)
    return f"did you mean {close[0]!r}?" if close else f"one of {', '.join(names)}"
