"""What people and tools read of the package: help, hints, completion, documentation sites, the skill of assistants."""

from __future__ import annotations

import ast
import importlib
import inspect
import pydoc
import re
import subprocess
import sys
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pydantic
import pytest
from support import checkout

import whereby_async
from whereby_async import Page, WherebyClient
from whereby_async.resources import ApiRoot, Insights, Meetings, Recordings, Rooms, Summaries, Transcriptions
from whereby_async.testing import FakeWhereby
from whereby_async.webhooks import sign

if TYPE_CHECKING:
    from collections.abc import Iterator

SHOWN = (
    *("whereby_async", "whereby_async.batch", "whereby_async.cli", "whereby_async.errors", "whereby_async.hooks"),
    *("whereby_async.limiter", "whereby_async.models", "whereby_async.otel", "whereby_async.resources"),
    *("whereby_async.room_links", "whereby_async.testing", "whereby_async.webhooks"),
)
"""The modules that a reference shows."""
MODULES = (*SHOWN, "whereby_async.downloads", "whereby_async.polling", "whereby_async.transport")
"""All that have an `__all__`, and the errors."""
RESOURCES = (Insights, Meetings, Recordings, Rooms, Summaries, Transcriptions)
SKILL = Path(whereby_async.__file__).parent / ".agents" / "skills" / "whereby-async" / "SKILL.md"
EXAMPLES = dict(
    re.findall(r"^## ([^\n]+)\n(?:(?!^## ).)*?^```python\n(.*?)^```$", SKILL.read_text(), re.MULTILINE | re.DOTALL)
)


def _public_names() -> Iterator[tuple[str, Any]]:
    """What the modules list, once for each place where it stands."""
    for name in MODULES:
        module = importlib.import_module(name)
        listed: list[str] = getattr(module, "__all__", [each for each in vars(module) if each.endswith("Error")])
        yield name, module
        yield from ((f"{name}.{each}", getattr(module, each)) for each in listed)


def _annotated() -> Iterator[tuple[str, Any]]:
    """Public classes with their bases in the package, their methods, properties and constructors, and functions."""
    for name, value in _public_names():
        if inspect.isroutine(value):
            yield name, value
        for cls in inspect.getmro(value) if inspect.isclass(value) else ():
            if not cls.__module__.startswith("whereby_async."):
                continue
            place = f"{cls.__module__}.{cls.__qualname__}"
            yield place, cls
            for member, found in vars(cls).items():
                function = getattr(found, "fget", None) or getattr(found, "func", None) or found
                function = getattr(function, "__func__", function)
                if inspect.isfunction(function) and (not member.startswith("_") or member.endswith("__")):
                    yield f"{place}.{member}", function
                    yield from ((f"{place}.{member}, overload", each) for each in typing.get_overloads(function))


def test_every_module_that_lists_names_is_known() -> None:
    """Another one is to be added to `MODULES`."""
    package = Path(whereby_async.__file__).parent
    paths = (path for path in package.rglob("*.py") if re.search("^__all__", path.read_text(), re.MULTILINE))
    found = {".".join(("whereby_async", *path.relative_to(package).with_suffix("").parts)) for path in paths}
    assert {name.removesuffix(".__init__") for name in found} | {"whereby_async.errors"} == set(MODULES)


def test_every_hint_resolves() -> None:
    """As dependency injection, validators and builders of schemas resolve it: `get_type_hints` and `signature`."""
    faults: list[str] = []
    annotated = dict(_annotated())
    for name, value in annotated.items():
        try:
            typing.get_type_hints(value, include_extras=True)
            if inspect.isfunction(value):
                inspect.signature(value, eval_str=True)
        except Exception as error:  # noqa: BLE001 - all are told together
            faults.append(f"{name}: {error!r}")
    assert len(annotated) > 500
    assert faults == []


def test_every_public_name_has_its_help() -> None:
    """By the path that `python -m pydoc` takes. What is in it has docstrings by `test_imports.py`."""
    faults: list[str] = []
    for name, _ in _public_names():
        try:
            assert pydoc.render_doc(name, renderer=pydoc.plaintext)  # type: ignore[attr-defined]
        except Exception as error:  # noqa: BLE001 - all are told together
            faults.append(f"{name}: {error!r}")
    assert faults == []


