"""Values put into a text, by Python's format strings; no attributes, and no endless widths."""

import re
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from graph.errors import ServiceError
from graph.made_values import check_text
from graph.shown import shown_text

WIDEST = 1_000  # characters that a format may pad a value to, or digits that it may ask for
CONVERSIONS: Mapping[str | None, Callable[[Any], Any]] = MappingProxyType(
    {None: lambda value: value, "s": str, "r": repr, "a": ascii}
)
FIELD = re.compile(r"(\w+)((?:\[\w+\])*)")
PLACE = re.compile(r"\[(\w+)\]")


@dataclass(eq=False)
class FormatError(ServiceError):
    """A text that values cannot be put into."""

    status = 422
    code = "custom_validation_failed"
    template = "Input {name!r}: {text!r} cannot be filled: {problem}."
    name: str
    text: str
    problem: str


def formatted(text: str, values: Mapping[str, Any], name: str) -> str:
    """`text` with its `{fields}` filled in; `name` is the input that it stands in.

    Raises:
        FormatError: it is no format string, asks for what is not there, or for too much of it.
    """
    try:
        return _filled(text, values, nested=0)
    except (ValueError, TypeError, LookupError, OverflowError) as error:
        raise FormatError(name, shown_text(text), str(error).strip("'\"")) from error


def _filled(text: str, values: Mapping[str, Any], nested: int) -> str:
    if nested > 1:
        raise ValueError("fields are nested too deeply")  # noqa: TRY003 - told by FormatError
    parts: list[str] = []
    length = 0
    for literal, field, spec, conversion in string.Formatter().parse(text):
        parts.append(literal)
        if field is not None:
            asked = _filled(spec, values, nested + 1) if spec else ""
            if any(int(digits[:9]) > WIDEST for digits in re.findall(r"\d+", asked)):
                raise ValueError(f"a width of more than {WIDEST}")  # noqa: TRY003
            parts.append(format(CONVERSIONS[conversion](_value(field, values)), asked))
        length += sum(map(len, parts[-2:]))
        check_text(length)
    return "".join(parts)


def _value(field: str, values: Mapping[str, Any]) -> Any:
    found = FIELD.fullmatch(field)
    if found is None:
        raise ValueError(f"a field is a name, and maybe [a place], not {shown_text(field)!r}")  # noqa: TRY003
    if found[1] not in values:
        raise LookupError(f"there is no {shown_text(found[1])!r}")  # noqa: TRY003
    value = values[found[1]]
    for place in PLACE.findall(found[2]):
        value = value[int(place) if place.isdigit() else place]
    return value
