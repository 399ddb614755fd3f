"""Translates the limiter's rules from Python to Lua 5.1, so that a store runs the very rules that a process runs.

`translated("decide answer", core, shared_core)` reads the modules, base module first, and returns Lua text that defines three local tables:

- `M`: the named methods and all that they reach through `self.name(…)`, as `M.decide(self, now, price, kept)`. They are those of the last class
  that has them all, its bases' included: a subclass's method replaces its parent's. A caller in Lua passes all arguments.
- `New`: `New.Price(t)` fills in the defaults of what a table lacks; for that last class and each class that is made.
- `Pack`: `Pack.Core(state)` is that class's blob, by `cmsgpack`, without its empty dicts, which would be read as lists, and without dicts whose keys
  are no strings, which are caches. msgspec reads it, and so does `New.Core(cmsgpack.unpack(blob))`. No other class has fields that are dicts.

**The subset.** Anything else is refused with file, line and construct.

*Values*: numbers (doubles), `None`, booleans, strings, lists, tuples, dicts (as a literal only `{}`), and instances of the modules' classes (dataclasses,
Structs, NamedTuples), made as `Price("", seed, seed, pinned=True)`. Plain constants of a module, `math.inf` and members of an `IntEnum` become
literals. Fields that are lists or dicts begin empty. Types come from the annotations of fields, parameters, results and variables, and from what is
assigned; a container of unknown type is refused where its kind matters, and a variable may be annotated for that.
*Operators*: `+ - * / // % **`, unary `-`, `& |` of small whole numbers, `+` of strings; comparisons, chained too (not of lists or dicts, and `<` of numbers
only); `is None`, `is not None`; `in` and `not in` a dict or a string; `not`, `and`, `or`, `x if c else y` with Python's truth and values.
*Access*: `a.b`, properties of `self`, `d[key]`, `x[2]`, `x[-1]`, `x[i]` where `i` is not negative.
*Calls*: `self.method(…)`, functions of the modules (both with defaults and keywords), a parameter or variable; `int` (cuts), `float`, `bool`, `abs`, `min`, `max`,
`len`, `sum` of a list, `math.ceil`, `floor`, `sqrt`, `exp`, `cast`; `append`, `pop()`, `pop(0)`, `clear` of a list; `get`, `pop(key)`, `pop(key, None)`, `clear` of a dict.
*Statements*: assignments (several targets, tuples, annotated, augmented), `del d[key]`, `if`, `while`, `break`, `continue`, `return`, `pass`; `for` over a list, a tuple,
`range` of one or two, `sorted(d)` or `sorted(d.items())` of a dict. `assert` and docstrings are left out. A tuple may be unpacked: `for at, points, _ in log`.

Unlike in Python, a division by zero, a missing key and an index beyond the end raise nothing; lists and dicts hold no `None`; a field that may be
`None` has that as its default, since `cmsgpack` leaves it out.
"""

from __future__ import annotations

import ast
import inspect
import math
import re
from importlib import resources
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn

from ...errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import ModuleType

_INFIX: Final = {
    **{"Add": "+", "Sub": "-", "Mult": "*", "Div": "/", "Pow": "^", "And": "and", "Or": "or"},
    **{"Lt": "<", "LtE": "<=", "Gt": ">", "GtE": ">=", "Eq": "==", "NotEq": "~=", "Is": "==", "IsNot": "~=", "In": "~=", "NotIn": "=="},
}
_CALLED: Final = {"Mod": "py_mod", "FloorDiv": "py_div", "BitAnd": "py_band", "BitOr": "py_bor"}
_NUMERIC: Final = {"int", "float", "abs", "min", "max", "sum", "ceil", "floor", "sqrt", "exp"}
_METHODS: Final = {
    **{("list", "append", 1): "py_insert({}, {})", ("list", "pop", 0): "py_remove({})", ("list", "pop", 1): "py_remove({}, {} + 1)"},
    **{("list", "clear", 0): "py_clear({})", ("dict", "clear", 0): "py_clear({})", ("dict", "get", 1): "{}[{}]"},
    **{("dict", "get", 2): "py_get({}, {}, {})", ("dict", "pop", 1): "py_pop({}, {})", ("dict", "pop", 2): "py_pop({}, {}, {})"},
}
_RESERVED: Final = {"end", "do", "elseif", "function", "goto", "local", "nil", "repeat", "then", "until"}


