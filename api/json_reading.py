"""Parses JSON bodies within limits on size and nesting, off the event loop where large."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from json import JSONDecoder, detect_encoding
from json.scanner import py_make_scanner  # type: ignore[attr-defined]
from typing import Any

from graph.errors import ServiceError

QUICK_BYTES = 64 * 1024  # read in a few milliseconds
MOST_PLAIN = 20_000  # values in a body without a workflow, read beside the event loop
MOST_HERE = 100_000  # values in one with a workflow that no other process reads: 5,000 nodes
MOST_KEYS = 1000  # in the beginning of a body, of all its objects
STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
NEXT_KEY = re.compile(  # what stands before it, and its value where that is a string
    rb'((?:[^"]++|(?!"key"\s*+:)%b)*+)"key"\s*+:\s*+(%b)?' % (STRING.pattern, STRING.pattern),
    re.DOTALL,
)


@dataclass(frozen=True)
class BodyLimits:
    """How large a request's body may be: its bytes, the values in it, how deep they are nested.

    `most_held_bytes`: of all bodies that are read at once.
    """

    most_bytes: int = 64 * 2**20
    most_values: int = 1_000_000
    most_nested: int = 200
    most_held_bytes: int = 2**30

    def of_plain_bodies(self) -> "BodyLimits":
        """Of bodies that hold no workflow."""
        return replace(self, most_values=min(self.most_values, MOST_PLAIN))

    def of_bodies_read_here(self) -> "BodyLimits":
        """Of bodies with a workflow that no other process reads."""
        return replace(self, most_values=min(self.most_values, MOST_HERE))


@dataclass(eq=False)
class TooManyValuesError(ServiceError):
    """A body of very many small values, which take long to read and much memory."""

    status = 413
    code = "too_many_values"
    template = "The request body holds more than {limit} values."
    limit: int


@dataclass(eq=False)
class TooDeepError(ServiceError):
    """A body whose values are nested very deep."""

    status = 400
    code = "too_deep"
    template = "The request body is nested more than {limit} levels deep."
    limit: int


def read_json_text(raw: bytes, limits: BodyLimits) -> Any:
    """The value that JSON says, as json.loads reads it.

    Raises:
        ValueError, RecursionError: it is no JSON.
        TooManyValuesError, TooDeepError: it is over a limit.
    """
    return checked_value(raw, limits, json_value)


def checked_value(raw: bytes, limits: BodyLimits, read: Callable[[bytes], Any]) -> Any:
    """What `read` makes of JSON, within limits. Raises: as `read_json_text`."""
    if most_values(raw) > limits.most_values:
        raise TooManyValuesError(limits.most_values)
    value = read(raw)
    deepest = raw.count(b"[") + raw.count(b"{")
    if deepest > limits.most_nested and _nested(value) > limits.most_nested:
        raise TooDeepError(limits.most_nested)
    return value


def most_values(raw: bytes) -> int:
    """How many values JSON may hold at most; quick."""
    return raw.count(b",") + raw.count(b"[") + raw.count(b"{")


def json_value(raw: bytes) -> Any:
    """As json.loads.

    The fast reader keeps the interpreter to itself until it is done. A large text is read by the
    slow one of the same library, which lets other threads go on.
    """
    if len(raw) <= QUICK_BYTES:
        return json.loads(raw)
    decoder = JSONDecoder()
    setattr(decoder, "scan_once", py_make_scanner(decoder))  # noqa: B010 - no type tells of it
    return decoder.decode(raw.decode(detect_encoding(raw), "surrogatepass"))


def _nested(value: Any) -> int:
    """How many lists and objects are within each other, at most."""
    deep, level = 0, [value]
    while level := [item for item in level if isinstance(item, dict | list)]:
        deep += 1
        level = [
            inside
            for item in level
            for inside in (item.values() if isinstance(item, dict) else item)
        ]
    return deep


def key_in_head(head: bytes) -> str | None:
    """The text "key" is in an object of which only the beginning is there; None without one.

    Anybody may send this, so that the text between names is skipped by the regular expression, not
    a token at a time.
    """
    found, depth, at = None, 0, 0
    for _ in range(MOST_KEYS):
        match = NEXT_KEY.match(head, at)
        if match is None:
            break
        at = match.end()
        between = STRING.sub(b"", match[1])
        depth += sum(map(between.count, (b"{", b"["))) - sum(map(between.count, (b"}", b"]")))
        if depth == 1 and match[2]:
            found = _text(match[2]) or found
    return found


def _text(token: bytes) -> str | None:
    try:
        return str(json.loads(token))
    except ValueError:
        return None
