from __future__ import annotations

import logging
import math
import os
import re
import subprocess
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given, strategies as st
from support.budgets import in_threads
from support.processes import environment
from support.recording_limiter import RecordingLimiter
from support.serving import Served

from whereby_async import ConfigurationError, Priority, SessionPool, WherebyClient, WherebyError, use_priority
from whereby_async.limiter import HostPointBudget, PointBudget, RedisPointBudget
from whereby_async.options import read_base_url, read_key, request_headers
from whereby_async.otel import OpenTelemetryHooks
from whereby_async.testing import FakeWhereby, TcpProxy, WebhookSender
from whereby_async.webhooks import SeenEvents

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

KEY = "planted-key"
JWT = "eyJhbGciOiJub25lIn0.eyJpc3MiOiJwbGFudGVkIn0.planted"


def client(**options: Any) -> WherebyClient:
    given: dict[str, Any] = {"api_key": KEY, "limiter": RecordingLimiter(), **options}
    return WherebyClient(**given)


@pytest.fixture
async def fake() -> AsyncIterator[FakeWhereby]:
    async with FakeWhereby(api_key=KEY) as server:
        yield server


# The log


@pytest.fixture
def log() -> Iterator[logging.Logger]:
    """The logger, left as it was found."""
    logger = logging.getLogger("whereby_async")
    yield logger
    logger.setLevel(logging.NOTSET)
    logger.handlers.clear()