def test_help_of_the_client_leads_to_all_operations() -> None:
    """`help(WherebyClient)` has the resources, and `help(WherebyClient.meetings)` their methods, as pydoc in a shell."""
    text = pydoc.render_doc(WherebyClient, renderer=pydoc.plaintext)  # type: ignore[attr-defined]
    hints = typing.get_type_hints(WherebyClient)
    for kind in RESOURCES:
        name = kind.__name__.lower()
        assert f"{name} = <class 'whereby_async.resources.{name}" in text
        assert hints[name] is getattr(WherebyClient, name) is kind
        assert isinstance(getattr(WherebyClient("key"), name), kind)
    command = [sys.executable, "-W", "error", "-m", "pydoc", "whereby_async.WherebyClient.meetings"]
    done = subprocess.run(command, capture_output=True, check=True, encoding="utf-8")
    assert "async create(" in done.stdout
    assert "Costs 3 points" in done.stdout


def test_help_and_hints_need_no_extra() -> None:
    """Of all but `whereby_async.otel`, which says what to install."""
    program = f"""if True:
        import importlib, pydoc, sys, typing
        sys.modules.update(dict.fromkeys(["cyclopts", "opentelemetry", "redis", "rich"]))
        for name in {[name for name in MODULES if name != "whereby_async.otel"]!r}:
            module = importlib.import_module(name)
            pydoc.render_doc(name)
            for each in getattr(module, "__all__", ()):
                if isinstance(value := getattr(module, each), type):
                    typing.get_type_hints(value), typing.get_type_hints(value.__init__)
        try:
            import whereby_async.otel
        except ModuleNotFoundError as error:
            print(error)"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False, encoding="utf-8")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "whereby_async.otel needs its extra: pip install 'whereby-async[otel]'\n"


def test_results_can_be_imported_from_the_package() -> None:
    """Every Struct that an operation returns, alone, in a list or page by page, for the annotations of callers."""
    hints = [
        typing.get_type_hints(method)["return"]
        for kind in (*RESOURCES, ApiRoot)
        for name, method in vars(kind).items()
        if inspect.isfunction(method) and not name.startswith("_")
    ]
    returned = {each for hint in hints for each in (hint, *typing.get_args(hint)) if inspect.isclass(each)}
    structs = {each for each in returned if issubclass(each, msgspec.Struct)} | {Page}
    assert len(structs) > 10
    assert {each.__name__ for each in structs} <= set(whereby_async.__all__)
    assert all(getattr(whereby_async, each.__name__) is each for each in structs)


@pytest.mark.anyio
async def test_pydantic_validates_calls() -> None:
    """`validate_call` builds its schema from the hints of a method, and turns what it is given into what they say."""
    validated = pydantic.validate_call(config={"arbitrary_types_allowed": True})
    async with FakeWhereby() as fake, fake.client() as whereby:
        create: Any = validated(whereby.meetings.create)
        get: Any = validated(whereby.meetings.get)
        made = await create(end_date="2099-01-01T00:00:00Z", is_locked=True)
        assert (await get(made.meeting_id)).meeting_id == made.meeting_id
        with pytest.raises(pydantic.ValidationError, match="should be a valid string"):
            await get(1)


def test_jedi_completes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As IPython, Jupyter and many editors do, which read the source without running it."""
    jedi = pytest.importorskip("jedi")
    monkeypatch.setattr("jedi.settings.cache_directory", str(tmp_path))
    client = "from whereby_async import WherebyClient\nwhereby = WherebyClient()\nasync def f():\n    "
    expected = {
        "import whereby_async\nwhereby_async.": {"WherebyClient", "Meeting", "limiter"},
        "from whereby_async.testing import FakeWhereby\nFakeWhereby().": {"add_meeting", "spends"},
        "from whereby_async.testing import FakeWhereby\nwith FakeWhereby().in_thread() as fake:\n    fake.": {"client"},
        f"{client}whereby.": {"meetings", "batch", "with_options"},
        f"{client}whereby.meetings.": {"create", "get", "list", "delete"},
        f"{client}async for room in whereby.insights.rooms():\n        room.": {"room_name", "rating"},
        f"{client}(await whereby.recordings.download('1', 'here')).": {"path", "size"},
    }
    project = jedi.Project(str(checkout.ROOT))
    missing = {
        code: names - {each.name for each in jedi.Script(code, project=project).complete()}
        for code, names in expected.items()
    }
    assert set().union(*missing.values()) == set(), missing


