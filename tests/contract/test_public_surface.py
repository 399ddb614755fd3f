"""Everything public, written down as text and compared with `public_surface.txt`, which is the contract in one file.

`WHEREBY_WRITE_SURFACE=1 python -m pytest tests/contract/test_public_surface.py` writes the file anew, and `CHANGELOG.md`
then has to say what has changed. Annotations are written as in the source, but without module paths, so that private modules
may move. The text is the same on every Python. It does not hold what a limiter keeps in a file or in Redis.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import difflib
import enum
import functools
import importlib
import inspect
import json
import os
import re
import subprocess
import sys
import tomllib
import types
import typing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cyclopts
import msgspec
import pytest
from support.command_lines import SECRET, command_lines
from support.serving import Served
from support.telemetry import Telemetry

import whereby_async
from whereby_async import RetryPolicy, WherebyError, operations
from whereby_async.cli import main
from whereby_async.operation import Operation
from whereby_async.testing import FakeWhereby, Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

HERE = Path(__file__).parent
STORED = HERE / "public_surface.txt"
JOURNALS = {version: HERE / f"journal_v{version}.jsonl" for version in (1, 2)}
UNTIL = datetime(2099, 1, 1, tzinfo=UTC)
PACKAGES = (
    *("", "batch", "cli", "errors", "hooks", "limiter"),
    *("models", "otel", "resources", "room_links", "testing", "webhooks"),
)
NAMES_ONLY = ("downloads", "polling", "transport")
"""They have an `__all__` for other rooms of the package; users meet the types in the packages above."""
DUNDERS = {
    *("__init__", "__call__", "__len__", "__getitem__", "__bool__", "__await__"),
    *("__enter__", "__exit__", "__aenter__", "__aexit__", "__iter__", "__aiter__", "__anext__"),
}
MODULE_PATH = re.compile(r"\b(?:[A-Za-z_]\w*\.)+(?=[A-Za-z_])")


def test_what_is_public_is_what_is_written_down(surface: dict[str, list[str]]) -> None:
    """Each section of the text is as it was."""
    text = "".join(f"== {title}\n" + "".join(f"{line}\n" for line in lines) + "\n" for title, lines in surface.items())
    if os.environ.get("WHEREBY_WRITE_SURFACE"):
        STORED.write_text(text, encoding="utf-8")
    stored = STORED.read_text(encoding="utf-8")
    if diff := list(difflib.unified_diff(stored.splitlines(), text.splitlines(), STORED.name, "the code", lineterm="")):
        pytest.fail("the public surface has changed:\n" + "\n".join(diff), pytrace=False)


@pytest.fixture
def surface(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> dict[str, list[str]]:
    """Every section of the text, by its title."""
    with started("demo", "--limit", "100") as demo, started("sandbox", "--port", "0") as sandbox:
        sections = {**described(), "command line": list(commands(command_line(monkeypatch), "whereby"))}
        sections["OpenTelemetry"] = asyncio.run(telemetry())
        sections["journal"] = asyncio.run(journal_lines(tmp_path))
        monkeypatch.setenv("WHEREBY_WEBHOOK_SECRET", SECRET)
        monkeypatch.setenv("HOME", str(tmp_path))  # where completions are installed
        sections["exit codes"] = exit_codes(tmp_path, monkeypatch, capsys)
        sections["JSON keys of the command line"] = [
            *json_keys(tmp_path, monkeypatch, capsys),
            *("demo", *keys_of(demo.stdout or ())),
            *("sandbox", *keys_of([sandbox.stdout.readline()] if sandbox.stdout else ())),
        ]
    return sections


def described() -> dict[str, list[str]]:
    modules = [importlib.import_module(f"whereby_async.{name}".rstrip(".")) for name in PACKAGES]
    public = Public(modules)
    sections = {module.__name__: list(public.exported(module)) for module in modules}
    sections["names of packages that hold parts"] = [
        f"{name}.{each}"
        for name in NAMES_ONLY
        for each in sorted(importlib.import_module(f"whereby_async.{name}").__all__)
    ]
    sections["distribution"] = [*distribution(), *fixtures()]
    sections["environment variables"] = variables()
    sections["operations"] = sorted(
        f"{row.name}: {row.method} {row.path}, {row.cost} points, {'idempotent' if row.idempotent else 'sent once'}"
        for row in vars(operations).values()
        if isinstance(row, Operation)
    )
    return sections


@contextlib.contextmanager
def started(*words: str) -> Generator[subprocess.Popen[str]]:
    """`whereby` as a process that tells in JSON."""
    command = [sys.executable, "-m", "whereby_async", *words, "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8") as process:
        try:
            yield process
        finally:
            process.kill()


# Names and signatures


class Public:
    """The packages' names and what is behind them; a class is described where it is met first."""

    def __init__(self, modules: list[types.ModuleType]) -> None:
        self._names = {module.__name__: exported(module) for module in modules}
        classes = [value for names in self._names.values() for value in names.values() if inspect.isclass(value)]
        self._classes = set[type](classes)
        nodes = (node for tree in sources() for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
        self._private = {node.name for node in nodes} - {cls.__name__ for cls in classes}
        self._seen = set[type]()

    def exported(self, module: types.ModuleType) -> Iterator[str]:
        """What a package offers."""
        for name, value in self._names[module.__name__].items():
            if name == "__version__" or inspect.ismodule(value):
                yield f"{name}: {type(value).__name__}"
            elif inspect.isclass(value):
                bases = [base.__name__ for base in value.__mro__[1:-1] if self._is_public(base)]
                if not getattr(value, "__parameters__", ()):  # of a private base
                    bases = [base for base in bases if base != "Generic"]
                yield f"class {name}" if value in self._seen else f"class {name}({', '.join(bases)})"
                if value not in self._seen:
                    self._seen.add(value)
                    for line in self._members(value):
                        yield "    " + re.sub(r"\b[A-Z]\b", functools.partial(argument_of, value), line)
            elif inspect.isroutine(value):
                yield function_line(name, value)
            else:
                yield f"{name} = {shape(value)}"

    def _is_public(self, cls: type) -> bool:
        return (cls in self._classes or not is_ours(cls)) and not cls.__name__.startswith("_")

    def _members(self, cls: Any) -> Iterator[str]:
        """Its fields, attributes and methods, but for what it has from a public class."""
        if issubclass(cls, enum.Enum):
            yield from (f"{each.name} = {each.value!r}" for each in cls)
        if issubclass(cls, msgspec.Struct):
            yield from fields(cls)
        known = {"from", *getattr(cls, "__struct_fields__", ())}
        parents = [base for base in cls.__mro__[1:] if base in self._classes]
        own = [base for base in cls.__mro__ if not any(issubclass(parent, base) for parent in parents)]
        for name in sorted({name for base in own if is_ours(base) for name in vars(base)} - known):
            value = inspect.getattr_static(cls, name)
            is_constructor = name in DUNDERS and issubclass(cls, msgspec.Struct)
            if is_constructor or inspect.ismemberdescriptor(value) or isinstance(value, enum.Enum):
                continue
            # By Protocol, or to say in words that it is not there.
            is_added = inspect.isfunction(value) and (not is_ours(value) or value.__qualname__.startswith("refuses."))
            if not is_added and (name in DUNDERS or not name.startswith("_")):
                known.add(name)
                yield from self._member(name, value)
        documented = {name: "" for base in own for name in attributes_in(base.__doc__ or "")}
        noted = {
            name: annotation(text) for base in reversed(own) for name, text in inspect.get_annotations(base).items()
        }
        for name, text in sorted((documented | noted).items()):
            if name not in known and not name.startswith("_"):
                yield f"attribute {name}: {text}".rstrip(": ")

    def _member(self, name: str, value: Any) -> Iterator[str]:
        if isinstance(value, property | functools.cached_property):
            getter: Any = value.fget if isinstance(value, property) else value.func
            yield f"property {name}: {annotation(inspect.signature(getter).return_annotation)}"
        elif type(value) in {classmethod, staticmethod}:
            yield f"{type(value).__name__} {function_line(name, value.__func__)}"
        elif inspect.isroutine(value):
            # What takes a type that has no public name is called by the package alone.
            takes = " ".join(str(each.annotation) for each in inspect.signature(value).parameters.values())
            if not self._private & set(re.findall(r"\w+", takes)):
                yield function_line(name, value)
        else:
            yield f"{name} = {shape(value)}"


def argument_of(cls: type, found: re.Match[str]) -> str:
    """What stands for a type variable of the classes that it inherits from; else the variable."""
    for base in (base for each in cls.__mro__ for base in vars(each).get("__orig_bases__", ())):
        for variable, kind in zip(
            getattr(typing.get_origin(base), "__parameters__", ()), typing.get_args(base), strict=False
        ):
            if variable.__name__ == found[0] and not isinstance(kind, typing.TypeVar):
                return shape(kind)
    return found[0]


def is_ours(value: object) -> bool:
    return str(getattr(value, "__module__", "whereby_async")).startswith("whereby_async")


def exported(module: types.ModuleType) -> dict[str, Any]:
    """What a package offers, by name; a module without `__all__` (that of the errors) its errors."""
    errors = [
        name for name, value in vars(module).items() if inspect.isclass(value) and issubclass(value, WherebyError)
    ]
    names: list[str] = getattr(module, "__all__", errors)
    return {name: getattr(module, name) for name in sorted(names)}


@functools.cache
def sources() -> list[ast.Module]:
    root = Path(whereby_async.__file__).parent
    return [ast.parse(path.read_text(encoding="utf-8")) for path in root.rglob("*.py")]


def fields(cls: type[msgspec.Struct]) -> Iterator[str]:
    config = cls.__struct_config__
    flags = f"omit_defaults={config.omit_defaults} frozen={config.frozen}"
    yield f"struct tag={config.tag!r} tag_field={config.tag_field!r} {flags}"
    written = {name: text for base in reversed(cls.__mro__) for name, text in inspect.get_annotations(base).items()}
    for field in msgspec.structs.fields(cls):
        told = f"field {field.name} ({field.encode_name}): {annotation(written[field.name])}"
        if field.default_factory is not msgspec.NODEFAULT:
            told += f" = {shown(field.default_factory)}()"
        elif field.default is not msgspec.NODEFAULT:
            told += f" = {shown(field.default)}"
        yield told


def attributes_in(doc: str) -> list[str]:
    block = re.search(r"^Attributes:\n((?:    .*\n|\n)*)", inspect.cleandoc(doc) + "\n", re.MULTILINE)
    return re.findall(r"^    (\w+):", block[1], re.MULTILINE) if block else []


def function_line(name: str, function: Any) -> str:
    """A function; what its overloads are is the matter of `typing/test_surface.py`."""
    kind = "async def" if inspect.iscoroutinefunction(function) else "def"
    return f"{kind} {name}{signature(function)}"


def signature(function: Callable[..., Any]) -> str:
    """What it takes and returns, without `self`."""
    found = inspect.signature(function)
    parameters = [each for each in found.parameters.values() if each.name not in {"self", "cls"}]
    kinds = [each.kind.name for each in parameters]
    words: list[str] = []
    for each, kind, before in zip(parameters, kinds, ["", *kinds], strict=False):
        if before == "POSITIONAL_ONLY" != kind:
            words.append("/")
        if kind == "KEYWORD_ONLY" and before not in {kind, "VAR_POSITIONAL"}:
            words.append("*")
        word = {"VAR_POSITIONAL": "*", "VAR_KEYWORD": "**"}.get(kind, "") + each.name
        word += "" if each.annotation is each.empty else f": {annotation(each.annotation)}"
        words.append(word + ("" if each.default is each.empty else f" = {shown(each.default)}"))
    words += ["/"] if kinds[-1:] == ["POSITIONAL_ONLY"] else []
    back = found.return_annotation
    return f"({', '.join(words)})" + ("" if back is found.empty else f" -> {annotation(back)}")


def annotation(value: object) -> str:
    return MODULE_PATH.sub("", value).replace('"', "'") if isinstance(value, str) else shape(value)


def shape(value: object) -> str:
    origin, arguments = typing.get_origin(value), typing.get_args(value)
    if origin in {typing.Union, types.UnionType}:
        return " | ".join(map(shape, arguments))
    if origin is typing.Literal:  # in any order: `typing` takes a union with another one for the same
        arguments = tuple(sorted(arguments, key=str))
    if origin is not None:
        return f"{MODULE_PATH.sub('', shown(origin))}[{', '.join(map(shape, arguments))}]"
    if isinstance(value, list):
        return f"[{', '.join(map(shape, typing.cast('list[object]', value)))}]"
    if isinstance(value, typing.ForwardRef):
        return annotation(value.__forward_arg__)
    return "None" if value is type(None) else "..." if value is ... else shown(value)


def shown(value: object) -> str:
    """A value, the same in every process."""
    if isinstance(value, enum.Enum):
        return f"{type(value).__name__}.{value.name}"
    if isinstance(value, frozenset | set):
        return f"{{{', '.join(sorted(map(repr, typing.cast('Iterable[object]', value))))}}}"
    if isinstance(value, type | types.FunctionType | types.BuiltinFunctionType | typing.TypeVar):
        return value.__name__
    return re.sub(r"(?:[A-Za-z_]\w*\.)*(\w+)( object)? at 0x\w+", r"\1", repr(value))


# The distribution


def distribution() -> list[str]:
    """Names that an installation knows."""
    project = tomllib.loads((HERE.parents[1] / "pyproject.toml").read_text())["project"]
    return [
        f"name {project['name']}, Python {project['requires-python']}",
        f"extras {', '.join(sorted(set(project['optional-dependencies']) - {'test', 'bench', 'lint'}))}",
        *(f"script {name} = {where}" for name, where in project["scripts"].items()),
        *(f"pytest plugin {name}" for name in project["entry-points"]["pytest11"]),
    ]


def fixtures() -> list[str]:
    """What the pytest plugin offers."""
    module = importlib.import_module("whereby_async.testing.pytest_plugin")
    own = [name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__]
    return sorted(
        f"fixture or hook {name}" for name in own if name[0] != "_" and not inspect.isclass(vars(module)[name])
    )


def variables() -> list[str]:
    """Environment variables that the source names."""
    names = re.compile(r"WHEREBY_(?!HOSTED)[A-Z_]+|XDG_[A-Z_]+|(LOCAL)?APPDATA")
    nodes = (node for tree in sources() for node in ast.walk(tree))
    words = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return sorted(word for word in words if names.fullmatch(word))


# Telemetry, and the journal of a batch


async def telemetry() -> list[str]:
    """Names and units of spans, their events and metrics, and the attributes that they have."""
    seen = Telemetry()
    async with FakeWhereby() as fake, fake.client(hooks=[seen.hooks], retry=RetryPolicy(base=0.0)) as client:
        fake.faults.add(Fault(status=503))
        fake.faults.add(Fault(status=429, headers={"Retry-After": "0"}))
        await client.meetings.list()
        await client.request("GET", "/meetings")
        fake.faults.add(Fault(status=404))
        with contextlib.suppress(WherebyError):
            await client.meetings.get("1")
        found = set[str]()
        for span in seen.spans:
            name = f"span {span.name} ({span.kind.name})"
            found |= {f"{name}: {each}" for each in span.attributes or ()}
            found |= {f"{name}, event {event.name}: {each}" for event in span.events for each in event.attributes or ()}
        scopes = seen.scopes
        for metric in (metric for scope in scopes for metric in scope.metrics):
            name = f"metric {metric.name} [{metric.unit}] {type(metric.data).__name__}"
            found |= {f"{name}: {each}" for point in metric.data.data_points for each in point.attributes or ()}
    return sorted({*found, *(f"scope {scope.scope.name}" for scope in scopes)})


async def journal_lines(place: Path) -> list[str]:
    """What is written to a new journal, and how recorded ones, of each version, are read and continued."""
    new = place / "new.journal"
    requests = [{"end_date": UNTIL, "room_name_prefix": f"{name}-"} for name in ("made", "refused", "lost", "new")]
    lines: list[str] = []
    async with FakeWhereby() as fake, fake.client(timeout=1.0) as client:
        for version, journal in JOURNALS.items():
            recorded = place / journal.name
            recorded.write_text(journal.read_text().replace("{api}", fake.url))
            before = len(recorded.read_text().splitlines())
            async with client.batch(client.meetings.create, requests, journal=recorded, ordered=True) as outcomes:
                async for each in outcomes:
                    result = each.result.meeting_id if each.ok else type(each.error).__name__
                    lines.append(f"version {version}, {each.key}: {each.state} resumed={each.resumed} {result}")
            lines += [f"version {version}, then {line}" for line in recorded.read_text().splitlines()[before:]]
        fake.add_recording()
        ids = [{"recording_id": name} for name in (*fake.recordings, "gone")]
        fake.faults.add(Fault(status=404, when=lambda request: request.path.endswith("gone")))
        batch = client.batch(client.recordings.delete, ids, journal=new, key="recording_id", concurrency=1)
        async with batch as outcomes:
            assert [each.state async for each in outcomes] == ["ok", "failed"]
        lines += [f"new {line}" for line in new.read_text().replace(fake.url, "{api}").splitlines()]
    volatile = {
        r'"(at|made_at)":"[^"]+"': r'"\1":"…"',
        r'"(job|message)":"[^"]+"': r'"\1":"…"',
        f'"{ids[0]["recording_id"]}"': '"…"',
    }
    text = "\n".join(lines)
    for pattern, instead in volatile.items():
        text = re.sub(pattern, instead, text)
    return text.splitlines()


# The command line


def command_line(monkeypatch: pytest.MonkeyPatch) -> cyclopts.App:
    apps: list[cyclopts.App] = []

    def parse_args(self: cyclopts.App, *_: object, **__: object) -> None:
        apps.append(self)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(cyclopts.App, "parse_args", parse_args)
        main(["--install-completion"])
    return apps[0]


def commands(app: cyclopts.App, name: str) -> Iterator[str]:
    if app.default_command is not None and name != "whereby":
        yield name
        for each in app.assemble_argument_collection():
            info = each.field_info
            if not any(word.isidentifier() or word.startswith("-") for word in each.names):
                continue  # the Struct around the options that all commands share
            default = "required" if info.default is info.empty else shown(info.default)
            kind = "" if info.kind is info.KEYWORD_ONLY else f" {info.kind.description}"
            yield f"    {' '.join(each.names)}: {shape(each.hint)}, {default}{kind}"
    for word in sorted(set(app) - {"--help", "-h", "--version", "-V"}):
        yield from commands(app[word], f"{name} {word}")


def exit_codes(place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> list[str]:
    scenes: dict[str, tuple[int | None, list[str]]] = {
        "an answer": (None, ["meetings", "list"]),
        "no such meeting": (404, ["meetings", "get", "1"]),
        "no such option": (None, ["meetings", "list", "--no-such-option"]),
        "no such file": (None, ["meetings", "import", str(place / "nothing.csv")]),
        "throttled": (429, ["--max-wait", "0", "meetings", "list"]),
        "no server": (None, ["--base-url", "http://127.0.0.1:9/v1", "meetings", "list"]),
    }
    codes: list[str] = []
    with Served() as served:
        for name, value in served.variables.items():
            monkeypatch.setenv(name, value)
        for scene, (status, words) in scenes.items():
            if status is not None:
                served.fake.faults.add(Fault(status=status))
            codes.append(f"{scene}: {main(words)}")
    capsys.readouterr()
    return codes


def json_keys(place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The keys of each command's JSON lines, by their event, and those of the files that it leaves."""
    found: list[str] = []
    with Served(limit=1_000_000) as served:
        for name, value in served.variables.items():
            monkeypatch.setenv(name, value)
        lines = served.do(lambda: command_lines(served.fake, place))
        imported = lines["meetings import"]
        lines["meetings import --dry-run"] = [*imported, "--dry-run"]
        files = ("--output", str(place / "rooms.out"), "--journal", str(place / "more.journal"))
        lines["meetings import --output"] = [*imported, *files]
        lines["insights export, no directory"] = ["insights", "export"]
        for name, words in lines.items():
            code = main(words)
            out = capsys.readouterr().out.splitlines()
            found += [f"{name}: exit code {code}", *keys_of(out)]
    for file in ("rooms.out", "insights/export.state", "insights/participants.jsonl"):
        found += [f"file {file}", *keys_of((place / file).read_text().splitlines())]
    return found


def keys_of(lines: Iterable[str]) -> list[str]:
    by_event: dict[str, set[str]] = {}
    for line in lines:
        row: Any = json.loads(line) if line.startswith("{") else None
        if row is not None:
            by_event.setdefault(str(row.get("event", "")), set()).update(paths(row))
    return [f"    {event}: {' '.join(sorted(found))}" for event, found in sorted(by_event.items())]


def paths(value: object, before: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in typing.cast("dict[str, object]", value).items():
            yield f"{before}{key}"
            yield from paths(inner, f"{before}{key}.")
    elif isinstance(value, list):
        for inner in typing.cast("list[object]", value):
            yield from paths(inner, before)
