"""Content keys: digests by which equal values are equal, in any process."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

from graph.values import InputFile

SHORT = 256  # characters of a text that stands for itself


@dataclass
class Digests:
    """Content keys of many values that share parts; a shared part is looked at once.

    A description that is built on another holds it whole (models that are merged with themselves
    double at each step), and a long text may go to every node, so that without this the work would
    be the product of nodes and sizes.
    """

    _known: dict[int, tuple[Any, str]] = field(default_factory=dict)  # by id; kept, so it stays its

    def key(self, value: Any) -> str:
        """A digest of a value made of JSON's types, descriptions and files."""
        return _digest(self._canonical(value))

    def _canonical(self, value: Any) -> Any:
        if isinstance(value, str):
            return value if len(value) <= SHORT else ["text", self._shared(value, value)]
        if isinstance(value, InputFile):
            return ["InputFile", value.sha256]
        if is_dataclass(value) and not isinstance(value, type):
            return [type(value).__name__, self._described(value)]
        if isinstance(value, Mapping):
            return {str(name): self._canonical(item) for name, item in value.items()}
        if isinstance(value, list | tuple):
            return ["", *(self._canonical(item) for item in value)]  # no name of a class or kind
        return value if isinstance(value, int | float | bool | None) else repr(value)

    def _described(self, value: Any) -> str:
        known = self._known.get(id(value))
        if known is None:
            parts = [self._canonical(getattr(value, part.name)) for part in fields(value)]
            return self._shared(value, parts)
        return known[1]

    def _shared(self, value: Any, said: Any) -> str:
        if id(value) not in self._known:
            self._known[id(value)] = value, _digest(said)
        return self._known[id(value)][1]


def content_key(value: Any) -> str:
    """A digest by which equal values are equal, in any process."""
    return Digests().key(value)


def _digest(said: Any) -> str:
    text = json.dumps(said, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
