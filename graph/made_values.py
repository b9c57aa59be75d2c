"""Bounds the size of the values that INLINE nodes produce during planning.

They join texts and apply changes to models. A few of them, linked one after the other, can double a
text or a description each time, so what they make is counted.

The limits are no settings, as what they protect does not depend on the machine: text is written
into every picture and answer, and may be a quarter of what a request may send; descriptions are
hashed and sent with every call of a stage, which loads their files one after the other; and they
are read by functions that call themselves several times a level, of which Python allows 1,000.
"""

from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

from graph.errors import ServiceError

MOST_TEXT = 16 * 2**20  # characters of all texts that they make
MOST_PARTS = 1_000  # descriptions in one: models, changes and files, each as often as it is there
MOST_NESTED = 100  # descriptions within each other: a merge of merged models


@dataclass(eq=False)
class MadeTooLargeError(ServiceError):
    """A text or a description that grew too large."""

    status = 422
    code = "custom_validation_failed"
    template = "It makes something of {count} {what}; at most {limit} are allowed."
    count: int
    what: str
    limit: int


@dataclass(frozen=True)
class _Size:
    value: object  # kept, so that its id stays its own
    parts: int = 0
    nested: int = 0


@dataclass
class MadeValues:
    """The values that nodes of one workflow made so far. A value that is passed on counts once."""

    _text: int = 0
    _sizes: dict[int, _Size] = field(default_factory=dict)  # by id

    def count(self, outputs: tuple[Any, ...]) -> None:
        """Count the outputs of a node.

        Raises:
            MadeTooLargeError: it is too large, or all of them together are.
        """
        texts = {id(text): text for text in outputs if isinstance(text, str)}
        new = {key: text for key, text in texts.items() if key not in self._sizes}
        if new:  # what fails does not count: others may still make something shorter
            made = self._text + sum(map(len, new.values()))
            check_text(made)
            self._text = made
            self._sizes |= {key: _Size(text) for key, text in new.items()}
        size = self._size(outputs)
        if size.parts > MOST_PARTS:
            raise MadeTooLargeError(size.parts, "changes and files", MOST_PARTS)
        if size.nested > MOST_NESTED:
            raise MadeTooLargeError(size.nested, "nested changes", MOST_NESTED)

    def _size(self, value: Any) -> _Size:
        if isinstance(value, list | tuple):
            inside = [self._size(item) for item in value]
            return _total(value, inside, 0)
        if not is_dataclass(value) or isinstance(value, type):
            return _Size(value)
        known = self._sizes.get(id(value))
        if known is None:
            inside = [self._size(getattr(value, part.name)) for part in fields(value)]
            known = self._sizes[id(value)] = _total(value, inside, 1)
        return known


def check_text(length: int) -> None:
    """Raises: MadeTooLargeError for a text that is too long."""
    if length > MOST_TEXT:
        raise MadeTooLargeError(length, "characters of text", MOST_TEXT)


def _total(value: object, inside: list[_Size], own: int) -> _Size:
    parts = sum(size.parts for size in inside) + own
    return _Size(value, parts, max((size.nested for size in inside), default=0) + own)
