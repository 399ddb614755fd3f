"""The journal: what became of each item, written durably, so that a job can be killed at any moment and run again.

**Theory.** An entry is on the disk (`fsync`) before anybody acts on what it says. So before a call that must not be
repeated is sent, its `begun` entry is durable; and the entry with its outcome is durable before the outcome comes out.
That leaves three kinds of items for the next run: items with an outcome only come out again; items without any entry
were surely not sent; items whose last entry is `begun` may have been sent and acted on or not, and are looked up (see
`lookup`). Calls that may be repeated have no `begun` entry; they simply run again. So do items whose entry says that
they failed because the service was away, or that the batch was stopped before they were sent.

*Group commit.* Many calls finish at about the same time, and each of them waits for the disk. So one task takes all
lines that have gathered while the last ones were being written, writes them with one call and syncs once: 64 creates at
once cost two or three syncs, not 128.

*A kill* can tear the last line only, since nothing is written behind a line that is not whole. A torn last line is cut
off: it was not durable, so nobody has acted on it. Damage anywhere else has another cause; such a journal is refused,
with the line's number.

*A full disk.* What was half written is cut off again, and the batch ends with `JournalError`. A call whose `begun`
entry could not be written was not sent. An outcome that could not be written still comes out; the next run looks it up.

*Two processes.* The lock admits one, unless it was asked not to lock. *Clocks.* The times in the lines are for people;
no decision depends on them (`lookup` says what it counts from). *Another job's journal* (with another operation, API,
key, or way to tell items) is refused before anything is sent: its items would be skipped or looked up in vain.

A line is a JSON object that a person can read:

```
{"journal":"whereby_async.batch","version":2,"job":"9f2c…","operation":"meetings.create","api":"https://api.where…",…}
{"run":1,"at":"2026-03-01T09:00:00.000Z","timeout":30.0}
{"item":"c-17","state":"begun","at":"…","marker":"k3v9x2m7qa","ends":"2026-03-02T09:00:00.000Z"}
{"item":"c-17","state":"ok","at":"…","result":{"Meeting":"107585562"}}
```

Of results only ids are kept, of errors their class, status and text without links: no room key, link or secret.
"""

from __future__ import annotations

import asyncio
import os
import re
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import blake2b, sha256
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, cast

import anyio
import msgspec

from ..models import Meeting, Recording, Summary, SummaryJob, Transcription, TranscriptionJob
from ..redaction import MASK, redact, secrets_in
from .item import NOT_KEPT, EarlierFailureError
from .journal_file import JournalError, JournalFile
from .offsets import IndexOffsets, KeyOffsets

if TYPE_CHECKING:
    from collections.abc import Callable

    from .item import Item

EntryState: TypeAlias = Literal["begun", "ok", "failed", "unknown"]

_FORMAT: Final = "whereby_async.batch"
_VERSION: Final = 2
_OLDEST_VERSION: Final = 1
_START: Final = f'{{"journal":"{_FORMAT}","version":'.encode()
_KEPT: Final[dict[type, str]] = {
    kind: kind.__struct_fields__[0]
    for kind in (Meeting, Recording, Transcription, TranscriptionJob, Summary, SummaryJob)
}
"""The results of which something is kept, and the field that is: the first one, which is the id."""
_LINK: Final = re.compile(r"\w+://\S+")
_LONGEST_TEXT: Final = 300


