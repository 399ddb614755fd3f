"""Profiles and key files: where a command's key comes from, what wins, and what is written and refused."""

from __future__ import annotations

import fcntl
import os
import pwd
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.processes import OnTerminal, command, environment, run, short_of_space

from whereby_async.cli.keys import profiles_file

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.processes import Runner
    from support.serving import Served

KEY = "a-key-that-must-not-be-seen"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the profiles of this test are; there are none yet."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config" / "whereby" / "profiles.toml"


@pytest.fixture
def server(served: Served, monkeypatch: pytest.MonkeyPatch) -> Served:
    """A server with a meeting, of which no variable tells."""
    for name in served.variables:
        monkeypatch.delenv(name)
    served.fake.add_meeting(room_name="/weekly")
    return served


def _write(file: Path, text: str | bytes, mode: int = 0o600) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    file.chmod(mode)


def _profile(served: Served, name: str = "acme") -> str:
    return f'[{name}]\napi_key = "{served.fake.api_key}"\nbase_url = "{served.fake.url}"\n'


def test_profile_that_was_written_is_used(server: Served, file: Path, here: Runner) -> None:
    """In a folder and a file of its owner's only; the names are listed, the keys are not."""
    key = server.fake.api_key
    added = here("profiles", "add", "acme", "--base-url", server.fake.url, stdin=f"\ufeff {key}\r\n".encode())
    assert (added.code, added.err) == (0, "")
    assert added.rows() == [{"event": "done", "operation": "profiles.add", "name": "acme", "file": str(file)}]
    assert file.read_text() == _profile(server)
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert sorted(file.parent.iterdir()) == [file.with_suffix(".lock"), file]
    for words in (["meetings", "list", "--profile", "acme"], ["--profile=acme", "meetings", "list"]):
        listed = here(*words)
        assert (listed.code, listed.err) == (0, "")
        assert [row["roomName"] for row in listed.rows()] == ["/weekly"]
    shown = here("profiles")
    assert (shown.code, shown.err, shown.rows()) == (0, "", [{"name": "acme"}])
    assert key not in added.out + shown.out


def test_profiles_as_a_process_of_its_own(server: Served, file: Path) -> None:
    """Asked for on a terminal and not shown there; the variable names it as the option does."""
    key = server.fake.api_key
    with OnTerminal("profiles", "add", "acme", "--base-url", server.fake.url) as terminal:
        terminal.until("API key of acme (not shown): ")
        terminal.type(f" {key} \n".encode())
        added = terminal.end()
    assert added.code == 0
    assert key not in added.out
    assert "Use it with --profile acme." in " ".join(added.lines())
    assert file.read_text() == _profile(server)
    listed = run("meetings", "list", WHEREBY_PROFILE="acme")
    assert (listed.code, listed.err) == (0, "")
    assert [row["roomName"] for row in listed.rows()] == ["/weekly"]


def test_profile_that_was_added_while_the_key_was_typed_in_stays(file: Path, here: Runner) -> None:
    with OnTerminal("profiles", "add", "acme") as terminal:
        terminal.until("API key of acme (not shown): ")
        assert here("profiles", "add", "beta", stdin=b"k").code == 0
        terminal.type(b"k\n")
        assert terminal.end().code == 0
    assert file.read_text() == '[beta]\napi_key = "k"\n\n[acme]\napi_key = "k"\n'


def test_profile_that_appeared_while_the_key_was_typed_in_is_not_replaced(file: Path, here: Runner) -> None:
    with OnTerminal("profiles", "add", "acme") as terminal:
        terminal.until("API key of acme (not shown): ")
        assert here("profiles", "add", "acme", stdin=b"first").code == 0
        terminal.type(b"second\n")
        ended = terminal.end()
    assert ended.code == 2
    assert "the profile acme exists in" in " ".join(ended.lines())
    assert file.read_text() == '[acme]\napi_key = "first"\n'


