"""Measures how the code is laid out, beside its goals, worst first: `python .ci/house.py`.

`--check` fails, naming each finding, for import circles, names that stand twice, long lines, imports that load too much, and
whatever else is above the ratchet, `.ci/house.toml`. A number there is raised by hand only, with the reason in a comment
behind it; `--lower` brings all numbers down to today's and takes out the faults that are gone.
"""

from __future__ import annotations

import argparse
import ast
import functools
import json
import math
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

PACKAGE = "whereby_async"
RESOURCES = {"meetings", "recordings", "transcriptions", "summaries", "rooms", "insights"}
RESOURCE_FOLDERS = {"resources", "models", "testing"}
"""They have a file for each resource, of its name."""
HEAVY = {"aiohttp", "anyio", "asyncio", "cyclopts", "msgspec", "opentelemetry", "pytest", "redis", "rich", "uvloop"}
SAYS_27 = re.compile(r"(?<![\w.])27(?![\w.])|[Tt]wenty-seven")
LONGEST, SMALL = 120, 60
DOCSTRINGS = "docstrings, % of lines, at least"
CIRCLES, LONG = "modules in import circles", "files with lines over 120"
FILES, CLASSES = "file names that stand twice", "class names that stand twice"
GOALS = {
    "files, limiter apart": 115,
    "lines, limiter apart": 20_500,
    "files": 137,
    "lines": 24_800,
    DOCSTRINGS: 18,
    "import circles": 0,
    FILES: 0,
    CLASSES: 0,
    "files under 60 lines": 10,
    "files of cli": 20,
    "files of testing": 22,
    "files of batch": 10,
    "files of transport": 10,
    "files of downloads": 5,
    "files of tests": 170,
    "lines of tests": 33_500,
    "lines that say 27": 1,
    "lines over 120": 0,
}


class Source(NamedTuple):
    """A file of the package; its folder is the first below the package, `.` for the files beside them."""

    path: Path
    module: str
    folder: str
    text: str
    tree: ast.Module


def sources(root: Path) -> list[Source]:
    """The files of the package below `root`."""
    found: list[Source] = []
    for file in sorted((root / PACKAGE).rglob("*.py")):
        path, text = file.relative_to(root), file.read_text(encoding="utf-8")
        _, *between, stem = path.with_suffix("").parts
        module = ".".join([PACKAGE, *between, *([] if stem == "__init__" else [stem])])
        found.append(Source(path, module, between[0] if between else ".", text, ast.parse(text)))
    return found


def lines_of(text: str) -> int:
    """Lines, as `wc -l` counts them."""
    return text.count("\n")


# Imports


def imported(source: Source, modules: set[str], *, lazily: bool) -> set[str]:
    """The modules that a file imports anywhere, in functions and for types too.

    Args:
        source: The file.
        modules: All modules of the package.
        lazily: Whether lazy faces count: what a package with `__getattr__` offers, `client.batch` and `client.estimate`.
    """
    functions = {node.name for node in source.tree.body if isinstance(node, ast.FunctionDef)}
    is_face = source.path.stem == "__init__"
    if is_face and "__getattr__" in functions and not lazily:
        return set()
    package = source.module.split(".")[: None if is_face else -1]
    found: set[str] = set()
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            found |= {name if (name := f"{origin}.{alias.name}") in modules else origin for alias in node.names}
    if source.module == f"{PACKAGE}.client" and not lazily:
        found = {name for name in found if not name.startswith(f"{PACKAGE}.batch")}
    return (found & modules) - {source.module}


def circles(files: list[Source], *, lazily: bool = False) -> list[list[str]]:
    """Sets of modules of which each reaches each."""
    modules = {file.module for file in files}
    graph = {file.module: imported(file, modules, lazily=lazily) for file in files}
    reached = {name: set[str]() for name in graph}
    for name, others in reached.items():
        ahead = set(graph[name])
        while ahead:
            others.add(other := ahead.pop())
            ahead |= graph[other] - others
    found = {frozenset(other for other in reached[name] if name in reached[other]) for name in graph}
    return sorted(sorted(circle) for circle in found if circle)


