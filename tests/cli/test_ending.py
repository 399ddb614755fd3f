"""How long work ends before its end: by signals, by a full disk, by a reader that is gone; and what it says then."""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import signal
import socket
import subprocess
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import pytest
from support.processes import PATIENCE, OnTerminal, ended, on_small_disk, start

from whereby_async.testing import FAKE_API_KEY, Fault

if TYPE_CHECKING:
    from support.processes import Runner
    from support.serving import Served

END = "2099-01-01T00:00:00Z"
SLOW = pytest.mark.parametrize("served", [{"latency": 0.2}], indirect=True)


def _import(place: Path, count: int, *options: str) -> tuple[str, ...]:
    """The words of an import of so many rooms."""
    file = place / "rooms.csv"
    file.write_text("\n".join(["customer,endDate", *(f"c{number},{END}" for number in range(count))]) + "\n")
    return ("meetings", "import", str(file), "--key", "customer", "--concurrency", "4", *options)


def _operations(served: Served) -> list[str | None]:
    return [request.operation for request in served.fake.requests]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize(
    ("line", "may_be_done"),
    [
        ("meetings create --end-date +2h", True),
        ("meetings delete 1", True),
        ("transcriptions create b1", True),
        ("meetings get 1", False),
    ],
)
def test_one_call_that_is_interrupted_says_what_may_be_done(
    served: Served, line: str, may_be_done: bool, number: int, code: int
) -> None:
    """A room may have been made that nobody knows of; a read leaves nothing behind."""
    served.fake.faults.add(Fault(delay=60.0))
    with start(*line.split()) as process:
        served.until(lambda: len(served.fake.requests) == 1)
        first = ended(process, number)
    perhaps = "whereby: It may have been done all the same: look before you do it again.\n" if may_be_done else ""
    assert (first.code, first.out, first.err) == (code, "", f"whereby: interrupted\n{perhaps}")


@pytest.mark.parametrize("served", [{"limit": 1, "period": 600.0}], indirect=True)
def test_one_call_that_is_interrupted_before_it_left_is_not_done(served: Served) -> None:
    served.do(lambda: served.fake.spend(1))
    with OnTerminal("meetings", "create", "--end-date", "+2h", columns=200) as terminal:
        terminal.until("waits about")
        shown = terminal.interrupt()
    assert (shown.code, served.fake.meetings) == (130, {})
    assert "may have been done" not in shown.out


def test_one_call_that_is_interrupted_while_the_service_is_away_is_not_done() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
    words = ("meetings", "create", "--end-date", "+2h", "--max-outage", "60", "--base-url", url)
    with OnTerminal(*words, columns=200, variables={"WHEREBY_API_KEY": FAKE_API_KEY}) as terminal:
        terminal.until("waiting for it")
        shown = terminal.interrupt()
    assert shown.code == 130
    assert shown.lines()[-2].endswith("whereby: interrupted")
    assert "may have been done" not in shown.out


@SLOW
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_first_signal_lets_calls_end(served: Served, tmp_path: Path, number: int, code: int, here: Runner) -> None:
    """Each room that was being made is in the journal: the next run makes the rest at once, and looks nothing up."""
    words = _import(tmp_path, 40)
    with start(*words) as process:
        served.until(lambda: len(served.fake.meetings) >= 8)
        first = ended(process, number)
    assert first.code == code
    assert first.err == (
        f"whereby: interrupted; {words[2]}.journal knows what was done. Go on with:\n  whereby {shlex.join(words)}\n"
    )
    made = len(served.fake.meetings)
    assert made < 40
    assert len(first.rows()) == made
    again = here(*words)
    assert (again.code, again.err) == (0, "")
    assert again.rows()[-1]["resumed"] == made
    assert _operations(served) == ["meetings.create"] * 40
    assert len(served.fake.meetings) == 40


@SLOW
def test_calls_that_end_are_told_on_a_terminal(served: Served, tmp_path: Path) -> None:
    with OnTerminal(*_import(tmp_path, 40), columns=200) as terminal:
        served.until(lambda: len(served.fake.meetings) >= 8)
        shown = terminal.interrupt()
    assert shown.code == 130
    assert any(line.endswith("whereby: finishing 4 calls; again to stop now") for line in shown.lines()), shown.out
    assert "knows what was done. Go on with:" in shown.out


