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
*Calls*: `self.method(…)`, functions of the modules (both with defaults and keywords), a parameter or variable; `int` (cuts), `float`, `bool`, `abs`, `min`, `max` of
several or of a list, `len`, `sum` of a list, `math.ceil`, `floor`, `sqrt`, `exp`, `cast`; `append`, `pop()`, `pop(0)`, `clear` of a list; `get`, `pop(key)`, `pop(key, None)`, `clear` of a dict.
*Statements*: assignments (several targets, tuples, annotated, augmented), `del d[key]`, `if`, `while`, `break`, `continue`, `return`, `pass`; `for` over a list, a tuple,
`range` of one or two, `sorted(d.items())` of a dict. `assert` and docstrings are left out. A tuple may be unpacked: `for at, points, _ in log`.

Unlike in Python, a division by zero, a missing key and an index beyond the end raise nothing; lists and dicts hold no `None`; a field that may be
`None` has that as its default, since `cmsgpack` leaves it out.
"""

from __future__ import annotations

import ast
import re
from importlib import resources
from typing import TYPE_CHECKING

from .lua_expressions import Expressions
from .lua_rules import Rules, read
from .lua_types import NONE, NUM, STR, Parameter, Type, Value, annotated, literal, lua_field, lua_name

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import ModuleType


def translated(entry: str, *modules: ModuleType) -> str:
    """The rules in Lua.

    Args:
        entry: Names of the methods or functions to begin with, with spaces between.
        modules: Where the rules are, base module first.

    Raises:
        ConfigurationError: The modules' sources are not there.
        SyntaxError: They use what is not in the subset.
    """
    rules = read(entry.split(), modules)
    functions: dict[str, str] = {}
    for name in rules.wanted:  # It grows meanwhile.
        if name not in functions:
            functions[name] = _Body(rules, name).text()
    makers = [_maker(name, rules.fields[name]) for name in {rules.state: None, **rules.made} if name]
    packer = [_packer(rules.state, rules.fields[rules.state])] if rules.state else []
    text = "\n".join(["local M, New, Pack = {}, {}, {}", *makers, *packer, *functions.values(), ""])
    used = set(re.findall(r"\bpy_\w+", text))
    helpers = (
        resources.files("whereby_async.limiter.redis").joinpath("helpers.lua").read_text("utf-8").split("\nlocal ")[1:]
    )
    return "".join(f"local {each}\n" for each in helpers if each.split()[0] in used) + text


def _maker(name: str, fields: dict[str, Parameter]) -> str:
    """Fills in defaults."""
    lines = [f"New.{name} = function(t)"]
    for place, (kind, default) in ((lua_field("t", field), each) for field, each in fields.items()):
        text = "{}" if kind.name in {"list", "dict"} else (literal(default) or ("nil", NONE))[0]
        lines += [f"if {place} == nil then {place} = {text} end"] if text != "nil" else []
    return "\n".join([*lines, "return t", "end"])


def _packer(name: str, fields: dict[str, Parameter]) -> str:
    """Packs the state without the dicts that are empty or caches, and puts them back."""
    dicts = [
        (lua_field("self", field), each.type.of[:1] == (STR,))
        for field, each in fields.items()
        if each.type.name == "dict"
    ]
    lines = [
        f"Pack.{name} = function(self)",
        *(f"local d{number} = {place}" for number, (place, _) in enumerate(dicts)),
    ]
    lines += [
        f"if py_next({place}) == nil then {place} = nil end" if named else f"{place} = nil" for place, named in dicts
    ]
    lines += ["local blob = cmsgpack.pack(self)", *(f"{place} = d{number}" for number, (place, _) in enumerate(dicts))]
    return "\n".join([*lines, "return blob", "end"])


def _continues(nodes: Iterable[ast.AST]) -> bool:
    """Is there a `continue` of this loop?"""
    inner = (node for node in nodes if not isinstance(node, ast.For | ast.While))
    return any(isinstance(node, ast.Continue) or _continues(ast.iter_child_nodes(node)) for node in inner)


class _Body(Expressions):
    """One function."""

    def __init__(self, rules: Rules, name: str) -> None:
        super().__init__(rules, name)
        self.lines: list[str] = []
        self._wrapped: list[bool] = []

    def text(self) -> str:
        """It in Lua. What is known of its variables grows until it stays."""
        before = None
        while before != self.types:
            before, self.lines = dict(self.types), []
            self._block(self.function.node.body)
        declared = [f"local {', '.join(map(lua_name, self.locals))}"] if self.locals else []
        head = f"M.{lua_name(self.function.node.name)} = function({', '.join(map(lua_name, self.parameters))})"
        return "\n".join([head, *declared, *self.lines, "end"])

    def _block(self, nodes: Iterable[ast.stmt]) -> None:
        for node in nodes:
            self._statement(node)

    def _statement(self, node: ast.stmt) -> None:  # noqa: C901, PLR0912, PLR0915 - one case for each construct
        """One statement."""
        emit = self.lines.append
        match node:
            case ast.Pass() | ast.Assert() | ast.Expr(value=ast.Constant()):
                pass
            case ast.Assign(value=ast.IfExp(test, body, orelse)):
                for one in (body, orelse):
                    ast.copy_location(one, node)
                self._statement(ast.If(test, [ast.Assign(node.targets, body)], [ast.Assign(node.targets, orelse)]))
            case ast.Return(value=ast.IfExp(test, body, orelse)):
                self._statement(ast.If(test, [ast.Return(body)], [ast.Return(orelse)]))
            case ast.Assign(targets=[ast.Tuple(elts=targets)], value=ast.Tuple(elts=values)) if len(targets) == len(
                values
            ) and not any(isinstance(target, ast.Subscript) for target in targets):
                found = [self.value(value) for value in values]
                places = [self._place(target, kind) for target, (_, kind) in zip(targets, found, strict=True)]
                emit(f"{', '.join(places)} = {', '.join(text for text, _ in found)}")
            case ast.Assign(targets=[target], value=value):
                self._assign(target, self.value(value))
            case ast.Assign(targets=targets, value=value):
                text, kind = self.value(value)
                emit(f"do local py_v = {text}")
                for target in targets:
                    self._assign(target, ("py_v", kind))
                emit("end")
            case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation, value=value):
                self.types[name] = annotated(annotation)
                if value:
                    emit(f"{lua_name(name)} = {self.value(value)[0]}")
            case ast.AugAssign(target=target, op=op, value=value) if self.pure(target):
                self._assign(target, self.value(ast.copy_location(ast.BinOp(target, op, value), node)))
            case ast.Expr(value=ast.Call() as call):
                text = self.value(call)[0]
                emit(text if re.match(r"[\w.]+\(", text) else self.refuse(node))
            case ast.Delete(targets=[ast.Subscript(value=base) as target]) if self.value(base)[1].name == "dict":
                emit(f"{self.value(target)[0]} = nil")
            case ast.Return(value=value):
                emit(f"do return {self.value(value)[0] if value else 'nil'} end")
            case ast.If(test, body, orelse):
                emit(f"if {self.test(test)} then")
                self._block(body)
                if orelse:
                    emit("else")
                    self._block(orelse)
                emit("end")
            case ast.While(test, body, []):
                self._loop(f"while {self.test(test)} do", body)
            case ast.For(target, iterated, body, []):
                head, item = self._head(iterated)
                self._loop(head, body, target, item)
            case ast.Break():
                emit("do py_broke = true break end" if self._wrapped[-1] else "do break end")
            case ast.Continue():
                emit("do break end")
            case _:
                self.refuse(node)

    def _loop(self, head: str, body: list[ast.stmt], target: ast.expr | None = None, item: Value = ("", NONE)) -> None:
        """A loop. Lua has no `continue`: it leaves an inner loop, and a `break` then leaves both."""
        wrapped = _continues(body)
        self._wrapped.append(wrapped)
        self.lines.append(head)
        if target:
            self._assign(target, item)
        self.lines += ["local py_broke = false repeat"] if wrapped else []
        self._block(body)
        self.lines += ["until true if py_broke then break end", "end"] if wrapped else ["end"]
        self._wrapped.pop()

    def _head(self, node: ast.expr) -> tuple[str, Value]:
        """How a loop begins, and what its variable is."""
        match node:
            case ast.Call(func=ast.Name(id="range"), args=[*first, last], keywords=[]) if len(first) < 2:  # noqa: PLR2004
                start = self.number(first[0]) if first else "0"
                return f"for py_e = {start}, {self.number(last)} - 1 do", ("py_e", NUM)
            case ast.Call(
                func=ast.Name(id="sorted"), args=[ast.Call(func=ast.Attribute(value=base, attr="items"))], keywords=[]
            ):
                text, kind = self.value(base)
                if kind.name != "dict":
                    self.refuse(node, "is not known to sort a dict")
                return f"for _, py_e in py_ipairs(py_sorted({text})) do", ("py_e", Type("tuple", kind.of))
            case _:
                text, kind = self.value(node)
                if kind.name not in {"list", "tuple"}:
                    self.refuse(node, "is not known to be a list")
                return f"for _, py_e in py_ipairs({text}) do", ("py_e", kind.item())

    def _assign(self, target: ast.expr, value: Value) -> None:
        """Give a value to a name, a field, an element, or a tuple of names."""
        text, kind = value
        if not isinstance(target, ast.Tuple):
            self.lines.append(f"{self._place(target, kind)} = {text}")
            return
        if kind.name not in {"list", "tuple"}:
            self.refuse(target, "unpacks what is not known to be a list")
        names = [
            (each, index)
            for index, each in enumerate(target.elts)
            if not (isinstance(each, ast.Name) and each.id == "_")
        ]
        places = ", ".join(self._place(each, kind.item(index)) for each, index in names)
        self.lines.append(
            f"do local py_t = {text} {places} = {', '.join(f'py_t[{index + 1}]' for _, index in names)} end"
        )

    def _place(self, target: ast.expr, kind: Type) -> str:
        """What is assigned to, of which more is known now."""
        if isinstance(target, ast.Name):
            known = self.types.get(target.id)
            self.types[target.id] = known.joined(kind) if known else kind
        elif not isinstance(target, ast.Attribute | ast.Subscript) or not self.pure(target):
            self.refuse(target)
        return self.value(target)[0]
