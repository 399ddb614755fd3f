"""`Standing`: where an event loop stands with the store: who it is there, what it has said, and what was surely heard.

Calls are numbered. What a call was to report and did not surely report is reported again, under its number, which the store
compares with the last that it carried out; points that it may have granted then were never heard of, and it takes them back.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from .shared_permit import Record
from .wire import Message

if TYPE_CHECKING:
    from .branch import Branch
    from .outbox import Outbox
    from .wire import Ending, Reply, Wants


class Standing:
    """A client of the store.

    Attributes:
        id: Its name.
        seq: The number of the last call.
        confirmed: The number of the last call whose answer was heard.
        epoch: The books that it knows; 0 if none.
        record: Its record in them.
        unheard: Ends of permits in calls whose answers were not heard.
    """

    __slots__ = ("_records", "confirmed", "epoch", "id", "record", "seq", "unheard")

    def __init__(self) -> None:
        self.id: str = secrets.token_hex(8)
        self.seq: int = 0
        self.confirmed: int = 0
        self.epoch: float = 0.0
        self.record: Record = Record(0)
        self.unheard: list[tuple[int, list[Ending]]] = []
        self._records: list[Record] = []

    def next_message(self, branch: Branch, outbox: Outbox, wants: list[Wants], now: float) -> Message:
        """The next call: who speaks, all that is to be reported, and what is wanted."""
        self.seq += 1
        spent_away, total_away = branch.away()
        return Message(
            id=self.id,
            seq=self.seq,
            confirmed=self.confirmed,
            epoch=self.epoch,
            generation=self.record.generation,
            out=outbox.out,
            spent=branch.spent(now),
            away=branch.outage.lasted(now),
            outage=branch.outage.number,
            spent_away=spent_away,
            total_away=total_away,
            again=list(self.unheard),
            ends=outbox.take(),
            orphans=branch.take_orphans(),
            lanes=wants,
            prices=branch.tariff.version,
            plan=branch.plan,
        )

    def lost(self, message: Message) -> None:
        """No answer came: it may or may not have been carried out."""
        if message.ends:
            self.unheard.append((message.seq, message.ends))

    def heard(self, message: Message, reply: Reply) -> bool:
        """An answer came; whether it is one to go by."""
        self.confirmed = message.seq
        self.unheard.clear()
        if reply.stale:
            # Somebody calls himself what we do; from now on we are called otherwise.
            self.id = secrets.token_hex(8)
            self._enter(Record(0), adopted=False)
            return False
        if (reply.epoch, reply.generation) != (self.epoch, self.record.generation):
            self.epoch = reply.epoch
            self._enter(Record(reply.generation), adopted=reply.adopted)
        return True

    def _enter(self, record: Record, *, adopted: bool) -> None:
        """The store has a new record of us: it holds what is in flight, or the store has given that up."""
        for old in self._records:
            old.generation = record.generation if adopted else 0
            old.moved = old.moved or adopted
        self._records = [*(old for old in self._records if old.live), record]
        self.record = record