class _Type(NamedTuple):
    """What is known of a value: `num`, `bool`, `str`, `list`, `tuple`, `dict`, `None`, a class's name, or nothing."""

    name: str = ""
    of: tuple[_Type, ...] = ()
    optional: bool = False

    def item(self, index: int = 0) -> _Type:
        """What is known of an element."""
        index = 1 if self.name == "dict" else 0 if self.name == "list" else index
        return self.of[index] if index < len(self.of) else _Type()


_NUM, _BOOL, _STR, _NONE = _Type("num"), _Type("bool"), _Type("str"), _Type("None", optional=True)
_KINDS: Final = {"int": "num", "float": "num", "Mapping": "dict", "Sequence": "list"}
_Value = tuple[str, _Type]


def _type(node: Any) -> _Type:
    """What an annotation says."""
    match node:
        case str() | ast.Constant(value=str()):
            return _type(ast.parse(node if isinstance(node, str) else node.value, mode="eval").body)
        case ast.Constant(value=None):
            return _NONE
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return _Type(_KINDS.get(name, name))
        case ast.Subscript(value=outer, slice=inner):
            return _Type(_type(outer).name, tuple(map(_type, inner.elts if isinstance(inner, ast.Tuple) else [inner])))
        case ast.BinOp(left=left, right=right):
            return _joined(_type(left), _type(right))
        case _:
            return _Type()


def _joined(one: _Type, other: _Type) -> _Type:
    """What is known of a value that is one of two."""
    if "None" in {one.name, other.name}:
        return (other if one.name == "None" else one)._replace(optional=True)
    if one.name != other.name:
        return _Type(optional=True)
    same = one.of == other.of or not (one.of and other.of)
    return _Type(one.name, (one.of or other.of) if same else (), one.optional or other.optional)


def _literal(value: Any) -> _Value | None:
    """A constant in Lua, if there is such a one."""
    if value is None or isinstance(value, bool):
        return ("nil", _NONE) if value is None else (str(value).lower(), _BOOL)
    if isinstance(value, str):
        plain = (chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else f"\\{byte:03}" for byte in value.encode())  # noqa: PLR2004 - ASCII
        return '"' + "".join(plain) + '"', _STR
    if not isinstance(value, int | float) or math.isnan(value) or (isinstance(value, int) and abs(value) > 2**53):
        return None
    text = "py_huge" if abs(value) == math.inf else repr(abs(value) + 0)
    return (f"(-{text})" if value < 0 else text), _NUM


def _continues(nodes: Iterable[ast.AST]) -> bool:
    """Is there a `continue` of this loop?"""
    inner = (node for node in nodes if not isinstance(node, ast.For | ast.While))
    return any(isinstance(node, ast.Continue) or _continues(ast.iter_child_nodes(node)) for node in inner)


def _parameters(made: Any) -> dict[str, tuple[_Type, Any]]:
    """Of a function or a class: what each parameter is, and its default."""
    found = inspect.signature(made).parameters.values()
    notes = {each.name: getattr(each.annotation, "__forward_arg__", each.annotation) for each in found}
    texts = {name: note if isinstance(note, str) else inspect.formatannotation(note) for name, note in notes.items()}
    return {each.name: (_type(texts[each.name]), each.default) for each in found}


def _source(module: ModuleType) -> str:
    """A module's text, also out of a zip file."""
    try:
        return inspect.getsource(module)
    except (OSError, TypeError) as error:
        raise ConfigurationError(
            f"a shared budget needs the source of {module.__name__}, which is not there: ship the .py files of whereby_async.limiter "
            "beside the compiled ones (PyInstaller: --collect-all whereby_async, or module_collection_mode={'whereby_async': 'py'})"
        ) from error


