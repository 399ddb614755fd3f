"""What a shared budget checks of its options, and what follows from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from ...errors import ConfigurationError
from ...redaction import shown
from ..budget_checks import is_number

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...redaction import Secret

_SCHEMES: Final = ("redis://", "rediss://", "unix://", "valkey://", "valkeys://", "valkey+unix://")
_DAY: Final = 86_400.0


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


def check_url(url: Secret, *, usable: Callable[[Secret], bool]) -> None:
    """Refuse a URL that leads nowhere, without showing it."""
    if not url.startswith(_SCHEMES):
        scheme = shown(url.partition("://")[0]) if "://" in url else "no scheme"
        raise ConfigurationError(f"RedisPointBudget got a URL with {scheme}: give one of {', '.join(_SCHEMES)}")
    database = urlsplit(url).path.strip("/") if "unix" not in url.partition(":")[0] else ""
    if database and not (database.isdecimal() and database.isascii()):
        raise ConfigurationError(
            f"RedisPointBudget got a URL with the database {shown(database)}: give its number, such as redis://host/0"
        )
    if not usable(url):
        raise ConfigurationError(
            "RedisPointBudget got a URL that cannot be read, or has an option that redis-py does not know: give one such as 'redis://user:password@host:6379/0', "
            "with special characters of the password percent-encoded"
        )
