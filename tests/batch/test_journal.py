"""The journal: what a second run makes of it, what is in it, and when it is refused."""

# ruff: noqa: ASYNC240 - the journal is looked at while nothing else runs
from __future__ import annotations

import asyncio
import errno
import fcntl
import json
import os
import stat
import subprocess
import sys
import tracemalloc
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import pytest
from support.batches import UNTIL, created, creates, each_once, lines, outcomes_of, rooms, sent, states

from whereby_async import BadRequestError, NotFoundError, WherebyClient
from whereby_async.batch import EarlierFailureError, JournalError
from whereby_async.batch.offsets import IndexOffsets, KeyOffsets
from whereby_async.models import Meeting, RecordingOptions, StreamingDestination, StreamingOptions
from whereby_async.testing import FakeWhereby, Fault

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.anyio


async def test_second_run_sends_only_what_is_missing(fake: FakeWhereby, whereby: WherebyClient, journal: Path) -> None:
    first = await created(whereby, 5, journal=journal)
    again = await created(whereby, 8, journal=journal)
    assert [outcome.resumed for outcome in again] == [True] * 5 + [False] * 3
    assert [o.result for o in again[:5]] == [Meeting(meeting_id=o.result.meeting_id) for o in first]
    assert each_once(fake, 8)
    assert sent(fake, "meetings.create") == 8


async def test_refetch_reads_results_again(fake: FakeWhereby, whereby: WherebyClient, journal: Path) -> None:
    """With `refetch=True` resumed items come with their room links; one that is gone is a failure of this run only."""
    requests = creates(3, fields=["hostRoomUrl"])
    first = await created(whereby, requests, journal=journal)
    del fake.meetings[first[1].result.meeting_id]
    again = await created(whereby, requests, journal=journal, refetch=True)
    assert again[0].result == first[0].result
    assert (again[1].state, type(again[1].error), again[1].resumed) == ("failed", NotFoundError, True)
    assert states(await created(whereby, requests, journal=journal)) == {"ok": 3}


async def test_reads_have_no_result_unless_refetched(fake: FakeWhereby, whereby: WherebyClient, journal: Path) -> None:
    fake.add_session("/demo")

    async def own(room_name: str) -> str:
        return room_name

    for method, repeated in ((whereby.insights.room_sessions, 2), (own, 1)):
        path = journal.with_name(f"{method.__qualname__.rpartition('.')[2]}.jsonl")
        await outcomes_of(whereby.batch(method, [{"room_name": "/demo"}], journal=path))
        (bare,) = await outcomes_of(whereby.batch(method, [{"room_name": "/demo"}], journal=path))
        assert (bare.state, bare.resumed) == ("ok", True)
        with pytest.raises(LookupError, match="refetch=True"):
            _ = bare.result
        assert repr(bare) == "<Outcome 0 '0': ok, resumed>"
        (full,) = await outcomes_of(whereby.batch(method, [{"room_name": "/demo"}], journal=path, refetch=True))
        assert full.resumed
        if repeated == 2:
            assert getattr(full.result, "results", None)
    assert sent(fake, "insights.room_sessions") == 2


async def test_calls_without_a_result_are_resumed_without_one(
    fake: FakeWhereby, whereby: WherebyClient, journal: Path
) -> None:
    ids = [{"meeting_id": fake.add_meeting()["meetingId"]} for _ in range(3)]
    for _ in range(2):
        outcomes = await outcomes_of(whereby.batch(whereby.meetings.delete, ids, journal=journal, key="meeting_id"))
        assert [(o.key, o.result) for o in outcomes] == [(i["meeting_id"], None) for i in ids]
    assert sent(fake, "meetings.delete") == 3
    assert not any(line.get("state") == "begun" for line in lines(journal))


