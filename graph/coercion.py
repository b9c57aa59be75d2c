"""Converts workflow constants to the types of their inputs, as ComfyUI's execution.py does."""

from collections.abc import Callable, Mapping
from typing import Any

from graph.node import Input
from graph.problems import Problem
from graph.shown import quoted

SAID_NO = frozenset({"false", "no", "off", "0"})


class Refused(Exception):  # noqa: N818 - a refusal, turned into a Problem where the node is known
    """A value that an input does not take."""

    def __init__(self, code: str, message: str, **facts: Any) -> None:
        super().__init__(message)
        self.problem = Problem(code, message, **facts)


def coerced(kind: str, value: Any) -> Any:
    """A constant in the type of its input, as ComfyUI converts it."""
    converters: Mapping[str, Callable[[Any], Any]] = {
        "INT": int,
        "FLOAT": float,
        "STRING": _text,
        "BOOLEAN": _boolean,
    }
    try:
        return converters[kind](value)
    except (TypeError, ValueError, OverflowError):
        said = f"{quoted(value)} is not of type {kind}."
        raise Refused("invalid_input_type", said, expected=kind, received=value) from None


def takes(kind: str, value: Any) -> bool:
    """Whether an input of a type that is no widget's takes a constant: any, or one of several."""
    kinds: Mapping[str, type | tuple[type, ...]] = {
        "INT": int,
        "FLOAT": (int, float),
        "STRING": str,
        "BOOLEAN": bool,
        "*": object,
    }
    given = (kinds[part] for part in map(str.strip, kind.split(",")) if part in kinds)
    return any(isinstance(value, one) for one in given)


def _text(value: Any) -> str:
    if isinstance(value, dict | list):
        raise TypeError
    return str(value)


def _boolean(value: Any) -> bool:
    """As in ComfyUI any text is true ("enable", "disable"), except what callers send for no."""
    no = isinstance(value, str) and value.strip().lower() in SAID_NO
    return bool(value) and not no


def in_range(declared: Input, value: Any) -> Any:
    """A constant that its widget allows."""
    low, high = declared.widget.min, declared.widget.max
    if declared.type not in {"INT", "FLOAT"}:
        return value
    if value != value:  # noqa: PLR0124 - NaN
        raise Refused("invalid_input_type", "It is not a number.", received="NaN")
    if low is not None and value < low:
        said = f"{value} is smaller than {low}."
        raise Refused("value_smaller_than_min", said, expected={"min": low}, received=value)
    if high is not None and value > high:
        said = f"{value} is bigger than {high}."
        raise Refused("value_bigger_than_max", said, expected={"max": high}, received=value)
    return value