def brought(root: Path, faces: Iterable[str]) -> dict[str, tuple[int, list[str]]]:
    """How many modules of the package an import of each face loads, and which of the heavy libraries."""
    program = """if True:
        import importlib, json, os, sys
        for face in sys.argv[1:]:
            if not os.fork():
                importlib.import_module(face)
                print(json.dumps([face, *sys.modules]), flush=True)
                os._exit(0)
            os.wait()"""
    command = [sys.executable, "-c", program, *faces]
    done = subprocess.run(command, cwd=root, stdout=subprocess.PIPE, encoding="utf-8", check=True)
    loaded = {names[0]: names[1:] for names in map(json.loads, done.stdout.splitlines())}
    return {
        face: (sum(f"{name}.".startswith(f"{PACKAGE}.") for name in names), sorted(HEAVY & set(names)))
        for face, names in loaded.items()
    }


# Names and lines


def twice(names: Iterable[str]) -> list[str]:
    """The names that are there more than once."""
    return sorted(name for name, count in Counter(names).items() if count > 1)


def docstring_lines(file: Source) -> int:
    """Lines of docstrings, those of attributes too."""
    values = (node.value for node in ast.walk(file.tree) if isinstance(node, ast.Expr))
    texts = (value for value in values if isinstance(value, ast.Constant) and isinstance(value.value, str))
    return sum((text.end_lineno or text.lineno) - text.lineno + 1 for text in texts)


def long_lines(files: list[Source]) -> list[str]:
    """Where lines are over 120 characters."""
    lines = ((file.path, number, line) for file in files for number, line in enumerate(file.text.splitlines(), 1))
    return [f"{path}:{number}" for path, number, line in lines if len(line) > LONGEST]


def sizes(files: list[Source]) -> dict[str, tuple[int, int]]:
    """Files and lines of each folder."""
    folders = sorted({file.folder for file in files})
    texts = {folder: [file.text for file in files if file.folder == folder] for folder in folders}
    return {folder: (len(each), sum(map(lines_of, each))) for folder, each in texts.items()}


def faults(files: list[Source]) -> dict[str, list[str]]:
    """What must not be, by its kind in the ratchet's `[known]`."""
    stems = [
        (file.folder, file.path.stem.lstrip("_")) for file in files if file.path.stem not in {"__init__", "errors"}
    ]
    elsewhere = {stem for folder, stem in stems if folder not in RESOURCE_FOLDERS}
    classes = [node.name for file in files for node in ast.walk(file.tree) if isinstance(node, ast.ClassDef)]
    return {
        CIRCLES: sorted(module for circle in circles(files) for module in circle),
        FILES: [name for name in twice(stem for _, stem in stems) if name not in RESOURCES - elsewhere],
        CLASSES: twice(classes),
        LONG: sorted({where.rpartition(":")[0] for where in long_lines(files)}),
    }


# The table, and the ratchet


def table(files: list[Source], tests: list[str]) -> dict[str, float]:
    """Today's number for each goal."""
    folders, lines = sizes(files), sum(lines_of(file.text) for file in files)
    limiter, wrong = folders.get("limiter", (0, 0)), faults(files)
    return {
        "files, limiter apart": len(files) - limiter[0],
        "lines, limiter apart": lines - limiter[1],
        "files": len(files),
        "lines": lines,
        DOCSTRINGS: round(100 * sum(map(docstring_lines, files)) / lines, 1),
        "import circles": len(circles(files)),
        FILES: len(wrong[FILES]),
        CLASSES: len(wrong[CLASSES]),
        "files under 60 lines": sum(lines_of(file.text) < SMALL for file in files if file.path.stem != "__init__"),
        **{
            f"files of {name}": folders.get(name, (0, 0))[0]
            for name in ("cli", "testing", "batch", "transport", "downloads")
        },
        "files of tests": len(tests),
        "lines of tests": sum(map(lines_of, tests)),
        "lines that say 27": sum(len(SAYS_27.findall(text)) for text in (*tests, *(file.text for file in files))),
        "lines over 120": len(long_lines(files)),
    }


