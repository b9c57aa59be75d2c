"""Validation errors of request fields, worded from pydantic's findings."""

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from graph.problems import near_miss
from graph.shown import json_kind, shown_text

# pydantic's names of the members of a union, which are no names of fields.
TYPE_NAME = re.compile(
    r"(dict|list|tuple|str|int|float|bool|literal|function-\w+|constrained-\w+)(\[.*\])?"
)
WORDS: Mapping[str, str] = MappingProxyType(
    {
        "missing": "is required",
        "dict_type": "must be an object",
        "model_type": "must be an object",
        "model_attributes_type": "must be an object",
        "list_type": "must be a list",
        "tuple_type": "must be a list",
        "string_type": "must be text",
        "int_type": "must be a whole number",
        "int_parsing": "must be a whole number",
        "int_parsing_size": "must be a smaller number",
        "int_from_float": "must be a whole number",
        "float_type": "must be a number",
        "float_parsing": "must be a number",
        "finite_number": "must be a finite number",
        "bool_type": "must be true or false",
        "bool_parsing": "must be true or false",
        "none_required": "must be null",
        "greater_than": "must be more than {gt}",
        "greater_than_equal": "must be at least {ge}",
        "less_than": "must be less than {lt}",
        "less_than_equal": "must be at most {le}",
        "string_too_short": "must have at least {min_length} characters",
        "string_too_long": "must have at most {max_length} characters",
        "too_short": "must have at least {min_length} items",
        "too_long": "must have at most {max_length} items",
        "string_pattern_mismatch": "must match {pattern}",
        "literal_error": "must be {expected}",
        "enum": "must be {expected}",
    }
)


def field_facts(errors: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One fact for each wrong field: code, input, message, expected, received."""
    found: dict[str, dict[str, Any]] = {}
    for error in errors:
        fact = _fact(error)
        earlier = found.setdefault(fact["input"], fact)
        if earlier is not fact and fact["expected"] not in earlier["expected"]:  # of a union
            earlier["expected"] += f", or {fact['expected']}"
    for fact in found.values():
        fact["message"] = f"Field {shown_text(fact['input'])!r} {fact['expected']}."
    return list(found.values())


def unknown_fields(body: Iterable[str], known: Iterable[str]) -> list[dict[str, Any]]:
    """One fact for each field that a route does not have."""
    known = tuple(known)
    return [_unknown(name, known) for name in body if name not in known]


def _unknown(name: str, known: tuple[str, ...]) -> dict[str, Any]:
    near = near_miss(name, known)
    hint = f" Did you mean {near!r}?" if near else ""
    return {
        "code": "unknown_field",
        "input": name,
        "message": f"Field {shown_text(name)!r} is not known here.{hint}",
        "expected": f"one of: {', '.join(known)}",
        "received": name,
        "suggestion": near,
    }


def _fact(error: Mapping[str, Any]) -> dict[str, Any]:
    place = [str(part) for part in error["loc"] if part not in {"body", "query", "path"}]
    named = place[:1] + [part for part in place[1:] if not TYPE_NAME.fullmatch(part)]
    missing = error["type"] == "missing"
    return {
        "code": "missing_field" if missing else "invalid_field",
        "input": ".".join(named),
        "expected": in_words(error),
        "received": None if missing else received(error.get("input")),
    }


def in_words(error: Mapping[str, Any]) -> str:
    """What a field must be."""
    words = WORDS.get(error["type"])
    if words is None:
        return str(error["msg"]).removeprefix("Value error, ").replace("Input should", "must")
    return words.format(**error.get("ctx", {}))


def received(value: Any) -> Any:
    """A field's value; of objects and lists their kind alone."""
    return json_kind(value) if isinstance(value, dict | list) else value
