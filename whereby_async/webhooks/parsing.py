"""From a webhook's body to an `Event`.

**Theory.** As with answers (see `models.decoding`): one strict decoder for the union of all known events, tagged by
`type`, and only if it refuses, a second try. That one first decodes the type alone: a known type goes through the
tolerant decoder of its own class, any other becomes an `UnknownEvent`. An event whose date has another offset than UTC
takes the second way too.
"""

from __future__ import annotations

from datetime import UTC
from functools import cache
from typing import TYPE_CHECKING, Final, cast, get_args

import msgspec

from ..errors import ResponseDecodeError
from ..models.decoding import Decoder
from ..models.encoding import RefusedError
from ..models.model import Model
from ..redaction import SilentBytes
from .events import Event, KnownEvent, UnknownEvent
from .signature import raw_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from .signature import Body

_REFUSALS: Final = (msgspec.MsgspecError, ValueError, OverflowError, RecursionError)
_SUBJECT: Final = "the webhook's body"
_KINDS: Final = cast("tuple[type[Event], ...]", get_args(KnownEvent))

EVENT_TYPES: Final = tuple(kind.__struct_config__.tag for kind in _KINDS)
"""The 11 documented types, such as `room.client.joined`."""


class AnyEvent(Model, frozen=True, kw_only=True):
    """The least that any event says. Errors name this class when a body does not even have that."""

    type: str


_any: Final = Decoder(AnyEvent, _SUBJECT)
_unknown: Final = Decoder(UnknownEvent, _SUBJECT)
_tolerant: Final = {kind.__struct_config__.tag: Decoder(kind, _SUBJECT) for kind in _KINDS}


@cache  # not at import: to build it takes most of the time that this module needs
def _strict() -> Callable[[bytes], KnownEvent]:
    return msgspec.json.Decoder(KnownEvent).decode


def event_or_error(body: Body) -> Event | Exception:
    """The event in a body, or the error to raise outside of the frames that hold the body.

    That is a `ResponseDecodeError` if there is no event in it, and a `TypeError` if it is not bytes.
    """
    try:
        content = raw_bytes(body)
        event = _known(content) or _tolerantly(content)
    except RefusedError as refused:
        return refused.error
    except ResponseDecodeError as error:
        error.may_have_happened = False  # nothing was called
        return error.with_traceback(None)
    vars(event)["body"] = SilentBytes(content)
    return event


def _known(body: bytes) -> Event | None:
    try:
        event = _strict()(body)
    except _REFUSALS:
        return None  # an error raised by the second try must not have this one as its context
    return event if event.created_at is None or event.created_at.tzinfo is UTC else None


def _tolerantly(body: bytes) -> Event:
    return _tolerant.get(_any(body).type, _unknown)(body)
