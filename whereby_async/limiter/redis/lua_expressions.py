"""Expressions of the translated subset of Python, in Lua; `translator.py` says which they are."""

from __future__ import annotations

import ast
import inspect
from typing import TYPE_CHECKING, Any, Final, NoReturn

from .lua_types import BOOL, NUM, STR, Type, Value, annotated, literal, lua_field, lua_name, parameters

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .lua_rules import Rules

_SIGNS: Final = dict(
    pair.split("=", 1)
    for pair in [
        "Add=+",
        "Sub=-",
        "Mult=*",
        "Div=/",
        "Pow=^",
        "And=and",
        "Or=or",
        "Lt=<",
        "LtE=<=",
        "Gt=>",
        "GtE=>=",
        "Eq===",
        "NotEq=~=",
        "Is===",
        "IsNot=~=",
        "In=~=",
        "NotIn===",
        "Mod=py_mod",
        "FloorDiv=py_div",
        "BitAnd=py_band",
        "BitOr=py_bor",
    ]
)
_CALLS: Final = {
    **{f"num {name} 1": f"py_{name}(…)" for name in ("int", "abs", "ceil", "floor", "sqrt", "exp")},
    **{f"num {name} {count}": f"py_{name}(…)" for name in ("min", "max") for count in range(2, 9)},
    **{f"list {name} 1": f"py_{name}(py_unpack(…))" for name in ("min", "max")},
    "num float 1": "…",
    "list sum 1": "py_sum(…)",
    "list len 1": "(#…)",
    "dict len 1": "py_count(…)",
    "list .append 2": "py_insert(…)",
    "list .pop 1": "py_remove(…)",
    "list .pop 2": "py_remove(… + 1)",
    "list .clear 1": "py_clear(…)",
    "dict .clear 1": "py_clear(…)",
    "dict .get 2": "py_get(…)",
    "dict .get 3": "py_get(…)",
    "dict .pop 2": "py_pop(…)",
    "dict .pop 3": "py_pop(…)",
}
"""By the first value's type, the name, and how many values there are, a method's own among them."""
_NO_FIELDS: Final = {"num", "bool", "str", "list", "tuple", "dict", "None"}