def test_second_signal_stops_now(served: Served, tmp_path: Path) -> None:
    """In the middle of a call; the batch says which rows are in doubt."""
    served.fake.faults.add(Fault(delay=60.0))
    with OnTerminal(*_import(tmp_path, 1), columns=200) as terminal:
        served.until(lambda: len(served.fake.requests) == 1)
        terminal.type(b"\x03")
        terminal.until("finishing 1 call; again to stop now")
        shown = terminal.insist()
    assert shown.code == 130
    assert "whereby: batch of meetings.create: left with 1 calls of which nobody knows" in shown.out
    assert "knows what was done. Go on with:" in shown.out
    assert "Traceback" not in shown.out


@pytest.mark.parametrize("served", [{"limit": 6, "period": 600.0}], indirect=True)
def test_calls_that_wait_are_dropped(served: Served, tmp_path: Path) -> None:
    """For points, here: nothing is under way, so nothing is said of it, and the end comes at once."""
    with OnTerminal(*_import(tmp_path, 9), columns=200) as terminal:
        terminal.until("2 of 9")
        terminal.until("waiting for points")
        shown = terminal.interrupt()
    assert shown.code == 130
    assert "finishing" not in shown.out
    assert "in doubt" not in shown.out
    assert "knows what was done. Go on with:" in shown.out
    assert len(served.fake.meetings) == 2


@pytest.mark.parametrize(("kind", "call", "at_once"), [("meetings", "delete", 1), ("recordings", "bulk_delete", 100)])
def test_purge_ends_in_order_too(served: Served, here: Runner, kind: str, call: str, at_once: int) -> None:
    """What was being deleted is deleted; the next run goes on with the rest."""
    for _ in range(2 * at_once + 1):
        getattr(served.fake, f"add_{kind[:-1]}")()
    served.fake.faults.add(Fault(operation=f"{kind}.{call}", delay=0.5, times=1))
    words = (kind, "purge", "--everything", "--yes", "--concurrency", "1")
    with start(*words) as process:
        served.until(lambda: f"{kind}.{call}" in _operations(served))
        first = ended(process, signal.SIGTERM)
    assert first.code == 143
    assert [row["event"] for row in first.rows()] == ["deleted"] * at_once
    assert len(getattr(served.fake, kind)) == at_once + 1
    assert here(*words).rows()[-1]["deleted"] == at_once + 1


