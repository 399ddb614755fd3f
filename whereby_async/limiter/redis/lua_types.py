"""What the translator knows of values: types, constants and names in Lua, and the signatures of functions and classes."""

from __future__ import annotations

import ast
import inspect
import math
import string
from typing import Any, Final, NamedTuple

_KINDS: Final = {"int": "num", "float": "num", "Mapping": "dict", "Sequence": "list"}
_RESERVED: Final = {"end", "do", "elseif", "function", "goto", "local", "nil", "repeat", "then", "until"}
_PLAIN: Final = b" ._-:/" + (string.ascii_letters + string.digits).encode()
_EXACT: Final = 2**53


class Type(NamedTuple):
    """What is known of a value: `num`, `bool`, `str`, `list`, `tuple`, `dict`, `None`, a class's name, or nothing."""

    name: str = ""
    of: tuple[Type, ...] = ()
    optional: bool = False

    def item(self, index: int = 0) -> Type:
        """What is known of an element."""
        index = {"dict": 1, "list": 0}.get(self.name, index)
        return self.of[index] if index < len(self.of) else Type()

    def joined(self, other: Type) -> Type:
        """What is known of a value that is of this type or of the other."""
        if "None" in {self.name, other.name}:
            return (other if self.name == "None" else self)._replace(optional=True)
        if self.name != other.name:
            return Type(optional=True)
        same = self.of == other.of or not (self.of and other.of)
        return Type(self.name, (self.of or other.of) if same else (), self.optional or other.optional)


NUM: Final = Type("num")
BOOL: Final = Type("bool")
STR: Final = Type("str")
NONE: Final = Type("None", optional=True)
Value = tuple[str, Type]
"""An expression in Lua, and what is known of it."""


def annotated(note: Any) -> Type:  # noqa: PLR0911 - one case for each kind
    """What an annotation says: a text, a part of the source, or the type itself."""
    match note:
        case str(text) | ast.Constant(value=str(text)):
            return annotated(ast.parse(text, mode="eval").body)
        case ast.Constant(value=None):
            return NONE
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return Type(_KINDS.get(name, name))
        case ast.Subscript(value=outer, slice=inner):
            of = inner.elts if isinstance(inner, ast.Tuple) else [inner]
            return Type(annotated(outer).name, tuple(map(annotated, of)))
        case ast.BinOp(left=left, right=right):
            return annotated(left).joined(annotated(right))
        case ast.AST() | inspect.Parameter.empty | None:
            return Type()
        case _:
            return annotated(getattr(note, "__forward_arg__", None) or inspect.formatannotation(note))


def literal(value: Any) -> Value | None:
    """A constant in Lua, if it is a plain one."""
    if value is None or isinstance(value, bool):
        return ("nil", NONE) if value is None else (str(value).lower(), BOOL)
    if isinstance(value, str):
        plain = (chr(byte) if byte in _PLAIN else f"\\{byte:03}" for byte in value.encode())
        return '"' + "".join(plain) + '"', STR
    if not isinstance(value, int | float) or math.isnan(value) or (isinstance(value, int) and abs(value) > _EXACT):
        return None
    text = "py_huge" if math.isinf(value) else repr(abs(value) + 0)
    return (f"(-{text})" if value < 0 else text), NUM


def lua_name(name: str) -> str:
    """A name that Lua takes."""
    return f"{name}_" if name in _RESERVED else name


def lua_field(base: str, name: str) -> str:
    """A field of what `base` is; without that, as it stands in a new table."""
    return f'{base}["{name}"]' if name in _RESERVED else f"{base}.{name}".removeprefix(".")


class Parameter(NamedTuple):
    """What a function takes, or a field."""

    type: Type
    default: Any

    @property
    def required(self) -> bool:
        """There is no default."""
        return self.default is inspect.Parameter.empty


def parameters(made: Any) -> dict[str, Parameter]:
    """Those of a function, or the fields of a class."""
    found = inspect.signature(made).parameters.values()
    return {each.name: Parameter(annotated(each.annotation), each.default) for each in found}