@pytest.mark.parametrize("retry", [False, True])
async def test_failed_items_are_tried_again_if_asked(
    fake: FakeWhereby, whereby: WherebyClient, journal: Path, *, retry: bool
) -> None:
    fake.faults.add(
        Fault(operation="meetings.create", status=400, body=b'{"error": "see https://x.whereby.com/r?roomKey=k"}')
    )
    first = await created(whereby, 5, journal=journal, concurrency=1)
    assert type(first[0].error) is BadRequestError
    again = await created(whereby, 5, journal=journal, retry_failed=retry)
    assert each_once(fake, 5) is retry
    if not retry:
        error = again[0].error
        assert isinstance(error, EarlierFailureError)
        assert (error.kind, error.status, again[0].resumed) == ("BadRequestError", 400, True)
    assert "whereby.com" not in journal.read_text()


async def test_refusals_of_our_own_are_not_written_down_as_failures(
    fake: FakeWhereby, whereby: WherebyClient, journal: Path
) -> None:
    """An item that was never judged, as with a refused key, simply runs again with the next run."""
    fake.faults.add(Fault(operation="meetings.create", status=401))
    assert states(await created(whereby, 5, journal=journal)) == {"ok": 4, "failed": 1}
    assert states(await created(whereby, 5, journal=journal)) == {"ok": 5}
    assert each_once(fake, 5)
    assert all(request.operation == "meetings.create" for request in fake.requests)  # there was no doubt to look into


async def test_keys_tell_items_apart_whatever_their_order(
    fake: FakeWhereby, whereby: WherebyClient, journal: Path
) -> None:
    """With `key=` the order of the input and dates may differ; the entry that is no keyword is taken out."""
    requests = [{"end_date": UNTIL, "room_name_prefix": f"r{n}-", "customer": n} for n in range(6)]
    await created(whereby, requests[:4], journal=journal, key="customer")
    later = [{**request, "end_date": "2098-01-01T00:00:00Z"} for request in reversed(requests)]
    again = await created(whereby, later, journal=journal, key=itemgetter("customer"))
    assert [outcome.resumed for outcome in again] == [False, False, True, True, True, True]
    assert [outcome.ok for outcome in again] == [False] * 2 + [True] * 4  # the function takes nothing out
    final = await created(whereby, later, journal=journal, key="customer", retry_failed=True)
    assert states(final) == {"ok": 6}
    assert [outcome.key for outcome in final] == ["5", "4", "3", "2", "1", "0"]
    assert all(outcome.item["customer"] == int(outcome.key) for outcome in final)
    assert each_once(fake, 6)


async def test_keys_that_come_twice_or_are_none_fail_their_item(
    fake: FakeWhereby, whereby: WherebyClient, journal: Path
) -> None:
    requests: list[dict[str, Any]] = [
        {**r, "id": i} for r, i in zip(creates(6), ["a", "b", "a", "", True, "x" * 201], strict=True)
    ]
    requests.append({"end_date": UNTIL})
    outcomes = await created(whereby, requests, journal=journal, key="id")
    assert [outcome.state for outcome in outcomes] == ["ok", "ok", *["failed"] * 5]
    assert "has come before" in str(outcomes[2].error)
    assert rooms(fake) == {0: 1, 1: 1}
    again = await created(whereby, requests, journal=journal, key="id")
    assert [outcome.state for outcome in again] == ["ok", "ok", *["failed"] * 5]


async def test_changed_input_is_noticed(fake: FakeWhereby, whereby: WherebyClient, journal: Path) -> None:
    await created(whereby, 5, journal=journal)
    changed = creates(8)
    del changed[2]
    with pytest.raises(JournalError, match="item 2 is not the request"):
        await created(whereby, changed, journal=journal, concurrency=1)
    assert rooms(fake).keys() == set(range(5))


