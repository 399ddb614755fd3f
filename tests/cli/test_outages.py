"""The service goes away while a command runs, and comes back: it is waited for, which is said in two lines."""

from __future__ import annotations

import re
import shlex
import signal
from typing import TYPE_CHECKING, Any

import pytest
from support.processes import OnTerminal, ended, start

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.processes import Ended, Runner
    from support.serving import Served

END = "2099-01-01T00:00:00Z"
SLOW = pytest.mark.parametrize("served", [{"latency": 0.05}], indirect=True)


def _import(place: Path, count: int, *options: str) -> tuple[str, ...]:
    """The words of an import of so many rooms; a create whose answer is lost is looked up within seconds."""
    file = place / "rooms.csv"
    file.write_text("\n".join(["customer,endDate", *(f"c{number},{END}" for number in range(count))]) + "\n")
    times = ("--timeout", "0.5", "--absent-after", "0.5")
    return ("meetings", "import", str(file), "--key", "customer", "--concurrency", "4", *times, *options)


def _answered(served: Served, operation: str) -> int:
    return [request.operation for request in served.fake.requests].count(operation)


def _through_an_outage(served: Served, is_time: Callable[[], bool], *words: str) -> Ended:
    """Run a command, and take the service away when it is time, until the command has noticed."""
    with start(*words) as process:
        served.until(is_time)
        served.do(served.fake.aclose)
        assert process.stderr is not None
        first = process.stderr.readline()
        served.do(served.fake.start)
        done = ended(process)
    origin = re.escape(served.fake.url.removesuffix("/v1"))
    assert re.fullmatch(
        rf"whereby: {origin} cannot be reached \(.+\): waiting for it\nwhereby: {origin} is back after \d+ s\n",
        first + done.err,
    )
    return done


@SLOW
def test_import_waits_for_the_service(served: Served, tmp_path: Path) -> None:
    """No row fails, and no room is made twice: what was on the wire is looked up."""
    done = _through_an_outage(served, lambda: len(served.fake.meetings) >= 8, *_import(tmp_path, 40))
    assert done.code == 0
    *rows, summary = done.rows()
    assert {row["state"] for row in rows} == {"ok"}
    assert (summary["rows"], summary["failed"], summary["unknown"]) == (40, 0, 0)
    assert len({row["meetingId"] for row in rows}) == len(served.fake.meetings) == 40


@SLOW
def test_purge_waits_for_the_service(served: Served) -> None:
    for number in range(40):
        served.fake.add_meeting(room_name=f"/{number}")
    words = ("meetings", "purge", "--everything", "--yes", "--concurrency", "4")
    done = _through_an_outage(served, lambda: _answered(served, "meetings.delete") >= 8, *words)
    assert done.code == 0
    assert done.rows()[-1] == {"event": "summary", "picked": 40, "deleted": 40, "failed": 0, "unreadable": 0}
    assert not served.fake.meetings


@SLOW
def test_export_waits_for_the_service(served: Served, tmp_path: Path) -> None:
    for number in range(12):
        served.fake.add_session(f"/room-{number}", participants=1)
    words = ("insights", "export", str(tmp_path), "--concurrency", "2")
    done = _through_an_outage(served, lambda: _answered(served, "insights.room_sessions") >= 3, *words)
    assert (done.code, done.rows()[-1]["rooms"], done.rows()[-1]["failed"]) == (0, 12, 0)


@SLOW
def test_sync_waits_for_the_service(served: Served, tmp_path: Path) -> None:
    for number in range(12):
        served.fake.add_recording(room_name=f"/room-{number}", size=100_000)
    words = ("recordings", "sync", str(tmp_path))
    done = _through_an_outage(served, lambda: _answered(served, "storage") >= 3, *words)
    assert (done.code, done.rows()[-1]["downloaded"], done.rows()[-1]["failed"]) == (0, 12, 0)
    assert [file.stat().st_size for file in tmp_path.iterdir()] == [100_000] * 12