def test_nobody_else_changes_the_file_while_one_does(file: Path, here: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two that add a profile at once would each write back what they have read, and one of the two would be lost."""
    refusals = list[BaseException]()

    def look(descriptor: int, sync: Callable[[int], None] = os.fsync) -> None:
        sync(descriptor)
        with file.with_suffix(".lock").open("rb") as lock, pytest.raises(BlockingIOError) as refused:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        refusals.append(refused.value)

    monkeypatch.setattr(os, "fsync", look)
    assert here("profiles", "add", "acme", stdin=b"k").code == 0
    assert len(refusals) == 1
    with file.with_suffix(".lock").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_profiles_are_a_table_on_a_terminal(file: Path) -> None:
    _write(file, f'[beta]\n[acme]\napi_key = "{KEY}"\n')
    with OnTerminal("profiles") as terminal:
        ended = terminal.end()
    assert ended.code == 0
    assert [line for line in ended.lines() if line][:4] == ["name", "acme", "beta", "2 rows"]
    assert "The file is" in ended.out
    assert KEY not in ended.out


@pytest.mark.parametrize(
    ("keys", "complaint"),
    [
        (b"\n", "no API key of acme: type it in"),
        (b"\x04", "no API key of acme: type it in"),
        (b"Bearer a-key\n", "a word before it, such as Bearer or a variable's name"),
        (b"a-k\xffy\n", "what was typed in is no text"),
    ],
)
def test_key_that_is_none_is_told_on_a_terminal(file: Path, keys: bytes, complaint: str) -> None:
    with OnTerminal("profiles", "add", "acme") as terminal:
        terminal.until("(not shown)")
        terminal.type(keys)
        ended = terminal.end()
    assert ended.code == 2
    assert complaint in " ".join(ended.lines())
    assert "a-k" not in ended.out
    assert not file.exists()


@pytest.mark.parametrize(
    ("key", "complaint"),
    [
        (b"", "no API key of acme: type it in on a terminal, or send it to stdin"),
        (b" \n", "no API key of acme"),
        (f'"{KEY}"'.encode(), "the API key is in quotes: leave them out (it came from stdin)"),
        (f"{KEY}\nlogin: me\n".encode(), "a line break"),
        (b"\xff\xfe", "not ASCII"),
        (f"{KEY}\r\n".encode("utf-16"), "holds zero bytes, as text in UTF-16 instead of UTF-8 does"),
        (f"{KEY}\n".encode("utf-16-le"), "holds zero bytes, as text in UTF-16 instead of UTF-8 does"),
    ],
)
def test_key_that_is_none_is_told_in_a_pipe(file: Path, key: bytes, complaint: str, here: Runner) -> None:
    ended = here("profiles", "add", "acme", stdin=key)
    assert (ended.code, ended.out) == (2, "")
    assert complaint in ended.err
    assert KEY not in ended.err
    assert not file.parent.exists()


@pytest.mark.parametrize("words", [("profiles", "add", "acme"), ("meetings", "list")])
def test_closed_stdin_gives_no_key(file: Path, words: tuple[str, ...]) -> None:
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" <&-', "sh", *command(*words)],
        env=environment(XDG_CONFIG_HOME=str(file.parents[1])),
        capture_output=True,
        check=False,
        encoding="utf-8",
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("whereby: no API key")


@pytest.mark.parametrize("name", ["", "-x", "a b", "a.b", "é", "[x]", 'a"b', "x" * 41, f"{KEY}.{KEY}"])
def test_name_that_is_none_is_not_repeated(file: Path, name: str, here: Runner) -> None:
    ended = here("profiles", "add", "--", name, stdin=b"k")
    assert ended.code == 2
    assert "NAME must be letters, digits, - and _" in ended.err
    assert KEY not in ended.err
    assert not file.parent.exists()


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("whereby.example", "--base-url 'whereby.example' is no usable URL"),
        ("https://u:hush@whereby.example", "--base-url must not hold a user or a password"),
        ("", "--base-url '' is no usable URL"),
    ],
)
def test_root_that_is_none_is_told_before_the_key_is_asked_for(
    file: Path, url: str, complaint: str, here: Runner
) -> None:
    ended = here("profiles", "add", "acme", "--base-url", url, stdin=b"k")
    assert ended.code == 2
    assert complaint in ended.err
    assert "hush" not in ended.err
    assert not file.parent.exists()


BY_HAND = """# Keys of ours.
note = 5

# The main one.
[ 'acme' ]  # ours
# renewed by Ada
api_key = "old\\u0021"  # since May
base_url = 'https://one.example'

# Beta's own.
["Beta GmbH"]
api_key = '''two'''
[beta.more]
x = [1,
 2]
"""


@pytest.mark.parametrize("text", [BY_HAND, BY_HAND.replace("\n", "\r\n"), BY_HAND.rstrip("\n"), f"\ufeff{BY_HAND}"])
def test_file_written_by_hand_keeps_all_but_one_table(file: Path, text: str, here: Runner) -> None:
    """Its comments, order, quotes and line ends; a table that is new stands at its end."""
    _write(file, text)
    refused = here("profiles", "add", "acme", stdin=KEY.encode())
    assert refused.code == 2
    assert "the profile acme exists in" in refused.err
    assert file.read_bytes().decode() == text
    assert here("profiles", "add", "acme", "--replace", stdin=b'n"e\\w').code == 0
    changed = file.read_bytes().decode()
    assert tomllib.loads(changed) == {
        "note": 5,
        "acme": {"api_key": 'n"e\\w', "base_url": "https://one.example"},
        "Beta GmbH": {"api_key": "two"},
        "beta": {"more": {"x": [1, 2]}},
    }
    lines = [line.strip() for line in changed.splitlines()]
    before = [line.strip() for line in text.removeprefix("\ufeff").splitlines() if "since May" not in line]
    assert [line for line in lines if not line.startswith('api_key = "n')] == before
    assert here("profiles", "add", "gamma", stdin=KEY.encode()).code == 0
    assert file.read_bytes().decode() == f'{changed.rstrip()}\n\n[gamma]\napi_key = "{KEY}"\n'
    assert here("profiles").rows() == [{"name": name} for name in ("Beta GmbH", "acme", "beta", "gamma")]


@pytest.mark.parametrize(
    "text",
    [
        'acme = { api_key = "old" }\n',
        'acme.api_key = "old"\n',
        'acme = "old"\n',
        '[[acme]]\napi_key = "old"\n',
        '[acme]\napi_key = """\nold"""\n',
        "x = '''\n[acme]\n'''\n[beta]\n[acme]\napi_key = 'old'\n",
    ],
)
def test_table_that_can_not_be_changed_line_by_line_is_left_alone(file: Path, text: str, here: Runner) -> None:
    _write(file, text)
    ended = here("profiles", "add", "acme", "--replace", stdin=KEY.encode())
    assert ended.code == 2
    assert f"{file}: acme is not written as a table [acme] of simple lines: change it by hand" in ended.err
    assert file.read_text() == text


def test_root_is_replaced_where_one_is_given(file: Path, here: Runner) -> None:
    _write(file, '[acme]\nbase_url = "https://one.example"\n"api_key"="old"\n')
    words = ("profiles", "add", "acme", "--replace", "--base-url", "https://two.example/")
    assert here(*words, stdin=KEY.encode()).code == 0
    assert file.read_text() == f'[acme]\napi_key = "{KEY}"\nbase_url = "https://two.example"\n'


def test_link_to_a_file_elsewhere_stays_one(file: Path, tmp_path: Path, here: Runner) -> None:
    """As programs make it that keep such files in a repository."""
    elsewhere = tmp_path / "dotfiles" / "profiles"
    _write(elsewhere, "[beta]\n")
    file.parent.mkdir(parents=True)
    file.symlink_to(elsewhere)
    assert here("profiles", "add", "acme", stdin=b"k").code == 0
    assert file.is_symlink()
    assert elsewhere.read_text() == '[beta]\n\n[acme]\napi_key = "k"\n'


def test_file_that_can_not_be_written_stays_as_it_was(file: Path) -> None:
    """As on a full disk; nothing is left beside it."""
    _write(file, "[beta]\n")
    script = 'ulimit -f 0; echo a-key | "$@"'
    done = subprocess.run(
        ["sh", "-c", script, "sh", *command("profiles", "add", "acme")],
        env=short_of_space(environment()),
        capture_output=True,
        check=False,
        encoding="utf-8",
    )
    assert done.returncode == 2, done.stderr
    assert "File too large" in done.stderr
    assert file.read_text() == "[beta]\n"
    assert sorted(file.parent.iterdir()) == [file.with_suffix(".lock"), file]


BAD_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "others read": (lambda file: file.chmod(0o604), "others may read or change it: chmod 600 {file}"),
    "the group reads": (lambda file: file.chmod(0o640), "others may read or change it: chmod 600 {file}"),
    "no TOML": (lambda file: _write(file, f"[acme]\napi_key = {KEY}\n"), "{file} can not be read: Invalid value (at"),
    "twice": (lambda file: _write(file, "[acme]\n[acme]\n"), "{file} can not be read: Cannot declare"),
    "no UTF-8": (lambda file: _write(file, b"[acme]\n# \xe9\n"), "{file} is no text in UTF-8"),
    "UTF-16": (lambda file: _write(file, "[acme]\n".encode("utf-16")), "{file} is no text in UTF-8"),
    "a folder": (lambda file: file.mkdir(), "{file} is no plain file"),
    "a pipe": (os.mkfifo, "{file} is no plain file"),
}


@pytest.mark.parametrize("words", [("profiles",), ("profiles", "add", "x"), ("meetings", "list", "--profile", "acme")])
@pytest.mark.parametrize("kind", BAD_FILES)
def test_file_that_is_not_used_is_told(file: Path, kind: str, words: tuple[str, ...], here: Runner) -> None:
    make, complaint = BAD_FILES[kind]
    file.parent.mkdir(parents=True)
    if not complaint.endswith("no plain file"):
        _write(file, f'[acme]\napi_key = "{KEY}"\n')
    make(file)
    ended = here(*words, stdin=b"k")
    assert (ended.code, ended.out) == (2, "")
    assert complaint.format(file=file) in ended.err
    assert KEY not in ended.err
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        (f'apikey = "{KEY}"', "has 'apikey', but can have api_key and base_url only"),
        ("api_key = 5", "api_key of the profile acme of {file} is no text in quotes"),
        (f'api_key = ["{KEY}"]', "api_key of the profile acme of {file} is no text in quotes"),
        (f'api_key = "Bearer {KEY}"', "(it comes from the profile acme of {file})"),
        (
            'api_key = ""',
            "no API key: the profile acme of {file} has none: whereby profiles add acme --replace gives it",
        ),
        ("", "no API key: the profile acme of {file} has none: whereby profiles add acme --replace gives it one ("),
        (f'api_key = "{KEY}"\nbase_url = "x"', "the profile acme of {file}: base_url='x' is no usable URL"),
        (f'api_key = "{KEY}"\nbase_url = "http://x"', "--insecure-http or WHEREBY_INSECURE_HTTP=1"),
    ],
)
def test_profile_that_can_not_be_used_is_told(file: Path, table: str, complaint: str, here: Runner) -> None:
    """Only the one that is asked for has to be right."""
    _write(file, f'[acme]\n{table}\n[beta]\nnothing = "{KEY}"')
    ended = here("meetings", "list", "--profile", "acme")
    assert (ended.code, ended.out) == (2, "")
    assert complaint.format(file=file) in ended.err
    assert KEY not in ended.err


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("acm", "[beta]\n[acme]\n", "no profile 'acm' in {file}: did you mean 'acme'? the profiles are acme, beta"),
        ("x", "[beta]\n[acme]\n", "no profile 'x' in {file}: the profiles are acme, beta"),
        ("", "[acme]\n", "no profile '' in {file}: the profiles are acme"),
        ("api_key", f'api_key = "{KEY}"\n', "no profile 'api_key' in {file}: whereby profiles add NAME writes one"),
        ("acme", "", "no profile 'acme' in {file}: whereby profiles add NAME writes one"),
        ("acme", None, "no profile 'acme' in {file}: whereby profiles add NAME writes one"),
        (KEY, "[acme]\n", "no profile of that name (not repeated, since it may be a key) in {file}"),
    ],
)
def test_unknown_profile_is_told(file: Path, name: str, text: str | None, complaint: str, here: Runner) -> None:
    if text is not None:
        _write(file, text)
    ended = here("meetings", "list", "--profile", name)
    assert (ended.code, ended.out) == (2, "")
    assert complaint.format(file=file) in ended.err
    assert KEY not in ended.err


def test_option_variable_profile_win_in_this_order(
    server: Served, file: Path, here: Runner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """For the key and for the root; a variable that wins over a profile is told on stderr."""
    nobody = "http://127.0.0.1:9/v1"
    _write(file, f'{_profile(server)}[wrong]\napi_key = "{KEY}"\nbase_url = "{nobody}"\n')
    monkeypatch.setenv("WHEREBY_PROFILE", "wrong")
    listed = here("meetings", "list", "--profile", "acme")
    assert (listed.code, listed.err) == (0, "")
    refused = here("meetings", "list", "--base-url", server.fake.url)
    assert refused.code == 1
    assert f"Check the API key: it comes from the profile wrong of {file}." in refused.err
    monkeypatch.setenv("WHEREBY_API_KEY", server.fake.api_key)
    monkeypatch.setenv("WHEREBY_BASE_URL", server.fake.url)
    for words in ((), ("--profile", "wrong")):
        listed = here("meetings", "list", *words)
        assert listed.code == 0
        assert listed.err.splitlines() == [
            f"whereby: the key is that of WHEREBY_API_KEY, not that of the profile wrong of {file}",
            f"whereby: the base URL is that of WHEREBY_BASE_URL, not that of the profile wrong of {file}",
        ]
    monkeypatch.delenv("WHEREBY_API_KEY")
    key = tmp_path / "key"
    _write(key, f"{server.fake.api_key}\n")
    monkeypatch.setenv("WHEREBY_API_KEY_FILE", str(key))
    listed = here("meetings", "list")
    assert listed.code == 0
    assert "the key is that of WHEREBY_API_KEY_FILE, not that of the profile wrong" in listed.err


def test_key_file_is_used_and_told_by_commands(server: Served, tmp_path: Path) -> None:
    """As a process of its own; one that others can read is warned of, in a line of the command."""
    key = tmp_path / "key"
    _write(key, f"{server.fake.api_key}\n", 0o644)
    if os.geteuid() == 0:
        os.chown(key, 1, 1)
    listed = run("meetings", "list", WHEREBY_API_KEY_FILE=str(key), WHEREBY_BASE_URL=server.fake.url)
    assert listed.code == 0
    assert listed.err == f"whereby: others can read the API key of WHEREBY_API_KEY_FILE: chmod 600 '{key}'\n"


def test_demo_shows_the_account_of_a_key_file(
    server: Served, tmp_path: Path, here: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = tmp_path / "key"
    _write(key, server.fake.api_key)
    monkeypatch.setenv("WHEREBY_API_KEY_FILE", str(key))
    monkeypatch.setenv("WHEREBY_BASE_URL", server.fake.url)
    ended = here("demo")
    assert ended.code == 0
    assert "WHEREBY_API_KEY_FILE is set, so this talks to" in ended.rows()[0]["text"]
    assert "(WHEREBY_API_KEY_FILE is set)" in here("demo", "--limit", "20").err


@pytest.mark.parametrize(
    ("variables", "platform", "place"),
    [
        ({"XDG_CONFIG_HOME": "/x"}, "linux", "/x"),
        ({"XDG_CONFIG_HOME": "/x", "APPDATA": "/y"}, "win32", "/x"),
        ({"XDG_CONFIG_HOME": "x"}, "linux", "/home/ada/.config"),
        ({"XDG_CONFIG_HOME": ""}, "freebsd14", "/home/ada/.config"),
        ({}, "darwin", "/home/ada/Library/Application Support"),
        ({"APPDATA": "/y"}, "win32", "/y"),
        ({}, "win32", "/home/ada/AppData/Roaming"),
    ],
)
def test_profiles_are_where_configurations_are(
    variables: dict[str, str], platform: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("XDG_CONFIG_HOME", "APPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "/home/ada", **variables}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    assert profiles_file() == Path(place) / "whereby" / "profiles.toml"


def test_user_without_a_home_is_told(monkeypatch: pytest.MonkeyPatch, here: Runner) -> None:
    """As in a container that runs under a number which no table of users has."""

    def nobody(_number: int) -> object:
        raise KeyError("unknown")

    for name in ("XDG_CONFIG_HOME", "APPDATA", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    ended = here("profiles")
    assert (ended.code, ended.out) == (2, "")
    assert "this user has none: set XDG_CONFIG_HOME" in ended.err


def test_profiles_has_help_with_examples(here: Runner) -> None:
    ended = here("profiles", "--help")
    assert ended.code == 0
    assert "\n    whereby profiles add acme\n" in ended.out
    assert max(map(len, ended.out.splitlines())) <= 80