@pytest.mark.parametrize(
    ("value", "level"), [("debug", 10), (" Info ", 20), ("WARNING", 30), ("error", 40), ("", 0), (" ", 0), (None, 0)]
)
def test_the_variable_prints_the_log_once(
    value: str | None,
    level: int,
    log: logging.Logger,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """However many clients are made; without it nothing is set up."""
    if value is not None:
        monkeypatch.setenv("WHEREBY_LOG", value)
    monkeypatch.setattr(logging.root, "handlers", [])  # pytest's own
    assert (log.level, log.handlers) == (0, [])
    in_threads(*[client] * 8)
    assert (log.level, len(log.handlers)) == (level, int(level > 0))
    for each in (10, 20, 30):
        log.log(each, "line %d", each)
    said = [line.split(maxsplit=2)[2] for line in capsys.readouterr().err.splitlines() if level]
    assert said == [
        f"{logging.getLevelName(each)} whereby_async: line {each}" for each in (10, 20, 30) if 0 < level <= each
    ]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("name", ["", "whereby_async"])
def test_the_variable_doubles_no_line_of_a_program_that_logs(
    name: str, when: str, log: logging.Logger, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whether it sets up logging before its first client or after it; the level is the variable's."""
    monkeypatch.setenv("WHEREBY_LOG", "debug")
    monkeypatch.setattr(logging.root, "handlers", [])  # pytest's own
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    monkeypatch.setattr(handler, "emit", records.append)
    if when == "after":
        client()
    logging.getLogger(name).addHandler(handler)
    client()
    log.debug("once")
    assert [record.getMessage() for record in records] == ["once"]
    assert capsys.readouterr().err == ""


def test_the_variable_overrules_no_level(log: logging.Logger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHEREBY_LOG", "debug")
    log.setLevel(logging.ERROR)
    client()
    assert log.level == logging.ERROR


@pytest.mark.parametrize("value", ["trace", "1", "10", "debug,info"])
def test_a_level_that_there_is_not_is_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHEREBY_LOG", value)
    with pytest.raises(
        ConfigurationError, match=f"^WHEREBY_LOG='{value}': set it to one of debug, info, warning, error, critical$"
    ):
        client()


WORKERS = """
import asyncio, multiprocessing, sys
from whereby_async import WherebyClient

def work(name):
    async def call():
        async with WherebyClient() as client:
            await client.request("GET", "/meetings", operation=name)
    asyncio.run(call())

if __name__ == "__main__":
    work("here")
    for how in ("fork", "spawn"):
        process = multiprocessing.get_context(how).Process(target=work, args=(how,))
        process.start()
        process.join()
"""


def test_the_variable_prints_the_log_of_workers_too(tmp_path: Path) -> None:
    """A script that sets up nothing, and what it forks and spawns: each line once."""
    script = tmp_path / "script.py"
    script.write_text(WORKERS)
    with Served() as served:
        variables = environment(**served.variables, WHEREBY_LOG="debug")
        done = subprocess.run(
            [sys.executable, "-W", "error", str(script)], env=variables, capture_output=True, text=True, check=True
        )
    lines = [line.split(maxsplit=2)[2] for line in done.stderr.splitlines()]
    assert [re.sub(r"\d+ ms", "N ms", line) for line in lines] == [
        f"DEBUG whereby_async: {name}: {what}"
        for name, left in (("here", 999), ("fork", 998), ("spawn", 997))
        for what in ("attempt 1, 1 point", f"200 for 1 point after N ms, {left} points left of 1000")
    ]
    assert done.stdout == ""


# The key


@pytest.mark.anyio
@pytest.mark.parametrize(("passed", "variable"), [(None, f"  {KEY}\n"), (KEY, "another")])
async def test_the_key_is_passed_or_comes_from_the_environment(
    passed: str | None, variable: str, fake: FakeWhereby, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is passed wins over the variable; whitespace around a key does not count."""
    monkeypatch.setenv("WHEREBY_API_KEY", variable)
    async with WherebyClient(passed, base_url=fake.url, limiter=RecordingLimiter()) as whereby:
        assert await whereby.meetings.list().collect() == []


def test_a_missing_key_names_both_ways_to_give_one() -> None:
    with pytest.raises(
        ConfigurationError,
        match=r"no API key: set the variable WHEREBY_API_KEY or WHEREBY_API_KEY_FILE, or pass api_key= \(it was not set\)",
    ):
        WherebyClient()


@pytest.mark.parametrize("blank", ["", " ", "\n\t"])
def test_a_blank_key_is_none(blank: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blank is missing, passed or set; a passed blank does not fall back to the variable."""
    with pytest.raises(ConfigurationError, match="it was blank"):
        WherebyClient(blank)
    monkeypatch.setenv("WHEREBY_API_KEY", blank)
    with pytest.raises(ConfigurationError, match="it was blank"):
        WherebyClient()
    monkeypatch.setenv("WHEREBY_API_KEY", KEY)
    with pytest.raises(ConfigurationError, match="it was blank"):
        WherebyClient(blank)


@pytest.mark.parametrize("key", ["planted key", "planted\nkey", "planted\x00key", "plantedé", "planted\x7f"])
def test_a_key_that_no_header_can_carry_is_refused(key: str) -> None:
    """A line break in a key would be a header of its own; the error shows nothing of the key."""
    with pytest.raises(ConfigurationError, match="no header can carry") as caught:
        WherebyClient(key)
    assert "planted" not in str(caught.value)


WRONG_TEXTS: list[object] = [5, b"planted", ["planted"], Path("planted"), memoryview(b"planted"), True]


@pytest.mark.parametrize("option", ["api_key", "base_url"])
@pytest.mark.parametrize("value", WRONG_TEXTS)
def test_text_of_another_type_is_refused(option: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=f"{option} must be a string, not {type(value).__name__}") as caught:
        client(**{option: value})
    assert "planted" not in str(caught.value)


@pytest.mark.parametrize("value", WRONG_TEXTS)
def test_a_view_s_key_of_another_type_is_refused(value: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"api_key must be a string, not {type(value).__name__}") as caught:
        client().with_options(api_key=value)
    assert "planted" not in str(caught.value)


def test_a_view_does_not_take_the_environment_s_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHEREBY_API_KEY", "another")
    none: Any = None
    with pytest.raises(ConfigurationError, match="it was blank"):
        client().with_options(api_key=none)


@pytest.mark.parametrize("value", WRONG_TEXTS)
def test_a_proxy_of_another_type_is_refused(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="proxy is no URL that can be used") as caught:
        SessionPool(proxy=value)
    assert "planted" not in str(caught.value)


FLAWS = {
    f'"{KEY}"': "in quotes",
    f"'{KEY}": "in quotes",
    f"{KEY}\u201d": "in quotes",
    f"`{KEY}`": "in quotes",
    f"Bearer {KEY}": "a word before it, such as Bearer",
    f"bearer:{KEY}": "a word before it, such as Bearer",
    "Bearer ": "a word before it, such as Bearer",
    f"Authorization: Bearer {KEY}": "a word before it, such as Bearer",
    f"WHEREBY_API_KEY={KEY}": "a word before it, such as Bearer",
    f"export WHEREBY_API_KEY = {KEY}": "a word before it, such as Bearer",
    f"{KEY}\n{KEY}": "a line break",
    f"{KEY}\r{KEY}": "a line break",
    f"{KEY} {KEY}": "a space",
    f"{KEY}\t{KEY}": "a space",
    f"{KEY}\u200b": "not ASCII, perhaps an invisible one",
    f"\ufeff{KEY}": "not ASCII, perhaps an invisible one",
    f"{KEY}\xa0{KEY}": "not ASCII",
    f"{KEY}\x1b[0m": "a control character",
    f"{KEY:x<8193}": "has 8193 characters",
}


@pytest.mark.parametrize("key", FLAWS, ids=lambda key: ascii(key[:60]))
def test_what_is_wrong_with_a_key_is_told_in_words(key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it comes from, and without repeating it; surrounding whitespace is no fault."""
    file = tmp_path / "k"
    file.write_text("\ufeff" + key if key.startswith("\ufeff") else key, "utf-8", newline="")
    for make in (lambda: WherebyClient(f" {key}\n"), lambda: client().with_options(api_key=key)):
        _refused(make, FLAWS[key])
    for variable, value in (("WHEREBY_API_KEY", key), ("WHEREBY_API_KEY_FILE", str(file))):
        with monkeypatch.context() as changed:
            changed.setenv(variable, value)
            _refused(WherebyClient, FLAWS[key])


def _refused(make: Callable[[], object], complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint) as caught:
        make()
    assert "planted" not in str(caught.value)


def _write(file: Path, content: str) -> None:
    file.write_bytes(content.encode())
    file.chmod(0o600)


@pytest.fixture
def key_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of which WHEREBY_API_KEY_FILE tells; it does not exist yet."""
    file = tmp_path / "key"
    monkeypatch.setenv("WHEREBY_API_KEY_FILE", str(file))
    return file


@pytest.mark.anyio
@pytest.mark.parametrize("content", [KEY, f"{KEY}\n", f"  {KEY}\r\n\r\n", f"\ufeff{KEY}\n"], ids=ascii)
async def test_the_key_comes_from_the_file_that_a_variable_names(
    content: str, fake: FakeWhereby, key_file: Path
) -> None:
    """It is read when the client is made: a client goes on with its key, and the next one has the new one."""
    _write(key_file, content)
    async with WherebyClient(base_url=fake.url, limiter=RecordingLimiter()) as whereby:
        _write(key_file, "renewed\n")
        assert await whereby.meetings.list().collect() == []
    async with WherebyClient(base_url=fake.url, limiter=RecordingLimiter()) as whereby:
        with pytest.raises(WherebyError, match=f"Check the API key: it comes from the file '{key_file}'"):
            await whereby.meetings.list().collect()


def test_two_variables_with_a_key_are_refused(key_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless a key is passed; a blank variable is none."""
    key_file.write_text(KEY)
    monkeypatch.setenv("WHEREBY_API_KEY", "another")
    with pytest.raises(ConfigurationError, match="WHEREBY_API_KEY and WHEREBY_API_KEY_FILE are both set: unset one"):
        WherebyClient()
    assert read_key(KEY) == (KEY, "it was passed as api_key=")
    monkeypatch.setenv("WHEREBY_API_KEY", " ")
    assert read_key(None)[0] == KEY
    monkeypatch.setenv("WHEREBY_API_KEY_FILE", "\n")
    with pytest.raises(ConfigurationError, match="it was blank"):
        WherebyClient()


BAD_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: None, "can not be read: No such file"),
    "a folder": (lambda path: path.mkdir(), "is no plain file"),
    "a pipe without a writer": (os.mkfifo, "is no plain file"),
    "a dangling link": (lambda path: path.symlink_to("nowhere"), "can not be read: No such file"),
    "empty": (lambda path: path.touch(), "is empty"),
    "blank": (lambda path: path.write_text(" \n\n"), "is empty"),
    "a mark only": (lambda path: path.write_text("\ufeff\n", "utf-8"), "is empty"),
    "bytes": (lambda path: path.write_bytes(b"planted\xff\xfe"), "not ASCII"),
    "UTF-16": (
        lambda path: path.write_text("planted\n", "utf-16"),
        "holds zero bytes, as text in UTF-16 instead of UTF-8 does",
    ),
    "several lines": (lambda path: path.write_text("planted\nplanted\n"), "a line break"),
    "huge": (lambda path: path.write_bytes(b"planted" * 200_000), "is larger than 1 MiB"),
    "endless": (lambda path: path.symlink_to("/dev/zero"), "is no plain file"),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_a_file_without_a_key_is_named_with_its_variable(kind: str, key_file: Path) -> None:
    make, complaint = BAD_FILES[kind]
    make(key_file)
    with pytest.raises(ConfigurationError, match=complaint) as caught:
        WherebyClient()
    assert f"'{key_file}'" in str(caught.value)
    assert "WHEREBY_API_KEY_FILE" in str(caught.value)
    assert "planted" not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize("key", [JWT, "planted" * 4, "planted" * 1000])
def test_a_key_in_the_variable_of_the_file_is_not_repeated(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHEREBY_API_KEY_FILE", key)
    with pytest.raises(ConfigurationError, match="not shown, as it may be a key") as caught:
        WherebyClient()
    assert "planted" not in str(caught.value)


@pytest.mark.parametrize(
    ("mode", "is_told"), [(0o600, False), (0o400, False), (0o644, True), (0o640, True), (0o604, True)]
)
def test_a_key_file_that_others_can_read_is_told_once(
    mode: int, is_told: bool, key_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    key_file.write_text(KEY)
    if os.geteuid() == 0:
        os.chown(key_file, 1, 1)
    key_file.chmod(mode)
    for _ in range(2):
        WherebyClient()
    told = [f"others can read the API key of WHEREBY_API_KEY_FILE: chmod 600 '{key_file}'"] if is_told else []
    assert [record.getMessage() for record in caplog.records] == told


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make root's files")
def test_a_mounted_secret_of_root_is_not_told(key_file: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Docker and Kubernetes mount it with mode 444 or 644, into a container that holds nobody else."""
    key_file.write_text(KEY)
    key_file.chmod(0o444)
    WherebyClient()
    assert caplog.records == []


@given(st.text())
def test_no_error_about_a_key_shows_it(key: str) -> None:
    """Whatever the key: it is taken, or refused without being repeated."""
    try:
        read, _ = read_key(key)
    except ConfigurationError as error:
        told = str(error)
    else:
        assert read == key.strip()
        assert repr(read) == "'***'"
        return
    assert len(key.strip()) < 4 or key.strip() not in told


def test_headers_carry_the_bearer_silently() -> None:
    headers = request_headers(read_key(KEY)[0])
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert headers["User-Agent"].startswith("whereby-async/")
    assert KEY not in repr(headers)


# The URL


@pytest.mark.parametrize(
    ("given", "used"),
    [
        (None, "https://api.whereby.dev/v1"),
        ("https://api.whereby.dev/v1", "https://api.whereby.dev/v1"),
        ("https://api.whereby.dev/v1/", "https://api.whereby.dev/v1"),
        (" https://proxy.example:8443/whereby//\n", "https://proxy.example:8443/whereby"),
        ("https://proxy.example", "https://proxy.example"),
        ("http://localhost:8080/v1", "http://localhost:8080/v1"),
        ("http://127.0.0.1:1/v1", "http://127.0.0.1:1/v1"),
        ("http://127.8.9.1/v1", "http://127.8.9.1/v1"),
        ("http://[::1]:9/v1", "http://[::1]:9/v1"),
        ("HTTPS://Api.Example/v1", "https://Api.Example/v1"),
    ],
)
def test_base_url_is_taken(given: str | None, used: str) -> None:
    """Https to anywhere, http to loopback only; a slash at the end does not count."""
    assert client(base_url=given).base_url == used


def test_base_url_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable counts if nothing is passed; an empty one does not."""
    monkeypatch.setenv("WHEREBY_BASE_URL", "https://other.example/v1/")
    assert client().base_url == "https://other.example/v1"
    assert client(base_url="https://passed.example").base_url == "https://passed.example"
    monkeypatch.setenv("WHEREBY_BASE_URL", "")
    assert client().base_url == "https://api.whereby.dev/v1"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "no usable URL"),
        ("api.whereby.dev/v1", "no usable URL"),
        ("ftp://api.whereby.dev", "no usable URL"),
        ("https://", "no usable URL"),
        ("https:///v1", "no usable URL"),
        ("https://api.example:port/v1", "no usable URL"),
        ("https://api.example:99999/v1", "no usable URL"),
        ("https://api.example:0/v1", "no usable URL"),
        ("https://[::1/v1", "no usable URL"),
        ("https://api .example/v1", "no usable URL"),
        ("https://api.example/v1\r\nX: y", "no usable URL"),
        ("https://äpi.example/v1", "no usable URL"),
        ("https://api.example/v1\x00", "no usable URL"),
        ("http://api.whereby.dev/v1", "in the clear"),
        ("http://localhost.example/v1", "in the clear"),
        ("http://whereby.localhost/v1", "in the clear"),
        ("http://128.0.0.1/v1", "in the clear"),
        ("http://0.0.0.0/v1", "in the clear"),
        ("http://10.0.0.1/v1", "in the clear"),
        ("https://user:planted@api.example/v1", "must not hold a user"),
        ("https://planted@api.example/v1", "must not hold a user"),
        ("https://user:planted/x@api.example/v1", "must not hold a user"),
        ("https://api.example/v1?key=planted", "query or a fragment"),
        ("https://api.example/v1#planted", "query or a fragment"),
        ("https://api.example/v1?", "query or a fragment"),
    ],
)
def test_base_url_that_cannot_be_used_is_refused(url: str, words: str) -> None:
    """The error says what is wrong and shows no password."""
    with pytest.raises(ConfigurationError, match="base_url") as caught:
        client(base_url=url)
    assert words in str(caught.value)
    assert "planted" not in str(caught.value)


def test_a_key_passed_for_a_url_does_not_show() -> None:
    with pytest.raises(ConfigurationError) as caught:
        client(base_url=JWT)
    assert "planted" not in str(caught.value)


@given(st.text(st.characters(codec="utf-8")).map(lambda text: "http://" + text))
def test_http_never_leaves_the_machine(url: str) -> None:
    """Whatever the rest of an http URL: it is refused, or its host is loopback."""
    try:
        used = read_base_url(url)
    except ConfigurationError:
        return
    assert used.startswith(("http://localhost", "http://127.", "http://[::1]"))


INSECURE = "WHEREBY_INSECURE_HTTP"


@pytest.mark.parametrize("by_variable", [True, False])
@pytest.mark.parametrize(
    "url",
    [
        "http://whereby-sandbox:8700/v1",
        "http://host.docker.internal:8700/v1",
        "http://10.0.0.1/v1",
        "http://[fd00::1]:8700/v1",
        "http://whereby.localhost/v1",
        "http://0.0.0.0:8700/v1",
    ],
)
def test_http_to_another_machine_may_be_allowed(url: str, by_variable: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the option or the variable, for a base URL of either kind; refused without, in words that name both."""
    monkeypatch.delenv(INSECURE, raising=False)
    with pytest.raises(ConfigurationError, match=f"insecure_http=True or {INSECURE}=1$"):
        client(base_url=url)
    options = {} if by_variable else {"insecure_http": True}
    if by_variable:
        monkeypatch.setenv(INSECURE, " 1 ")
    assert client(base_url=url, **options).base_url == url
    monkeypatch.setenv("WHEREBY_BASE_URL", f"{url}/")
    assert client(**options).base_url == url


def test_http_is_said_once_for_each_root(caplog: pytest.LogCaptureFixture) -> None:
    """As a warning without the key; loopback needs none."""
    for _ in range(2):
        for url in ("http://once.internal/v1", "http://once.internal/v1/", "http://twice.internal", "http://localhost"):
            client(base_url=url, insecure_http=True)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", f"the API key goes to http://{root} in the clear, as insecure_http allows")
        for root in ("once.internal/v1", "twice.internal")
    ]


@pytest.mark.parametrize("value", ["0", "", "true", "no", "11"])
def test_only_1_in_the_variable_allows_http(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And `False` overrules it."""
    monkeypatch.setenv(INSECURE, value)
    with pytest.raises(ConfigurationError, match="in the clear"):
        client(base_url="http://only.internal")
    monkeypatch.setenv(INSECURE, "1")
    with pytest.raises(ConfigurationError, match="in the clear"):
        client(base_url="http://only.internal", insecure_http=False)


def test_insecure_http_goes_with_an_http_url_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """The option is refused where it allows nothing; the variable, which others may have set, does nothing there."""
    for options in ({}, {"base_url": "https://api.example/v1"}):
        with pytest.raises(ConfigurationError, match=r"^insecure_http=True is for an http base_url only"):
            client(insecure_http=True, **options)
    monkeypatch.setenv("WHEREBY_BASE_URL", "https://api.example/v1")
    with pytest.raises(ConfigurationError, match=r"not for https://api\.example/v1"):
        client(insecure_http=True)
    monkeypatch.setenv(INSECURE, "1")
    assert client().base_url == "https://api.example/v1"


@pytest.mark.parametrize("value", ["yes", 1, "False"])
def test_insecure_http_is_true_or_false(value: object) -> None:
    with pytest.raises(ConfigurationError, match=r"insecure_http=.* is no bool"):
        client(base_url="http://typed.internal", insecure_http=value)


# Numbers, priorities, hooks


@pytest.mark.parametrize(
    ("option", "values", "advice"),
    [
        ("timeout", [0, -1, math.nan, math.inf, "30", None, True, 10**400], "asyncio.timeout"),
        ("max_wait", [-1, -0.001, math.nan, "5", True, 10**400], "fail at once"),
        ("priority", [5, "BATCH", -1], "Priority.INTERACTIVE, Priority.NORMAL or Priority.BATCH"),
    ],
)
def test_a_value_that_no_option_can_have_is_refused(option: str, values: list[object], advice: str) -> None:
    """By the client and by a view: the error names the option and says what to pass."""
    for value in values:
        for make in (client, client().with_options):
            with pytest.raises(ConfigurationError, match=f"{option}=") as caught:
                cast("Any", make)(**{option: value})
            assert advice in str(caught.value)


def test_use_priority_refuses_what_is_no_priority() -> None:
    with pytest.raises(ConfigurationError, match=r"is no priority: pass Priority\."), use_priority(cast("Priority", 5)):
        pass


@pytest.mark.anyio
@pytest.mark.parametrize(("given", "asked"), [(None, None), (0, 0.0), (2.5, 2.5), (math.inf, None)])
async def test_max_wait_reaches_the_limiter(given: float | None, asked: float | None, fake: FakeWhereby) -> None:
    limiter = RecordingLimiter()
    async with fake.client(limiter=limiter, max_wait=given) as whereby:
        await whereby.meetings.list()
        await whereby.with_options(max_wait=7).meetings.list()
    assert [permit.max_wait for permit in limiter.permits] == [asked, 7.0]


class Misspelt:
    def on_atempt(self, details: object) -> None:
        """Never called."""


class Hook:
    def on_retry(self, details: object) -> None:
        """Never called."""


class AsyncHook:
    async def on_response(self, details: object) -> None:
        """Never called."""


@pytest.mark.parametrize(
    ("hooks", "words"),
    [
        (
            [Misspelt()],
            "has none of the methods on_call, on_attempt, on_retry, on_response, on_end, on_limiter, on_unavailable, on_deprecated, on_wait",
        ),
        ([Hook], "hooks holds the class Hook and not an object of it: pass Hook()"),
        ([AsyncHook()], "AsyncHook.on_response is async"),
        (Hook(), "is no list of hooks: pass ["),
    ],
)
def test_a_hook_that_would_never_be_told_is_refused(hooks: object, words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        client(hooks=hooks)
    assert words in str(caught.value)


def test_a_repr_shows_where_and_no_key() -> None:
    whereby = client(base_url="https://api.example/v1")
    assert repr(whereby) == "<WherebyClient https://api.example/v1>"
    assert repr(whereby.with_options(timeout=1)) == "<WherebyClient view https://api.example/v1>"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"retry": 3}, "retry=3 is no RetryPolicy"),
        ({"pool": "x"}, "pool='x' is no SessionPool"),
        ({"limiter": "x"}, "limiter='x' has no acquire"),
    ],
)
def test_an_option_of_another_type_is_refused(options: dict[str, Any], told: str) -> None:
    """At construction and in a view, before a call could stumble over it."""
    with pytest.raises(ConfigurationError, match=told):
        WherebyClient("k" * 20, **options)
    if "pool" not in options:
        with pytest.raises(ConfigurationError, match=told):
            WherebyClient("k" * 20).with_options(**options)


@pytest.mark.parametrize("options", [{"api_key": None}, {"retry": None}, {"limiter": None}])
def test_a_view_takes_none_for_nothing_that_cannot_be_left_out(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`None` is not the environment's key, nor a default."""
    monkeypatch.setenv("WHEREBY_API_KEY", "another-key")
    with pytest.raises(ConfigurationError):
        WherebyClient("k" * 20).with_options(**options)


UNMADE: dict[str, Callable[[], object]] = {
    "WherebyClient": lambda: WherebyClient(""),
    "SessionPool": lambda: SessionPool(connections=0),
    "PointBudget": lambda: PointBudget(limit=0),
    "HostPointBudget": lambda: HostPointBudget(period=0),
    "RedisPointBudget": lambda: RedisPointBudget("nonsense"),
    "Batch": lambda: WherebyClient("k").batch(cast("Any", None), []),
    "SeenEvents": lambda: SeenEvents(0),
    "OpenTelemetryHooks": lambda: OpenTelemetryHooks(tracer_provider=cast("Any", 1)),
    "FakeWhereby": lambda: FakeWhereby(limit=0),
    "Spending": lambda: FakeWhereby().spends(exactly=-1).__enter__(),
    "TcpProxy": lambda: TcpProxy("nonsense"),
    "WebhookSender": lambda: WebhookSender("nonsense"),
}


@pytest.mark.parametrize("name", UNMADE)
def test_an_object_that_was_not_made_has_a_repr(name: str) -> None:
    """A traceback with locals shows objects whose constructor failed."""
    with pytest.raises((ValueError, WherebyError)) as caught:
        UNMADE[name]()
    told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    assert f"self = <{name}" in "".join(told.format())