class _AnyHeader(msgspec.Struct):
    """What the first line of a journal has in any format."""

    version: int


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The first line: which job the journal belongs to.

    Attributes:
        journal: `whereby_async.batch`.
        version: Of this format. A journal of an older version is gone on with and keeps its header.
        job: A random number, from which the markers are made.
        operation: What every item calls.
        api: The base URL.
        key: A digest of the API key.
        items: Whether items go by their `index` or by a `key`.
        made_at: When it was made.
    """

    journal: str = _FORMAT
    version: int = _VERSION
    job: str
    operation: str
    api: str
    key: str
    items: Literal["index", "key"]
    made_at: str

    @classmethod
    def new(cls, *, operation: str, api: str, api_key: str, keyed: bool) -> Header:
        """The header of a new job."""
        return cls(
            job=secrets.token_hex(8),
            operation=operation,
            api=api,
            key=sha256(f"{_FORMAT}\0{api_key}".encode()).hexdigest()[:16],
            items="key" if keyed else "index",
            made_at=_now(),
        )


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """A line that says that a process has begun to work on the job.

    Attributes:
        run: Its number, from 1.
        at: When, by its wall clock; for people only.
        timeout: Seconds that one of its attempts may take.
    """

    run: int
    at: str
    timeout: float


class JournalEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A line that says what has become of an item.

    Attributes:
        item: Its key.
        state: `begun`: a call that must not be repeated is about to be sent. The rest as in `Outcome`.
        at: When, by the wall clock; for people only.
        request: A digest of the request, for items that go by their index; of others when `begun`, without `fields`.
        marker: What is behind the prefix of its room's name.
        ends: When its meeting ends.
        result: The id of what was made, by its kind; `{}` for a call that returns nothing; `None`: not kept.
        error: The error's class.
        status: Its HTTP status.
        message: Its text.
        away: A `failed` item that says nothing about its request: the service was away, or the batch was stopped
            before anything was done. The next run takes it up again. From version 2 on.
    """

    item: str
    state: EntryState
    at: str
    request: str | None = None
    marker: str | None = None
    ends: str | None = None
    result: dict[str, str] | None = None
    error: str | None = None
    status: int | None = None
    message: str | None = None
    away: bool = False


_encoder = msgspec.json.Encoder()
_entries = msgspec.json.Decoder(JournalEntry)
_runs = msgspec.json.Decoder(Run)


class _Group:
    """Lines that are written and synced together."""

    __slots__ = ("error", "lines", "written")

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.written = asyncio.Event()
        self.error: OSError | None = None


