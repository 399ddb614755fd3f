"""What a shared budget checks of its options, and what follows from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ...errors import ConfigurationError
from ...operation import unicode_text
from ...redaction import shown
from ..budget_checks import check_cost, is_number
from .present.ageing import GRAIN
from .wire import Plan

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...redaction import Secret

_SCHEMES: Final = ("redis://", "rediss://", "unix://", "valkey://", "valkeys://", "valkey+unix://")
_TRAIL: Final = 256
_GRAINS: Final = 1200
_LONGEST_PAUSE: Final = 2.5
"""Seconds; longer than a process that probes a store which hung may come back after the first."""
_DAY: Final = 86_400.0


def plan_of(limit: int | None, period: float, reserve: float) -> Plan:
    """What all processes agree on."""
    return Plan(
        limit=limit,
        period=float(period),
        reserve=float(reserve),
        grain=max(GRAIN, period / _GRAINS),
        trail=_TRAIL,
        lease=min(max(period / 4, 2.0), 15.0),
        pause=min(max(period / 10, 0.3), _LONGEST_PAUSE),
        expiry=int(1000 * (_DAY + 10 * period)),
    )


def check_store(name: object, on_unavailable: object, share: object, timeout: object) -> None:
    """Refuse what no shared budget can use."""
    if not isinstance(name, str) or not name or not name.isprintable() or "{" in name or "}" in name:
        raise ConfigurationError(f"name={name!r}: give the organisation a short name without braces, such as 'acme'")
    if on_unavailable not in ("fallback", "raise"):
        raise ConfigurationError(f"on_unavailable={on_unavailable!r}: give 'fallback' or 'raise'")
    if share is not None and not (is_number(share) and 0 < share <= 1):
        raise ConfigurationError(
            f"share={share!r}: give a part of the limit above 0 up to 1, or None for an even share"
        )
    if not (is_number(timeout) and 0 < timeout <= _DAY):
        raise ConfigurationError(
            f"timeout={timeout!r}: give the seconds that a call of the store may take, such as 0.25"
        )


def check_call(cost: object, operation: object, max_wait: float | None) -> None:
    """Refuse what could not be told to the store, or would be told to it as something else.

    Raises:
        TypeError: The operation's name is no text.
        ValueError: The cost is no whole number from 1 on, the name is no Unicode text, or `max_wait` is negative.
    """
    check_cost(cost)
    if not isinstance(operation, str):
        raise TypeError(f"operation must be a string, not {type(operation).__name__}")
    if not operation.isascii():
        unicode_text("operation", operation)
    if max_wait is not None and not max_wait >= 0:
        raise ValueError(f"max_wait must be seconds from 0 on, or None, not {max_wait!r}")


def check_url(url: Secret, *, usable: Callable[[Secret], bool]) -> None:
    """Refuse a URL that leads nowhere, without showing it."""
    if not url.startswith(_SCHEMES):
        scheme = shown(url.partition("://")[0]) if "://" in url else "no scheme"
        raise ConfigurationError(f"RedisPointBudget got a URL with {scheme}: give one of {', '.join(_SCHEMES)}")
    if not usable(url):
        raise ConfigurationError(
            "RedisPointBudget got a URL that cannot be read: give one such as 'redis://user:password@host:6379/0', "
            "with special characters of the password percent-encoded"
        )
