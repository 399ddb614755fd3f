"""The rules as the modules define them, read for the translator."""

from __future__ import annotations

import ast
import inspect
from typing import TYPE_CHECKING, Any, NamedTuple

from ...errors import ConfigurationError
from .lua_types import Parameter, parameters

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import ModuleType


class Function(NamedTuple):
    """A method or property, or a function of a module."""

    node: ast.FunctionDef
    module: ModuleType
    made: Any
    method: bool

    @property
    def called(self) -> Any:
        """What Python calls."""
        return getattr(self.made, "fget", self.made)


class Rules:
    """What the modules define, and what of it is needed.

    Attributes:
        functions: Those of the modules, and the methods of the state's class, by name.
        fields: The fields of each class.
        wanted: Functions to translate; it grows while they are.
        made: Classes whose instances are made.
        state: The class whose methods they are, if it is one.
    """

    def __init__(self, wanted: list[str]) -> None:
        self.functions: dict[str, Function] = {}
        self.fields: dict[str, dict[str, Parameter]] = {}
        self.wanted = wanted
        self.made: dict[str, None] = {}
        self.state = ""


def read(wanted: list[str], modules: Iterable[ModuleType]) -> Rules:
    """What the modules define, and the last class that has the wanted methods."""
    rules = Rules(wanted)
    owner: type = object
    methods: dict[type, dict[str, Function]] = {}
    for module in modules:
        for node in ast.parse(_source(module)).body:
            made = vars(module).get(getattr(node, "name", ""))
            if isinstance(node, ast.FunctionDef):
                rules.functions[node.name] = Function(node, module, made, method=False)
            elif isinstance(node, ast.ClassDef) and isinstance(made, type):
                parts = [part for part in node.body if isinstance(part, ast.FunctionDef)]
                methods[made] = {
                    each.name: Function(each, module, vars(made)[each.name], method=True) for each in parts
                }
                rules.fields[node.name] = parameters(made)
                owner = made if all(hasattr(made, name) for name in wanted) else owner
    for cls in reversed(owner.__mro__):
        rules.functions |= methods.get(cls, {})
    rules.state = "" if owner is object else owner.__name__
    return rules


def _source(module: ModuleType) -> str:
    """A module's text, also out of a zip file."""
    try:
        return inspect.getsource(module)
    except (OSError, TypeError) as error:
        raise ConfigurationError(
            f"a shared budget needs the source of {module.__name__}, which is not there: ship the .py files of whereby_async.limiter "
            "beside the compiled ones (PyInstaller: module_collection_mode={'whereby_async': 'py'}, or --collect-all whereby_async)"
        ) from error
