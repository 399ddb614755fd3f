"""Entry offsets: where in the journal the last entry of each item stands, in a few bytes an item. Pure.

A job may have a million items, and a dictionary of their keys alone would take 100 MB. So only the offset of a line in
the file is kept, and the line is read again when the item comes. An item that goes by its index takes eight bytes; one
that goes by a key takes sixteen or more, in a table of 64-bit digests. (Two keys of a million have the same digest with
a chance of 1 in 40 million; the line itself tells them apart.)
"""

from __future__ import annotations

from array import array
from hashlib import blake2b
from typing import Final

_SEEN: Final = 1
_FULL: Final = 0.6


class IndexOffsets:
    """Offsets of items that go by their index, from 1 on. A key is the index as text, so none can come twice."""

    __slots__ = ("_offsets",)

    def __init__(self) -> None:
        self._offsets = array("q")

    def put(self, key: str, offset: int) -> None:
        """Note where the last entry of the item stands."""
        index, offsets = int(key), self._offsets
        if index >= len(offsets):
            offsets.frombytes(bytes(8 * (index + 1 - len(offsets))))
        offsets[index] = offset

    def get(self, key: str) -> int:
        """Where it stands; 0 if the journal says nothing of the item."""
        index = int(key)
        return self._offsets[index] if index < len(self._offsets) else 0

    def claim(self, key: str) -> bool:  # noqa: ARG002 - as `KeyOffsets.claim`
        """Always the first time, since the source counts."""
        return True


class KeyOffsets:
    """Offsets of items that go by a key, from 1 on.

    It is a table with open addressing. The lowest bit of a value is set for an item that has come in this run.
    """

    __slots__ = ("_count", "_digests", "_values")

    def __init__(self) -> None:
        self._count = 0
        self._digests = array("Q", bytes(8 << 10))  # slots are a power of two
        self._values = array("Q", bytes(8 << 10))

    def put(self, key: str, offset: int) -> None:
        """Note where the last entry of the item stands."""
        digest = _digest(key)
        slot = self._slot(digest)
        self._store(slot, digest, offset << 1 | self._values[slot] & _SEEN)

    def get(self, key: str) -> int:
        """Where it stands; 0 if the journal says nothing of the item."""
        return self._values[self._slot(_digest(key))] >> 1

    def claim(self, key: str) -> bool:
        """Note that the item has come in this run; `False` if its key had come before."""
        digest = _digest(key)
        slot = self._slot(digest)
        value = self._values[slot]
        if value & _SEEN:
            return False
        self._store(slot, digest, value | _SEEN)
        return True

    def _store(self, slot: int, digest: int, value: int) -> None:
        if not self._digests[slot]:
            self._count += 1
            self._digests[slot] = digest
        self._values[slot] = value
        if self._count > len(self._digests) * _FULL:
            self._grow()

    def _slot(self, digest: int) -> int:
        digests, last = self._digests, len(self._digests) - 1
        slot = digest >> 1 & last
        while digests[slot] not in {0, digest}:
            slot = slot + 1 & last
        return slot

    def _grow(self) -> None:
        digests, values = self._digests, self._values
        self._digests = array("Q", bytes(16 * len(digests)))
        self._values = array("Q", bytes(16 * len(values)))
        for digest, value in zip(digests, values, strict=True):
            if digest:
                slot = self._slot(digest)
                self._digests[slot] = digest
                self._values[slot] = value


def _digest(key: str) -> int:
    """The key's digest, its lowest bit set so that it is never 0."""
    return int.from_bytes(blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest()) | 1
