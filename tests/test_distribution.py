"""The wheel and the sdist: what is in them, and that the wheel works alone in an empty environment."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from email.parser import Parser
from typing import TYPE_CHECKING

import pytest
from support import checkout

from whereby_async import __version__

if TYPE_CHECKING:
    from pathlib import Path


BUNDLED = """
import asyncio, sys
from whereby_async import WherebyClient
from whereby_async.cli import main
from whereby_async.limiter import RedisPointBudget


async def spend(store):
    async with WherebyClient(limiter=RedisPointBudget(store)) as whereby:
        print(len(await whereby.meetings.list()), "meeting")


if sys.argv[1] == "spend":
    asyncio.run(spend(sys.argv[2]))
else:
    sys.exit(main())
"""
"""A program of a client, a shared budget and the command line."""
COMMANDS = (
    *("budget", "demo", "probe", "sandbox", "meetings import", "meetings purge", "recordings download"),
    *("recordings sync", "transcriptions wait", "summaries wait", "insights export", "webhooks verify"),
)
"""A command of each module that is imported by name."""

INFO = f"whereby_async-{__version__}.dist-info/"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = checkout.copy_to(tmp_path_factory.mktemp("checkout"))
    (place / ".venv").mkdir()
    (place / ".venv" / "stray.py").touch()
    (place / "whereby_async" / "__pycache__").mkdir()
    (place / "whereby_async" / "__pycache__" / "stray.pyc").touch()
    done = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", "dist"],
        cwd=place,
        env=checkout.clean_environment(),
        capture_output=True,
        check=False,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return place / "dist"


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    """The one wheel, which is for every platform and carries the version of the code."""
    return built / f"whereby_async-{__version__}-py3-none-any.whl"


def test_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    """Every module of the checkout is in it, with `py.typed`; no tests, no compiled or stray files."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    code = {name for name in names if not name.startswith(INFO)}
    assert code == {name for name in checkout.files() if name.startswith("whereby_async/")}
    assert "whereby_async/py.typed" in code
    more = {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE"}
    assert {name.removeprefix(INFO) for name in names - code} == more


def test_metadata_says_what_is_needed(wheel: Path) -> None:
    """Three run-time dependencies, Python 3.11 or newer, the README as the description, and the `whereby` script."""
    with zipfile.ZipFile(wheel) as archive:
        metadata = Parser().parsestr(archive.read(INFO + "METADATA").decode())
        scripts = archive.read(INFO + "entry_points.txt").decode()
    needed = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert sorted(line.partition(">")[0] for line in needed) == ["aiohttp", "anyio", "msgspec"]
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-Expression"] == "MIT"
    assert metadata.get_payload() == (checkout.ROOT / "README.md").read_text()
    assert "whereby = whereby_async.cli:main" in scripts


def test_sdist_holds_files_of_the_checkout_only(built: Path) -> None:
    """Sources, tests and documents; nothing that was built, installed or cached."""
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    known = set(checkout.files())
    assert names - known == {"PKG-INFO"}
    assert {"pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE", "whereby_async/py.typed"} <= names
    assert {name for name in known if name.startswith(("whereby_async/", "tests/", ".github/"))} <= names


@pytest.mark.install
def test_wheel_works_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    """README's command, without any extra: the client is there, nothing optional is, and `whereby` says what it needs."""
    scripts = tmp_path / ".venv" / "bin"
    this_one = tmp_path / "constraints.txt"  # whatever the index has
    this_one.write_text(f"whereby-async @ {wheel.as_uri()}\n")
    environment = checkout.clean_environment(
        PIP_CONSTRAINT=str(this_one), PIP_COMPILE="0", PIP_DISABLE_PIP_VERSION_CHECK="1"
    )

    def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, check=False, encoding="utf-8")

    installed = run("bash", "-c", f"python3 -m venv .venv && .venv/bin/{checkout.INSTALL}")
    assert installed.returncode == 0, installed.stderr
    program = (
        "import whereby_async, whereby_async.testing;"
        "print(whereby_async.__version__, whereby_async.WherebyClient('key'))"
    )
    used = run(scripts / "python", "-W", "error", "-c", program)
    assert (used.returncode, used.stderr) == (0, "")
    assert used.stdout.startswith(f"{__version__} <WherebyClient")
    told = run(scripts / "whereby", "demo")
    assert (told.returncode, told.stdout) == (2, "")
    assert "pip install 'whereby-async[cli]'" in told.stderr


@pytest.mark.long
@pytest.mark.install
@pytest.mark.timeout(1200)
def test_a_bundle_of_pyinstaller_has_all_that_is_not_named_by_an_import(wheel: Path, tmp_path: Path) -> None:
    """Every command, and what the shared budget translates; the environment that it was built in is gone when it runs."""
    from support.fleet import Store
    from support.serving import Served

    venv.create(tmp_path / "venv", with_pip=True)
    environment = checkout.clean_environment()

    def run(*words: str | Path, **variables: str) -> str:
        done = subprocess.run(
            words, cwd=tmp_path, env=environment | variables, capture_output=True, check=False, encoding="utf-8"
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    python = tmp_path / "venv" / "bin" / "python"
    run(python, "-m", "pip", "install", "-q", "--disable-pip-version-check", f"{wheel}[cli,redis]", "pyinstaller>=6.10")
    (tmp_path / "bundled.py").write_text(BUNDLED, encoding="utf-8")
    run(python, "-m", "PyInstaller", "--log-level", "WARN", "bundled.py")
    shutil.rmtree(tmp_path / "venv")
    program = tmp_path / "dist" / "bundled" / "bundled"
    with Store(tmp_path / "store") as store, Served() as served:
        served.fake.add_meeting(room_name="/a")
        assert run(program, "spend", store.url, **served.variables) == "1 meeting\n"
        with store.client() as client:
            assert client.keys() == [b"whereby:{whereby}:2"]  # it was asked, and understood
        assert "/a" in run(program, "meetings", "list", "--redis", store.url, **served.variables)
        for words in COMMANDS:
            assert "For example" in run(program, *words.split(), "--help")
        (rows := tmp_path / "rows.csv").write_text("key,end_date\n1,2099-01-01T00:00:00Z\n", encoding="utf-8")
        run(program, "meetings", "import", rows, "--key", "key", **served.variables)
        assert len(served.fake.meetings) == 2
    assert '"summary"' in run(program, "demo", "--json")
