"""Translates the rules from Python to Lua 5.1, so that a store runs the very rules that a process runs.

`translated("transact", core, shared_core)` reads the modules, base module first, and returns Lua text that defines the
local table `M`: the named methods and all that they reach, as `M.transact(self, said, now)`. A subclass's method
replaces its parent's; `super()` is unknown.

**The subset.** Anything else is refused with file, line and construct.

*Values*: numbers, `None`, booleans, strings, lists, instances of the modules' classes, which are made by name:
`Grant(cost, price, …)`. What is empty or zero is false, as in Python; `x and y` is `false` where `x` is.
*Expressions*: `+ - * / **`, unary `-`, `& |` of small whole numbers, comparisons (chained ones if what stands between
is pure), `is None`, `in` a string, `not`, `and`, `or` (without calls before the last one), `x if c else y` where `x` is
neither `None` nor false, `a.b`, `x[0]`, `x[-1]`, `x[i]` with `i` from 0 on, `d[key]` where a field is annotated as a
`dict`, constants of the modules, `math.inf`.
*Calls*: `self.method(…)` with positions, properties of `self`, functions of the modules, a parameter; `int` (cuts off),
`abs`, `min` and `max` of values or of a list, `len`, `math.ceil`, `floor`, `sqrt`, `exp`; `append` and `pop(0)` of a
list, `get(key)` and `clear` of a dict.
*Statements*: assignments, also of tuples to tuples, to several targets, and augmented; `if`, `while`, `break`,
`return`, `pass`; `for` over a list, with a tuple of names too.
"""

from __future__ import annotations

import ast
import inspect
import math
from typing import TYPE_CHECKING, Any, Final, NoReturn

from ...errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import ModuleType

_HEAD: Final = """\
local M = {}
local py = {
  inf = math.huge, abs = math.abs, min = math.min, max = math.max,
  ceil = math.ceil, floor = math.floor, sqrt = math.sqrt, exp = math.exp,
  int = function(x) return x < 0 and math.ceil(x) or math.floor(x) end,
  len = function(t) local count = 0 for _ in pairs(t) do count = count + 1 end return count end,
  clear = function(t) for key in pairs(t) do t[key] = nil end end,
  true_ = function(x)
    if type(x) == "table" then return next(x) ~= nil end
    return x ~= nil and x ~= false and x ~= 0 and x ~= ""
  end,
}
"""
_ARITHMETIC: Final[dict[type[ast.operator], str]] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.Pow: "^",
}
_BITS: Final[dict[type[ast.operator], str]] = {ast.BitAnd: "bit.band", ast.BitOr: "bit.bor"}
_COMPARED: Final[dict[type[ast.cmpop], str]] = {
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "~=",
    ast.Is: "==",
    ast.IsNot: "~=",
}
_BUILT_IN: Final = {"int", "abs", "len", "min", "max", "ceil", "floor", "sqrt", "exp"}
_KEYWORDS: Final = {"end", "do", "elseif", "function", "local", "nil", "repeat", "then", "until"}


class _Program:
    """What the modules define."""

    def __init__(self, modules: tuple[ModuleType, ...]) -> None:
        self.functions: dict[str, tuple[ast.FunctionDef, ModuleType]] = {}
        self.methods: dict[str, bool] = {}
        self.fields: dict[str, dict[str, Any]] = {}
        self.dicts: set[str] = set()
        for module in modules:
            for node in ast.parse(_source(module)).body:
                if isinstance(node, ast.FunctionDef):
                    self.functions[node.name] = node, module
                elif isinstance(node, ast.ClassDef):
                    self._read(node, module)

    def _read(self, node: ast.ClassDef, module: ModuleType) -> None:
        parameters = inspect.signature(getattr(module, node.name)).parameters.values()
        self.fields[node.name] = {each.name: each.default for each in parameters}
        for part in node.body:
            match part:
                case ast.FunctionDef(name=name):
                    self.functions[name] = part, module
                    self.methods[name] = any(
                        isinstance(each, ast.Name) and each.id == "property" for each in part.decorator_list
                    )
                case ast.AnnAssign(target=ast.Name(id=name), annotation=ast.Subscript(value=ast.Name(id="dict"))):
                    self.dicts.add(name)
                case _:
                    pass


