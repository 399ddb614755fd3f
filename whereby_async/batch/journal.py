"""`Journal`: what became of each item, durably, so that a job can be killed at any moment and run again.

**Theory.** What a line says has happened has happened: it is on the disk (`fsync`) before anybody acts on it. So before a call
that must not be repeated is sent, its `begun` line is durable; and its outcome's line is durable before the outcome comes out.
That leaves three kinds of items for the next run: with an outcome (done, it only comes out again), without any line (surely not
sent), and with `begun` as the last word: sent or not, acted on or not, nobody knows. Those are looked up, see `settle`. Calls
that may be repeated have no `begun` line; they simply run again.

Many calls finish at about the same time, and each of them waits for the disk. So one writer takes all lines that have gathered
while the last ones were being written, writes them with one call and syncs once (group commit): 64 creates at once cost two or
three syncs, not 128.

*A kill* can tear the last line only, since nothing is written behind a line that is not whole. A torn last line is cut off: it
was not durable, so nobody has acted on it. Damage anywhere else is not ours; the journal is refused, with the line's number.

*The disk is full:* what was half written is cut off again and the batch ends with `JournalError`. A `begun` line that could not be
written was not followed by its call. An outcome that could not is still told to the consumer; the next run looks it up.

*Two processes:* the lock lets in one. *Clocks:* the times in the lines are for people; no decision goes by them. A wall clock may
have jumped between two runs, and a monotonic one means nothing to another process, maybe on another boot. What has to wait for
a request that may still be under way waits from the moment at which this process got the lock, since by then its last owner
was dead and nothing more was sent. *A foreign journal* (another operation, API, key, or way to tell items) is refused before
anything is sent: its items would be skipped or looked up in vain.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from .failures import JournalError
from .journal_file import JournalFile
from .places import IndexPlaces, KeyPlaces
from .records import FORMAT, VERSION, Entry, Header, Run, entry_of, line_of, record_of

if TYPE_CHECKING:
    import os

    from .places import Places
    from .records import State

_START: Final = line_of(Header(job="", operation="", api="", key="", items="index", made_at="")).partition(b',"job"')[0]
_START_OF_ANY: Final = _START[: _START.index(b',"version"')]


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Whose journal it has to be.

    Attributes:
        operation: What every item calls.
        api: The base URL.
        key: The digest of the API key.
        items: Whether items go by their `index` or by a `key`.
        any_key: Another key of the same organisation is as good.
        timeout: Seconds that one attempt may take.
    """

    operation: str
    api: str
    key: str
    items: Literal["index", "key"]
    any_key: bool
    timeout: float


