"""Expressions that nodes compute: Python's arithmetic, without Python.

What is computed is bounded: the length of an expression, the size of each number and text on the
way. Names and functions are those that the caller gives; nothing has attributes but what `parts`
gives. The operators are those of simpleeval, which ComfyUI's Math Expression uses.
"""

import ast
import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from graph.errors import ServiceError
from graph.shown import shown_text

LONGEST = 10_000  # characters
MOST_PARTS = 2_000  # operators, names and numbers of one expression
MOST_BITS = 65_536  # of a whole number
MOST_TEXT = 100_000  # characters of a text
MOST_DIGITS = 400  # that round() is asked for; a float has fewer


@dataclass(eq=False)
class ExpressionError(ServiceError):
    """An expression that cannot be computed."""

    status = 422
    code = "custom_validation_failed"
    template = "Input {name!r}: {expression!r} cannot be computed: {problem}."
    name: str
    expression: str
    problem: str


class _Refused(Exception):  # noqa: N818 - turned into an ExpressionError where the text is known
    """What is wrong with a part of an expression."""


def no_parts(_value: Any, _name: str) -> Any:
    """Nothing has attributes."""
    raise _Refused("a value has no attributes here")


@dataclass(frozen=True)
class Language:
    """What an expression may use besides operators, and what `and`, `or` and comparisons give.

    `parts` gives an attribute of a value, or raises KeyError.
    """

    functions: Mapping[str, Callable[..., Any]]
    bits: bool = False  # 1 and 0, where Python gives one of the values, True or False
    parts: Callable[[Any, str], Any] = field(default=no_parts)


def evaluate(text: str, names: Mapping[str, Any], language: Language, name: str) -> Any:
    """The value of an expression; `name` is the input that it stands in.

    Raises:
        ExpressionError: it is no expression, or has no value, or one that is too large.
    """
    try:
        return _value_of(text, names, language)
    except _Refused as refused:
        problem = str(refused)
    except SyntaxError:
        problem = "it is not an expression"
    except ZeroDivisionError:
        problem = "it divides by zero"
    except (RecursionError, MemoryError):
        problem = "it is nested too deeply"
    except (ArithmeticError, ValueError, TypeError, LookupError) as error:
        problem = str(error) or type(error).__name__
    raise ExpressionError(name, shown_text(text), problem)


def _value_of(text: str, names: Mapping[str, Any], language: Language) -> Any:
    if len(text) > LONGEST:
        raise _Refused(f"it is longer than {LONGEST} characters")
    if not text.strip():
        raise _Refused("it is empty")
    if "\0" in text:
        raise _Refused("it is not an expression")
    first, *_ = ast.parse(text.strip()).body  # of several lines simpleeval takes the first, too
    if not isinstance(first, ast.Expr):
        raise _Refused("it is not an expression")
    tree = first.value
    if sum(1 for _ in ast.walk(tree)) > MOST_PARTS:
        raise _Refused(f"it has more than {MOST_PARTS} parts")
    return _Evaluation(names, language).value(tree)


def _bounded(value: Any) -> Any:
    """A value that is small enough to go on with."""
    if isinstance(value, int) and value.bit_length() > MOST_BITS:
        raise _Refused(f"a number on the way has more than {MOST_BITS} bits")
    if isinstance(value, str) and len(value) > MOST_TEXT:
        raise _Refused(f"a text on the way has more than {MOST_TEXT} characters")
    return value


def _number(value: Any) -> Any:
    if not isinstance(value, int | float | complex):
        raise _Refused(f"{type(value).__name__} is not a number")
    return value


def _multiplied(a: Any, b: Any) -> Any:
    if isinstance(a, str) or isinstance(b, str):
        text, times = (a, b) if isinstance(a, str) else (b, a)
        if isinstance(times, int) and times * len(text) > MOST_TEXT:
            raise _Refused(f"a text on the way has more than {MOST_TEXT} characters")
        return text * times
    return _number(a) * _number(b)


def _added(a: Any, b: Any) -> Any:
    return a + b if isinstance(a, str) and isinstance(b, str) else _number(a) + _number(b)


def power(a: Any, b: Any) -> Any:
    """`a` to the power of `b`, where that is a number of a size to go on with."""
    whole = isinstance(_number(a), int) and isinstance(_number(b), int)
    if whole and a.bit_length() * abs(b) > MOST_BITS:
        raise _Refused(f"a number on the way has more than {MOST_BITS} bits")
    return a**b


def _shifted(a: Any, b: Any) -> Any:
    if isinstance(b, int) and b > MOST_BITS:
        raise _Refused(f"a number on the way has more than {MOST_BITS} bits")
    return a << b


def rounded(value: Any, digits: Any = None) -> Any:
    """Python's round(), for digits that a number can have."""
    if isinstance(digits, int) and abs(digits) > MOST_DIGITS:
        raise _Refused(f"round() takes at most {MOST_DIGITS} digits")
    return round(value, digits)


