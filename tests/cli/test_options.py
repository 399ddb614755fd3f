"""What the options of the operations become on the wire; in one process, against a server over a socket."""

from __future__ import annotations

import inspect
import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from support.command_lines import PNG
from support.fleet import Store

from whereby_async import BudgetTimeoutError, Priority
from whereby_async.cli import main
from whereby_async.cli.errors import UsageError
from whereby_async.cli.global_options import GlobalOptions, redis_url
from whereby_async.cli.operation_commands import COMMANDS, OperationCommand, arguments_of
from whereby_async.cli.values import moment
from whereby_async.notify import logger
from whereby_async.testing import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.processes import Runner
    from support.serving import Served

ISO = "2030-01-01T00:00:00Z"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a running store for budgets."""
    with Store(tmp_path_factory.mktemp("store")) as running:
        yield running.url


def _sent(served: Served, *words: str) -> Any:
    """The body of the one request that a command line makes."""
    assert main(words) == 0
    (request,) = served.fake.requests
    return request.json


def test_create_takes_every_parameter(served: Served, tmp_path: Path) -> None:
    """All that the method knows, under the API's names; nested ones from text and from files."""
    bucket = tmp_path / "recording.json"
    bucket.write_text('{"type": "cloud", "destination": {"provider": "s3", "accessKeySecret": "s"}}')
    sent = _sent(
        served,
        *("meetings", "create", "--end-date", ISO, "--start-date", "2029-12-31T00:00:00+02:00", "--is-locked"),
        *("--room-mode", "group", "--room-name-prefix", "support-", "--room-name-pattern", "human-short"),
        *("--template-type", "viewerMode", "--recording", f"@{bucket}", "--no-is-dial-in-enabled"),
        *("--live-transcription", '{"startTrigger": "manual"}', "--streaming", '{"startTrigger": "none"}'),
        *("--room-preferences", '{"streaming": false}', "--field", "hostRoomUrl", "--field", "viewerRoomUrl"),
        *("--extra", "beta=true", "--extra", "note=plain text", "--extra", 'nested={"a": [1]}'),
    )
    assert sent == {
        "endDate": "2030-01-01T00:00:00+00:00",
        "startDate": "2029-12-31T00:00:00+02:00",
        "isLocked": True,
        "roomMode": "group",
        "roomNamePrefix": "support-",
        "roomNamePattern": "human-short",
        "templateType": "viewerMode",
        "recording": {"type": "cloud", "destination": {"provider": "s3", "accessKeySecret": "s"}},
        "isDialInEnabled": False,
        "liveTranscription": {"startTrigger": "manual"},
        "streaming": {"startTrigger": "none"},
        "roomPreferences": {"streaming": False},
        "fields": ["hostRoomUrl", "viewerRoomUrl"],
        "beta": True,
        "note": "plain text",
        "nested": {"a": [1]},
    }


@pytest.mark.parametrize(
    ("text", "delta"),
    [
        ("+90m", timedelta(minutes=90)),
        ("+2h", timedelta(hours=2)),
        ("+1w", timedelta(7)),
        ("+1h30m", timedelta(minutes=90)),
        ("+1d12h", timedelta(1.5)),
        ("-1w2d", timedelta(-9)),
        ("+1w2d3h4m5s", timedelta(days=9, hours=3, minutes=4, seconds=5)),
        ("+0d", timedelta(0)),
    ],
)
def test_dates_may_count_from_now(text: str, delta: timedelta) -> None:
    assert abs(datetime.fromisoformat(moment("--x", text)) - datetime.now(UTC) - delta) < timedelta(seconds=20)


@pytest.mark.parametrize("text", ["+", "+1", "+h", "+1h1h", "+30m1h", "+1h30", "1h30m", "+1h-30m", "+١h"])
def test_other_counts_are_no_dates(text: str) -> None:
    with pytest.raises(UsageError, match=r"is no date: write it like .* like \+90m, \+1h30m or \+7d"):
        moment("--x", text)


