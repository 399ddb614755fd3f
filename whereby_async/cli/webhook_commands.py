"""`whereby webhooks`: checks a webhook's signature and prints its event, or sends an event. No API key is needed."""

from __future__ import annotations

import asyncio
import json
import os
import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Any, Final

from cyclopts import Parameter

from ..redaction import Secret, shown
from ..webhooks import EVENT_TYPES, unwrap
from .errors import ExitCode, UsageError, in_option_names, in_words, tell
from .global_options import Flag, OutputOptions, Several
from .keys import WEBHOOK_VARIABLE, typed_in
from .values import STDIN, pairs, raw, stdin

if TYPE_CHECKING:
    from ..testing import Delivery, FakeWhereby, WebhookSender

_ROOM: Final = "/weekly"
_LONGEST_ANSWER: Final = 500

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
    if body == STDIN and stdin().isatty():
        raise UsageError("no body: name the file that holds it, or send it in: whereby webhooks verify < body.json")
    content = raw("BODY", body)
    secret = given_secret() or typed_in(WEBHOOK_VARIABLE, "webhook secret")
    try:
        event = unwrap(content, signature, secret, tolerance=None if any_age else most)
    except ValueError as error:
        raise UsageError(in_words(error)) from None
    options.output().rows([json.loads(event.body)])
    return ExitCode.OK


def send(
    event: str,
    url: str,
    /,
    *,
    data: Several = (),
    options: OutputOptions = OutputOptions(),  # noqa: B008 - frozen
) -> int:
    """Send an event with sample data to a URL, signed as Whereby signs it.

    The secret comes from WHEREBY_WEBHOOK_SECRET, or is asked for on a
    terminal. As by Whereby, a 5xx or no answer within 5 s is tried twice more.
    Exit code 1: the last answer is no 2xx; 4: there is none.

    EVENT is one of room.client.joined, room.client.left, room.client.knocked,
    room.client.knockCancelled, room.session.started, room.session.ended,
    transcription.started, transcription.finished, transcription.failed,
    recording.finished, assistant.requested.

    For example:

        whereby webhooks send room.client.joined http://127.0.0.1:8000/webhooks
        whereby webhooks send room.client.left "$URL" --data displayName=Zoë
        whereby webhooks send recording.finished "$URL" --data @data.json --json

    Args:
        event: The type of the event.
        url: Where it is posted to.
        data: KEY=VALUE, a field of its data, or @FILE with some; repeatable.
        options: How to show results.
    """
    from ..testing import FakeWhereby

    fake = FakeWhereby()
    made = _sample(fake, event)
    for name, value in (pairs("--data", data) or {}).items():
        is_text = isinstance(made["data"].get(name), str) and isinstance(value, int | float)
        made["data"][name] = str(value) if is_text else value  # an id of digits stays text
    sender = sender_to(fake, "URL", url, given_secret() or typed_in(WEBHOOK_VARIABLE, "webhook secret"))
    output = options.output()
    output.wrapped(f"Sending {event} to {url}")
    delivery = asyncio.run(sender.send(made))
    last = delivery.attempts[-1]
    output.rows([delivery_row(made, delivery)])
    if delivery.delivered:
        return ExitCode.OK
    told = problem_of(delivery) if last.status is None else f"the receiver answered {last.status}"
    tell(told)
    return ExitCode.NO_ANSWER if last.status is None else ExitCode.API_SAID_NO


def given_secret() -> Secret:
    """The webhook's secret that the environment has; empty without one."""
    return Secret(os.environ.get(WEBHOOK_VARIABLE, "").strip())


def sender_to(fake: FakeWhereby, option: str, url: str, secret: str) -> WebhookSender:
    """What delivers events to a URL.

    Args:
        fake: Whose events they are.
        option: What the user calls the URL.
        url: The URL.
        secret: What they are signed with.

    Raises:
        UsageError: The URL is none, or holds a password.
    """
    if "@" in re.split("[/?#]", url.partition("://")[2] or url)[0]:
        raise UsageError(
            f"{option} holds a user or a password, and everybody can see a command line: leave them out, since events"
            " are signed"
        )
    try:
        return fake.webhook_sender(url, secret=secret)
    except ValueError as error:
        raise UsageError(in_option_names(str(error), {"url": option})) from None


def delivery_row(event: dict[str, Any], delivery: Delivery) -> dict[str, Any]:
    """What became of an event, for those who read JSON."""
    last = delivery.attempts[-1]
    return {
        "event": "delivery",
        "type": event["type"],
        "id": event["id"],
        "status": last.status,
        "seconds": round(last.elapsed, 3),
        "tries": len(delivery.attempts),
        "problem": problem_of(delivery),
        "answer": last.answer.decode("utf-8", "replace").strip()[:_LONGEST_ANSWER],
    }


def problem_of(delivery: Delivery) -> str:
    """Why there was no answer, without the name that Python has for it; empty if there was one."""
    return re.sub(r"\b\w+Error: ", "", delivery.attempts[-1].problem)


def _sample(fake: FakeWhereby, event: str) -> dict[str, Any]:
    """An event of that type as it could be of a room `/weekly`."""
    if event not in EVENT_TYPES:
        by_word = {each.lower(): each for each in EVENT_TYPES}
        close = get_close_matches(event.lower(), by_word, n=1, cutoff=0.4)
        meant = f"did you mean {by_word[close[0]]}? The" if close else "the"
        raise UsageError(f"EVENT {shown(event)} is none of Whereby's: {meant} events are {', '.join(EVENT_TYPES)}")
    words = event.removeprefix("room.").replace(".", "_")
    make = getattr(fake.events, re.sub("[A-Z]", lambda letter: f"_{letter[0].lower()}", words))
    made: dict[str, Any] = make()
    made["data"]["roomName"] = _ROOM
    return made
