"""How a command ends: exit codes, one or two lines on stderr, broken pipes, Ctrl-C, and the key that is asked for."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.processes import OnTerminal, command, environment

import whereby_async
from whereby_async import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    BudgetError,
    BudgetTimeoutError,
    ClientClosedError,
    ConfigurationError,
    RateLimitError,
    ResponseDecodeError,
    WherebyError,
)
from whereby_async.cli.errors import in_option_names, report_error
from whereby_async.cli.operation_commands import COMMANDS, arguments_of
from whereby_async.testing import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.processes import Runner
    from support.serving import Served

KEY = "a-key-that-must-not-be-seen"
LIBRARY = Path(whereby_async.__file__).parent
NOT_THE_LIBRARY = {"_pyinstaller", "cli", "testing"}
PYTHON = re.compile(
    r"`|\b[a-z_]+=(?![=/])|\b(?:True|None)\b|\b(?:asyncio|aiohttp)\.|\w\(|\b[A-Z][a-z]+[A-Z]\w+|\b[a-z]+_[a-z_]+\b"
)
NO_WAY_THERE = re.compile(
    # What the command line has no option for, never gets wrong, or checks itself before.
    r"(?:n|operation|method|key|on_progress|limit|costs|on_unavailable|share|hooks|limiter|max_items|at|X)=X"
    r"|journal=X: pass a path|max_wait must|api_key must|pass True, or nothing|hooks holds the class|a batch runs"
    r"|X belongs to another client|on_progress raised|no asyncio|whereby_async runs|its client cannot|an injected redis"
    r"|RedisPointBudget\(X|pass a PointBudget|start from datetime\.now|the `async with`|pass the request's body"
    # A header's own form, and what those who compile the package have to do.
    r"|Check the API key: {|holds an element|has no (?:t|v1)=|the X header X\. Pass its value whole|RedisPointBudget needs the source"
    # What is said of mistakes in a program: `with` for `async with`.
    r"|use `async with|a Page is read|a list of the API is read|pages are read"
)
WITHOUT_A_WAY = {
    "call_events.py",
    "client.py",
    "context.py",
    "limiter/host_budget.py",
    "limiter/redis/translator.py",
    "models/dates.py",
    "models/decoding.py",
    "models/model.py",
    "operation.py",
    "otel.py",
    "rate_limit.py",
    "resources/root.py",
    "retry.py",
    "room_links.py",
    "transport/aiohttp_session.py",
    "transport/pool.py",
    "webhooks/replay.py",
}
"""Modules whose options and texts the command line does not use: templates of code, options it does not pass."""


@pytest.mark.usefixtures("served")
def test_api_said_no(here: Runner) -> None:
    assert here("meetings", "get", "1") == (
        1,
        "",
        "whereby: meetings.get: 404 Not Found: Could not find meeting. It does not exist, or it was deleted.\n",
    )


def test_base_url_without_v1_is_told(served: Served, here: Runner) -> None:
    root = served.fake.url.removesuffix("/v1")
    ended = here("meetings", "get", "1", "--base-url", root)
    assert ended.code == 1
    assert f"Check --base-url '{root}': it does not end in /v1" in ended.err
    assert "deleted" not in ended.err


@pytest.mark.parametrize("served", [{"limit": 1, "period": 600.0}], indirect=True)
def test_throttled(served: Served, here: Runner) -> None:
    served.do(lambda: served.fake.spend(1))
    ended = here("meetings", "list", "--max-wait", "1")
    assert (ended.code, ended.out) == (3, "")
    assert ended.err.startswith("whereby: meetings.list: 429")
    assert "again in 6" in ended.err or "again in 5" in ended.err


def test_no_answer_to_a_create_says_that_it_may_have_happened(served: Served, here: Runner) -> None:
    served.fake.faults.add(Fault(drop="after", operation="meetings.create"))
    ended = here("meetings", "create", "--end-date", "+1h")
    assert ended.code == 4
    first, second = ended.err.splitlines()
    assert first.startswith("whereby: meetings.create: connection failed")
    assert second == "whereby: It may have been done all the same: look before you do it again."


@pytest.mark.parametrize(
    ("command_line", "fault", "told"),
    [
        (
            "meetings list",
            Fault(operation="meetings.list", body=b"nothing"),
            "meetings.list: the answer can not be read: expected JSON",
        ),
        (
            "meetings get 1",
            Fault(operation="meetings.get", status=422, body=b'{"error": {"a": [1, null]}}'),
            '422 Unprocessable Entity: {"a":[1,null]}',
        ),
    ],
)
def test_what_came_is_told_in_no_words_of_python(
    served: Served, here: Runner, command_line: str, fault: Fault, told: str
) -> None:
    served.fake.faults.add(fault)
    assert told in here(*command_line.split()).err


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("meetings list --name-starts-with /\udcff", r"--name-starts-with '/\udcff' holds half a surrogate pair"),
        ("insights rooms --name-contains \udcff", r"--name-contains '\udcff' holds half a surrogate pair"),
        ("recordings list --room-name \udcff", r"--room-name '\udcff' holds half a surrogate pair"),
        ("rooms reset-logo \udcff", "type it in a locale of UTF-8, such as LC_ALL=C.UTF-8"),
        ("rooms set-logo / x.png", "'/' is no room's name: pass one such as 'weekly'"),
        ("meetings list --max-outage -1", "pass seconds from 0 (do not wait), or inf (wait as long as it takes)"),
        ("rooms set-logo weekly x.png", r"(it starts with 'png\n')"),
    ],
)
def test_what_was_passed_is_told_in_the_words_of_the_command_line(
    words: str, told: str, here: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x.png").write_bytes(b"png\n")
    ended = here(*words.split())
    assert ended.code == 2
    assert told in ended.err


@pytest.mark.parametrize("body", [b"not json", b"{}"])
def test_an_unreadable_answer_to_a_create_says_so_too(served: Served, here: Runner, body: bytes) -> None:
    served.fake.faults.add(Fault(operation="meetings.create", body=body))
    ended = here("meetings", "create", "--end-date", "+1h")
    assert ended.code == 1
    assert ended.err.splitlines()[1:] == ["whereby: It may have been done all the same: look before you do it again."]


@pytest.mark.parametrize(
    ("command_line", "fault"),
    [
        ("meetings list", Fault(operation="meetings.list", body=b"not json")),
        ("meetings get 1", Fault(operation="meetings.get", status=500, times=None)),
        (
            "recordings purge --room-name weekly --ended-before=-30d --yes",
            Fault(operation="recordings.list", drop="after", times=None),
        ),
    ],
)
def test_a_read_that_fails_has_done_nothing(served: Served, here: Runner, command_line: str, fault: Fault) -> None:
    served.fake.faults.add(fault)
    ended = here(*command_line.split())
    assert ended.code != 0
    assert f"{fault.operation}: " in ended.err
    assert "look before" not in ended.err


def test_nobody_listens(monkeypatch: pytest.MonkeyPatch, here: Runner) -> None:
    monkeypatch.setenv("WHEREBY_API_KEY", KEY)
    ended = here("meetings", "create", "--end-date", "+1h", "--base-url", "http://127.0.0.1:9/v1")
    assert ended.code == 4
    assert ended.err.count("\n") == 1
    assert "(Connection refused; " in ended.err
    assert KEY not in ended.err


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (KeyboardInterrupt("stopped\ngo on with: x"), 130, "go on with: x"),
        (ExceptionGroup("", [ExceptionGroup("", [ClientClosedError("closed")])]), 1, "closed"),
        (ResponseDecodeError("what", body=b"?"), 1, "what"),
        (APIStatusError("no", status=404), 1, "no"),
        (WherebyError("odd"), 1, "odd"),
        (ConfigurationError("no key"), 2, "no key"),
        (RateLimitError("wait", status=429), 3, "wait"),
        (BudgetTimeoutError("too long"), 3, "too long"),
        (BudgetError("too dear"), 3, "too dear"),
        (APIConnectionError("refused"), 4, "refused"),
        (APITimeoutError("slow"), 4, "slow"),
        (FileNotFoundError(2, "No such file", "x.csv"), 2, "x.csv: No such file"),
        (OSError("odd"), 2, "odd"),
        (ModuleNotFoundError("No module named 'x'"), 70, "installation is broken"),
        (ExceptionGroup("two", [ValueError(), TypeError()]), 70, "ExceptionGroup"),
        (ZeroDivisionError("secret"), 70, "a fault of this program: ZeroDivisionError"),
    ],
)
def test_every_error_ends_in_words(
    error: BaseException, code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """1 the API said no, 2 wrong usage, 3 throttled, 4 no answer; never a traceback, and unknown errors by their names."""
    assert report_error(error) == code
    err = capsys.readouterr().err
    assert words in err
    assert "Traceback" not in err
    assert "secret" not in err
    assert all(line.startswith("whereby: ") for line in err.splitlines())


def test_traceback_is_shown_to_those_who_ask(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WHEREBY_TRACEBACK", "1")
    assert report_error(ZeroDivisionError("why")) == 70
    assert "ZeroDivisionError: why" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--api-key", "--token", "--secret"])
@pytest.mark.parametrize("joined", [True, False])
def test_secrets_are_no_arguments(served: Served, option: str, joined: bool, here: Runner) -> None:
    """Exit code 2, the variable to set, and the value is not repeated."""
    ended = here("meetings", "list", *([f"{option}={KEY}"] if joined else [option, KEY]))
    assert ended.code == 2
    assert "set the variable WHEREBY_" in ended.err
    assert KEY not in ended.err
    assert served.fake.requests == []


@pytest.mark.parametrize(
    "words",
    [
        ["budget", KEY],
        ["budget", f"Bearer {KEY}", "x"],
        [KEY],
        ["meetings", KEY],
        ["budget", f"--nonsense={KEY}"],
        ["budget", "--timeout", KEY],
        ["budget", f"-{KEY}"],
    ],
)
def test_key_in_a_wrong_place_is_not_repeated(served: Served, words: list[str], here: Runner) -> None:
    code, out, err = here(*words)
    assert code == 2
    assert KEY[1:] not in out + err
    assert re.search(r"See whereby( budget| meetings)? --help\.", err)
    assert served.fake.requests == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("meetings create", "--end-date is missing. See whereby meetings create --help."),
        ("meetings create --end-date", "--end-date needs a value. See whereby meetings create --help."),
        ("meetings create --end-dat +1h", "--end-date is missing. Did you mean --end-date"),
        ("meetings get", "MEETING-ID is missing. See whereby meetings get --help."),
        ("insights participant a", "PARTICIPANT-ID is missing. See whereby insights participant --help."),
        (
            "meetings purge --ended-before -1d",
            "--ended-before needs a value: write --ended-before=-1d if that is it. See whereby meetings purge --help.",
        ),
        ("meetings list --timeout", "--timeout needs a value. See whereby meetings list --help."),
        ("meetings list --timeout abc", 'unable to convert "abc" into a number. See whereby meetings list --help.'),
        ("meetings list --page-size x", 'unable to convert "x" into a whole number. See whereby meetings list'),
        ("meetings get 1 2 3", "'2 3' is more than this command takes. See whereby meetings get --help."),
        ("meetings lst", 'Did you mean "list"?'),
        ("insights room-sessions weekly --from -7d", "--from. See whereby insights room-sessions --help."),
        ("insights rooms --created-fro -7d", "Did you mean --created-from?"),
        ("meetings --nonsense", 'Unknown option "--nonsense".'),
        ("nonsense", "See whereby --help."),
    ],
)
def test_wrong_usage_says_what_is_missing_and_whose_help_to_read(words: str, said: str, here: Runner) -> None:
    ended = here(*words.split())
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err.replace('"--end-date"', "--end-date")


def test_word_too_many_is_counted_if_it_may_be_a_key(here: Runner) -> None:
    """With where keys come from; a short one is repeated, which helps to find what is wrong."""
    long, short = here("budget", KEY).err, here("budget", "nonsense").err
    assert "(here 1), since they may be keys" in long
    assert "WHEREBY_API_KEY" in long
    assert "nonsense" in short
    assert "may be keys" not in short


def test_missing_key_without_a_terminal(here: Runner) -> None:
    ended = here("meetings", "list")
    assert (ended.code, ended.out) == (2, "")
    advice = "set the variable WHEREBY_API_KEY or WHEREBY_API_KEY_FILE, or pass --profile (see whereby profiles)"
    assert ended.err.startswith(f"whereby: no API key: {advice} (on a terminal")


@pytest.mark.parametrize(
    ("keys", "code", "words"),
    [
        (b"RIGHT\n", 0, "/weekly"),
        (b"\n", 2, "nothing was typed in"),
        (b"\x04", 2, "nothing was typed in"),
        (b"wrong-and-secret\n", 1, "Check the API key: it was typed in."),
    ],
)
def test_key_is_asked_for_on_a_terminal(served: Served, keys: bytes, code: int, words: str) -> None:
    """It is not shown; an empty line or the end of the input is wrong usage; a wrong key is called so."""
    served.fake.add_meeting(room_name="/weekly")
    with OnTerminal("meetings", "list", variables={"WHEREBY_API_KEY": " "}) as terminal:
        terminal.until("API key")
        terminal.type(keys.replace(b"RIGHT", served.fake.api_key.encode()))
        ended = terminal.end()
    assert ended.code == code
    assert words in ended.out
    assert "wrong-and-secret" not in ended.out
    assert served.fake.api_key not in ended.out


def test_ctrl_c_ends_a_call_quietly(served: Served) -> None:
    served.fake.faults.add(Fault(delay=60.0))
    with OnTerminal("meetings", "list", "--verbose") as terminal:
        terminal.until("attempt 1")
        served.until(lambda: len(served.fake.requests) == 1)
        ended = terminal.interrupt()
    assert ended.code == 130
    assert ended.lines()[-2].endswith("whereby: interrupted")
    assert "Traceback" not in ended.out


@pytest.mark.parametrize("served", [{"limit": 100, "period": 600.0}], indirect=True)
@pytest.mark.parametrize("log", ["", "info"])
def test_wait_is_told_on_a_terminal(served: Served, log: str) -> None:
    """Once, by the log if that was asked for."""
    served.do(lambda: served.fake.spend(100))
    with OnTerminal("meetings", "list", variables={"WHEREBY_LOG": log}) as terminal:
        terminal.until("waits about")
        ended = terminal.interrupt()
    (shown,) = [line for line in ended.lines() if "waits about" in line]
    assert shown.startswith("whereby: meetings.list waits about ")
    assert "for 1 point: the server asked for it" in shown
    assert ended.code == 130


@pytest.mark.parametrize(
    ("words", "first"), [("meetings list --page-size 1", b'{"meetingId"'), ("demo", b'{"event": "notice"')]
)
def test_closed_pipe_ends_it_quietly(served: Served, words: str, first: bytes) -> None:
    """`whereby meetings list | head -1` in the middle of many pages."""
    for _ in range(300):
        served.fake.add_meeting()
    with subprocess.Popen(
        command(*words.split()), env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(first)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(30) == 141
    assert len(served.fake.requests) < 300


CLOSED = b"""whereby: stdout is closed, and nothing was done: send what is printed to a file, or to /dev/null if nobody \
needs it
"""


@pytest.mark.parametrize(
    ("line", "code", "err"),
    [
        ("WHEREBY --help | true", 0, b""),
        ("WHEREBY meetings create --end-date +1h >&-", 2, CLOSED),
        ("WHEREBY profiles >&- 2>&-", 2, b""),
        ("WHEREBY meetings list > /dev/full", 2, b"whereby: stdout: No space left on device\n"),
    ],
)
def test_stdout_that_takes_nothing(served: Served, line: str, code: int, err: bytes) -> None:
    """Nobody reads it, it is closed, or the disk is full: what can not be written is no success."""
    words = ["bash", "-c", line.replace("WHEREBY", " ".join(command()))]
    done = subprocess.run(words, env=environment(), capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (code, err)
    assert served.fake.meetings == {}


def test_signal_while_it_starts_is_quiet() -> None:
    """Ctrl-C before anything is imported leaves no traceback either."""
    program = (
        "import sys, importlib.abc, os, signal\n"
        "class Late(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name == 'whereby_async.cli.app': os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Late())\n"
        "from whereby_async.cli import main\n"
        "sys.exit(main(['--version']))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], env=environment(), capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (130, b"")


def _texts(module: Path) -> Iterator[str]:
    """The texts in a module that are no docstrings and no repr, with X for what is filled in."""
    tree = ast.parse(module.read_text())
    passed_over: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == "__repr__":
            passed_over |= set(map(id, ast.walk(node)))
        elif isinstance(node, ast.JoinedStr):
            passed_over |= set(map(id, ast.walk(node))) - {id(node)}
        elif isinstance(node, ast.Expr):
            passed_over.add(id(node.value))
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr | ast.Constant) and id(node) not in passed_over:
            parts = node.values if isinstance(node, ast.JoinedStr) else [node]
            text = "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in parts)
            yield re.sub(r"%[.\d]*[sdgfr]", "X", text)


def test_no_message_of_the_library_speaks_python_here() -> None:
    """Every text of the library that names a keyword, a class or a call is put into options, or can not be reached."""
    options = {each.keyword: each.option for row in COMMANDS for each in arguments_of(row.method)}
    left: dict[str, str] = {}
    count = 0
    for module in sorted(LIBRARY.rglob("*.py")):
        name = module.relative_to(LIBRARY).as_posix()
        if name.split("/")[0] in NOT_THE_LIBRARY or name in WITHOUT_A_WAY:
            continue
        for text in _texts(module):
            if " " in text and PYTHON.search(text) and not NO_WAY_THERE.match(text):
                count += 1
                if PYTHON.search(words := in_option_names(text, options)):
                    left[f"{name}: {text}"] = words
    assert left == {}
    assert count > 40


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("pass same_organisation=True; else pass another path.", "pass --same-organisation; else name another by --j"),
        (
            "item 'a' failed (now): NotFoundError: m.get: 404; pass retry_failed=True",
            "failed (now): m.get: 404; pass --r",
        ),
        (
            "timeout=0.0: pass seconds above 0; a deadline over a whole call is asyncio.timeout(…)",
            "--timeout 0.0: pass s",
        ),
        (
            "max_wait=-1: pass seconds from 0, or None (as long as it takes)",
            "--max-wait -1: pass seconds from 0, or le",
        ),
        (
            "connection failed (ClientConnectorDNSError: Name not known; sent)",
            "connection failed (Name not known; sent)",
        ),
        ("connection failed (TimeoutError; sent)", "connection failed (timeout error; sent)"),
        ("connection failed (ClientOSError; sent)", "connection failed (client OS error; sent)"),
        ("room_name_prefix='x' has 40 characters", "room_name_prefix 'x' has 40 characters"),
        # The service's own words stay as they are.
        ("400 Bad Request: ValidationError: see https://x/?page_size=3", "ValidationError: see https://x/?page_size=3"),
    ],
)
def test_words_of_the_library_in_those_of_the_command_line(said: str, words: str) -> None:
    assert words in in_option_names(said)