def test_mkdocstrings_renders_all(tmp_path: Path) -> None:
    """Without a warning, and with the members that a class inherits."""
    pytest.importorskip("mkdocstrings")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text("\n\n".join(f"::: {name}" for name in SHOWN))
    options = "{inherited_members: true}"
    (tmp_path / "mkdocs.yml").write_text(
        f"site_name: whereby_async\nplugins:\n  - mkdocstrings: {{handlers: {{python: {{options: {options}}}}}}}\n"
    )
    text = _rendered(tmp_path, "mkdocs", "build", "--strict")
    for name in ("WherebyClient.meetings", "resources.Meetings.create", "testing.FakeWhereby.spends", "models.Meeting"):
        assert f'id="whereby_async.{name}"' in text


def test_pdoc_renders_all(tmp_path: Path) -> None:
    """Without a warning."""
    pytest.importorskip("pdoc")
    by_the_package = {f"whereby_async.{name}" for name in whereby_async.__all__}
    text = _rendered(tmp_path, "pdoc", "-o", "site", *[name for name in SHOWN if name not in by_the_package])
    for name in ("ApiRoot.meetings", "Meetings.create", "FakeWhereby.spends", "Meeting.room_url"):
        assert f'id="{name}"' in text


def _rendered(place: Path, *command: str) -> str:
    """The pages that a Python module has made in `site`; it fails if that warns."""
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-m", *command],
        cwd=place,
        env=checkout.clean_environment(PYTHONPATH=str(checkout.ROOT), NO_MKDOCS_2_WARNING="1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        encoding="utf-8",
    )
    assert (done.returncode, re.findall(r"(?i).*warning.*", done.stdout)) == (0, []), done.stdout
    return "".join(path.read_text(encoding="utf-8") for path in (place / "site").rglob("*.html"))


def test_the_skill_names_itself_and_is_short() -> None:
    """Its front matter is what assistants choose it by; each of its blocks of Python is run below."""
    _, front, text = SKILL.read_text().split("---\n", 2)
    assert re.fullmatch(r"name: whereby-async\ndescription: \S[^\n]{100,1023}\n", front)
    assert text.count("```python\n") == len(EXAMPLES)
    assert text.count("\n") < 200
    names = re.findall(r"`python -m pydoc ([\w.]+)`", text)
    assert len(names) > 1
    assert all(pydoc.locate(name) for name in names)


@pytest.mark.anyio
@pytest.mark.parametrize("title", list(EXAMPLES))
async def test_example_of_the_skill_runs(title: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it stands: at the top level of a program, or as a test with the plugin's fixtures."""
    monkeypatch.chdir(tmp_path)
    code = compile(EXAMPLES[title], str(SKILL), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    names: dict[str, Any] = {}
    async with FakeWhereby() as fake, fake.client() as whereby:
        monkeypatch.setenv("WHEREBY_API_KEY", fake.api_key)
        monkeypatch.setenv("WHEREBY_BASE_URL", fake.url)
        if running := eval(code, names):
            await running
        if test := names.get("test_the_report_is_cheap"):
            await test(fake, whereby)
        if receive := names.get("receive"):
            assert receive(b"{}", None, "secret") == 400
            body = b'{"id": "1", "apiVersion": "1.0", "type": "some.type", "createdAt": "2026-01-01T00:00:00Z", "data": {}}'
            assert receive(body, sign(body, "secret"), "secret") == 204
        else:
            assert fake.requests