async def test_requests_are_known_again_by_what_they_say(whereby: WherebyClient, journal: Path) -> None:
    """Equal requests are equal whatever the order of their keywords and the offset of their dates."""

    async def own(**keywords: Any) -> None:
        assert keywords

    one = {
        "a": UNTIL,
        "b": RecordingOptions(type="cloud"),
        "c": [1, 2.5, None, True, ("x",)],
        "d": b"0" * 100,
        "e": Path("/x"),
        "f": object(),
        "g": {"h": 1},
    }
    two = dict(reversed(one.items())) | {"a": UNTIL.astimezone(), "f": object(), "b": RecordingOptions(type="cloud")}
    await outcomes_of(whereby.batch(own, [one], journal=journal))
    (outcome,) = await outcomes_of(whereby.batch(own, [two], journal=journal))
    assert outcome.resumed
    others: list[dict[str, Any]] = [
        {"d": b"1" * 100},
        {"c": []},
        {"b": RecordingOptions(type="none")},
        {"a": UNTIL.replace(tzinfo=None)},
    ]
    for other in others:
        with pytest.raises(JournalError):
            await outcomes_of(whereby.batch(own, [one | other], journal=journal))


@pytest.mark.parametrize("cut", [1, 20, 100])
async def test_torn_last_line_is_cut_off(fake: FakeWhereby, whereby: WherebyClient, journal: Path, cut: int) -> None:
    """A last line that was not written to its end does not count; the item is looked up and adopted."""
    await created(whereby, 5, journal=journal, concurrency=1)
    whole = journal.read_bytes()
    journal.write_bytes(whole[:-cut])
    again = await created(whereby, 5, journal=journal)
    assert states(again) == {"ok": 5}
    assert each_once(fake, 5)
    assert [outcome.key for outcome in again if outcome.adopted] == ["4"]
    assert lines(journal)


@pytest.mark.parametrize("size", range(0, 140, 7))
async def test_journal_whose_first_line_is_torn_begins_anew(
    fake: FakeWhereby, whereby: WherebyClient, journal: Path, size: int
) -> None:
    """A process that was killed while it wrote the first line had sent nothing."""
    await created(whereby, 0, journal=journal)
    journal.write_bytes(journal.read_bytes()[:size])
    assert states(await created(whereby, 5, journal=journal)) == {"ok": 5}
    assert lines(journal)[0]["journal"] == "whereby_async.batch"


@pytest.mark.parametrize(
    ("number", "damaged", "words"),
    [
        (1, b"end_date,prefix\n2099,a", "no journal of a batch"),
        (1, b'{"journal":"whereby_async.batch","version":3,"job":"x"}', "has format 3"),
        (1, b'{"journal":"whereby_async.batch","version":0,"job":"x"}', "has format 0"),
        (1, b'{"journal":"whereby_async.batch","version":"x"}', "has format None"),
        (1, b'{"journal":"whereby_async.batch","version":"\xe2"}', "has format None"),
        (1, b'{"journal":"whereby_async.batch","version":1}', "damaged in line 1"),
        (1, b'{"journal":"whereby_async.batch","version":1,"job":"\xe2"}', "damaged in line 1"),
        (4, b"\0\0\0", "damaged in line 4"),
        (4, b'{"item":"0","state":"finished","at":"x"}', "damaged in line 4"),
        (4, b'{"item":"a","state":"ok","at":"x"}', "damaged in line 4"),
        (4, b'{"item":"0","state":"ok","at":"x"', "damaged in line 4"),
        (None, b"name", "no journal of a batch"),
    ],
)
async def test_file_that_is_no_whole_journal_is_refused(
    fake: FakeWhereby, whereby: WherebyClient, journal: Path, *, number: int | None, damaged: bytes, words: str
) -> None:
    """Another file, another version, or damage that is no kill's work: nothing sent, and the file stays as it was."""
    await created(whereby, 5, journal=journal)
    content = journal.read_bytes().split(b"\n")
    if number is not None:
        content[number - 1] = damaged
    journal.write_bytes(b"\n".join(content) if number is not None else damaged)
    before = journal.read_bytes(), len(fake.requests)
    with pytest.raises(JournalError, match=words):
        await created(whereby, 5, journal=journal)
    assert (journal.read_bytes(), len(fake.requests)) == before


