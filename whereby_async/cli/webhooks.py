"""`whereby webhooks verify`: is a webhook Whereby's, and what does it say? Needs neither the API nor its key."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from .exits import ExitCode, UsageError
from .keys import webhook_secret
from .results import results_for
from .values import STDIN, raw, spoken

if TYPE_CHECKING:
    from cyclopts import App


def register(group: App, name: str) -> None:  # noqa: ARG001 - as every group's
    """Add this group's commands to its app."""
    group.command(verify)


def verify(
    body: str = STDIN,
    /,
    *,
    signature: str,
    tolerance: float = 300.0,
    any_age: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    as_json: Annotated[bool, Parameter(name="--json", negative="", show_default=False)] = False,
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
        tolerance: Seconds that the signature may be old.
        any_age: However old the signature is.
        as_json: JSON, also on a terminal.
    """
    from ..webhooks import unwrap

    if body == STDIN and sys.stdin.isatty():
        raise UsageError("no body: name the file that holds it, or send it in: whereby webhooks verify < body.json")
    content = raw("BODY", body)
    try:
        event = unwrap(content, signature, webhook_secret(), tolerance=None if any_age else tolerance)
    except ValueError as error:
        raise UsageError(spoken(str(error), {"tolerance": "--tolerance"})) from None
    results_for(as_json=as_json).one(json.loads(event.body))
    return ExitCode.OK
