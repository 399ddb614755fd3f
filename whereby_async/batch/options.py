"""What a batch was asked for, checked."""

from __future__ import annotations

import inspect
import math
import os
from typing import TYPE_CHECKING

import msgspec

from ..errors import ConfigurationError
from ..redaction import shown
from .progress import OnProgress  # noqa: TC001 - msgspec resolves annotations at run time

if TYPE_CHECKING:
    from typing import Any


class BatchOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options of `WherebyClient.batch`, as they are explained there."""

    concurrency: int = 64
    journal: str | None = None
    ordered: bool = False
    stop_on_error: bool = False
    retry_failed: bool = False
    refetch: bool = False
    mark: bool = True
    absent_after: float | None = None
    same_organisation: bool = False
    on_progress: OnProgress | None = None
    progress_interval: float = 1.0


def checked_options(*, journal: str | os.PathLike[str] | None, **options: Any) -> BatchOptions:
    """The options, if they can be used.

    Raises:
        ConfigurationError: One of them can not.
    """
    concurrency = options["concurrency"]
    if not isinstance(concurrency, int) or isinstance(concurrency, bool) or concurrency < 1:
        msg = f"concurrency={shown(concurrency)}: pass how many calls may be under way at once, from 1"
        raise ConfigurationError(msg)
    if journal is not None and not isinstance(journal, str | os.PathLike):
        msg = f"journal={shown(journal)}: pass a path, or None"
        raise ConfigurationError(msg)
    if options["absent_after"] is not None:
        _check_seconds("absent_after", options["absent_after"], least=0.0)
    _check_seconds("progress_interval", options["progress_interval"], least=0.001)
    tell = options["on_progress"]
    if tell is not None and (not callable(tell) or inspect.iscoroutinefunction(tell)):
        msg = f"on_progress={shown(tell)}: pass a plain function that takes a Progress"
        raise ConfigurationError(msg)
    return BatchOptions(journal=None if journal is None else os.fsdecode(os.fspath(journal)), **options)


def _check_seconds(name: str, value: object, *, least: float) -> None:
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    if not least <= number < math.inf:
        msg = f"{name}={shown(value)}: pass seconds from {least:g} on"
        raise ConfigurationError(msg)