class Journal:
    """An open journal. `run` has to be running in a task for `write` to come to an end.

    Attributes:
        job: The job's random number.
        timeout: The longest that an attempt of an earlier run may have taken, in seconds; 0 in a new journal.
        begun: The keys of items whose last entry is `begun`.
        unknown: The keys of items whose last entry is `unknown`.
    """

    def __init__(
        self, path: str | os.PathLike[str], header: Header, *, same_organisation: bool, timeout: float, lock: bool
    ) -> None:
        """Open the journal, or make it. Blocks: call it in a thread.

        Args:
            path: Where it is.
            header: Of a new journal; one that is there must belong to the same operation, API, API key and way to tell
                items.
            same_organisation: Another API key will do.
            timeout: Seconds that one attempt of this run may take.
            lock: Keep other batches off it.

        Raises:
            JournalError: It can not be used; the file is as it was.
        """
        self._file = JournalFile(Path(os.fsdecode(path)).absolute(), lock=lock)
        self._name = f"journal={str(self._file.path)!r}"
        self._by_index = header.items == "index"
        self._offsets: IndexOffsets | KeyOffsets = IndexOffsets() if self._by_index else KeyOffsets()
        self._runs = 0
        self.begun: set[str] = set()
        self.unknown: set[str] = set()
        self.timeout: float = 0.0
        self.job: str = ""
        try:
            self._load(header, same_organisation=same_organisation)
            self._enter(header, timeout)
        except OSError as error:
            self.close()
            raise JournalError(
                f"{self._name} can not be read or written: {error.strerror}. Nothing was sent"
            ) from error
        except BaseException:
            self.close()
            raise
        self._end = self._file.size
        self._gathering = _Group()
        self._gathered = asyncio.Event()
        self._broken: OSError | None = None

    # Reading

    def _load(self, ours: Header, *, same_organisation: bool) -> None:
        offset = 0
        for number, line in enumerate(self._file.lines(), 1):
            if not line.endswith(b"\n"):
                if number == 1 and not (line.startswith(_START) or _START.startswith(line)):
                    raise JournalError(f"{self._name} is no journal of a batch: pass another path")
                self._file.cut(offset)
            elif number == 1:
                self.job = self._recognised(line, ours, same_organisation=same_organisation).job
            else:
                self._read_line(line, offset, number)
            offset += len(line)

    def _recognised(self, line: bytes, ours: Header, *, same_organisation: bool) -> Header:
        """The first line, if it is that of this job's journal."""
        if not line.startswith(_START):
            raise JournalError(f"{self._name} is no journal of a batch: pass another path")
        try:
            version = msgspec.json.decode(line, type=_AnyHeader).version
        except (msgspec.MsgspecError, UnicodeDecodeError):
            version = None
        if version is None or not _OLDEST_VERSION <= version <= _VERSION:
            raise JournalError(
                f"{self._name} has format {version}; this version of whereby_async reads formats {_OLDEST_VERSION} to "
                f"{_VERSION}"
            )
        try:
            header = msgspec.json.decode(line, type=Header)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise JournalError(f"{self._name} is damaged in line 1 ({error}): pass another path") from None
        for what, its, wanted, advice in (
            ("operation", header.operation, ours.operation, "pass another path for another job"),
            ("API", header.api, ours.api, "pass another path for another job"),
            ("way to tell items", header.items, ours.items, "pass key= as in the first run"),
        ):
            if its != wanted:
                raise JournalError(
                    f"{self._name} is of another {what}, {its!r}, not {wanted!r}: {advice}. Nothing was sent"
                )
        if header.key != ours.key and not same_organisation:
            raise JournalError(
                f"{self._name} was made with another API key. If it is one of the same organisation, pass "
                "same_organisation=True; else pass another path. Nothing was sent"
            )
        return header

    def _read_line(self, line: bytes, offset: int, number: int) -> None:
        try:
            if line.startswith(b'{"run":'):
                run = _runs.decode(line)
                self._runs = run.run
                self.timeout = max(self.timeout, run.timeout)
                return
            entry = _entries.decode(line)
            if self._by_index and not (entry.item.isascii() and entry.item.isdigit()):
                raise ValueError(f"{entry.item!r} is no index")
        except (msgspec.MsgspecError, ValueError) as error:
            raise JournalError(
                f"{self._name} is damaged in line {number} ({error}): mend or remove that line by hand, knowing that "
                "an item without a line is sent again"
            ) from None
        self._note(entry, offset)

    def _note(self, entry: JournalEntry, offset: int) -> None:
        self._offsets.put(entry.item, offset)
        for state, keys in (("begun", self.begun), ("unknown", self.unknown)):
            if entry.state == state:
                keys.add(entry.item)
            else:
                keys.discard(entry.item)

    def claim(self, item: Item) -> bool:
        """Note that the item has come in this run; `False` if its key had come before."""
        return self._offsets.claim(item.key)

    def known(self, item: Item) -> JournalEntry | None:
        """The last entry of an item; `None` if there is none. It raises if that entry is about another item."""
        offset = self._offsets.get(item.key)
        if not offset:
            return None
        entry = _entries.decode(self._file.line_at(offset))
        if entry.item != item.key:  # pragma: no cover - one chance in 40 million for a million keys
            raise JournalError(f"the keys {item.key!r} and {entry.item!r} can not be told apart: rename one of them")
        if self._by_index and entry.request != _digest(item.request):
            raise JournalError(
                f"item {item.index} is not the request that the journal knows by this index: the input has changed "
                "between the runs (a date such as now plus an hour is enough). Pass the same input again, or key= to "
                "tell items by"
            )
        return entry

    # Writing

    def _enter(self, header: Header, timeout: float) -> None:
        """Write down that a run begins; in a new journal, the header first."""
        lines = b""
        if not self.job:
            self.job = header.job
            lines = _line_of(header)
        self._file.append(lines + _line_of(Run(run=self._runs + 1, at=_now(), timeout=timeout)))
        self._file.own()

    @property
    def error(self) -> JournalError | None:
        """Why the journal can not be written any more; `None` as long as it can."""
        return None if self._broken is None else self._failure(self._broken)

    async def write(self, item: Item, state: EntryState, **more: Any) -> None:
        """Write an entry about an item. It is on the disk when this returns, and not if this raises `JournalError`."""
        if self._broken is not None:
            raise self._failure(self._broken)
        request = _digest(item.request) if self._by_index else made_from(item.request) if state == "begun" else None
        entry = JournalEntry(item=item.key, state=state, at=_now(), request=request, **more)
        line = _line_of(entry)
        offset, self._end = self._end, self._end + len(line)
        group = self._gathering
        group.lines.append(line)
        self._gathered.set()
        await group.written.wait()
        if group.error is not None:
            raise self._failure(group.error)
        self._note(entry, offset)

    async def run(self) -> None:
        """Write the lines that gather, until cancelled."""
        while True:
            await self._gathered.wait()
            self._gathered.clear()
            await self._flush()

    async def _flush(self) -> None:
        group, self._gathering = self._gathering, _Group()
        if self._broken is None:
            try:
                with anyio.CancelScope(shield=True):
                    await asyncio.get_running_loop().run_in_executor(None, self._file.append, b"".join(group.lines))
            except OSError as error:
                self._broken = error
        group.error = self._broken
        group.written.set()

    async def aclose(self) -> None:
        """Write what has not been written yet, and close the file."""
        if self._gathering.lines and self._broken is None:
            await self._flush()
        await asyncio.get_running_loop().run_in_executor(None, self.close)

    def close(self) -> None:
        """Close the file; its lock goes with it."""
        self._file.close()

    def _failure(self, error: OSError) -> JournalError:
        failure = JournalError(
            f"{self._name} can not be written: {error.strerror}. No further item is begun; mend the cause and run the "
            "job again"
        )
        failure.__cause__ = error
        return failure