def printed(files: list[Source], tests: list[str]) -> str:
    """The table, what is farthest from its goal first; then each folder, and the circles that lazy faces close."""
    today = table(files, tests)

    def excess(name: str) -> float:
        now, goal = today[name], GOALS[name]
        return goal / max(now, 0.1) if name == DOCSTRINGS else now / goal if goal else 1 + now

    rows = [f"{name:32}{today[name]:>10,} {GOALS[name]:>10,}" for name in sorted(today, key=excess, reverse=True)]
    folders = [f"{name:32}{count:>10,} {lines:>10,}" for name, (count, lines) in sizes(files).items()]
    lazy = [circle for circle in circles(files, lazily=True) if circle not in circles(files)]
    titles = f"{'':32}{'today':>10} {'goal':>10}", f"\n{'folder':32}{'files':>10} {'lines':>10}"
    return "\n".join([titles[0], *rows, titles[1], *folders, f"\ncircles by lazy faces: {lazy or 'none'}"])


def findings(root: Path, files: list[Source], ratchet: dict[str, dict[str, Any]]) -> Iterator[str]:
    """What is wrong, and what is above the ratchet."""
    for kind, names in faults(files).items():
        yield from (f"{kind}: {name}" for name in names if name not in ratchet["known"].get(kind, []))
    for folder, (count, lines) in sizes(files).items():
        most = ratchet["folders"].get(folder, {"files": 0, "lines": 0})
        if count > most["files"] or lines > most["lines"]:
            yield f"{folder}: {count} files and {lines} lines, {most['files']} and {most['lines']} at most"
    loads = brought(root, ratchet["imports"])
    for face, most in ratchet["imports"].items():
        count, libraries = loads.get(face, (math.inf, []))  # an import that failed has said so on stderr
        if count > most["modules"] or set(libraries) - set(most["libraries"]):
            yield f"import {face}: {count} modules and {libraries}, {most['modules']} and {most['libraries']} at most"


def lowered(root: Path, files: list[Source], text: str) -> str:
    """The ratchet file with each number that is lower today, and without the faults that are gone."""
    now: dict[tuple[str, str], int] = {}
    for folder, (count, lines) in sizes(files).items():
        now |= {(folder, "files"): count, (folder, "lines"): lines}
    for face, (count, _) in brought(root, tomllib.loads(text)["imports"]).items():
        now[face, "modules"] = count

    def lesser(name: str, match: re.Match[str]) -> str:
        return f"{match[1]} = {min(int(match[2]), now.get((name, match[1]), 0))}"

    today, kind = faults(files), ""
    kept: list[str] = []
    for line in text.splitlines():
        name, _, rest = line.strip().removeprefix('"').partition('"')
        kind = name if rest == " = [" else kind
        if rest != "," or name in today.get(kind, []):
            kept.append(re.sub(r"(files|lines|modules) = (\d+)", functools.partial(lesser, name), line))
    return "\n".join(kept) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Print the table; check or lower the ratchet if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="fail for each finding")
    parser.add_argument("--lower", action="store_true", help="bring the ratchet down to today's numbers")
    parser.add_argument("--root", type=Path, default=Path(__file__).parents[1], help="the checkout")
    asked = parser.parse_args(arguments)
    files = sources(asked.root)
    print(printed(files, [path.read_text(encoding="utf-8") for path in sorted((asked.root / "tests").rglob("*.py"))]))
    ratchet: Path = asked.root / ".ci" / "house.toml"
    if asked.lower:
        ratchet.write_text(lowered(asked.root, files, ratchet.read_text(encoding="utf-8")), encoding="utf-8")
    wrong = list(findings(asked.root, files, tomllib.loads(ratchet.read_text(encoding="utf-8")))) if asked.check else []
    print("\n".join(["", *wrong]) if wrong else "")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
