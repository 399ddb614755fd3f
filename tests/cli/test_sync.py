"""`recordings sync`, `recordings download` and `transcriptions download`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.command_lines import UNBELIEVED
from support.processes import OnTerminal, on_terminal, run

from whereby_async.testing import Fault

if TYPE_CHECKING:
    from support.processes import Runner
    from support.serving import Served

DAY = 86_400.0
MEGABYTE = 1_000_000
SYNC = ("recordings", "sync")


def test_sync_downloads_what_is_missing(served: Served, tmp_path: Path, here: Runner) -> None:
    """Once: a second run finds all there, a third what came meanwhile; the key never goes to the storage."""
    first = served.fake.add_recording(room_name="/weekly", content=b"one")
    served.fake.add_recording(room_name="/weekly", content=b"two", start_date=-7200.0)
    place = tmp_path / "new" / "place"
    ended = here(*SYNC, place)
    assert ended.code == 0
    *told, summary = ended.rows()
    counts = {"there": 0, "missing": 2, "downloaded": 2, "failed": 0, "elsewhere": 0, "unreadable": 0}
    assert summary == {"event": "summary", **counts}
    assert {row["event"] for row in told} == {"downloaded"}
    files = sorted(place.iterdir())
    assert [file.suffix for file in files] == [".mp4", ".mp4"]
    (named,) = [file for file in files if first["recordingId"] in file.name]
    assert named.name.startswith("weekly-")
    assert named.read_bytes() == b"one"
    again = here(*SYNC, place).rows()[-1]
    assert (again["there"], again["downloaded"]) == (2, 0)
    served.fake.add_recording(room_name="/weekly", content=b"three")
    last = here(*SYNC, place).rows()[-1]
    assert (last["there"], last["downloaded"]) == (2, 1)
    stored = [request for request in served.fake.requests if request.operation == "storage"]
    assert len(stored) == 3
    assert not any("authorization" in request.headers for request in stored)


def test_sync_on_a_terminal_prints_above_its_bar(served: Served, tmp_path: Path) -> None:
    for _ in range(2):
        served.fake.add_recording(room_name="/weekly", content=b"one")
    lines = on_terminal(*SYNC, str(tmp_path)).lines()
    assert len([line for line in lines if line.startswith(str(tmp_path)[:40])]) == 2
    assert "2 downloaded, 0 there already." in lines


def test_locale_without_a_letter_of_a_name_is_told(served: Served, tmp_path: Path) -> None:
    """By `download`, and for its row by `sync`, which goes on; `LC_ALL=C.UTF-8` is the way out."""
    served.fake.add_recording(room_name="/plain", content=b"one")
    file = served.fake.add_recording(room_name="/会议", content=b"two")["recordingId"]
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    told = "is in no file name of this locale: set LC_ALL=C.UTF-8"
    ended = run("recordings", "download", file, str(tmp_path), **locale)
    assert (ended.code, ended.err) == (2, f"whereby: '\\u4f1a\\u8bae' {told}\n")
    synced = run(*SYNC, str(tmp_path), **locale)
    assert (synced.code, synced.rows()[-1]["downloaded"], synced.rows()[-1]["failed"]) == (1, 1, 1)
    assert told in synced.out
    assert run(*SYNC, str(tmp_path), **locale | {"LC_ALL": "C.UTF-8"}).code == 0


def test_sync_takes_only_what_is_meant(served: Served, tmp_path: Path, here: Runner) -> None:
    """A room, a time from, a time to; --dry-run downloads nothing and makes no directory."""
    for name, days in (("/a", 1), ("/a", 5), ("/a", 9), ("/b", 5)):
        served.fake.add_recording(room_name=name, start_date=-days * DAY)
    place = tmp_path / "none"
    words = (*SYNC, place, "--room-name", "a", "--since=-6d", "--until=-2d")
    missing, summary = here(*words, "--dry-run").rows()
    assert (missing["event"], missing["roomName"]) == ("missing", "/a")
    assert (summary["missing"], summary["downloaded"]) == (1, 0)
    assert not place.exists()
    assert here(*words).code == 0
    assert len(list(place.iterdir())) == 1


def test_sync_tells_what_it_can_not_get(served: Served, tmp_path: Path, here: Runner) -> None:
    """What others host is passed over; what fails is exit code 1, and the rest is there."""
    served.fake.add_recording(room_name="/x", storage_type="SELF_HOSTED")
    served.fake.add_recording(room_name="/x")
    served.fake.add_recording(room_name="/x")
    served.fake.faults.add(Fault(status=404, operation="recordings.access_link", skip=1))
    ended = here(*SYNC, tmp_path, "--concurrency", "1")
    assert ended.code == 1
    *rows, summary = ended.rows()
    assert sorted(row["event"] for row in rows) == ["downloaded", "elsewhere", "failed"]
    assert (summary["failed"], summary["elsewhere"], summary["downloaded"]) == (1, 1, 1)
    assert len(list(tmp_path.iterdir())) == 1


def test_sync_makes_safe_names(served: Served, tmp_path: Path, here: Runner) -> None:
    """Whatever a recording is called, its file is in the directory."""
    recording = served.fake.add_recording(room_name="/x")
    served.fake.recordings[recording["recordingId"]]["filename"] = "../../etc/passwd\x1b.mp4/../x"
    assert here(*SYNC, tmp_path).code == 0
    (file,) = tmp_path.iterdir()
    assert recording["recordingId"] in file.name
    assert "\x1b" not in file.name


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("a\u202egpj-\u5f20.mp4", "a-gpj-\u5f20.ID.mp4"),
        ("-rf.mp4", "rf.ID.mp4"),
        ("\u5f20" * 120 + ".mp4", "\u5f20" * 46 + ".ID.mp4"),
        ("con.mp4", "_con.ID.mp4"),
        ("film.part", "film.ID_part"),
        ("film.", "film.ID.mp4"),
        ("film.\u5f20\u5f20 x", "film.ID.x"),
        ("..", "recording.ID.mp4"),
    ],
)
def test_sync_makes_names_that_every_system_takes(
    name: str, safe: str, served: Served, tmp_path: Path, here: Runner
) -> None:
    """Nothing turned about, no option, no device, short enough in bytes; a second run knows it again."""
    recording = served.fake.add_recording(room_name="/x")["recordingId"]
    served.fake.recordings[recording]["filename"] = name
    assert here(*SYNC, tmp_path).code == 0
    (file,) = tmp_path.iterdir()
    assert file.name == safe.replace("ID", recording)
    assert here(*SYNC, tmp_path).rows()[-1]["there"] == 1


def test_sync_keeps_ids_apart(served: Served, tmp_path: Path, here: Runner) -> None:
    """Those that differ behind their first forty characters, or in what no file is called."""
    rows = [served.fake.add_recording(room_name="/x") for _ in range(4)]
    ids = ("i" * 40 + "1", "i" * 40 + "2", "a:b", "a/b")
    listed = [{**row, "recordingId": each, "filename": "x.mp4"} for row, each in zip(rows, ids, strict=True)]
    body = json.dumps({"results": listed, "cursor": None}).encode()
    served.fake.faults.add(Fault(status=200, body=body, operation="recordings.list"))
    *missing, _ = here(*SYNC, tmp_path, "--dry-run").rows()
    assert len({row["path"] for row in missing}) == 4


def test_sync_does_not_follow_a_link(served: Served, tmp_path: Path, here: Runner) -> None:
    served.fake.add_recording(room_name="/x")
    (missing, _) = here(*SYNC, tmp_path, "--dry-run").rows()
    Path(missing["path"]).symlink_to(tmp_path / "victim")
    failed, _ = here(*SYNC, tmp_path).rows()
    assert "is a symbolic link, which is not followed: remove it" in failed["error"]
    assert not (tmp_path / "victim").exists()


def test_sync_looks_at_each_recording_itself(served: Served, tmp_path: Path, here: Runner) -> None:
    """A server that ignores the room, or does not say when a recording began."""
    rows = [served.fake.add_recording(room_name=name) for name in ("/a", "/b", "/a")]
    del rows[2]["startDate"]
    listed = json.dumps({"results": rows, "cursor": None}).encode()
    served.fake.faults.add(Fault(status=200, body=listed, operation="recordings.list", times=2))
    for since, count in (((), 2), (("--since=-1d",), 1)):
        *missing, summary = here(*SYNC, tmp_path, "--dry-run", "--room-name", "/a", *since).rows()
        assert [row["roomName"] for row in missing] == ["/a"] * count
        assert summary["missing"] == count


@pytest.mark.parametrize("option", ["--since=-1d", "--until=+1d"])
def test_sync_passes_over_what_began_nobody_can_read_when(
    served: Served, tmp_path: Path, here: Runner, option: str
) -> None:
    """By date it is counted only; without a date it is downloaded, as is one whose end alone can not be read."""
    for field in ("startDate", "endDate", None):
        recording = served.fake.add_recording(room_name="/a")["recordingId"]
        served.fake.recordings[recording] |= {field: "Invalid date"} if field else {}
    summary = here(*SYNC, tmp_path, option).rows()[-1]
    assert (summary["downloaded"], summary["unreadable"]) == (2, 1)
    shown = " ".join(on_terminal(*SYNC, str(tmp_path), option).lines())
    assert "2 there already, 1 passed over without a readable start" in shown
    summary = here(*SYNC, tmp_path).rows()[-1]
    assert (summary["downloaded"], summary["there"], summary["unreadable"]) == (1, 2, 0)


@pytest.mark.parametrize("option", ["--since=-1d", "--until=+1d"])
@pytest.mark.parametrize("value", [*UNBELIEVED, None, "", ...], ids=str)
def test_sync_by_date_goes_by_no_start_that_is_none(
    served: Served, tmp_path: Path, here: Runner, option: str, value: object
) -> None:
    """Missing, empty, or from before there was the service: it is counted; another room's is not."""
    rows = [served.fake.add_recording(room_name=name) for name in ("/a", "/a", "/b")]
    for row in rows[1:]:
        row["startDate"] = value
        if value is ...:
            del row["startDate"]
    listed = json.dumps({"results": rows, "cursor": None}).encode()
    served.fake.faults.add(Fault(status=200, body=listed, operation="recordings.list"))
    *_, summary = here(*SYNC, tmp_path, "--dry-run", "--room-name", "/a", option).rows()
    assert (summary["missing"], summary["unreadable"]) == (1, 1)


