"""Are the options of a fake server such as a server can have? What is not is told at once, with its name."""

from __future__ import annotations

import math

_PORTS = 65536


def require_text(name: str, text: object) -> None:
    """Check an option that is text.

    Raises:
        ValueError: It is none, or blank.
    """
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"{name}={text!r}: pass text")


def require_count(name: str, number: object, *, least: int = 0, most: float = math.inf) -> None:
    """Check an option that is a whole number.

    Raises:
        ValueError: It is none, or out of bounds.
    """
    if isinstance(number, bool) or not isinstance(number, int) or not least <= number <= most:
        bounds = ("above 0" if least == 1 else f"from {least}") if math.isinf(most) else f"from {least} to {most}"
        raise ValueError(f"{name}={number!r}: pass a whole number {bounds}")


def require_seconds(name: str, seconds: object, *, least: float = 0.0, above: bool = False) -> None:
    """Check an option that is in seconds.

    Raises:
        ValueError: They are none, out of bounds, or without an end.
    """
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not is_number or not least <= seconds < math.inf or seconds == -math.inf or (above and seconds == least):  # type: ignore[operator]  # a number, as asked
        bounds = f" above {least:g}" if above else f" from {least:g}" if math.isfinite(least) else ""
        raise ValueError(f"{name}={seconds!r}: pass seconds{bounds}")


def require_port(port: object) -> None:
    """Check a port.

    Raises:
        ValueError: It is none.
    """
    require_count("port", port, most=_PORTS - 1)