async def test_journal_of_another_job_is_refused(fake: FakeWhereby, whereby: WherebyClient, journal: Path) -> None:
    await created(whereby, 5, journal=journal)
    before = len(fake.requests)
    with pytest.raises(JournalError, match=r"another operation, 'meetings.create', not 'meetings.get'"):
        await outcomes_of(whereby.batch(whereby.meetings.get, [{"meeting_id": "1"}], journal=journal))
    with pytest.raises(JournalError, match="another way to tell items"):
        await created(whereby, 5, journal=journal, key="room_name_prefix")
    async with FakeWhereby() as elsewhere, elsewhere.client() as other:
        with pytest.raises(JournalError, match="another API"):
            await created(other, 5, journal=journal)
        assert not elsewhere.requests
    fake.also_accept("rotated")
    view = whereby.with_options(api_key="rotated")
    with pytest.raises(JournalError, match="another API key"):
        await created(view, 5, journal=journal)
    assert len(fake.requests) == before
    assert all(o.resumed for o in await created(view, 5, journal=journal, same_organisation=True))


async def test_one_batch_at_a_time_has_the_journal(fake: FakeWhereby, whereby: WherebyClient, journal: Path) -> None:
    """A second batch on the same journal is refused, in this process and in another; afterwards it is free."""
    program = (
        "import asyncio, sys; from whereby_async import WherebyClient\n"
        "async def main():\n"
        "    c = WherebyClient('key')\n"
        "    async with c.batch(c.meetings.create, [], journal=sys.argv[1]): pass\n"
        "asyncio.run(main())"
    )
    async with whereby.batch(whereby.meetings.create, creates(5), journal=journal):
        with pytest.raises(JournalError, match="in use"):
            await created(whereby, 5, journal=journal)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, str(journal), stderr=subprocess.PIPE
        )
        _, err = await process.communicate()
        assert process.returncode
        assert b"JournalError" in err
        assert b"in use" in err
    assert states(await created(whereby, 5, journal=journal)) == {"ok": 5}
    assert each_once(fake, 5)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL])