class Journal:
    """An open journal.

    Attributes:
        file: The file.
        job: The job's random number.
        places: Where the last word on each item stands.
        begun: The keys whose last word is `begun`.
        unknown: The keys whose last word is `unknown`.
        timeout: The longest that an attempt of an earlier run may have taken, in seconds; 0 in a new journal.
    """

    def __init__(self, path: str | os.PathLike[str], identity: Identity) -> None:
        """Open the journal, or make it. Blocks: for a thread.

        Raises:
            JournalError: It can not be used; the file is as it was.
        """
        self.file: JournalFile = JournalFile(Path(path).absolute())
        self.places: Places = IndexPlaces() if identity.items == "index" else KeyPlaces()
        self.begun: set[str] = set()
        self.unknown: set[str] = set()
        self.timeout: float = 0.0
        self.job: str = ""
        self._runs = 0
        try:
            self._load(identity)
            self._enter(identity)
        except OSError as error:
            self.file.close()
            raise JournalError(
                f"{self._name} can not be read or written: {error.strerror}. Nothing was sent"
            ) from error
        except BaseException:
            self.file.close()
            raise

    @property
    def _name(self) -> str:
        return f"journal={str(self.file.path)!r}"

    def find(self, key: str) -> Entry | None:
        """The last word on an item."""
        offset = self.places.get(key)
        if not offset:
            return None
        entry = entry_of(self.file.line_at(offset))
        if entry.item != key:  # pragma: no cover - one chance in 40 million for a million keys
            raise JournalError(f"the keys {key!r} and {entry.item!r} can not be told apart: rename one of them")
        return entry

    def note(self, entry: Entry, offset: int) -> None:
        """A line was written at `offset`."""
        self.places.put(entry.item, offset)
        self._count(entry.item, entry.state)

    def _count(self, key: str, state: State) -> None:
        for states, keys in (("begun", self.begun), ("unknown", self.unknown)):
            if state == states:
                keys.add(key)
            else:
                keys.discard(key)

    def _load(self, identity: Identity) -> None:
        rest, offset, number = b"", 0, 0
        for piece in self.file.chunks():
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                number += 1
                self._take(line, offset, number, identity)
                offset += len(line) + 1
        if rest:
            if not number and not _torn_header(rest):
                raise JournalError(f"{self._name} is no journal of a batch: pass another path")
            self.file.cut(offset)

    def _take(self, line: bytes, offset: int, number: int, identity: Identity) -> None:
        if number == 1:
            self._recognise(line, identity)
            return
        try:
            record = record_of(line)
            if isinstance(record, Entry):
                if identity.items == "index":
                    _check_index(record.item)
                self.note(record, offset)
                return
        except (msgspec.MsgspecError, ValueError) as error:
            raise JournalError(
                f"{self._name} is damaged in line {number} ({error}): mend or remove that line by hand, knowing that an item "
                "without a line is sent again"
            ) from None
        self._runs = record.run
        self.timeout = max(self.timeout, record.timeout)

    def _recognise(self, line: bytes, identity: Identity) -> None:
        if not line.startswith(_START_OF_ANY):
            raise JournalError(f"{self._name} is no journal of a batch: pass another path")
        version = _version_of(line)
        if version != VERSION:
            raise JournalError(
                f"{self._name} has format {version}; this version of whereby_async reads format {VERSION}"
            )
        try:
            header = msgspec.json.decode(line, type=Header)
        except msgspec.MsgspecError as error:
            raise JournalError(f"{self._name} is damaged in line 1 ({error}): pass another path") from None
        self._compare(header, identity)
        self.job = header.job

    def _compare(self, header: Header, identity: Identity) -> None:
        for what, theirs, ours, advice in (
            ("operation", header.operation, identity.operation, "pass another path for another job"),
            ("API", header.api, identity.api, "pass another path for another job"),
            ("way to tell items", header.items, identity.items, "pass key= as in the first run"),
        ):
            if theirs != ours:
                raise JournalError(
                    f"{self._name} is of another {what}, {theirs!r}, not {ours!r}: {advice}. Nothing was sent"
                )
        if header.key != identity.key and not identity.any_key:
            raise JournalError(
                f"{self._name} was made with another API key. If it is one of the same organisation, pass "
                "same_organisation=True; else pass another path. Nothing was sent"
            )

    def _enter(self, identity: Identity) -> None:
        """Write down that a run begins; in a new journal, whose it is."""
        lines = b""
        if not self.job:
            self.job = secrets.token_hex(8)
            lines = line_of(
                Header(
                    job=self.job,
                    operation=identity.operation,
                    api=identity.api,
                    key=identity.key,
                    items=identity.items,
                    made_at=timestamp(),
                )
            )
        run = Run(run=self._runs + 1, at=timestamp(), timeout=identity.timeout)
        self.file.append(lines + line_of(run))
        self.file.own()


def timestamp() -> str:
    """Now, for people."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def key_digest(api_key: str) -> str:
    """By what a journal knows an API key again."""
    return sha256(f"{FORMAT}\0{api_key}".encode()).hexdigest()[:16]


def _check_index(item: str) -> None:
    if not (item.isascii() and item.isdigit()):
        raise ValueError(f"{item!r} is no index")


def _torn_header(text: bytes) -> bool:
    """Whether this may be the beginning of a first line, whose process was killed while it wrote."""
    return text.startswith(_START) or _START.startswith(text)


class _AnyHeader(msgspec.Struct):
    version: int


def _version_of(line: bytes) -> int | None:
    try:
        return msgspec.json.decode(line, type=_AnyHeader).version
    except msgspec.MsgspecError:
        return None