def test_filters_reach_the_query(served: Served) -> None:
    words = ("insights", "rooms", "--name", "/a", "--name-starts-with", "/b", "--name-contains", "c")
    dates = ("--created-from=-7d", "--created-to", ISO, "--sort-by", "totalSessions:asc")
    assert main([*words, *dates, "--page-size", "7", "--extra", "later=1", "--prefetch", "2"]) == 0
    query = dict(served.last("insights.rooms").query)
    week_ago = datetime.now(UTC) - datetime.fromisoformat(query.pop("createdAt[from]"))
    assert timedelta(days=6.9) < week_ago < timedelta(days=7.1)
    assert query == {
        "roomName[exact]": "/a",
        "roomName[startsWith]": "/b",
        "roomName[contains]": "c",
        "createdAt[to]": "2030-01-01T00:00:00+00:00",
        "sortBy": "totalSessions:asc",
        "limit": "7",
        "later": "1",
    }


@pytest.mark.parametrize(
    ("wanted", "size", "limits"),
    [
        (150, 100, ["75", "75"]),
        (101, 100, ["51", "51"]),
        (3, 100, ["3"]),
        (5, 2, ["2", "2", "2"]),
        (230, 100, ["77", "77", "77"]),
    ],
)
def test_max_items_reads_no_more_than_it_must(
    served: Served, wanted: int, size: int, limits: list[str], here: Runner
) -> None:
    """As few pages as do it, each as small as does it; and so many rows come out."""
    while len(served.fake.recordings) < 240:
        served.fake.add_recording(room_name="/many")
    assert len(here("recordings", "list", "--max-items", wanted, "--page-size", size).rows()) == wanted
    assert [dict(request.query)["limit"] for request in served.fake.requests] == limits


def test_stdin_stands_for_ids_and_json(served: Served, here: Runner) -> None:
    """As `@-`: ids one a line, among others that are named; JSON, so that a secret needs no file."""
    here("recordings", "bulk-delete", "a", "@-", stdin=b"b\n\n c \n")
    assert served.last("recordings.bulk_delete").json["recordingIds"] == ["a", "b", "c"]
    streaming = b'{"destination": {"url": "rtmp://x/key"}}'
    here("meetings", "create", "--end-date", "+1h", "--streaming", "@-", stdin=streaming)
    assert served.last("meetings.create").json["streaming"] == {"destination": {"url": "rtmp://x/key"}}


@pytest.mark.parametrize(
    "words",
    [
        "meetings list --max-items",
        "meetings list --page-size",
        "recordings access-link 1 --valid-for",
        "meetings import x.csv --concurrency",
        "insights export x --concurrency",
        "budget --watch --count",
        "sandbox --limit",
        "sandbox --port",
        "demo --limit",
    ],
)
def test_fraction_is_no_whole_number(words: str, here: Runner) -> None:
    *command, option = words.split()
    ended = here(*command, option, "20.5")
    assert (ended.code, ended.out) == (2, "")
    assert f'Invalid value for {option}: unable to convert "20.5" into a whole number. See ' in ended.err


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b'{"recordingId": "a", "roomName": "/x"}\n', "IDS @- holds JSON: pass one id a line, as jq -r .recordingId"),
        ("a\nb\n".encode("utf-16"), "IDS @- is no text in UTF-8"),
        ("a\nb\n".encode("utf-16-le"), "IDS holds 'a\\x00', which is no id"),
        (b"a,b\n", "IDS holds 'a,b', which is no id: pass bare ids"),
        (b"# these\na\n", "IDS holds '# these', which is no id"),
        (b'"a"\n', "IDS holds '\"a\"', which is no id"),
    ],
)
@pytest.mark.parametrize("kind", ["recordings", "transcriptions"])
def test_file_of_no_ids_deletes_nothing_and_says_so(
    served: Served, kind: str, content: bytes, complaint: str, here: Runner
) -> None:
    """The server takes any text for an id, answers 2xx and deletes nothing, which would be told as done."""
    ended = here(kind, "bulk-delete", "@-", "--yes", stdin=content)
    assert (ended.code, ended.out) == (2, "")
    assert complaint in ended.err
    assert served.fake.requests == []