class Expressions:
    """Those of one function.

    Attributes:
        types: What is known of its parameters and variables.
    """

    def __init__(self, rules: Rules, name: str) -> None:
        self.rules, self.function = rules, rules.functions[name]
        node = self.function.node
        if not inspect.isfunction(self.function.called) or node.args.vararg or node.args.kwarg:
            self.refuse(node)
        self.types = {name: each.type for name, each in parameters(self.function.called).items()}
        self.parameters = list(self.types)
        if self.function.method:
            self.types[self.parameters[0]] = Type(rules.state)
        stored = {part.id for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)}
        self.locals = sorted(stored - self.types.keys())

    def refuse(self, node: Any, why: str = "is not in the translated subset of Python") -> NoReturn:
        """Say where and what."""
        text = ast.unparse(node).partition("\n")[0]
        raise SyntaxError(f"{self.function.module.__file__}:{node.lineno}: {type(node).__name__} `{text}` {why}")

    def ours(self, name: str) -> bool:
        """Is it a parameter or a variable?"""
        return name in self.types or name in self.locals

    def method(self, node: ast.AST) -> bool:
        """Is it `self.name` of a method or a property?"""
        if not (self.function.method and isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)):
            return False
        return node.value.id == self.parameters[0] and node.attr in self.rules.functions

    def pure(self, node: ast.expr) -> bool:
        """May it be evaluated twice?"""
        return not any(isinstance(part, ast.Call) or self.method(part) for part in ast.walk(node))

    def constant(self, node: ast.expr) -> Value | None:
        """A constant, of this module or of one that it knows."""
        known = vars(self.function.module)
        match node:
            case ast.Constant(value=value):
                return literal(value)
            case ast.Name(id=name) if not self.ours(name):
                return literal(known.get(name, ...))
            case ast.Attribute(value=ast.Name(id=name), attr=attr) if not self.ours(name):
                return literal(getattr(known.get(name), attr, ...))
            case _:
                return None

    def value(self, node: ast.expr) -> Value:  # noqa: C901, PLR0911, PLR0912 - one case for each construct
        """An expression, in brackets where it needs them, and what is known of it."""
        if constant := self.constant(node):
            return constant
        match node:
            case ast.Name(id=name) if self.ours(name):
                return lua_name(name), self.types.get(name, Type())
            case ast.Attribute() if self.method(node):
                return self.call(node, node, [])
            case ast.Attribute(value=base, attr=name):
                return self.field(node, name, *self.value(base))
            case ast.Subscript(value=base, slice=index):
                text, kind = self.value(base)
                text = f"({text})" if text.startswith("{") else text
                return f"{text}[{self.index(node, text, kind)}]", kind.item(getattr(index, "value", 0))
            case ast.BinOp(left, ast.Add(), right) if self.value(left)[1] == self.value(right)[1] == STR:
                return f"({self.value(left)[0]} .. {self.value(right)[0]})", STR
            case ast.BinOp(left, op, right):
                one, other = self.number(left), self.number(right)
                sign = _SIGNS.get(type(op).__name__) or self.refuse(node)
                return (f"{sign}({one}, {other})" if sign.startswith("py_") else f"({one} {sign} {other})"), NUM
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return f"(-{self.number(operand)})", NUM
            case ast.UnaryOp(op=ast.Not()):
                return self.test(node), BOOL
            case ast.BoolOp():
                return self.either(node)
            case ast.Compare(left=left, ops=ops, comparators=others):
                return self.compared(node, self.value(left), ops, others), BOOL
            case ast.IfExp(test, body, orelse):
                (one, kind), (other, other_kind) = self.value(body), self.value(orelse)
                if kind.name in {"num", "str", "list", "tuple", "dict"} and not kind.optional:
                    return f"({self.test(test)} and {one} or {other})", kind.joined(other_kind)
                choice = f"if {self.test(test)} then return {one} end return {other}"
                return f"(function() {choice} end)()", kind.joined(other_kind)
            case ast.List(elts=elements) | ast.Tuple(elts=elements):
                found = [self.value(element) for element in elements]
                of = tuple(kind for _, kind in found)
                kind = Type("tuple", of) if isinstance(node, ast.Tuple) else Type("list", of[: len(set(of)) == 1])
                return f"{{ {', '.join(text for text, _ in found)} }}", kind
            case ast.Dict(keys=[]):
                return "{}", Type("dict")
            case ast.Call(func=ast.Name(id="cast"), args=[kind, value]):
                return self.value(value)[0], annotated(kind)
            case ast.Call(func=ast.Name(id="bool"), args=[value]):
                return self.test(value), BOOL
            case ast.Call(func=func, args=args):
                return self.call(node, func, args, node.keywords)
            case _:
                return self.refuse(node)

    def number(self, node: ast.expr) -> str:
        """An expression that is a number, for all that is known."""
        text, kind = self.value(node)
        return text if kind.name in {"num", ""} else self.refuse(node, "is no number")

    def field(self, node: ast.Attribute, name: str, text: str, kind: Type) -> Value:
        """`a.b`."""
        fields = self.rules.fields.get(kind.name)
        if kind.name in _NO_FIELDS or (fields is not None and name not in fields):
            self.refuse(node, "is no field")
        return lua_field(text, name), fields[name].type if fields else Type()

    def index(self, node: ast.Subscript, text: str, kind: Type) -> str:
        """Where in a list or a dict; Lua counts from 1."""
        if kind.name == "dict":
            return self.value(node.slice)[0]
        if kind.name not in {"list", "tuple"}:
            self.refuse(node, "looks into what is not known to be a list or a dict")
        match node.slice:
            case ast.Constant(value=int(number)):
                return str(number + 1)
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=1)) if self.pure(node.value):
                return f"#{text}"
            case ast.UnaryOp() | ast.Slice():
                return self.refuse(node)
            case _:
                return f"{self.number(node.slice)} + 1"

    # Truth

    def test(self, node: ast.expr) -> str:
        """Is it true? In Python a zero and what is empty are not."""
        match node:
            case ast.BoolOp(op=op, values=values):
                return f"({f' {_SIGNS[type(op).__name__]} '.join(map(self.test, values))})"
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return f"(not {self.test(operand)})"
            case _:
                return self.truth(*self.value(node))

    def truth(self, text: str, kind: Type) -> str:
        """The same of a value."""
        if kind.name == "bool" or kind.name in self.rules.fields:
            return text if kind.name == "bool" else f"({text} ~= nil)"
        tests = {"num": f"({text} ~= 0)", "list": f"(#{text} > 0)", "dict": f"(py_next({text}) ~= nil)"}
        return f"py_truth({text})" if kind.optional else tests.get(kind.name, f"py_truth({text})")

    def either(self, node: ast.BoolOp) -> Value:
        """`a or b`, `a and b` as a value."""
        *firsts, (text, kind) = map(self.value, node.values)
        word = _SIGNS[type(node.op).__name__]
        for one, one_kind in reversed(firsts):
            if one_kind.name == "bool" or one_kind.name in self.rules.fields:
                text = f"({one} {word} {text})"
            else:
                unless = "" if word == "or" else "not "
                choice = f"if {unless}{self.truth('py_v', one_kind)} then return py_v end return {text}"
                text = f"(function() local py_v = {one} {choice} end)()"
            kind = kind.joined(one_kind._replace(optional=False) if word == "or" else one_kind)
        return text, kind

    def compared(self, node: ast.Compare, one: Value, ops: list[ast.cmpop], others: list[ast.expr]) -> str:
        """`a < b < c`; what stands between is evaluated once, if that matters."""
        other = self.value(others[0])
        if len(others) == 1:
            return self.pair(node, one, ops[0], other)
        if self.pure(others[0]):
            return f"({self.pair(node, one, ops[0], other)} and {self.compared(node, other, ops[1:], others[1:])})"
        first = self.pair(node, ("py_a", one[1]), ops[0], ("py_b", other[1]))
        rest = self.compared(node, ("py_b", other[1]), ops[1:], others[1:])
        return f"(function() local py_a, py_b = {one[0]}, {other[0]} return {first} and {rest} end)()"

    def pair(self, node: ast.Compare, one: Value, op: ast.cmpop, other: Value) -> str:
        """One comparison."""
        (left, kind), (right, other_kind), sign = one, other, _SIGNS[type(op).__name__]
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
                return self.refuse(node)

    # Calls

    def call(self, node: Any, func: ast.expr, args: list[ast.expr], keywords: Sequence[ast.keyword] = ()) -> Value:
        """A method or a function, translated or known; a variable; a new instance."""
        name = getattr(func, "id", "") or getattr(func, "attr", "")
        if isinstance(func, ast.Name) and self.ours(name) and not keywords:
            return f"{lua_name(name)}({', '.join(self.value(arg)[0] for arg in args)})", Type()
        if isinstance(func, ast.Name) and name in self.rules.fields:
            self.rules.made[name] = None
            fields = self.given(node, getattr(self.function.module, name), args, keywords, 0)
            texts = ", ".join(f"{lua_field('', key)} = {text}" for key, text in fields.items())
            return f"New.{name}({{ {texts} }})", Type(name)
        if self.method(func) or (isinstance(func, ast.Name) and name in self.rules.functions):
            function = self.rules.functions[name]
            if function.method != self.method(func) or isinstance(function.made, property) is not (node is func):
                self.refuse(node)
            self.rules.wanted.append(name)
            given = [lua_name(self.parameters[0])] if function.method else []
            given += self.given(node, function.called, args, keywords, len(given)).values()
            return f"M.{lua_name(name)}({', '.join(given)})", annotated(function.node.returns)
        if keywords or not isinstance(func, ast.Name | ast.Attribute):
            self.refuse(node)
        if isinstance(func, ast.Attribute) and ast.unparse(func.value) != "math":
            return self.known(node, f".{name}", [func.value, *args])
        return self.known(node, name, args)

    def known(self, node: ast.Call, name: str, args: list[ast.expr]) -> Value:
        """A function of Python's own, or a method of a list or a dict."""
        found = [self.value(arg) for arg in args] or self.refuse(node)
        kind = found[0][1]
        pattern = _CALLS.get(f"{(kind.name or 'num').replace('tuple', 'list')} {name} {len(args)}") or self.refuse(node)
        if "py_remove" in pattern and found[1:] and found[1][0].startswith("(-"):
            self.refuse(node)
        if kind.name in {"num", ""} and any(other.name not in {"num", ""} for _, other in found):
            self.refuse(node)
        result = kind.item() if name in {".get", ".pop"} else NUM
        return pattern.replace("…", ", ".join(text for text, _ in found)), result._replace(
            optional=name == ".get" or result.optional
        )

    def given(
        self, node: Any, made: Any, args: list[ast.expr], keywords: Sequence[ast.keyword], skip: int
    ) -> dict[str, str]:
        """What a call gives for each parameter; defaults that are no constants are left out."""
        wanted = dict([*parameters(made).items()][skip:])
        given = dict(zip(wanted, args, strict=False)) | {str(each.arg): each.value for each in keywords}
        if len(given) < len(args) + len(keywords) or not given.keys() <= wanted.keys():
            self.refuse(node)
        found: dict[str, str] = {}
        for name, parameter in wanted.items():
            if name in given:
                found[name] = self.value(given[name])[0]
            elif parameter.required:
                self.refuse(node, f"lacks {name}")
            elif constant := literal(parameter.default):
                found[name] = constant[0]
        return found