@pytest.mark.parametrize(
    "words",
    [
        ("meetings", "purge", "--everything", "--yes"),
        ("recordings", "sync", "PLACE"),
        ("insights", "export", "PLACE"),
        ("recordings", "download", "RECORDING", "PLACE"),
        ("transcriptions", "wait", "TRANSCRIPTION"),
        ("meetings", "list", "--max-outage", "60"),
    ],
)
def test_everything_that_long_work_sends_waits(served: Served, tmp_path: Path, words: tuple[str, ...]) -> None:
    """Its lists too, and single calls if they are told to: here the service is away from the beginning."""
    served.fake.add_meeting(room_name="/x")
    recording = served.fake.add_recording(room_name="/x")["recordingId"]
    transcription = served.fake.add_transcription(room_name="/x")["transcriptionId"]
    place = tmp_path / "place"
    place.mkdir()
    names = {"PLACE": str(place), "RECORDING": recording, "TRANSCRIPTION": transcription}
    served.do(served.fake.aclose)
    done = _through_an_outage(served, lambda: True, *(names.get(word, word) for word in words))
    assert done.code == 0
    assert done.out


def test_waiting_for_the_service_can_be_stopped(served: Served, tmp_path: Path) -> None:
    """At once: nothing is under way."""
    words = _import(tmp_path, 30)
    served.do(served.fake.aclose)
    with start(*words) as process:
        assert process.stderr is not None
        assert process.stderr.readline().endswith(": waiting for it\n")
        done = ended(process, signal.SIGTERM)
    assert (done.code, done.out) == (143, "")
    assert done.err.startswith(f"whereby: interrupted; {words[2]}.journal knows what was done. Go on with:\n")


def test_outage_that_is_too_long_ends_an_import(served: Served, tmp_path: Path, here: Runner) -> None:
    """With one error and the command that goes on, which needs no --retry-failed; rows are not told one by one."""
    words = _import(tmp_path, 30, "--max-outage", "0.7")
    served.do(served.fake.aclose)
    with start(*words) as process:
        done = ended(process)
    assert (done.code, done.out) == (4, "")
    away, error, command_line = done.err.splitlines()
    assert away.endswith(": waiting for it")
    assert error.startswith("whereby: meetings.create: http://127.0.0.1:")
    assert " can not be reached since " in error
    assert error.endswith(f"; {words[2]}.journal knows what was done. Go on with:")
    assert command_line == f"  whereby {shlex.join(words)}"
    served.do(served.fake.start)
    again = here(*words)
    assert again.code == 0
    assert again.rows()[-1]["made"] == len(served.fake.meetings) == 30


@SLOW
def test_calls_that_an_outage_has_ended_are_not_told_one_by_one(served: Served) -> None:
    """Those too that were on the wire when it began."""
    for number in range(40):
        served.fake.add_meeting(room_name=f"/{number}")
    with start("meetings", "purge", "--everything", "--yes", "--concurrency", "4", "--max-outage", "0.7") as process:
        served.until(lambda: _answered(served, "meetings.delete") >= 8)
        served.do(served.fake.aclose)
        done = ended(process)
    assert done.code == 4
    assert {row["event"] for row in done.rows()} == {"deleted"}
    assert len(done.err.splitlines()) == 3
    assert "what is deleted is deleted. Go on with:\n  whereby meetings purge" in done.err


def test_nothing_is_waited_for_if_it_shall_not(served: Served, tmp_path: Path, here: Runner) -> None:
    """Each row fails by itself then, after its retries, and nothing is said of waiting."""
    served.do(served.fake.aclose)
    done = here(*_import(tmp_path, 3, "--max-outage", "0"))
    assert (done.code, done.err) == (4, "")
    assert [row["event"] for row in done.rows()] == ["room"] * 3 + ["summary"]
    assert done.rows()[-1]["failed"] == 3


@SLOW
def test_terminal_shows_that_the_service_is_waited_for(served: Served, tmp_path: Path) -> None:
    def lines_of(done: Ended, words: str) -> list[Any]:
        return [line for line in done.lines() if line.startswith("whereby: ") and words in line]

    with OnTerminal(*_import(tmp_path, 40), columns=200) as terminal:
        served.until(lambda: len(served.fake.meetings) >= 8)
        served.do(served.fake.aclose)
        terminal.until("waiting for the service (1 s)")
        served.do(served.fake.start)
        done = terminal.end()
    assert done.code == 0
    assert len(lines_of(done, "cannot be reached")) == len(lines_of(done, "is back after")) == 1
    assert len(lines_of(done, "")) == 2
    assert " 0 s left" not in done.out