def test_export_that_was_stopped_is_not_finished(served: Served, tmp_path: Path, here: Runner) -> None:
    for number in range(3):
        served.fake.add_session(f"/room-{number}", participants=1)
    served.fake.faults.add(Fault(operation="insights.room_sessions", delay=0.5, times=1))
    words = ("insights", "export", str(tmp_path / "out"), "--concurrency", "1")
    with start(*words) as process:
        served.until(lambda: "insights.room_sessions" in _operations(served))
        assert ended(process, signal.SIGINT).code == 130
    again = here(*words)
    assert (again.code, again.rows()[-1]["rooms"] + again.rows()[-1]["resumed"]) == (0, 3)
    rows = [json.loads(line) for line in (tmp_path / "out" / "rooms.jsonl").read_text().splitlines()]
    assert sorted(row["roomName"] for row in rows) == ["/room-0", "/room-1", "/room-2"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_listing_stops_at_once(served: Served, number: int, code: int) -> None:
    served.fake.faults.add(Fault(operation="meetings.list", delay=60.0))
    with start("meetings", "purge", "--everything", "--yes") as process:
        served.until(lambda: len(served.fake.requests) == 1)
        stopped = ended(process, number)
    assert (stopped.code, stopped.out) == (code, "")
    assert stopped.err.startswith("whereby: interrupted; what is deleted is deleted. Go on with:\n")
    assert "Traceback" not in stopped.err


def test_question_stops_at_once(served: Served) -> None:
    """Also by SIGTERM, which a loop would see only when the line has been typed."""
    served.fake.add_meeting(room_name="/one")
    with OnTerminal("meetings", "purge", "--everything") as terminal:
        terminal.until("[y/N] ")
        terminal.send(signal.SIGTERM)
        shown = terminal.end()
    assert shown.code == 143
    assert "interrupted" in shown.out
    assert "Traceback" not in shown.out
    assert len(served.fake.meetings) == 1


@SLOW
def test_ignored_signal_stays_ignored(served: Served, tmp_path: Path) -> None:
    """What a script starts with `&` does not end by the Ctrl-C that is meant for others."""
    with start(*_import(tmp_path, 8), ignores_ctrl_c=True) as process:
        served.until(lambda: len(served.fake.meetings) >= 1)
        done = ended(process, signal.SIGINT)
    assert (done.code, done.err) == (0, "")
    assert len(served.fake.meetings) == 8


def test_signals_end_what_nobody_reads(served: Served) -> None:
    """A pipe that is full blocks the whole process: it is ended all the same."""
    served.fake.add_session("/room", participants=1)
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        while os.write(writer, bytes(fcntl.fcntl(writer, fcntl.F_GETPIPE_SZ))):
            pass
    except BlockingIOError:
        os.set_blocking(writer, True)
    with start("insights", "export", stdout=writer) as process:
        os.close(writer)
        served.until(lambda: "insights.participants" in _operations(served))
        deadline = monotonic() + PATIENCE
        while process.poll() is None:
            assert monotonic() < deadline
            process.send_signal(signal.SIGINT)
            try:
                process.wait(0.2)
            except subprocess.TimeoutExpired:
                continue
        os.close(reader)
        assert process.stderr is not None
        assert "interrupted" in process.stderr.read()


def test_reader_that_goes_ends_an_import_in_order(served: Served, tmp_path: Path) -> None:
    """`whereby meetings import … | head -1`: rooms that are being made come into the journal."""
    served.fake.faults.add(Fault(delay=0.5, skip=1, times=3))
    with start(*_import(tmp_path, 4)) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == ""
        assert process.wait(PATIENCE) == 141
    lines = [json.loads(line) for line in (tmp_path / "rooms.csv.journal").read_text().splitlines()]
    assert sum(line.get("state") == "ok" for line in lines) == len(served.fake.meetings) == 4


# Files that can not be written


def test_sync_into_a_full_folder_ends_at_the_first_file(served: Served, tmp_path: Path) -> None:
    """Before a link is paid for, with one error that names the file; when there is space the same command goes on."""
    for _ in range(12):
        served.fake.add_recording(room_name="/x")
    full, mended = on_small_disk(tmp_path / "disk", 4, "recordings", "sync", str(tmp_path / "disk"))
    assert (full.code, full.out) == (2, "")
    complaint, command_line = full.err.splitlines()
    assert complaint.startswith(f"whereby: {tmp_path}/disk/x-")
    assert complaint.endswith(": No space left on device; what has arrived is kept. When there is space, go on with:")
    assert command_line == f"  whereby recordings sync {shlex.quote(f'{tmp_path}/disk')}"
    assert (mended.code, mended.rows()[-1]["downloaded"]) == (0, 12)
    assert _operations(served).count("recordings.access_link") == 12


def test_sync_that_fills_the_disk_ends_there(served: Served, tmp_path: Path) -> None:
    """What has arrived is gone on with."""
    for _ in range(4):
        served.fake.add_recording(room_name="/x", size=3_000_000)
    full, mended = on_small_disk(
        tmp_path / "disk", 5000, "recordings", "sync", str(tmp_path / "disk"), "--concurrency", "1"
    )
    assert (full.code, [row["event"] for row in full.rows()]) == (2, ["downloaded"])
    assert ".part: No space left on device; what has arrived is kept." in full.err
    assert "Traceback" not in full.err
    first, *_ = mended.rows()
    assert first["resumed"] > 1_000_000
    assert (mended.code, mended.rows()[-1]["downloaded"]) == (0, 3)
    assert _operations(served).count("recordings.access_link") == 5


def test_sync_where_nothing_can_be_made_ends_at_the_first_file(served: Served, here: Runner) -> None:
    """A folder in which not even root makes a file."""
    for _ in range(12):
        served.fake.add_recording(room_name="/x")
    ended = here("recordings", "sync", "/proc/self")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"whereby: {Path('/proc/self').resolve()}/x-")
    assert ended.err.count("\n") == 1
    assert set(_operations(served)) == {"recordings.list"}


def test_file_that_is_in_the_way_of_one_download_ends_no_sync(served: Served, tmp_path: Path, here: Runner) -> None:
    first, *_ = [served.fake.add_recording(room_name="/x") for _ in range(3)]
    (row, *_) = here("recordings", "sync", tmp_path, "--dry-run").rows()
    Path(f"{row['path']}.part").mkdir()
    ended = here("recordings", "sync", tmp_path)
    assert ended.code == 1
    assert sorted(row["event"] for row in ended.rows()) == ["downloaded", "downloaded", "failed", "summary"]
    assert first