def test_sync_into_a_file_is_wrong_usage(served: Served, tmp_path: Path, here: Runner) -> None:
    (tmp_path / "x").write_text("")
    ended = here(*SYNC, tmp_path / "x")
    assert ended.code == 2
    assert "name a directory" in ended.err
    assert served.fake.requests == []


def test_sync_that_is_interrupted_goes_on(served: Served, tmp_path: Path, here: Runner) -> None:
    """On a terminal a bar shows bytes; Ctrl-C keeps what has arrived, and the next run asks for the rest only."""
    recording = served.fake.add_recording(room_name="/x", size=40 * MEGABYTE)
    served.fake.faults.add(Fault(operation="storage", truncate=25 * MEGABYTE, times=1))
    served.fake.faults.add(Fault(operation="storage", delay=60.0, times=1))
    with OnTerminal(*SYNC, str(tmp_path), columns=100) as terminal:
        terminal.until("MB of 40.0 MB")
        served.until(lambda: [request.operation for request in served.fake.requests].count("storage") == 2)
        ended = terminal.interrupt()
    assert ended.code == 130
    assert "what has arrived is kept. Go on with:" in ended.out
    assert "whereby recordings sync" in ended.out
    (part,) = tmp_path.glob("*.part")
    arrived = part.stat().st_size
    assert arrived > MEGABYTE
    again = here(*SYNC, tmp_path)
    assert again.code == 0, again.err
    assert again.rows()[0]["resumed"] == arrived
    (file,) = tmp_path.iterdir()
    assert recording["recordingId"] in file.name
    assert file.stat().st_size == 40 * MEGABYTE