@pytest.mark.parametrize(
    ("command", "complaint"),
    [("set-logo", "is no plain file and has 64000000 bytes or more"), ("set-background", "has 600001 bytes or more")],
)
def test_image_without_an_end_is_not_read_to_its_end(
    served: Served, command: str, complaint: str, here: Runner
) -> None:
    ended = here("rooms", command, "weekly", "/dev/zero")
    assert (ended.code, ended.out) == (2, "")
    assert f"IMAGE {complaint}" in ended.err
    assert served.fake.requests == []


def test_image_may_come_of_a_pipe(served: Served, here: Runner) -> None:
    reader, writer = os.pipe()
    os.write(writer, PNG)
    os.close(writer)
    assert here("rooms", "set-logo", "weekly", f"/dev/fd/{reader}").code == 0
    os.close(reader)
    assert served.fake.themes["/weekly"].logo == PNG


def test_extra_may_be_a_file(served: Served, tmp_path: Path) -> None:
    more = tmp_path / "more.json"
    more.write_text('{"a": 1, "b": {"c": null}}')
    recording = served.fake.add_recording(room_name="/x")["recordingId"]
    sent = _sent(served, "transcriptions", "create", recording, "--extra", f"@{more}", "--extra", "a=2")
    assert (sent["a"], sent["b"]) == (2, {"c": None})


def test_image_is_uploaded(served: Served, tmp_path: Path) -> None:
    image = tmp_path / "beach.png"
    image.write_bytes(PNG)
    assert main(["rooms", "set-background", "/weekly", str(image)]) == 0
    (file,) = served.last("rooms.set_background").files
    assert (file.field, file.content) == ("image", PNG)


