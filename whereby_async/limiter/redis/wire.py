"""What goes over the wire: one message for each call of the script, and what it answers. MessagePack both ways."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import msgspec

SETTLED: Final = 0
RELEASED: Final = 1
LOST: Final = 2
MISSED: Final = 3
"""No permit: points that calls asked for and went without, refused or cancelled."""

Told: TypeAlias = tuple[int | None, int | None, float | None, float | None, bool]
"""What an answer said: limit, remaining, reset in, retry after, throttled."""

Ending: TypeAlias = tuple[int, int, float | None, float, int, str, Told | None, int]
"""How a permit ended: in which way, its points, what had been answered when it was granted (`None`: counted in books that the
store has lost), when it was granted by the store's clock, its number as a lead, its operation, what was said, and the
generation of the record that holds its points. Of what was missed only the points are told."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What every process of one budget must agree on; the first call makes the books by it.

    Attributes:
        limit: Points per period to start from.
        period: Seconds.
        reserve: The share that is kept from the batch lane.
        grain: Seconds within which answers share an entry.
        trail: Answers of a window that are kept to learn prices from.
        lease: Seconds without a call after which a client is taken for dead.
        pause: Seconds in which all report before anybody gets points, after the store has lost its books or was away.
        expiry: Milliseconds that the books outlive their last use.
    """

    limit: int | None
    period: float
    reserve: float
    grain: float
    trail: int
    lease: float
    pause: float
    expiry: int


class Wants(msgspec.Struct, frozen=True, kw_only=True):
    """What one lane of one client waits for.

    Attributes:
        costs: Prices of its first calls, in order.
        points: Points of all its calls.
        waited: Seconds that the first has waited.
        old: How many of the first have waited two periods.
    """

    costs: list[int]
    points: int
    waited: float
    old: int


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One call.

    Attributes:
        id: Who calls.
        seq: The call's number.
        confirmed: The number of the last call whose answer was heard.
        epoch: The books that the client knows; 0 if none.
        generation: The client's record in them.
        out: Points that the client has in flight, but for those that end with this message.
        spent: Points of its calls that were answered within the last period.
        away: Seconds that the store has been out of reach; 0 if it was there the last time.
        outage: The number of the last outage, to the process.
        spent_away: Points that were spent in it and may still count.
        total_away: All points that were spent in it.
        again: Ends of calls whose answers were never heard.
        ends: Permits that have ended, and what was missed.
        orphans: Permits of clients that cannot speak for themselves any more.
        lanes: What is wanted, by lane.
        prices: The version of the price list that the client knows.
        plan: What all agree on.
    """

    id: str
    seq: int
    confirmed: int
    epoch: float
    generation: int
    out: int
    spent: int
    away: float
    outage: int
    spent_away: int
    total_away: int
    again: list[tuple[int, list[Ending]]]
    ends: list[Ending]
    orphans: list[tuple[str, Ending]]
    lanes: list[Wants]
    prices: int
    plan: Plan


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What the script answers; moments are seconds from then on.

    Attributes:
        stale: A later call of this client has been there before this one: it counted for nothing.
        epoch: The books.
        generation: The client's record in them.
        adopted: The record is new, and holds what the client said it has in flight.
        served: Lane and place of the calls that got their points, both from 1.
        granted_at: When, by the store's clock.
        answered: Points of calls that had surely been answered by then.
        lead: The number of the lead among them, or 0.
        lead_place: Its place in `served`, from 0.
        urgent: Others wait for what these calls will be told.
        why: What the rest waits for.
        again_in: When to come again.
        limit: Points per period that the budget goes by.
        whole: The limit that is established.
        period: Seconds.
        room: Points that a `NORMAL` call could have.
        left: Points of the present window that are not granted.
        more_in: When there may be more room, if no answer comes before.
        gate_in: When the gate opens.
        remaining: Points that the server has left as far as it told, or -1.
        reset_in: When the window ends, or -1.
        pending: Points in flight, of all.
        held: Points that may still count at the server.
        floor: The evidence.
        granted: Points granted ever.
        least: What others leave at most, or -1 if there are none.
        others_in: How long the caution lasts.
        elsewhere: Points that other clients wait for, by lane.
        foreign_rate: Points per second that strangers spend.
        known: An answer has come.
        headerless: Answers tell nothing of the budget.
        clients: Clients seen within a period.
        busy: Somebody had to wait for points within the last period.
        version: The price list's version.
        prices: The price list, if the client's is another.
    """

    stale: bool = False
    epoch: float = 0.0
    generation: int = 0
    adopted: bool = False
    served: list[tuple[int, int]] = []
    granted_at: float = 0.0
    answered: float = 0.0
    lead: int = 0
    lead_place: int = -1
    urgent: bool = False
    why: str = ""
    again_in: float = 0.0
    limit: int = 100
    whole: int = 100
    period: float = 60.0
    room: int = 0
    left: int = 0
    more_in: float = 0.0
    gate_in: float = 0.0
    remaining: int = -1
    reset_in: float = -1.0
    pending: int = 0
    held: int = 0
    floor: float = 0.0
    granted: int = 0
    least: int = -1
    others_in: float = 0.0
    elsewhere: tuple[int, int, int] = (0, 0, 0)
    foreign_rate: float = 0.0
    known: bool = False
    headerless: bool = False
    clients: int = 1
    busy: bool = False
    version: int = 0
    prices: list[tuple[str, int]] | None = None


encode: Final = msgspec.msgpack.Encoder().encode
"""Write a message."""
_decoder: Final[msgspec.msgpack.Decoder[Reply]] = msgspec.msgpack.Decoder(Reply)


def decode(answer: Any) -> Reply:
    """Read an answer.

    Raises:
        msgspec.DecodeError: It is not what the script answers.
    """
    return _decoder.decode(answer)