def test_download_gets_one_file(served: Served, tmp_path: Path, here: Runner) -> None:
    """Under the name that is given, or that the API tells; a file that is there is kept unless told otherwise."""
    recording = served.fake.add_recording(room_name="/x", content=b"video")["recordingId"]
    transcription = served.fake.add_transcription(room_name="/x", content=b"# Hello")["transcriptionId"]
    video = tmp_path / "x.mp4"
    (row,) = here("recordings", "download", recording, video).rows()
    assert (row["event"], row["id"], row["size"]) == ("downloaded", recording, 5)
    assert video.read_bytes() == b"video"
    assert here("transcriptions", "download", transcription, tmp_path).code == 0
    assert [file.read_bytes() for file in tmp_path.glob("*.md")] == [b"# Hello"]
    video.write_bytes(b"mine")
    ended = here("recordings", "download", recording, video)
    assert ended.code == 2
    assert "pass --overwrite to replace it" in ended.err
    assert here("recordings", "download", recording, video, "--overwrite").code == 0
    assert video.read_bytes() == b"video"
    for code, words in ((2, ("a/b", "y.mp4")), (2, (recording, "no/where.mp4")), (1, ("unknown", "z.mp4"))):
        assert here("recordings", "download", words[0], tmp_path / words[1]).code == code