async def test_file_system_without_locks_is_no_other_batch(
    fake: FakeWhereby, whereby: WherebyClient, journal: Path, monkeypatch: pytest.MonkeyPatch, *, number: int
) -> None:
    """The cause is told, and nothing sent, unless the caller knows that no other batch runs there."""

    def unlockable(descriptor: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", unlockable)
    with pytest.raises(JournalError, match=rf"can not be locked \({os.strerror(number)}\).*lock=False"):
        await created(whereby, 5, journal=journal)
    assert not fake.requests
    for _ in range(2):
        assert states(await created(whereby, 5, journal=journal, lock=False)) == {"ok": 5}
    assert each_once(fake, 5)


async def test_lock_that_a_dead_machine_has_left_is_passed_over_if_asked(whereby: WherebyClient, journal: Path) -> None:
    journal.touch()
    with journal.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(JournalError, match="in use"):
            await created(whereby, 1, journal=journal)
        assert states(await created(whereby, 1, journal=journal, lock=False)) == {"ok": 1}


@pytest.mark.parametrize(
    ("call", "number", "words"),
    [
        ("fchmod", errno.EPERM, "others may be able to read it"),
        ("fchmod", errno.EOPNOTSUPP, "others may be able to read it"),
        ("fchmod", errno.ENOSYS, "others may be able to read it"),
        ("fsync", errno.EINVAL, "a power cut"),
        ("fsync", errno.EBADF, "a power cut"),
        ("open", errno.EACCES, "a power cut"),
    ],
)
async def test_what_a_file_system_can_not_do_is_one_warning(
    fake: FakeWhereby,
    whereby: WherebyClient,
    journal: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    *,
    call: str,
    number: int,
    words: str,
) -> None:
    """No mode of its own (exFAT, CIFS), and no folder that can be synced (WSL): the journal itself is as safe as ever."""
    real = getattr(os, call)

    def refused(what: Any, *more: Any) -> Any:
        if call == "fchmod" or Path(what if call == "open" else f"/proc/self/fd/{what}").is_dir():
            raise OSError(number, os.strerror(number))
        return real(what, *more)

    journal.touch(0o644)
    journal.chmod(0o644)
    monkeypatch.setattr(os, call, refused)
    assert states(await created(whereby, 5, journal=journal)) == {"ok": 5}
    assert each_once(fake, 5)
    (record,) = caplog.records
    assert f"journal={str(journal)!r}: {words}" in record.getMessage()
    assert os.strerror(number) in record.getMessage()


async def test_file_that_nobody_else_may_read_needs_no_warning(
    whereby: WherebyClient, journal: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:

    def refused(descriptor: int, mode: int) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "fchmod", refused)
    assert states(await created(whereby, 1, journal=journal)) == {"ok": 1}
    assert caplog.records == []


async def test_journal_that_can_not_be_made_durable_is_refused(
    fake: FakeWhereby, whereby: WherebyClient, journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own sync is what nothing may be sent without."""

    def refused(descriptor: int) -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(os, "fsync", refused)
    with pytest.raises(JournalError, match="can not be read or written: Invalid argument"):
        await created(whereby, 1, journal=journal)
    assert not fake.requests


async def test_journal_is_for_its_owner_s_eyes(whereby: WherebyClient, journal: Path) -> None:
    journal.touch(0o644)
    journal.chmod(0o644)
    await created(whereby, 5, journal=journal)
    assert stat.S_IMODE(journal.stat().st_mode) == 0o600


async def test_places_that_are_no_plain_file_are_refused(
    fake: FakeWhereby, whereby: WherebyClient, tmp_path: Path
) -> None:
    """Links, folders, pipes, devices and folders that are not there: a clear error, and nothing sent."""
    target = tmp_path / "target"
    target.touch()
    link = tmp_path / "link"
    link.symlink_to(target)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path, words in (
        (link, "is a link"),
        (tmp_path, "can not be opened: Is a directory"),
        (pipe, "no plain file"),
        (Path("/dev/full"), "no plain file"),
        (tmp_path / "no" / "run.jsonl", "can not be opened: No such file"),
    ):
        with pytest.raises(JournalError, match=words):
            await created(whereby, 5, journal=path)
    assert not fake.requests
    assert target.read_bytes() == b""


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open anything")
async def test_file_that_may_not_be_opened_is_told(fake: FakeWhereby, whereby: WherebyClient, journal: Path) -> None:
    journal.touch(0o400)
    with pytest.raises(JournalError, match="Permission denied"):
        await created(whereby, 5, journal=journal)
    assert not fake.requests


FULL = """
import asyncio, json, resource, sys
from datetime import UTC, datetime
from whereby_async import WherebyClient
from whereby_async.batch import JournalError

async def main():
    url, key, journal, size = sys.argv[1:]
    sys.dont_write_bytecode = True  # it would be cut short
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(size), unlimited[1]))
    client = WherebyClient(key, base_url=url, timeout=0.4)
    told, error = [], ""
    requests = ({"end_date": datetime(2099, 1, 1, tzinfo=UTC), "room_name_prefix": f"r{n}-"} for n in range(50))
    try:
        async with client, client.batch(client.meetings.create, requests, journal=journal, concurrency=4) as outcomes:
            async for outcome in outcomes:
                told.append([outcome.key, outcome.state])
    except JournalError as failure:
        error = str(failure)
    resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    print(json.dumps({"told": told, "error": error}))