def test_global_options_stand_anywhere(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the command too, with or without an equals sign."""
    monkeypatch.delenv("WHEREBY_BASE_URL")
    url = served.variables["WHEREBY_BASE_URL"]
    assert main(["--base-url", url, "--timeout=5", "--json", "meetings", "list"]) == 0
    assert main(["meetings", "list", "--base-url", url, "--max-wait", "1"]) == 0
    assert len(served.fake.requests) == 2


def test_verbose_tells_each_attempt(served: Served, here: Runner) -> None:
    """On stderr, so that stdout stays what it is; the key is not in it."""
    served.fake.add_meeting()
    ended = here("meetings", "list", "-v")
    assert "whereby: meetings.list: attempt 1, 1 point" in ended.err
    assert "meetings.list: 200 for 1 point after" in ended.err
    assert "points left of" in ended.err
    assert served.fake.api_key not in ended.err
    assert len(ended.rows()) == 1


@pytest.mark.parametrize("served", [{"costs": {"meetings.list": 5}}], indirect=True)
@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("", "", "warning"),
        ("-v", "", "attempt answer price warning"),
        ("-v", "warning", "attempt answer price warning"),
        ("", "Debug", "attempt answer price warning"),
        ("", "info", "price warning"),
        ("", "warning", "price warning"),
        ("--quiet", "debug", "price warning"),
    ],
)
def test_the_log_is_printed_as_asked(  # noqa: PLR0917 - the case, and what it runs in
    option: str, value: str, said: str, served: Served, here: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In lines of the command, each once. What others tell too, such as prices, is there only if the log is asked for."""
    monkeypatch.setenv("WHEREBY_LOG", value)
    for _ in range(4):
        served.fake.add_meeting()
    odd = b'{"results": [{"meetingId": "1", "endDate": "soon"}], "cursor": null}'
    served.fake.faults.add(Fault(skip=3, body=odd))
    ended = here("meetings", "list", "--page-size", "1", *option.split())
    lines = ended.err.splitlines()
    kinds = {
        "attempt": "attempt 1, ",
        "answer": ": 200 for ",
        "price": "costs 5 points, not 1",
        "warning": "could not be read",
    }
    counts = {kind: sum(words in line for line in lines) for kind, words in kinds.items()}
    expected = {"attempt": 4, "answer": 4, "price": 1, "warning": 1}
    assert counts == {kind: count if kind in said.split() else 0 for kind, count in expected.items()}
    assert all(line.startswith("whereby: meetings.list") for line in lines)
    assert len(lines) == sum(counts.values())
    assert (logger.level, logger.handlers) == (0, [])


@pytest.mark.usefixtures("served")
def test_a_log_that_there_is_not_is_refused(here: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHEREBY_LOG", "trace")
    said = "whereby: WHEREBY_LOG='trace': set it to one of debug, info, warning, error, critical\n"
    assert here("meetings", "list") == (2, "", said)


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize("by_variable", [True, False])
def test_what_one_process_learns_another_knows(
    store: str, by_variable: bool, here: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given by the option or by the variable, the budget is in the store: the second look goes on from the first."""
    words = ["budget", "--redis-name", f"shared-{by_variable}"]
    if by_variable:
        monkeypatch.setenv("WHEREBY_REDIS_URL", store)
    else:
        words += ["--redis", store]
    first = here(*words, "--watch", "--count", "3", "--every", "0.01")
    second = here(*words)
    assert (first.code, first.err, second.code) == (0, "", 0)
    assert second.rows()[0]["limit"] == 1000
    assert second.rows()[0]["state"] == "open"


@pytest.mark.parametrize("served", [{"period": 600.0}], indirect=True)
@pytest.mark.usefixtures("served")
def test_first_look_at_a_shared_budget_tells_what_the_server_said(store: str, here: Runner) -> None:
    """The store's own account knows of the server's window only later, and would say 60 s."""
    (row,) = here("budget", "--redis", store, "--redis-name", "first-look").rows()
    assert row["state"] == "open"
    assert 590 <= row["reset_in"] <= 602
    assert (row["limit"], row["remaining"], row["reset_by_server"]) == (1000, 999, True)


@pytest.mark.anyio
@pytest.mark.parametrize("served", [{"limit": 30, "period": 600.0}], indirect=True)
@pytest.mark.usefixtures("served")
@pytest.mark.parametrize("is_shared", [True, False])
@pytest.mark.parametrize(("reserve", "granted"), [(0.0, 28), (0.5, 13)])
async def test_reserve_is_kept_from_long_work(store: str, is_shared: bool, reserve: float, granted: int) -> None:
    """Its calls get all points that are left of a window, or all but the half."""
    shared: dict[str, Any] = {"redis": store, "redis_name": f"reserve-{reserve}"} if is_shared else {}
    async with GlobalOptions(reserve=reserve, **shared).client() as client:
        await client.meetings.list(page_size=1)
        await client.meetings.list(page_size=1)
        batch: dict[str, Any] = {"priority": Priority.BATCH, "max_wait": 0.0}
        with pytest.raises(BudgetTimeoutError):
            await client.limiter.acquire(granted + 1, **batch)
        (await client.limiter.acquire(granted, **batch)).release()


def test_url_comes_from_the_option_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHEREBY_REDIS_URL", "redis://:secret@b/0")
    assert redis_url("redis://a/0") == "redis://a/0"
    assert redis_url(None) == "redis://:secret@b/0"
    monkeypatch.setenv("WHEREBY_REDIS_URL", " ")
    assert redis_url(None) is None


@pytest.mark.parametrize("row", COMMANDS, ids=lambda row: row.operation)
def test_every_keyword_of_a_method_is_an_option_with_a_text(row: OperationCommand) -> None:
    """What the client's method takes, the command takes, and says what it is for in words of the command line."""
    arguments = arguments_of(row.method)
    assert [argument.keyword for argument in arguments] == list(inspect.signature(row.method).parameters)[1:]
    for argument in arguments:
        (settings,) = argument.parameter.annotation.__metadata__
        assert settings.help, argument.keyword
        assert "`" not in settings.help
        assert not any("_" in each.keyword and each.keyword in settings.help for each in arguments)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("meetings create", "--end-date"),
        ("meetings create --end-date tomorrow", "--end-date 'tomorrow' is no date: write it like"),
        ("meetings create --end-date 2030-01-01T00:00:00", "write 2030-01-01T00:00:00Z for UTC"),
        ("meetings create --end-date +9999999w", "beyond the calendar"),
        (f"meetings create --end-date {ISO} --recording cloud", "--recording is no JSON (line 1, column 1)"),
        (f"meetings create --end-date {ISO} --recording []", "--recording must be a JSON object"),
        (f"meetings create --end-date {ISO} --recording @nowhere.json", "--recording nowhere.json: No such file"),
        (f"meetings create --end-date {ISO} --extra x", "--extra 'x': write KEY=VALUE"),
        (f"meetings create --end-date {ISO} --extra x=1 --extra x=2", "--extra x is there twice: take one out"),
        (f"meetings create --end-date {ISO} --room-name-prefix {'x' * 40}", "--room-name-prefix 'xxx"),
        ("meetings get a/b", "MEETING-ID"),
        ("meetings list --page-size 0", "--page-size 0: pass a whole number from 1 to 100"),
        ("meetings list --max-items 0", "--max-items 0"),
        ("meetings list --max-items 3 --page-size 200", "--page-size 200"),
        ("recordings list --sort-by startDate", "--sort-by 'startDate'"),
        ("recordings bulk-delete", "IDS is empty"),
        ("insights participants", "takes exactly one of --room-session-id and --external-id"),
        ("recordings list --room-name D:/msys64/weekly", "--room-name 'D:/msys64/weekly' is a path"),
        ("recordings purge --room-name D:/msys64/weekly", "--room-name 'D:/msys64/weekly' is a path"),
        ("recordings sync x --room-name D:/msys64/weekly", "--room-name 'D:/msys64/weekly' is a path"),
        ("recordings sync x --room-name=", "--room-name is empty"),
        ("meetings purge --name-starts-with=D:/Git/test-", "pass a bare name, here 'test-'"),
        ("insights export x --name-starts-with D:/Git/x", "--name-starts-with 'D:/Git/x' is a path"),
        ("insights rooms --name D:/Git/x", "--name 'D:/Git/x' is a path"),
        ("insights room-sessions D:/Git/x", "ROOM-NAME 'D:/Git/x' is a path"),
        ("rooms reset-logo D:/Git/x", "ROOM-NAME 'D:/Git/x' is a path"),
        ("rooms reset-logo weekly/", "ROOM-NAME 'weekly/' is a path"),
        ("insights room-sessions weekly/", "ROOM-NAME 'weekly/' is a path"),
        ("insights rooms --name /weekly/", "--name '/weekly/' is a path"),
        ("insights rooms --name-starts-with a/b", "--name-starts-with 'a/b' is a path"),
        ("recordings list --room-name weekly/", "--room-name 'weekly/' is a path"),
        ("recordings purge --room-name weekly/", "--room-name 'weekly/' is a path"),
        ("recordings sync x --room-name /weekly/", "--room-name '/weekly/' is a path"),
        ("meetings list --name-starts-with weekly/", "--name-starts-with 'weekly/' is a path"),
        ("meetings purge --name-starts-with weekly/", "--name-starts-with 'weekly/' is a path"),
        (
            "transcriptions purge --room-name https://a.whereby.com/x?roomKey=eyJ",
            "--room-name … is a link to a room, not its name: pass a bare name, here 'x'",
        ),
        (
            "recordings list --room-name https://a.whereby.com/x?roomKey=eyJ",
            "--room-name … is a link to a room, not its name: pass a bare name, here 'x'",
        ),
        ("meetings delete a/b --dry-run", "MEETING-ID 'a/b'"),
        ("recordings bulk-delete --dry-run", "IDS is empty"),
        ("rooms set-logo /weekly nowhere.png", "nowhere.png: No such file"),
        ("rooms set-background /weekly", "pass either IMAGE"),
        ("rooms set-theme-tokens /weekly", "needs at least one of --primary"),
        ("rooms set-theme-tokens /weekly --primary red", "--primary 'red'"),
        ("meetings list --timeout 0", "--timeout 0.0: pass seconds above 0 for one attempt\n"),
        ("meetings list --max-wait=-1", "--max-wait -1"),
        ("meetings list --reserve 1", "--reserve 1.0: give a share of each window from 0 to below 1"),
        ("meetings list --redis redis://localhost/0 --redis-name {}", "--redis-name '{}': give the organisation"),
        ("meetings list --max-outage=-1", "--max-outage -1.0: pass seconds from 0 (do not wait), or inf ("),
        (
            "meetings list --redis-name x",
            "--redis-name is for a shared budget: pass --redis too, or set WHEREBY_REDIS_URL",
        ),
        ("meetings list --redis-name whereby", "--redis-name is for a shared budget"),
        ("webhooks verify x --signature y --tolerance 5 --any-age", "--tolerance and --any-age: pass one of them"),
        ("budget --count 3", "--every and --count are for --watch, which looks more than once: pass it too"),
        ("budget --every 5", "--every and --count are for --watch"),
        ("meetings list --redis http://localhost", "--redis (or WHEREBY_REDIS_URL) got a URL with 'http'"),
        ("rooms set-theme-tokens /weekly", "; reset-theme-tokens undoes them"),
        ("meetings list --max-outage nan", "--max-outage nan: pass seconds from 0 (do not wait)"),
        ("meetings list --base-url http://whereby.example", "use https"),
        ("meetings list --base-url http://whereby.example", "trust: --insecure-http or WHEREBY_INSECURE_HTTP=1"),
        (
            "meetings list --base-url https://whereby.example --insecure-http",
            "--insecure-http is for an http --base-url",
        ),
        ("meetings list --redis redis://:pass@localhost/0", "set the variable WHEREBY_REDIS_URL"),
        ("meetings list --nonsense", "--nonsense"),
        ("meetings list -q -v", "--quiet and --verbose: pass one of them"),
        ("meetings nonsense", "nonsense"),
        ("nonsense", "nonsense"),
        ("demo --nonsense", "--nonsense"),
        ("demo --limit 9", "--limit"),
        ("demo --limit many", "--limit"),
        ("sandbox --algorithm dice", "dice"),
        ("sandbox --port 70000", "--port"),
        ("sandbox --period 0", "--period"),
        ("sandbox --host 0.0.0.0", "loopback"),
        ("sandbox --host 0.0.0.0", "--insecure-http"),
        ("sandbox --host example.com", "loopback"),
    ],
)
def test_wrong_usage_is_told_in_the_words_of_the_command_line(
    served: Served, words: str, complaint: str, here: Runner
) -> None:
    """Exit code 2, one line, options by their own names, and nothing is sent."""
    ended = here(*words.split())
    assert (ended.code, ended.out) == (2, "")
    assert complaint in ended.err
    assert ended.err.startswith("whereby: ")
    assert ended.err.count("\n") == 1
    assert "eyJ" not in ended.err
    assert served.fake.requests == []


@pytest.mark.parametrize(
    ("option", "text", "secret"),
    [
        ("--recording", '{"destination": {"accessKeySecret": "hush-hush"}}', "accessKeySecret"),
        ("--live-transcription", '{"destination": {"accessKeyId": "hush-hush"}}', "accessKeyId"),
        ("--streaming", '{"destination": {"url": "rtmp://live/hush-hush"}}', "url"),
    ],
)
def test_secrets_in_a_command_line_are_refused(
    served: Served, option: str, text: str, secret: str, here: Runner
) -> None:
    """Everybody sees a command line: they come from a file, and are not repeated."""
    ended = here("meetings", "create", "--end-date", "+1h", option, text)
    assert ended.code == 2
    assert f"{option} holds {secret}, a secret" in ended.err
    assert "@FILE" in ended.err
    assert "hush-hush" not in ended.err
    assert served.fake.requests == []
