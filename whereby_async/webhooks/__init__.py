"""Verifies and reads the webhooks that Whereby sends. Needs no client and imports neither aiohttp nor asyncio.

```python
event = unwrap(body, request.headers.get("Whereby-Signature"), secret)  # body: the raw bytes, not parsed JSON
match event:
    case RoomClientJoined(data=data):
        print(data.display_name, "joined", data.room_name)
    case RecordingFinished(data=data):
        print("recorded:", data.recording_id)
```

The raw body is `await request.body()` in FastAPI, Starlette and Litestar, `await request.read()` in aiohttp,
`await request.body` in Quart, `request.body` in Django. JSON that was parsed and written again has other bytes and
never verifies.

Let every other event pass: Whereby adds types. Answer 2xx within 5 s: on 5xx, or no answer by then, Whereby tries twice
more; on 4xx it does not. Events can come more than once (see `SeenEvents`) and out of order.

Source: "Webhooks" in the Whereby docs (Insights suite and API).
"""

from __future__ import annotations

from datetime import datetime

from ..errors import WebhookVerificationError
from .events import (
    ROLE_NAMES,
    AssistantRequested,
    Event,
    KnownEvent,
    ParticipantData,
    PresenceData,
    RecordingData,
    RecordingFinished,
    RoomClientJoined,
    RoomClientKnockCancelled,
    RoomClientKnocked,
    RoomClientLeft,
    RoomData,
    RoomSessionEnded,
    RoomSessionStarted,
    TranscriptionData,
    TranscriptionFailed,
    TranscriptionFailedData,
    TranscriptionFinished,
    TranscriptionFinishedData,
    TranscriptionStarted,
    UnknownEvent,
    WebhookEvent,
)
from .parsing import EVENT_TYPES, event_or_error
from .replay import EventInProgressError, SeenEvents
from .signature import SIGNATURE_HEADER, Body, Secrets, SignatureHeader, refusal, sign

__all__: list[str] = ["EVENT_TYPES", "ROLE_NAMES", "SIGNATURE_HEADER", "AssistantRequested", "Body", "Event"]
__all__ += ["EventInProgressError", "KnownEvent", "ParticipantData", "PresenceData", "RecordingData"]
__all__ += ["RecordingFinished", "RoomClientJoined", "RoomClientKnockCancelled", "RoomClientKnocked", "RoomClientLeft"]
__all__ += ["RoomData", "RoomSessionEnded", "RoomSessionStarted", "Secrets", "SeenEvents", "SignatureHeader"]
__all__ += ["TranscriptionData", "TranscriptionFailed", "TranscriptionFailedData", "TranscriptionFinished"]
__all__ += ["TranscriptionFinishedData", "TranscriptionStarted", "UnknownEvent", "WebhookEvent"]
__all__ += ["WebhookVerificationError", "parse_event", "sign", "unwrap", "verify_signature"]


def unwrap(
    body: Body,
    signature: SignatureHeader,
    secret: Secrets,
    *,
    tolerance: float | None = 300.0,
    now: float | datetime | None = None,
) -> Event:
    """The event that a webhook brings. Raises unless its signature is right and recent.

    Args:
        body: The request's raw body.
        signature: The value of the `Whereby-Signature` header; a list of values if it came several times; `None`, as
            from `headers.get`, if it did not come.
        secret: The webhook's secret from the dashboard, as it stands there. Several while you change it: one that
            matches is enough.
        tolerance: How many seconds old, or ahead of this machine's clock, the signature may be; `None` for any age.
        now: The time to compare with, in seconds since 1970 or as an aware `datetime`; `None` is now.

    Returns:
        One of the 11 documented events, or an `UnknownEvent` that keeps its data. `event.body` is what was sent.

    Raises:
        WebhookVerificationError: The signature is missing, malformed, wrong, or too old: answer 400. The text says what
            to check.
        ResponseDecodeError: The signature is right, but the body is no event. It keeps the body. Answer 500, or let it
            raise: Whereby then tries again.
        ConfigurationError: A secret is blank or no text.
        TypeError: `body` is not bytes.
        ValueError: `tolerance` or `now` is no such number.
    """
    error = refusal(body, signature, secret, tolerance, now)
    if error is None:
        event = event_or_error(body)
        if not isinstance(event, Exception):
            return event
        error = event
    del body, signature, secret
    raise error


def verify_signature(
    body: Body,
    signature: SignatureHeader,
    secret: Secrets,
    *,
    tolerance: float | None = 300.0,
    now: float | datetime | None = None,
) -> None:
    """Check that a body is what Whereby signed, and recent, without parsing it.

    The arguments are those of `unwrap`, and so are the errors, but for `ResponseDecodeError`.

    Raises:
        WebhookVerificationError: The signature is missing, malformed, wrong, or too old: answer 400.
    """
    error = refusal(body, signature, secret, tolerance, now)
    if error is not None:
        del body, signature, secret
        raise error


def parse_event(body: Body) -> Event:
    """The event in a body, whoever sent it: for bodies whose signature was verified, or that were kept.

    Unknown types and fields never fail, nor do the deviations that the results of the API are allowed (numbers for
    text, dates without an offset, and the like).

    Args:
        body: The request's raw body.

    Returns:
        One of the 11 documented events, or an `UnknownEvent` that keeps its data. `event.body` is what was passed.

    Raises:
        ResponseDecodeError: It is no event. The error keeps the body.
        TypeError: `body` is not bytes.
    """
    outcome = event_or_error(body)
    if isinstance(outcome, Exception):
        del body
        raise outcome
    return outcome