@pytest.mark.parametrize("kind", ["recordings", "transcriptions"])
def test_download_into_a_directory_that_is_made(served: Served, tmp_path: Path, here: Runner, kind: str) -> None:
    """A path that ends with a slash is one, and no file, however often."""
    ids = [
        served.fake.add_recording(room_name=room)["recordingId"]
        if kind == "recordings"
        else served.fake.add_transcription(room_name=room)["transcriptionId"]
        for room in ("/a", "/b")
    ]
    for number, each in enumerate(ids, 1):
        assert here(kind, "download", each, f"{tmp_path}/new/kept/", "--overwrite").code == 0
        assert len(list((tmp_path / "new" / "kept").iterdir())) == number
    (tmp_path / "file").write_bytes(b"mine")
    ended = here(kind, "download", ids[0], f"{tmp_path}/file/", "--overwrite")
    assert (ended.code, ended.err) == (2, f"whereby: {tmp_path}/file is a file: name a directory\n")
    assert (tmp_path / "file").read_bytes() == b"mine"


@pytest.mark.parametrize("command", [SYNC, ("recordings", "download", "1"), ("transcriptions", "download", "1")])
@pytest.mark.parametrize(("place", "told"), [("", "is empty"), (" ", "is empty"), ("-", "is a hyphen")])
def test_place_of_files_has_a_name(  # noqa: PLR0917 - pytest passes them by name
    served: Served,
    tmp_path: Path,
    here: Runner,
    monkeypatch: pytest.MonkeyPatch,
    command: tuple[str, ...],
    place: str,
    told: str,
) -> None:
    """A variable that is not set is not the present folder, and a hyphen is no file `@-`."""
    monkeypatch.chdir(tmp_path)
    ended = here(*command, place)
    name = "DIRECTORY" if command == SYNC else "DESTINATION"
    assert ended.code == 2
    assert ended.err.startswith(f"whereby: {name} {told}")
    assert (list(tmp_path.iterdir()), served.fake.requests) == ([], [])


@pytest.mark.parametrize(("since", "until"), [("-1d", "-2d"), ("2026-11-02T00:00:00Z", "2026-11-02T01:00:00+01:00")])
def test_sync_of_no_time_at_all_is_wrong_usage(
    served: Served, tmp_path: Path, here: Runner, since: str, until: str
) -> None:
    ended = here(*SYNC, tmp_path / "new", f"--since={since}", f"--until={until}")
    assert ended.code == 2
    assert f"--since {since} is not before --until {until}: no recording begins in that time" in ended.err
    assert ((tmp_path / "new").exists(), served.fake.requests) == (False, [])


def test_download_leaves_a_file_alone_that_is_called_as_its_part(served: Served, tmp_path: Path, here: Runner) -> None:
    recording = served.fake.add_recording(room_name="/x")["recordingId"]
    part = tmp_path / "v.mp4.part"
    part.write_text("mine")
    ended = here("recordings", "download", recording, tmp_path / "v.mp4", "--overwrite")
    assert ended.code == 2
    assert ended.err == (
        f"whereby: {part}: is there already, and no download has begun it, for want of a .part.json beside it: take it"
        " away\n"
    )
    assert (part.read_text(), served.fake.requests) == ("mine", [])
