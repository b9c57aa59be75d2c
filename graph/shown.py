"""Shortens callers' values for error messages."""

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

LONGEST_TEXT = 200  # characters of a text that are repeated
LONGEST_MESSAGE = 500
MOST_ITEMS = 100  # of a list or an object; a combo may have as many choices
FEW_ITEMS = 5
DEEPEST = 4
JAVASCRIPT_BITS = 1023  # of the largest number it has


def shown_text(text: str, longest: int = LONGEST_TEXT) -> str:
    """A text, or its beginning and its length."""
    return text if len(text) <= longest else f"{text[:longest]}... ({len(text)} characters)"


def shown_value(value: Any, depth: int = DEEPEST, most_items: int = MOST_ITEMS) -> Any:
    """A JSON value with long texts and lists cut, and nothing nested deeper than `depth`."""
    if isinstance(value, Mapping | list | tuple):
        return _shown_items(value, depth, most_items) if depth else "..."
    if isinstance(value, str):
        return shown_text(value)
    huge = isinstance(value, int) and value.bit_length() > JAVASCRIPT_BITS
    return "a number of over 300 digits" if huge else value


def _shown_items(value: Mapping[Any, Any] | Sequence[Any], depth: int, most_items: int) -> Any:
    if isinstance(value, Mapping):
        items = islice(value.items(), MOST_ITEMS)
        return {shown_text(str(k)): shown_value(each, depth - 1, most_items) for k, each in items}
    more = [f"... ({len(value)} items)"] if len(value) > most_items else []
    return [shown_value(each, depth - 1, most_items) for each in value[:most_items]] + more


def quoted(value: Any) -> str:
    """A JSON value as a sentence repeats it."""
    return shown_text(json.dumps(shown_value(value), default=str, ensure_ascii=False))


def json_kind(value: object) -> str:
    """What JSON calls a value."""
    kinds = {dict: "an object", list: "a list", str: "text", bool: "a boolean"}
    return "null" if value is None else kinds.get(type(value), "a number")


def fitting(values: Iterable[Any], most_chars: int) -> tuple[list[Any], int]:
    """The first `values` that fit into so much JSON, cut as shown_value does, and how many do not.

    Half of the room is for values as they are; then only the beginnings of their lists are shown.
    """
    shown: list[Any] = []
    left_out = used = 0
    for value in values:
        if left_out:
            left_out += 1
            continue
        cut = shown_value(value)
        if used + len(json.dumps(cut)) > most_chars // 2:
            cut = shown_value(value, most_items=FEW_ITEMS)
        used += len(json.dumps(cut))
        if used > most_chars:
            left_out = 1
        else:
            shown.append(cut)
    return shown, left_out
