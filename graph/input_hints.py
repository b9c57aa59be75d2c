"""What annotations of inputs say: marks, `| None`, and inputs that repeat or are mappings."""

import types
from dataclasses import dataclass
from typing import Annotated, Any, Union, get_args, get_origin


@dataclass(frozen=True)
class FileInside:
    """Marks `**inputs` that take any mapping; what is at `key` names a file of a models folder.

    The node gets a ModelFile there, where the mapping's value at `when` is true.
    """

    folder: str
    key: str
    when: str


@dataclass(frozen=True)
class Numbered:
    """Inputs that a type has `count` times, under names that end in _1, _2 ...: a TypedDict's."""

    each: type
    count: int


def mark(hint: Any, kind: type[Any]) -> Any:
    """The first annotation of `kind` on a type, or None."""
    found = hint.__metadata__ if get_origin(hint) is Annotated else ()
    return next((one for one in found if isinstance(one, kind)), None)


def without_none(hint: Any) -> tuple[Any, bool]:
    """`X | None` without its None, and whether it had one. Raises TypeError for other unions."""
    if get_origin(hint) not in {Union, types.UnionType}:
        return hint, False
    rest = [part for part in get_args(hint) if part is not type(None)]
    if len(rest) != 1:
        raise TypeError(hint)
    return rest[0], True