def _lua(name: str) -> str:
    """A name in Lua."""
    return f"{name}_" if name in _RESERVED else name


class _Function(NamedTuple):
    """A method or property, or a function of a module."""

    node: ast.FunctionDef
    module: ModuleType
    made: Any
    method: bool


class _Program:
    """What the modules define, and what of it is needed."""

    def __init__(self, entry: str, modules: tuple[ModuleType, ...]) -> None:
        self.wanted: list[str] = entry.split()
        self.owner: type = object
        self.functions: dict[str, _Function] = {}
        self.fields: dict[str, dict[str, tuple[_Type, Any]]] = {}
        self.made: dict[str, None] = {}
        methods: dict[type, dict[str, _Function]] = {}
        for module in modules:
            for node in ast.parse(_source(module)).body:
                made = vars(module).get(getattr(node, "name", ""))
                if isinstance(node, ast.FunctionDef):
                    self.functions[node.name] = _Function(node, module, made, method=False)
                elif isinstance(node, ast.ClassDef) and isinstance(made, type):
                    parts = [part for part in node.body if isinstance(part, ast.FunctionDef)]
                    methods[made] = {each.name: _Function(each, module, vars(made)[each.name], method=True) for each in parts}
                    self.fields[node.name] = _parameters(made)
                    self.owner = made if all(hasattr(made, name) for name in self.wanted) else self.owner
        for cls in reversed(self.owner.__mro__):
            self.functions |= methods.get(cls, {})
        if self.owner is not object:
            self.made[self.owner.__name__] = None

    def text(self) -> str:
        """The tables, and before them the helpers that they need."""
        bodies: dict[str, str] = {}
        for name in self.wanted:  # It grows meanwhile.
            if name not in bodies:
                bodies[name] = _Body(self, name).text()
        text = "\n".join(["local M, New, Pack = {}, {}, {}", *map(self._new, self.made), self._pack(), *bodies.values(), ""])
        used = set(re.findall(r"\bpy_\w+", text))
        helpers = (resources.files(__package__) / "helpers.lua").read_text().split("\nlocal ")[1:]
        return "".join(f"local {each}\n" for each in helpers if each.split()[0] in used) + text

    def _new(self, name: str) -> str:
        """Fills in defaults."""
        lines = [f"New.{name} = function(t)"]
        for field, (kind, default) in self.fields[name].items():
            text, _ = ("{}", kind) if kind.name in {"list", "dict"} else _literal(default) or ("nil", kind)
            lines += [f"  if t.{field} == nil then t.{field} = {text} end"] if text != "nil" else []
        return "\n".join([*lines, "  return t", "end"])

    def _pack(self) -> str:
        """Packs the state."""
        name = self.owner.__name__
        dicts = {field: kind for field, (kind, _) in self.fields.get(name, {}).items() if kind.name == "dict"}
        if not dicts:
            return f"Pack.{name} = function(self) return cmsgpack.pack(self) end"
        kept, names = ", ".join(f"self.{field}" for field in dicts), ", ".join(f"d{number}" for number in range(len(dicts)))
        drops = (f"if {kind.of[:1] != (_STR,)} or py_next(self.{field}) == nil then self.{field} = nil end" for field, kind in dicts.items())
        body = [f"local {names} = {kept}", *drops, "local blob = cmsgpack.pack(self)", f"{kept} = {names}", "return blob"]
        return "\n  ".join([f"Pack.{name} = function(self)", *body]).replace("True", "true").replace("False", "false") + "\nend"