def known_items(path: str | os.PathLike[str]) -> dict[str, tuple[str, str | None]]:
    """The states of the items of which a journal has an entry, by their keys (`away` of those that failed and are taken
    up again), and what `made_from` says of the call of each that was begun last; none if it is no plain file.

    It is only looked at: nothing is locked, checked or written, as opening it for a job does.
    """
    found: dict[str, tuple[str, str | None]] = {}
    if Path(path).is_file():
        with Path(path).open("rb") as lines:
            for entry in filter(None, map(_entry_of, lines)):
                request = entry.request if entry.state == "begun" else found.get(entry.item, ("", None))[1]
                found[entry.item] = "away" if entry.away else entry.state, request
    return found


def _entry_of(line: bytes) -> JournalEntry | None:
    try:
        return _entries.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


async def opened(make: Callable[[], Journal]) -> Journal:
    """Open a journal in a thread. If the caller is cancelled meanwhile, the journal is closed as soon as it is open."""
    opening = asyncio.get_running_loop().run_in_executor(None, make)
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(_close_opened)
        raise


def _close_opened(opening: asyncio.Future[Journal]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()


# What the lines hold


def kept(result: object) -> dict[str, str] | None:
    """What of a result goes into the journal; `None` if nothing does."""
    if result is None:
        return {}
    field = _KEPT.get(type(result))
    return None if field is None else {type(result).__name__: getattr(result, field)}


def restored(result: dict[str, str] | None) -> object:
    """The result as far as the journal knows it: ids only; `NOT_KEPT` if not at all."""
    if result == {}:
        return None
    for kind, field in _KEPT.items():
        if result is not None and kind.__name__ in result:
            return kind(**{field: result[kind.__name__]})
    return NOT_KEPT


def error_fields(error: BaseException, request: Mapping[str, Any]) -> dict[str, Any]:
    """What of an error goes into the journal: its text without the secrets of the request."""
    text = _LINK.sub(MASK, redact(str(error), *secrets_in(request)))
    return {
        "error": type(error).__name__,
        "status": getattr(error, "status", None),
        "message": text if len(text) <= _LONGEST_TEXT else text[: _LONGEST_TEXT - 1] + "…",
    }


def earlier_failure(entry: JournalEntry) -> EarlierFailureError:
    """The error of an item that failed in an earlier run."""
    return EarlierFailureError(
        f"item {entry.item!r} failed in an earlier run ({entry.at}): {entry.error}: {entry.message}; "
        "pass retry_failed=True to try it again",
        kind=entry.error or "",
        status=entry.status,
    )


def _line_of(record: Header | Run | JournalEntry) -> bytes:
    return _encoder.encode(record) + b"\n"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def made_from(request: Mapping[str, Any]) -> str:
    """The digest of what a request makes, whatever fields it asks to be answered."""
    return _digest({name: value for name, value in request.items() if name != "fields"})


def _digest(request: Mapping[str, Any]) -> str:
    """The digest by which a journal recognises a request in each run, whatever the order of its keywords."""
    return blake2b(msgspec.json.encode(_plain(request), order="sorted"), digest_size=6).hexdigest()


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(name): _plain(inner) for name, inner in cast("Mapping[object, object]", value).items()}
    if isinstance(value, msgspec.Struct):
        return [type(value).__name__, _plain(msgspec.structs.asdict(value))]
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in cast("list[object]", value)]
    return _simple(value)


def _simple(value: object) -> object:
    if isinstance(value, datetime):
        return (value.astimezone(UTC) if value.tzinfo else value).isoformat()
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str | PurePath):
        return str(value)
    if isinstance(value, bytes | bytearray):
        return blake2b(value, digest_size=16).hexdigest()
    return type(value).__name__