asyncio.run(main())
"""


@pytest.mark.parametrize("size", [100, 1500, 2500, 2600, 2700, 3000])
async def test_full_disk_ends_the_job_with_nothing_lost(
    fake: FakeWhereby, whereby: WherebyClient, journal: Path, size: int
) -> None:
    """No create is sent that could not be written down; what was sent is told, or found by the next run."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", FULL, fake.url, fake.api_key, str(journal), str(size)), stdout=subprocess.PIPE
    )
    out, _ = await process.communicate()
    told = json.loads(out)
    assert "File too large" in told["error"]
    assert {state for _, state in told["told"]} <= {"ok"}
    assert len(told["told"]) == len(rooms(fake)) == sent(fake, "meetings.create")
    assert journal.stat().st_size <= size
    assert bool(rooms(fake)) == (size > 100)
    outcomes = await created(whereby, 50, journal=journal)
    assert states(outcomes) == {"ok": 50}
    assert each_once(fake, 50)


async def test_no_secret_is_in_the_journal(fake: FakeWhereby, whereby: WherebyClient, journal: Path) -> None:
    """Neither room keys nor links, nor the API key, nor what a request holds, is written down."""
    recording = RecordingOptions(type="none", destination=None)
    requests = creates(3, fields=["hostRoomUrl", "viewerRoomUrl"], recording=recording, extra={"secret": "hidden-word"})
    fake.faults.add(
        Fault(operation="meetings.create", status=409, body=b'{"error": "roomKey=k1secret https://x.whereby.com/r"}')
    )
    await created(whereby, requests, journal=journal)
    text = journal.read_text()
    for secret in (fake.api_key, "k1secret", "roomKey=ey", "whereby.com", "hidden-word", "Bearer"):
        assert secret not in text
    assert all(meeting["roomName"][-12:] not in text for meeting in fake.meetings.values())


async def test_a_secret_that_a_refusal_quotes_is_not_in_the_journal(
    fake: FakeWhereby, whereby: WherebyClient, journal: Path
) -> None:
    """Neither what the API quotes, nor what a function of the caller's puts into its error."""
    planted = "pL4nt/ed'\\w0rds"
    recording = {"type": "cloud", "destination": {"provider": "s3", "accessKeySecret": planted}}
    said = json.dumps({"error": f'"recording.destination.accessKeySecret" with value "{planted}" fails to match'})
    fake.faults.add(Fault(operation="meetings.create", status=400, body=said.encode()))
    [outcome] = await created(whereby, creates(1, recording=recording), journal=journal)

    async def own(**request: Any) -> None:
        raise ValueError(f"can not use {request}")

    options = StreamingOptions(destination=StreamingDestination(url=f"rtmp://live.example/{planted}"))
    room = {"room": [{"room_key": planted}]}
    carriers: list[dict[str, Any]] = [{"recording": recording}, {"streaming": options}, room]
    for number, keywords in enumerate(carriers):
        path = journal.with_name(f"{number}.jsonl")
        await outcomes_of(whereby.batch(own, [keywords], journal=path, idempotent=True))
        assert "can not use" in path.read_text()
        assert not {part for part in ("pL4nt", "w0rds") if part in path.read_text()}
    assert "fails to match" in journal.read_text()
    assert "pL4nt" not in journal.read_text() + str(outcome.error)


async def test_an_item_that_is_no_dictionary_is_not_quoted(whereby: WherebyClient, journal: Path) -> None:
    """It may be one that was not read yet: a line of JSON with all that it holds."""
    items: list[Any] = ['{"accessKeySecret": "planted"}', [("accessKeySecret", "planted")]]
    outcomes = await outcomes_of(whereby.batch(whereby.meetings.create, items, journal=journal))
    assert [str(outcome.error) for outcome in outcomes] == [
        "item 0 is of type str, no dictionary of keywords",
        "item 1 is of type list, no dictionary of keywords",
    ]
    assert "planted" not in journal.read_text()