class _Body:
    """One function."""

    def __init__(self, program: _Program, name: str) -> None:
        self.program, self.name = program, name
        self.node, self.module, made, self.method = program.functions[name]
        stored = (part.id for part in ast.walk(self.node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store))
        if not inspect.isfunction(getattr(made, "fget", made)) or self.node.args.vararg or self.node.args.kwarg:
            self.refuse(self.node)
        self.types = {parameter: kind for parameter, (kind, _) in _parameters(getattr(made, "fget", made)).items()}
        self.parameters = list(self.types)
        self.locals = sorted(set(stored) - set(self.types))
        if self.method:
            self.types[self.parameters[0]] = _Type(program.owner.__name__)
        self.lines: list[str] = []
        self.wrapped: list[bool] = []

    def refuse(self, node: Any, why: str = "is not in the translated subset of Python") -> NoReturn:
        """Say where and what."""
        text = ast.unparse(node).partition("\n")[0]
        raise SyntaxError(f"{self.module.__file__}:{node.lineno}: {type(node).__name__} `{text}` {why}")

    def text(self) -> str:
        """It in Lua. What is known of variables grows until it stays."""
        before = None
        while before != self.types:
            before, self.lines = dict(self.types), []
            self.block(self.node.body)
        declared = [f"local {', '.join(map(_lua, self.locals))}"] if self.locals else []
        head = f"M.{_lua(self.name)} = function({', '.join(map(_lua, self.parameters))})"
        return "\n".join([head, *declared, *self.lines, "end"])

    # Statements

    def block(self, nodes: Iterable[ast.stmt]) -> None:
        """One statement after the other."""
        for node in nodes:
            self.statement(node)

    def statement(self, node: ast.stmt) -> None:  # noqa: C901, PLR0912 - one case for each construct
        """One statement."""
        emit = self.lines.append
        match node:
            case ast.Pass() | ast.Assert() | ast.Expr(value=ast.Constant()):
                pass
            case ast.Assign(value=ast.IfExp(test, body, orelse)):
                both = [ast.copy_location(ast.Assign(node.targets, value), node) for value in (body, orelse)]
                self.statement(ast.If(test, both[:1], both[1:]))
            case ast.Return(value=ast.IfExp(test, body, orelse)):
                self.statement(ast.If(test, [ast.Return(body)], [ast.Return(orelse)]))
            case ast.Assign(targets=[ast.Tuple(elts=targets)], value=ast.Tuple(elts=values)) if (
                len(targets) == len(values) and not any(isinstance(target, ast.Subscript) for target in targets)
            ):
                found = [self.value(value) for value in values]
                places = [self.place(target, kind) for target, (_, kind) in zip(targets, found, strict=True)]
                emit(f"{', '.join(places)} = {', '.join(text for text, _ in found)}")
            case ast.Assign(targets=[target], value=value):
                self.assign(target, self.value(value))
            case ast.Assign(targets=targets, value=value):
                text, kind = self.value(value)
                emit(f"do local py_v = {text}")
                for target in targets:
                    self.assign(target, ("py_v", kind))
                emit("end")
            case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation, value=value):
                self.types[name] = _type(annotation)
                if value:
                    emit(f"{_lua(name)} = {self.value(value)[0]}")
            case ast.AugAssign(target=target, op=op, value=value) if self.pure(target):
                self.assign(target, self.value(ast.copy_location(ast.BinOp(target, op, value), node)))
            case ast.Expr(value=ast.Call() as call):
                text = self.value(call)[0]
                emit(text if re.match(r"[\w.]+\(", text) else self.refuse(node))
            case ast.Delete(targets=[ast.Subscript(value=base) as target]) if self.value(base)[1].name == "dict":
                emit(f"{self.value(target)[0]} = nil")
            case ast.Return(value=value):
                emit(f"do return {self.value(value)[0] if value else 'nil'} end")
            case ast.If(test, body, orelse):
                emit(f"if {self.test(test)} then")
                self.block(body)
                if orelse:
                    emit("else")
                    self.block(orelse)
                emit("end")
            case ast.While(test, body, []):
                self.loop(f"while {self.test(test)} do", body)
            case ast.For(target, iterated, body, []):
                head, item = self.head(iterated)
                self.loop(head, body, target, item)
            case ast.Break():
                emit("do py_broke = true break end" if self.wrapped[-1] else "do break end")
            case ast.Continue():
                emit("do break end")
            case _:
                self.refuse(node)

    def loop(self, head: str, body: list[ast.stmt], target: ast.expr | None = None, item: _Value = ("", _NONE)) -> None:
        """A loop. Lua has no `continue`: it leaves an inner loop, and a `break` then leaves both."""
        wrapped = _continues(body)
        self.wrapped.append(wrapped)
        self.lines.append(head)
        if target:
            self.assign(target, item)
        self.lines += ["local py_broke = false repeat"] if wrapped else []
        self.block(body)
        self.lines += ["until true if py_broke then break end", "end"] if wrapped else ["end"]
        self.wrapped.pop()

    def head(self, node: ast.expr) -> tuple[str, _Value]:
        """How a loop begins, and what its variable is."""
        match node:
            case ast.Call(func=ast.Name(id="range"), args=[*first, last], keywords=[]) if len(first) < 2:  # noqa: PLR2004
                start = self.number(first[0]) if first else "0"
                return f"for py_e = {start}, {self.number(last)} - 1 do", ("py_e", _NUM)
            case ast.Call(func=ast.Name(id="sorted"), args=[ast.Call(func=ast.Attribute(value=base, attr="items"), args=[])], keywords=[]):
                text, item = self.value(base)[0], "py_e"
            case ast.Call(func=ast.Name(id="sorted"), args=[base], keywords=[]):
                text, item = self.value(base)[0], "py_e[1]"
            case _:
                text, kind = self.value(node)
                if kind.name not in {"list", "tuple"}:
                    self.refuse(node, "is not known to be a list")
                return f"for _, py_e in py_ipairs({text}) do", ("py_e", kind.item())
        kind = self.value(base)[1]
        if kind.name != "dict":
            self.refuse(node, "is not known to sort a dict")
        pair = _Type("tuple", kind.of)
        return f"for _, py_e in py_ipairs(py_sorted({text})) do", (item, pair if item == "py_e" else pair.item())

    def assign(self, target: ast.expr, value: _Value) -> None:
        """Give a value to a name, a field, an element, or a tuple of names."""
        text, kind = value
        if not isinstance(target, ast.Tuple):
            self.lines.append(f"{self.place(target, kind)} = {text}")
            return
        if kind.name not in {"list", "tuple"}:
            self.refuse(target, "unpacks what is not known to be a list")
        names = [(each, index) for index, each in enumerate(target.elts) if not (isinstance(each, ast.Name) and each.id == "_")]
        places = ", ".join(self.place(each, kind.item(index)) for each, index in names)
        self.lines.append(f"do local py_t = {text} {places} = {', '.join(f'py_t[{index + 1}]' for _, index in names)} end")

    def place(self, target: ast.expr, kind: _Type) -> str:
        """What is assigned to, of which more is known now."""
        if isinstance(target, ast.Name):
            known = self.types.get(target.id)
            self.types[target.id] = _joined(known, kind) if known else kind
        elif not isinstance(target, ast.Attribute | ast.Subscript) or not self.pure(target):
            self.refuse(target)
        return self.value(target)[0]

    # Expressions

    def pure(self, node: ast.expr) -> bool:
        """May it be evaluated twice?"""
        return not any(isinstance(part, ast.Call) or self.own(part) for part in ast.walk(node))

    def own(self, node: ast.AST) -> str:
        """The method that `self.name` is, if it is one."""
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and self.method:
            return node.attr if node.value.id == self.parameters[0] and node.attr in self.program.functions else ""
        return ""

    def constant(self, node: ast.expr) -> _Value | None:
        """A constant, of this module or of one that it knows."""
        match node:
            case ast.Constant(value=value):
                return _literal(value)
            case ast.Name(id=name) if name not in self.types and name not in self.locals:
                return _literal(vars(self.module).get(name, ...))
            case ast.Attribute(value=ast.Name(id=name), attr=attr) if name not in self.types and name not in self.locals:
                return _literal(getattr(vars(self.module).get(name), attr, ...))
            case _:
                return None

    def value(self, node: ast.expr) -> _Value:  # noqa: C901, PLR0911, PLR0912 - one case for each construct
        """An expression that can stand anywhere, and what is known of it."""
        if constant := self.constant(node):
            return constant
        match node:
            case ast.Name(id=name) if name in self.types or name in self.locals:
                return _lua(name), self.types.get(name, _Type())
            case ast.Name(id=name) if name in self.program.functions and not self.program.functions[name].method:
                self.program.wanted.append(name)
                return f"M.{_lua(name)}", _Type()
            case ast.Attribute(attr=name) if self.own(node):
                if not isinstance(self.program.functions[name].made, property):
                    self.refuse(node)
                return self.call(name, node, [], [])
            case ast.Attribute(value=base, attr=name):
                text, kind = self.value(base)
                fields = self.program.fields.get(kind.name)
                if (fields is not None and name not in fields) or kind.name in {"num", "bool", "str", "list", "tuple", "dict", "None"}:
                    self.refuse(node, "is no field")
                return f'{text}["{name}"]' if _lua(name) != name else f"{text}.{name}", fields[name][0] if fields else _Type()
            case ast.Subscript(value=base, slice=index):
                text, kind = self.value(base)
                return f"{text}[{self.index(text, kind, index, node)}]", kind.item(getattr(index, "value", 0))
            case ast.BinOp(left, ast.Add(), right) if self.value(left)[1] == self.value(right)[1] == _STR:
                return f"({self.value(left)[0]} .. {self.value(right)[0]})", _STR
            case ast.BinOp(left, op, right):
                one, other, name = self.number(left), self.number(right), type(op).__name__
                if name in _CALLED:
                    return f"{_CALLED[name]}({one}, {other})", _NUM
                return f"({one} {_INFIX.get(name) or self.refuse(node)} {other})", _NUM
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return f"(-{self.number(operand)})", _NUM
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return f"(not {self.test(operand)})", _BOOL
            case ast.BoolOp():
                return self.either(node)
            case ast.Compare(left=left, ops=ops, comparators=others):
                return self.compared(node, self.value(left), ops, others), _BOOL
            case ast.IfExp(test, body, orelse):
                (one, kind), (other, other_kind) = self.value(body), self.value(orelse)
                joined = _joined(kind, other_kind)
                if kind.name in {"num", "str", "list", "tuple", "dict"} and not kind.optional:
                    return f"({self.test(test)} and {one} or {other})", joined
                return f"(function() if {self.test(test)} then return {one} end return {other} end)()", joined
            case ast.List(elts=elements) | ast.Tuple(elts=elements):
                found = [self.value(element) for element in elements]
                of = tuple(kind for _, kind in found)
                kind = _Type("tuple", of) if isinstance(node, ast.Tuple) else _Type("list", tuple({*of}) if len({*of}) == 1 else ())
                return "{" + ", ".join(text for text, _ in found) + "}", kind
            case ast.Dict(keys=[]):
                return "{}", _Type("dict")
            case ast.Call(func=ast.Attribute(attr=name) as func, args=args, keywords=keywords) if self.own(func):
                return self.call(name, node, args, keywords)
            case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in self.types or name in self.locals:
                return f"{_lua(name)}({', '.join(self.value(arg)[0] for arg in args)})", _Type()
            case ast.Call(func=ast.Name(id=name), args=args, keywords=keywords) if name in self.program.fields:
                return self.make(name, node, args, keywords)
            case ast.Call(func=ast.Name(id=name), args=args, keywords=keywords) if name in self.program.functions:
                return self.call(name, node, args, keywords)
            case ast.Call(func=ast.Name(id="cast"), args=[kind, value], keywords=[]):
                return self.value(value)[0], _type(kind)
            case ast.Call(func=ast.Name(id="bool"), args=[value], keywords=[]):
                return self.test(value), _BOOL
            case ast.Call(func=ast.Name(id="len"), args=[value], keywords=[]):
                text, kind = self.value(value)
                if kind.name not in {"list", "tuple", "dict"}:
                    self.refuse(node, "asks for the length of what is not known to be a list or a dict")
                return f"py_count({text})" if kind.name == "dict" else f"(#{text})", _NUM
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(value=ast.Name(id="math"), attr=name), args=args, keywords=[]) if (
                name in _NUMERIC
            ):
                return self.numeric(name, node, args), _NUM
            case ast.Call(func=ast.Attribute(value=base, attr=name), args=args, keywords=[]):
                return self.contained(name, node, base, args)
            case _:
                self.refuse(node)

    def number(self, node: ast.expr) -> str:
        """An expression that is a number, for all that is known."""
        text, kind = self.value(node)
        return text if kind.name in {"num", ""} else self.refuse(node, "is no number")

    def test(self, node: ast.expr) -> str:
        """Is it true? In Python a zero and what is empty are not."""
        match node:
            case ast.BoolOp(op=op, values=values):
                return "(" + f" {_INFIX[type(op).__name__]} ".join(map(self.test, values)) + ")"
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return f"(not {self.test(operand)})"
            case _:
                return self.truth(*self.value(node))

    def truth(self, text: str, kind: _Type) -> str:
        """The same of a value."""
        if kind.name == "bool" or kind.name in self.program.fields:
            return text if kind.name == "bool" else f"({text} ~= nil)"
        tests = {"num": f"({text} ~= 0)", "list": f"(#{text} > 0)", "dict": f"(py_next({text}) ~= nil)"}
        return tests.get(kind.name, f"py_truth({text})") if not kind.optional else f"py_truth({text})"

    def either(self, node: ast.BoolOp) -> _Value:
        """`a or b`, `a and b` as a value."""
        *firsts, (text, kind) = map(self.value, node.values)
        word = _INFIX[type(node.op).__name__]
        for one, one_kind in reversed(firsts):
            if one_kind.name == "bool" or one_kind.name in self.program.fields:
                text = f"({one} {word} {text})"
            else:
                done = self.truth("py_v", one_kind) if word == "or" else f"not {self.truth('py_v', one_kind)}"
                text = f"(function() local py_v = {one} if {done} then return py_v end return {text} end)()"
            kind = _joined(kind, one_kind._replace(optional=False) if word == "or" else one_kind)
        return text, kind

    def compared(self, node: ast.Compare, one: _Value, ops: list[ast.cmpop], others: list[ast.expr]) -> str:
        """`a < b < c`. What stands between is evaluated once, if it is a call."""
        other = self.value(others[0])
        if len(others) == 1:
            return self.pair(node, one, ops[0], other)
        if self.pure(others[0]):
            return f"({self.pair(node, one, ops[0], other)} and {self.compared(node, other, ops[1:], others[1:])})"
        first = self.pair(node, ("py_a", one[1]), ops[0], ("py_b", other[1]))
        rest = self.compared(node, ("py_b", other[1]), ops[1:], others[1:])
        return f"(function() local py_a, py_b = {one[0]}, {other[0]} return {first} and {rest} end)()"

    def pair(self, node: ast.Compare, one: _Value, op: ast.cmpop, other: _Value) -> str:
        """One comparison."""
        (left, kind), (right, other_kind), sign = one, other, _INFIX[type(op).__name__]
        names = {kind.name, other_kind.name}
        match op:
            case ast.In() | ast.NotIn() if other_kind.name == "dict":
                return f"({right}[{left}] {sign} nil)"
            case ast.In() | ast.NotIn() if names == {"str"}:
                return f"(py_find({right}, {left}, 1, true) {sign} nil)"
            case ast.Is() | ast.IsNot() if right == "nil":
                return f"({left} {sign} nil)"
            case ast.Eq() | ast.NotEq() if not names & {"list", "tuple", "dict"} and names != {"bool", "num"}:
                return f"({left} {sign} {right})"
            case ast.Lt() | ast.LtE() | ast.Gt() | ast.GtE() if names <= {"num", ""}:
                return f"({left} {sign} {right})"
            case _:
                self.refuse(node)

    def index(self, text: str, kind: _Type, index: ast.expr, node: ast.Subscript) -> str:
        """Where in a list or a dict; Lua counts from 1."""
        if kind.name == "dict":
            return self.value(index)[0]
        if kind.name not in {"list", "tuple"}:
            self.refuse(node, "looks into what is not known to be a list or a dict")
        match index:
            case ast.Constant(value=int(number)):
                return str(number + 1)
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int(number))) if self.pure(node.value):
                return f"#{text} + {1 - number}" if number > 1 else f"#{text}"
            case ast.UnaryOp() | ast.Slice():
                self.refuse(node)
            case _:
                return f"{self.number(index)} + 1"

    # Calls

    def arguments(self, made: Any, node: Any, args: list[ast.expr], keywords: list[ast.keyword], skip: int) -> dict[str, str]:
        """What is given for each parameter; defaults that are no constants are left out."""
        parameters = dict([*_parameters(made).items()][skip:])
        given = dict(zip(parameters, args, strict=False)) | {str(each.arg): each.value for each in keywords}
        if len(given) < len(args) + len(keywords) or not given.keys() <= parameters.keys():
            self.refuse(node)
        found: dict[str, str] = {}
        for name, (_, default) in parameters.items():
            if name in given:
                found[name] = self.value(given[name])[0]
            elif default is inspect.Parameter.empty:
                self.refuse(node, f"lacks {name}")
            elif constant := _literal(default):
                found[name] = constant[0]
        return found

    def call(self, name: str, node: Any, args: list[ast.expr], keywords: list[ast.keyword]) -> _Value:
        """A method or a function that is translated too."""
        function = self.program.functions[name]
        self.program.wanted.append(name)
        made = getattr(function.made, "fget", function.made)
        given = [*self.arguments(made, node, args, keywords, int(function.method)).values()]
        own = [_lua(self.parameters[0])] if function.method else []
        return f"M.{_lua(name)}({', '.join(own + given)})", _type(function.node.returns)

    def make(self, name: str, node: Any, args: list[ast.expr], keywords: list[ast.keyword]) -> _Value:
        """A new instance."""
        self.program.made[name] = None
        given = self.arguments(getattr(self.module, name), node, args, keywords, 0)
        return f"New.{name}({{{', '.join(f'[{_literal(key)[0]}] = {text}' for key, text in given.items())}}})", _Type(name)

    def numeric(self, name: str, node: ast.Call, args: list[ast.expr]) -> str:
        """A function of numbers."""
        if name in {"min", "max", "sum"} and len(args) == 1:
            text, kind = self.value(args[0])
            if kind.name not in {"list", "tuple"}:
                self.refuse(node, "is not known to be of a list")
            return f"py_sum({text})" if name == "sum" else f"py_{name}(py_unpack({text}))"
        if name == "sum" or (len(args) != 1 and name not in {"min", "max"}):
            self.refuse(node)
        texts = ", ".join(map(self.number, args))
        return texts if name == "float" else f"py_{name}({texts})"

    def contained(self, name: str, node: ast.Call, base: ast.expr, args: list[ast.expr]) -> _Value:
        """A method of a list or a dict."""
        text, kind = self.value(base)
        pattern = _METHODS.get((kind.name, name, len(args)))
        if not pattern:
            self.refuse(node)
        given = [self.value(arg)[0] for arg in args]
        if (name, kind.name, len(args)) == ("pop", "list", 1) and given != ["0"] or given[1:] not in ([], ["nil"]) and name == "pop":
            self.refuse(node)
        found = kind.item()._replace(optional=kind.name == "dict" and name == "get")
        return pattern.format(text, *given), found


def translated(entry: str, *modules: ModuleType) -> str:
    """The rules in Lua.

    Args:
        entry: Names of the methods or functions to begin with, with spaces between.
        modules: Where the rules are, base module first.
    """
    return _Program(entry, modules).text()