def numbers(operation: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """An operation for numbers alone: `%` would format texts, of any length."""
    return lambda a, b: operation(_number(a), _number(b))


BINARY: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = MappingProxyType(
    {
        ast.Add: _added,
        ast.Sub: numbers(operator.sub),
        ast.Mult: _multiplied,
        ast.Div: numbers(operator.truediv),
        ast.FloorDiv: numbers(operator.floordiv),
        ast.Mod: numbers(operator.mod),
        ast.Pow: power,
        ast.LShift: _shifted,
        ast.RShift: operator.rshift,
        ast.BitAnd: numbers(operator.and_),
        ast.BitOr: numbers(operator.or_),
        ast.BitXor: numbers(operator.xor),
    }
)
UNARY: Mapping[type[ast.unaryop], Callable[[Any], Any]] = MappingProxyType(
    {
        ast.UAdd: lambda a: +_number(a),
        ast.USub: lambda a: -_number(a),
        ast.Invert: operator.invert,
        ast.Not: operator.not_,
    }
)
COMPARISONS: Mapping[type[ast.cmpop], Callable[[Any, Any], bool]] = MappingProxyType(
    {
        ast.Eq: operator.eq,
        ast.NotEq: operator.ne,
        ast.Lt: operator.lt,
        ast.LtE: operator.le,
        ast.Gt: operator.gt,
        ast.GtE: operator.ge,
        ast.In: lambda a, b: a in b,
        ast.NotIn: lambda a, b: a not in b,
        ast.Is: operator.is_,
        ast.IsNot: operator.is_not,
    }
)


@dataclass(frozen=True)
class _Evaluation:
    names: Mapping[str, Any]
    language: Language

    def value(self, node: ast.expr) -> Any:
        return _bounded(self._part(node))

    def _part(self, node: ast.expr) -> Any:
        kinds: Mapping[type[ast.expr], Callable[[Any], Any]] = {
            ast.Constant: self._constant,
            ast.Name: lambda it: self._named(it.id),
            ast.BinOp: lambda it: BINARY[type(it.op)](self.value(it.left), self.value(it.right)),
            ast.UnaryOp: lambda it: self._bit(UNARY[type(it.op)](self.value(it.operand))),
            ast.Compare: lambda it: self._bit(self._compared(it)),
            ast.BoolOp: self._logic,
            ast.IfExp: lambda it: self.value(it.body if self.value(it.test) else it.orelse),
            ast.Subscript: lambda it: self.value(it.value)[self._place(it.slice)],
            ast.Call: self._called,
            ast.Attribute: lambda it: self.language.parts(self.value(it.value), it.attr),
        }
        if type(node) not in kinds or (isinstance(node, ast.BinOp) and type(node.op) not in BINARY):
            raise _Refused(f"{type(node).__name__} is not allowed in it")
        return kinds[type(node)](node)

    def _constant(self, node: ast.Constant) -> Any:
        if isinstance(node.value, int | float | str | None):
            return node.value
        raise _Refused(f"{type(node.value).__name__} is not allowed in it")

    def _bit(self, value: Any) -> Any:
        return int(value) if self.language.bits and isinstance(value, bool) else value

    def _named(self, name: str) -> Any:
        if name in self.names:
            return self.names[name]
        raise _Refused(f"there is no {name!r}; there are {', '.join(sorted(self.names))}")

    def _compared(self, node: ast.Compare) -> bool:
        left = self.value(node.left)
        for op, one in zip(node.ops, node.comparators, strict=True):
            right = self.value(one)
            if not COMPARISONS[type(op)](left, right):
                return False
            left = right
        return True

    def _logic(self, node: ast.BoolOp) -> Any:
        stops_at = isinstance(node.op, ast.Or)
        value: Any = not stops_at
        for one in node.values:
            value = self.value(one)
            if bool(value) is stops_at:
                break
        return int(bool(value)) if self.language.bits else value

    def _place(self, node: ast.expr) -> Any:
        if isinstance(node, ast.Slice):
            parts = (node.lower, node.upper, node.step)
            return slice(*(None if part is None else self.value(part) for part in parts))
        return self.value(node)

    def _called(self, node: ast.Call) -> Any:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        function = self.language.functions.get(name)
        if function is None or node.keywords:
            known = ", ".join(sorted(self.language.functions))
            raise _Refused(f"there is no such call of {name!r}; there are {known}")
        return function(*(self.value(one) for one in node.args))


def total(*values: Any) -> Any:
    """The sum of its arguments, or of the list that is its only one."""
    given = values[0] if len(values) == 1 and isinstance(values[0], list | tuple) else values
    return sum(_number(value) for value in given)


def finite(value: Any, text: str, name: str) -> float:
    """The value of an expression as a float.

    Raises:
        ExpressionError: it is no number, not finite, or too large.
    """
    if not isinstance(value, int | float):
        raise ExpressionError(name, shown_text(text), f"it gives {type(value).__name__}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ExpressionError(name, shown_text(text), "it gives no number that a float can hold")
    return number