async def test_lines_are_written_together(
    fake: FakeWhereby, whereby: WherebyClient, journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """64 creates at once share syncs (few on an idle machine), where two each would be 128."""
    syncs: list[int] = []
    fsync = os.fsync

    def counted(descriptor: int) -> None:
        syncs.append(descriptor)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", counted)
    fake.latency = 0.2
    await created(whereby.with_options(timeout=10), 64, journal=journal, concurrency=64)
    assert len(syncs) < 96
    assert len(lines(journal)) == 2 + 2 * 64


async def test_entry_is_on_the_disk_before_anybody_acts_on_it(
    fake: FakeWhereby, whereby: WherebyClient, journal: Path
) -> None:
    """When the server hears of a create the journal has its `begun`, and when an outcome comes out, its end."""
    missing: list[str] = []

    def look(request: Any) -> None:
        marker = request.json["roomNamePrefix"][-10:]
        if not any(line.get("marker") == marker for line in lines(journal)):
            missing.append(marker)

    fake.subscribe(look)
    async with whereby.batch(whereby.meetings.create, creates(30), journal=journal, concurrency=5) as outcomes:
        async for outcome in outcomes:
            assert any((line.get("item"), line.get("state")) == (outcome.key, "ok") for line in lines(journal))
    assert missing == []


async def test_cancelled_while_opening_lets_the_journal_go(whereby: WherebyClient, journal: Path) -> None:
    """A cancel in the middle of opening leaves no lock behind; the twin that waits gets it."""
    for _ in range(20):
        task = asyncio.create_task(created(whereby, 5, journal=journal))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with anyio.fail_after(5):
            while True:
                try:
                    await created(whereby, 5, journal=journal)
                except JournalError:
                    await asyncio.sleep(0.01)
                else:
                    break


@pytest.mark.untraced
def test_million_item_index_stays_small() -> None:
    """Offsets of items take eight bytes by index, and some thirty by key."""
    table = TypeVar("table", IndexOffsets, KeyOffsets)

    def filled(offsets: table, keys: Iterator[str]) -> table:
        for number, key in enumerate(keys):
            assert offsets.claim(key)
            offsets.put(key, number + 1)
        return offsets

    tracemalloc.start()
    try:
        indexed = filled(IndexOffsets(), (str(n) for n in range(50_000)))
        by_index = tracemalloc.get_traced_memory()[0]
        keyed = filled(KeyOffsets(), (f"customer-{n}" for n in range(50_000)))
        by_key = tracemalloc.get_traced_memory()[0] - by_index
    finally:
        tracemalloc.stop()
    assert by_index < 600_000
    assert by_key < 2_500_000
    assert all(indexed.get(str(n)) == n + 1 for n in range(0, 50_000, 977))
    assert all(keyed.get(f"customer-{n}") == n + 1 for n in range(0, 50_000, 977))
    assert not keyed.claim("customer-5")
    assert keyed.get("nobody") == indexed.get("50000") == 0


async def test_result_of_a_kind_that_is_not_known_is_not_kept(whereby: WherebyClient, journal: Path) -> None:
    """A result that another version wrote down is missed only by whoever asks for it."""
    await created(whereby, 1, journal=journal)
    journal.write_text(journal.read_text().replace('{"Meeting":', '{"Webinar":'))
    (outcome,) = await created(whereby, 1, journal=journal)
    assert (outcome.state, outcome.resumed) == ("ok", True)
    with pytest.raises(LookupError):
        _ = outcome.result


async def test_callable_without_a_signature_takes_every_entry(whereby: WherebyClient, journal: Path) -> None:
    """The key's entry goes in too where nobody knows what a callable takes; what is not awaitable fails its item."""
    method: Any = dict
    (outcome,) = await outcomes_of(whereby.batch(method, [{"id": "a"}], key="id", journal=journal))
    assert isinstance(outcome.error, TypeError)
    assert outcome.key == "a"
