"""Imports go down only: no module of the limiter is in an import circle, type-only and lazy imports counted."""

from __future__ import annotations

import ast
from pathlib import Path

import whereby_async

ROOT = Path(whereby_async.__file__).parent


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imported(path: Path, name: str, modules: set[str]) -> set[str]:
    """The modules of this package that a file imports anywhere; names that packages load on first use count as the package."""
    package = name.split(".") if path.stem == "__init__" else name.split(".")[:-1]
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, *(node.module.split(".") if node.module else [])])
            for alias in node.names:
                found.add(inner if (inner := f"{origin}.{alias.name}") in modules else origin)
    return (found & modules) - {name}


def _circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Sets of modules of which each reaches each."""
    reached = {name: _reached(graph, name) for name in graph}
    circles = {frozenset(other for other in reached[name] if name in reached[other]) for name in graph}
    return sorted(sorted(circle) for circle in circles if circle)


def _reached(graph: dict[str, set[str]], name: str) -> set[str]:
    reached: set[str] = set()
    ahead = set(graph[name])
    while ahead:
        reached.add(other := ahead.pop())
        ahead |= graph[other] - reached
    return reached


def test_a_circle_is_found() -> None:
    """Directly or by way of others; a chain is none."""
    assert _circles({"a": {"b"}, "b": {"c"}, "c": set()}) == []
    assert _circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == [["b", "c"]]


def test_no_circle_has_a_module_of_the_limiter() -> None:
    """But for the shared budget's, whose turn is still to come."""
    paths = {_name(path): path for path in ROOT.rglob("*.py")}
    graph = {name: _imported(path, name, set(paths)) for name, path in paths.items()}
    assert "whereby_async.limiter.core" in graph["whereby_async.limiter.queue"], "imports are not seen"
    ours = [
        circle
        for circle in _circles(graph)
        if any(
            name.startswith("whereby_async.limiter") and not name.startswith("whereby_async.limiter.redis")
            for name in circle
        )
    ]
    assert ours == []
