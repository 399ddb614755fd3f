"""`.ci/house.py` measures how the code is laid out: each of its rules fails once, on a package of a few lines.

At the end, what `.github/` says of the house is so.
"""

from __future__ import annotations

import importlib.util
import re
import sys
import tomllib
from typing import TYPE_CHECKING, Any

import pytest
from support.checkout import ROOT

if TYPE_CHECKING:
    from pathlib import Path

FILES = {
    "__init__.py": 'def __getattr__(name): from . import client\n\n"""Told when it is touched."""\n',
    "client.py": "class Client:\n    def batch(self):\n        from .batch import job\n",
    "batch/__init__.py": "",
    "batch/job.py": "from ..client import Client\n\nclass Job:\n    pass\n",
    "models/rooms.py": "from ..errors import Error\n",
    "resources/rooms.py": "if TYPE_CHECKING:\n    from ..client import Client\n",
    "errors.py": "class Error:\n    pass\n",
}
"""A package without a fault: its lazy faces close circles, and a resource's file stands twice."""

RATCHET = """
[folders]
"." = { files = 3, lines = 9 }  # a reason
"batch" = { files = 3, lines = 5 }
"models" = { files = 1, lines = 1 }
"resources" = { files = 1, lines = 2 }

[imports]
"whereby_async" = { modules = 2, libraries = [] }

[known]
"file names that stand twice" = [
  "gone",
]
"""


@pytest.fixture
def house() -> Any:
    spec = importlib.util.spec_from_file_location("house", ROOT / ".ci" / "house.py")
    assert spec is not None
    assert spec.loader is not None
    sys.modules["house"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The package, its ratchet, and a test."""
    for name, text in FILES.items():
        file = tmp_path / "whereby_async" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    for name, text in {".ci/house.toml": RATCHET, "tests/test_one.py": f"assert OPERATIONS == {3 * 9}\n"}.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "text", "finding"),
    [
        ("errors.py", "if TYPE_CHECKING:\n    from .models.rooms import x\n", "circles: whereby_async.errors"),
        ("errors.py", "def raised():\n    import whereby_async.models.rooms\n", "circles: whereby_async.models.rooms"),
        ("models/job.py", "", "file names that stand twice: job"),
        ("models/_job.py", "", "file names that stand twice: job"),
        ("batch/rooms.py", "", "file names that stand twice: rooms"),
        ("errors.py", "class Job: ...\n", "class names that stand twice: Job"),
        ("errors.py", f"# {'long ' * 30}\n", "lines over 120: whereby_async/errors.py"),
        ("models/rooms.py", "\n\n", "models: 1 files and 2 lines, 1 and 1 at most"),
        ("models/more.py", "", "models: 2 files"),
        ("otel/span.py", "", "otel: 1 files and 0 lines, 0 and 0 at most"),
        ("__init__.py", "import msgspec\n", "import whereby_async: 1 modules and ['msgspec'], 2 and [] at most"),
        ("__init__.py", "from . import client, errors\n", "import whereby_async: 3 modules"),
        ("__init__.py", "from . import nothing\n", "import whereby_async: inf modules"),
    ],
)
def test_each_rule_fails_by_name(
    house: Any, tree: Path, capsys: pytest.CaptureFixture[str], *, name: str, text: str, finding: str
) -> None:
    """The package passes until a file breaks the rule; the finding names what is wrong."""
    asked = ["--check", "--root", str(tree)]
    assert house.main(asked) == 0, capsys.readouterr().out
    file = tree / "whereby_async" / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    assert house.main(asked) == 1
    assert finding in capsys.readouterr().out


def test_a_known_fault_passes(house: Any, tree: Path) -> None:
    """It stands in the ratchet file, under its kind."""
    (tree / "whereby_async" / "batch" / "errors.py").write_text("class Job: ...\n")
    ratchet = tree / ".ci" / "house.toml"
    assert house.main(["--check", "--root", str(tree)]) == 1
    ratchet.write_text(ratchet.read_text() + '"class names that stand twice" = [\n  "Job",\n]\n')
    assert house.main(["--check", "--root", str(tree)]) == 0


def test_lowering_keeps_reasons_and_raises_nothing(house: Any, tree: Path) -> None:
    """Numbers come down to today's, faults that are gone go, and what is above the ratchet stays above it."""
    (tree / "whereby_async" / "models" / "rooms.py").write_text("\n\n\n")
    house.main(["--lower", "--root", str(tree)])
    text = (tree / ".ci" / "house.toml").read_text()
    assert '"." = { files = 3, lines = 8 }  # a reason' in text
    assert '"batch" = { files = 2, lines = 4 }' in text
    assert '"models" = { files = 1, lines = 1 }' in text
    assert '"whereby_async" = { modules = 1, libraries = [] }' in text
    assert "gone" not in text


def test_the_table_says_where_the_house_stands(house: Any, tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is farthest from its goal stands first; circles that a lazy face closes are told apart."""
    (tree / "whereby_async" / "errors.py").write_text(f"# {'long ' * 30}\n")
    house.main(["--root", str(tree)])
    out = capsys.readouterr().out
    assert re.match(r" +today +goal\ndocstrings, % of lines, at least +7\.\d +18\nlines over 120 +1 +0\n", out)
    assert re.search(rf"lines that say {3 * 9} +1 +1\n", out)
    assert "circles by lazy faces: [['whereby_async.batch.job', 'whereby_async.client']]" in out


# What contributors are told

CONTRIBUTING = (ROOT / ".github" / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_map_for_contributors_has_each_file_and_folder_once() -> None:
    rows = CONTRIBUTING.partition("whereby_async/\n")[2].partition("\ntests/")[0].splitlines()
    there = {path.name for path in (ROOT / "whereby_async").iterdir()} - {"__pycache__", "py.typed"}
    assert sorted(row.split()[0].rstrip("/") for row in rows) == sorted(there)


def test_what_contributors_are_sent_to_is_there() -> None:
    """Files, folders, and the section for the repository's owner."""
    github = ROOT / ".github"
    texts = [path.read_text(encoding="utf-8") for path in github.rglob("*.*") if path.is_file()]
    paths = re.findall(r"`((?:whereby_async|tests|benchmarks|\.ci|\.github)/[\w./-]*)`", "".join(texts))
    links = re.findall(r"\]\(([^)]+)\)", "".join(texts))
    assert len(set(paths)) > 15
    assert [path for path in paths if not (ROOT / path).exists()] == []
    assert [link for link in links if not (github / link).exists()] == []
    assert "\n## For the owner of the repository\n" in CONTRIBUTING


def test_workflow_runs_the_readmes_test_command_on_each_python_of_the_classifiers() -> None:
    workflow = (ROOT / ".github" / "workflows" / "tests.yml").read_text(encoding="utf-8")
    (command,) = re.findall(r"^.*\.venv/bin/python -m pytest.*$", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)
    assert f"- run: {command}\n" in workflow
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = re.findall(r"Python :: (3\.\d+)", " ".join(project["classifiers"]))
    assert f"python: {str(named).replace(chr(39), chr(34))}\n" in workflow