class _Body:
    """One function in Lua."""

    def __init__(self, program: _Program, name: str, wanted: list[str]) -> None:
        self.program, self.name, self.wanted = program, name, wanted
        self.node, self.module = program.functions[name]
        self.parameters = [each.arg for each in self.node.args.args]
        stored = {
            each.id for each in ast.walk(self.node) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)
        }
        self.locals = sorted(stored - {*self.parameters})
        self.lines: list[str] = []

    def refuse(self, node: Any) -> NoReturn:
        """Say where and what.

        Raises:
            SyntaxError: Always.
        """
        text = ast.unparse(node).partition("\n")[0]
        raise SyntaxError(f"{self.module.__file__}:{node.lineno}: {type(node).__name__} `{text}` is not in the subset")

    def text(self) -> str:
        """All of it."""
        self.block(self.node.body)
        declared = [f"local {', '.join(map(_lua, self.locals))}"] if self.locals else []
        return "\n".join(
            [f"M.{self.name} = function({', '.join(map(_lua, self.parameters))})", *declared, *self.lines, "end\n"]
        )

    def block(self, nodes: Iterable[ast.stmt]) -> None:
        """Statements."""
        for node in nodes:
            self.statement(node)

    def statement(self, node: ast.stmt) -> None:  # noqa: C901, PLR0912 - one case for each construct
        """One statement."""
        emit = self.lines.append
        match node:
            case ast.Pass() | ast.Expr(value=ast.Constant()):
                pass
            case ast.Assign(targets=[ast.Tuple(elts=targets)], value=ast.Tuple(elts=values)) if len(targets) == len(
                values
            ):
                emit(f"{', '.join(map(self.value, targets))} = {', '.join(map(self.value, values))}")
            case ast.Assign(targets=targets, value=value):
                emit(f"do local each_ = {self.value(value)}")
                for target in targets:
                    self.assign(target, "each_")
                emit("end")
            case ast.AugAssign(target=target, op=op, value=value):
                emit(f"{self.value(target)} = {self.value(ast.copy_location(ast.BinOp(target, op, value), node))}")
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                emit(f"{self.value(target)} = {self.value(value)}")
            case ast.Expr(value=ast.Call() as call):
                emit(self.value(call))
            case ast.Return(value=value):
                emit(f"do return {self.value(value) if value else ''} end")
            case ast.If(test=test, body=body, orelse=orelse):
                emit(f"if {self.test(test)} then")
                self.block(body)
                if orelse:
                    emit("else")
                    self.block(orelse)
                emit("end")
            case ast.While(test=test, body=body, orelse=[]):
                emit(f"while {self.test(test)} do")
                self.block(body)
                emit("end")
            case ast.For(target=target, iter=items, body=body, orelse=[]):
                emit(f"for _, each_ in ipairs({self.value(items)}) do")
                self.assign(target, "each_")
                self.block(body)
                emit("end")
            case ast.Break():
                emit("do break end")
            case _:
                self.refuse(node)

    def assign(self, target: ast.expr, value: str) -> None:
        """One target, or a tuple of targets."""
        if isinstance(target, ast.Tuple):
            parts = ", ".join(f"{value}[{place}]" for place in range(1, len(target.elts) + 1))
            self.lines.append(f"{', '.join(map(self.value, target.elts))} = {parts}")
        else:
            self.lines.append(f"{self.value(target)} = {value}")

    def test(self, node: ast.expr) -> str:
        """Is it true?"""
        match node:
            case ast.BoolOp(op=op, values=values):
                return f"({(' and ' if isinstance(op, ast.And) else ' or ').join(map(self.test, values))})"
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return f"(not {self.test(operand)})"
            case ast.Compare():
                return self.value(node)
            case _:
                return f"py.true_({self.value(node)})"

    def value(self, node: ast.expr) -> str:  # noqa: C901, PLR0911, PLR0912 - one case for each construct
        """An expression."""
        match node:
            case ast.Constant(value=value):
                return self.literal(value, node)
            case ast.Name(id=name) if name in self.locals or name in self.parameters:
                return _lua(name)
            case ast.Name(id=name) if name in self.program.functions:
                return self.function(name)
            case ast.Name(id=name):
                return self.literal(vars(self.module).get(name, ...), node)
            case ast.Attribute(value=ast.Name(id="math"), attr="inf"):
                return "py.inf"
            case ast.Attribute(value=ast.Name(id="self"), attr=name) if self.program.methods.get(name):
                return f"{self.function(name)}(self)"
            case ast.Attribute(value=base, attr=name) if not (
                isinstance(base, ast.Name) and base.id == "self" and name in self.program.methods
            ):
                return f"{self.value(base)}.{name}"
            case ast.Subscript(value=ast.Attribute(attr=name) as base, slice=key) if name in self.program.dicts:
                return f"{self.value(base)}[{self.value(key)}]"
            case ast.Subscript(value=base, slice=ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=1))):
                return f"{self.value(base)}[#{self.value(base)}]"
            case ast.Subscript(value=base, slice=ast.Constant() | ast.Name() as index):
                return f"{self.value(base)}[{self.value(index)} + 1]"
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
                return f"({self.value(left)} {_ARITHMETIC[type(op)]} {self.value(right)})"
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _BITS:
                return f"{_BITS[type(op)]}({self.value(left)}, {self.value(right)})"
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return f"(-{self.value(operand)})"
            case ast.UnaryOp(op=ast.Not()):
                return self.test(node)
            case ast.BoolOp(op=ast.And(), values=[*tests, last]):
                return f"({' and '.join([*map(self.test, tests), self.value(last)])})"
            case ast.BoolOp(values=[*firsts, last]) if not any(isinstance(each, ast.Call) for each in _within(firsts)):
                terms = [f"{self.test(each)} and {self.value(each)}" for each in firsts]
                return f"({' or '.join([*terms, self.value(last)])})"
            case ast.Compare(left=left, ops=[ast.In() | ast.NotIn() as op], comparators=[right]):
                found = f"string.find({self.value(right)}, {self.value(left)}, 1, true)"
                return f"({found} {'~=' if isinstance(op, ast.In) else '=='} nil)"
            case ast.Compare(left=left, ops=ops, comparators=others) if {*map(type, ops)} <= {*_COMPARED}:
                terms = [self.value(each) for each in (left, *others)]
                pairs = [f"{terms[place]} {_COMPARED[type(op)]} {terms[place + 1]}" for place, op in enumerate(ops)]
                return f"({' and '.join(pairs)})"
            case ast.IfExp(test=test, body=body, orelse=orelse) if not isinstance(body, ast.Constant) or body.value:
                return f"({self.test(test)} and {self.value(body)} or {self.value(orelse)})"
            case ast.IfExp(test=test, body=ast.Constant(value=int(zero)), orelse=orelse) if zero is not False:
                return f"({self.test(test)} and {zero} or {self.value(orelse)})"
            case ast.List(elts=elements) | ast.Tuple(elts=elements):
                return f"{{{', '.join(map(self.value, elements))}}}"
            case ast.Call(func=func, args=args, keywords=keywords):
                return self.call(node, func, args, keywords)
            case _:
                return self.refuse(node)

    def literal(self, value: Any, node: ast.expr) -> str:
        """A constant."""
        if value is None or isinstance(value, bool):
            return {None: "nil", True: "true", False: "false"}[value]
        if isinstance(value, int | float) and not math.isnan(value):
            text = "py.inf" if abs(value) == math.inf else repr(abs(value))
            return text if value >= 0 else f"(-{text})"
        if isinstance(value, str) and value.isascii() and value.isprintable() and not {*value} & {'"', "\\"}:
            return f'"{value}"'
        return self.refuse(node)

    def function(self, name: str) -> str:
        """A function that is translated, too."""
        self.wanted.append(name)
        return f"M.{name}"

    def call(  # noqa: C901, PLR0911 - one case for each construct
        self, node: ast.Call, func: ast.expr, args: list[ast.expr], keywords: list[ast.keyword]
    ) -> str:
        """A call."""
        given, functions = [self.value(each) for each in args], self.program.functions
        match func:
            case ast.Name(id=name) if name in self.program.fields:
                return self.made(node, name, given, {str(each.arg): self.value(each.value) for each in keywords})
            case _ if keywords:
                return self.refuse(node)
            case ast.Name(id="min" | "max" as name) if len(given) == 1:
                return f"py.{name}(unpack({given[0]}))"
            case ast.Name(id=name) | ast.Attribute(value=ast.Name(id="math"), attr=name) if name in _BUILT_IN:
                return f"py.{name}({', '.join(given)})"
            case ast.Name(id=name) if name not in functions or len(functions[name][0].args.args) == len(given):
                return f"{self.value(func)}({', '.join(given)})"
            case ast.Attribute(value=ast.Name(id="self"), attr=name) if self.program.methods.get(name) is False:
                called = functions[name][0].args
                missing = len(called.args) - 1 - len(given)
                defaults = (
                    [self.value(each) for each in called.defaults[len(called.defaults) - missing :]] if missing else []
                )
                return f"{self.function(name)}({', '.join(['self', *given, *defaults])})"
            case ast.Attribute(value=base, attr="append"):
                return f"table.insert({self.value(base)}, {given[0]})"
            case ast.Attribute(value=base, attr="pop") if given == ["0"]:
                return f"table.remove({self.value(base)}, 1)"
            case ast.Attribute(value=base, attr="clear") if not given:
                return f"py.clear({self.value(base)})"
            case ast.Attribute(value=base, attr="get") if len(given) == 1:
                return f"{self.value(base)}[{given[0]}]"
            case _:
                return self.refuse(node)

    def made(self, node: ast.Call, name: str, given: list[str], named: dict[str, str]) -> str:
        """A new instance."""
        values = dict(zip(self.program.fields[name], given, strict=False)) | named
        for field, default in self.program.fields[name].items():
            if field not in values:
                plain = default is None or isinstance(default, int | float | str | type)
                values[field] = self.literal(default, node) if plain else "{}"
        return f"{{{', '.join(f'{field} = {value}' for field, value in values.items())}}}"


def _within(nodes: Iterable[ast.AST]) -> Iterable[ast.AST]:
    """All that these consist of."""
    return (part for node in nodes for part in ast.walk(node))


def _lua(name: str) -> str:
    """The name of a variable."""
    return f"{name}_" if name in _KEYWORDS else name


def _source(module: ModuleType) -> str:
    try:
        return inspect.getsource(module)
    except (OSError, TypeError) as error:
        raise ConfigurationError(
            f"RedisPointBudget needs the source of {module.__name__}, which is not there: ship the .py files of "
            "whereby_async.limiter beside the compiled ones "
            "(PyInstaller: module_collection_mode={'whereby_async': 'py'})"
        ) from error


def translated(entry: str, *modules: ModuleType) -> str:
    """The rules in Lua.

    Args:
        entry: Names of the methods to begin with, with spaces between.
        modules: Where the rules are, base module first.
    """
    program, wanted, bodies = _Program(modules), entry.split(), dict[str, str]()
    for name in wanted:  # It grows meanwhile.
        if name not in bodies:
            bodies[name] = _Body(program, name, wanted).text()
    return _HEAD + "".join(bodies.values())
