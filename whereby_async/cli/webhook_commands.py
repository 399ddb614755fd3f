"""`whereby webhooks verify`: checks a webhook's signature and prints its event. It needs no API key."""

from __future__ import annotations

import json
import os
import sys
from typing import Annotated, Final

from cyclopts import Parameter

from ..redaction import Secret
from ..webhooks import unwrap
from .errors import ExitCode, UsageError, in_words
from .global_options import Flag, OutputOptions
from .keys import WEBHOOK_VARIABLE, typed_in
from .values import STDIN, raw

_TOLERANCE: Final = 300.0


def verify(
    body: Annotated[str, Parameter(show_default=lambda _: "-")] = STDIN,
    /,
    *,
    signature: str,
    tolerance: float | None = None,
    any_age: Flag = False,
    options: OutputOptions = OutputOptions(),  # noqa: B008 - frozen
) -> int:
    """Verify a webhook's signature and print its event.

    The secret comes from WHEREBY_WEBHOOK_SECRET, or is asked for on a
    terminal. Exit code 1: the signature is wrong, too old or malformed.

    For example:

        whereby webhooks verify body.json --signature 't=1751535600,v1=5f0c…'
        whereby webhooks verify --signature "$HEADER" --json < body.json
        whereby webhooks verify kept.json --signature "$HEADER" --any-age

    Args:
        body: The file with the raw body, byte for byte as it came; else stdin.
        signature: The value of the Whereby-Signature header.
        tolerance: Seconds that the signature may be old, 300 unless given.
        any_age: However old the signature is.
        options: How to show results.
    """
    if any_age and tolerance is not None:
        raise UsageError("--tolerance and --any-age: pass one of them")
    most = _TOLERANCE if tolerance is None else tolerance
    if body == STDIN and sys.stdin is not None and sys.stdin.isatty():  # pyright: ignore[reportUnnecessaryComparison]
        raise UsageError("no body: name the file that holds it, or send it in: whereby webhooks verify < body.json")
    content = raw("BODY", body)
    secret = Secret(os.environ.get(WEBHOOK_VARIABLE, "").strip()) or typed_in(WEBHOOK_VARIABLE, "Webhook secret")
    try:
        event = unwrap(content, signature, secret, tolerance=None if any_age else most)
    except ValueError as error:
        raise UsageError(in_words(error)) from None
    options.output().rows([json.loads(event.body)])
    return ExitCode.OK
