"""What importing costs, which names there are, and that each of them is explained."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import whereby_async
from whereby_async import WherebyClient

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

HEAVY = ("aiohttp", "yarl", "msgspec", "anyio", "asyncio", "redis", "rich", "cyclopts", "opentelemetry", "pydantic")
MODULES = ("errors", "hooks", "limiter", "models", "testing", "webhooks", "otel", "batch")
RESOURCES = ("meetings", "recordings", "transcriptions", "summaries", "rooms", "insights")


def _loaded_by(program: str) -> set[str]:
    """Which of the heavy packages a Python has loaded after the program."""
    program += f"; import sys; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, encoding="utf-8")
    return set(done.stdout.split())


def test_importing_the_package_loads_nothing() -> None:
    """None of the heavy packages comes in with the package, its version or the list of its names."""
    assert _loaded_by("import whereby_async as w; dir(w); w.__version__; w.__all__") == set()


def test_touching_the_client_loads_aiohttp() -> None:
    """The import of aiohttp happens when the name is touched, so never inside a running call."""
    loaded = _loaded_by("from whereby_async import WherebyClient")
    assert {"aiohttp", "msgspec"} <= loaded
    assert not loaded & {"redis", "rich", "cyclopts", "opentelemetry"}


def test_constructing_a_client_loads_nothing_more() -> None:
    """All modules of ours and aiohttp's are there once the name was touched, but for what a first connection needs."""
    program = (
        "import sys; from whereby_async import WherebyClient; before = set(sys.modules);"
        " client = WherebyClient('key'); client.meetings, client.rooms, client.insights, client.recordings;"
        " new = sorted(set(sys.modules) - before); assert not new, new"
    )
    assert "aiohttp" in _loaded_by(program)


def test_errors_and_values_do_without_aiohttp() -> None:
    """Code that only handles errors, hooks or values never pays for the transport."""
    program = "import whereby_async as w; w.errors, w.hooks, w.limiter, w.models, w.webhooks, w.room_link"
    assert _loaded_by(program) == {"msgspec"}


def test_catching_an_error_by_its_top_level_name_does_without_aiohttp() -> None:
    """`from whereby_async import Throttled` loads the errors alone."""
    assert "aiohttp" not in _loaded_by("from whereby_async import Throttled, WherebyError, NotFoundError")


@pytest.mark.parametrize("module", ["whereby_async", *(f"whereby_async.{name}" for name in MODULES)])
def test_every_listed_name_is_there(module: str) -> None:
    subject = importlib.import_module(module)
    names = getattr(subject, "__all__", ())
    assert set(names) <= set(dir(subject))
    assert [name for name in names if getattr(subject, name, None) is None] == []
    assert len(names) == len(set(names))


def test_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(whereby_async, "WherebyCleint")
    with pytest.raises(AttributeError, match="WherebyCleint"):
        _ = whereby_async.WherebyCleint  # pyright: ignore[reportAttributeAccessIssue,reportUnknownMemberType,reportUnknownVariableType]


def test_top_level_names_keep_their_home() -> None:
    assert whereby_async.NotFoundError is whereby_async.errors.NotFoundError
    assert whereby_async.Priority is whereby_async.limiter.Priority
    assert whereby_async.Page is whereby_async.models.Page


def _modules() -> Iterator[ModuleType]:
    yield whereby_async
    for name in MODULES:
        yield importlib.import_module(f"whereby_async.{name}")


def _public_objects() -> Iterator[tuple[str, Any]]:
    for module in _modules():
        for name in getattr(module, "__all__", vars(module)):
            value: Any = getattr(module, name)
            ours = getattr(value, "__module__", "").startswith("whereby_async")
            if not name.startswith("_") and ours and (inspect.isclass(value) or inspect.isroutine(value)):
                yield f"{module.__name__}.{name}", value
    for name in RESOURCES:
        resource: object = getattr(WherebyClient("key"), name)
        yield f"{type(resource).__module__}.{type(resource).__name__}", type(resource)
    yield "whereby_async.WherebyClient, inherited", WherebyClient.__mro__[1]


def _explainable() -> Iterator[tuple[str, Any]]:
    for name, value in _public_objects():
        yield name, value
        if inspect.isclass(value):
            for member, what in vars(value).items():
                if not member.startswith("_") and (inspect.isroutine(what) or isinstance(what, property)):
                    yield f"{name}.{member}", getattr(value, member)


def test_every_public_name_has_a_docstring() -> None:
    """Modules, classes, methods, properties and functions that a user can reach say what they are for."""
    explained = dict(_explainable())
    assert len(explained) > 150
    assert [module.__name__ for module in _modules() if not module.__doc__] == []
    assert [name for name, value in explained.items() if not value.__doc__] == []


def test_every_parameter_is_explained() -> None:
    """The docstring of a method or function with parameters of its own names each of them."""
    missing: list[str] = []
    for name, value in _explainable():
        doc = inspect.getdoc(value) or ""
        if (inspect.isfunction(value) or inspect.ismethod(value)) and "Args:" in doc:
            parameters = set(inspect.signature(value).parameters) - {"self", "cls"}
            missing += [f"{name}({parameter}=)" for parameter in sorted(parameters) if f"{parameter}: " not in doc]
    assert missing == []


def test_every_operation_says_its_price() -> None:
    silent = [
        name
        for name, value in _explainable()
        if name.startswith("whereby_async.resources.")
        and inspect.isfunction(value)
        and "Costs " not in (inspect.getdoc(value) or "")
    ]
    assert silent == []


def test_every_public_constant_has_a_docstring() -> None:
    """A public constant or type alias is followed by a string that explains it."""
    listed = {name for module in _modules() for name in getattr(module, "__all__", ()) if name[0] != "_"}
    package = Path(whereby_async.__file__).parent
    trees = {str(path.relative_to(package)): ast.parse(path.read_text()) for path in package.rglob("*.py")}
    assert [f"{file}: {name}" for file, tree in trees.items() for name in _unexplained(tree) & listed] == []


def _unexplained(tree: ast.Module) -> set[str]:
    """The names that a module assigns without a string behind."""
    behind = [*tree.body[1:], ast.Pass()]
    return {
        name for node, after in zip(tree.body, behind, strict=True) for name in _assigned(node) if not _is_text(after)
    }


def _assigned(node: ast.stmt) -> list[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