def test_download_onto_a_full_disk_says_so(served: Served, tmp_path: Path, here: Runner) -> None:
    """Here a limit of the process is what is full."""
    recording = served.fake.add_recording(room_name="/x", size=3_000_000)["recordingId"]
    words = ("recordings", "download", recording, str(tmp_path / "film.mp4"))
    with start(*words, largest_file=1_000_000) as process:
        full = ended(process)
    assert (full.code, full.out) == (2, "")
    assert full.err == (
        f"whereby: {tmp_path}/film.mp4.part: File too large; what has arrived is kept. When there is space, go on with:\n"
        f"  whereby {shlex.join(words)}\n"
    )
    (row,) = here(*words).rows()
    assert (row["size"], row["resumed"]) == (3_000_000, 1_000_000)


def test_results_on_a_full_disk_end_an_import_in_order(served: Served, tmp_path: Path, here: Runner) -> None:
    """Rooms that were being made are in the journal, and the next run tells of them; none is made twice."""
    output = tmp_path / "out.jsonl"
    words = _import(tmp_path, 150, "--output", str(output), "--field", "hostRoomUrl")
    with start(*words, largest_file=50_000) as process:
        full = ended(process)
    assert (full.code, full.out) == (2, "")
    complaint, command_line = full.err.splitlines()
    assert complaint == (
        f"whereby: {output}: File too large; {words[2]}.journal knows what was done. When there is space, go on with:"
    )
    assert command_line == f"  whereby {shlex.join(words)}"
    made = len(served.fake.meetings)
    assert 30 < made < 150
    assert here(*words, "--refetch").code == 0
    assert _operations(served).count("meetings.create") == len(served.fake.meetings) == 150
    rows = [json.loads(line) for line in output.read_text().splitlines() if line.endswith("}")]
    assert {row["key"] for row in rows} == {f"c{number}" for number in range(150)}


def test_journal_on_a_full_disk_ends_an_import(served: Served, tmp_path: Path, here: Runner) -> None:
    words = _import(tmp_path, 150, "--output", "/dev/null", "--timeout", "0.5")
    with start(*words, largest_file=20_000) as process:
        full = ended(process)
    assert full.code == 2
    journal = f"{words[2]}.journal"
    said = f"whereby: {journal}: File too large; {journal} knows what was done. When there is space, go on with:"
    assert full.err.splitlines()[-2:] == [said, f"  whereby {shlex.join(words)}"]
    assert "Traceback" not in full.err
    assert here(*words).code == 0
    assert len(served.fake.meetings) == 150


@pytest.mark.parametrize("format_", ["jsonl", "csv"])
def test_export_onto_a_full_disk_goes_on_later(served: Served, tmp_path: Path, format_: str, here: Runner) -> None:
    """Every row is there once in the end."""
    for number in range(60):
        served.fake.add_session(f"/room-{number}", participants=2)
    words = ("insights", "export", str(tmp_path / "out"), "--format", format_)
    with start(*words, largest_file=12_000) as process:
        full = ended(process)
    assert (full.code, full.out) == (2, "")
    complaint, command_line = full.err.splitlines()
    assert complaint.startswith(f"whereby: {tmp_path}/out/")
    assert complaint.endswith(
        ": File too large; the rooms that were written are kept. When there is space, go on with:"
    )
    assert command_line == f"  whereby {shlex.join(words)}"
    again = here(*words)
    assert again.code == 0
    assert 0 < again.rows()[-1]["resumed"] < 60
    assert (tmp_path / "out" / f"participants.{format_}").read_text().count("\n") == 120 + (format_ == "csv")


def test_rows_into_a_full_device_end_an_import_in_order(served: Served, tmp_path: Path) -> None:
    words = _import(tmp_path, 40)
    with Path("/dev/full").open("w") as full, start(*words, stdout=full.fileno()) as process:
        done = ended(process)
    assert done.code == 2
    assert "No space left on device" in done.err
    assert "Traceback" not in done.err
    assert "knows what was done. When there is space, go on with:" in done.err
    lines = [json.loads(line) for line in (tmp_path / "rooms.csv.journal").read_text().splitlines()]
    assert sum(line.get("state") == "ok" for line in lines) == len(served.fake.meetings) < 40
