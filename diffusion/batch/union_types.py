"""The control types of union ControlNets. (ComfyUI comfy/cldm/control_types.py)"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from graph.errors import ServiceError
from graph.values import ControlNet

TYPES: Mapping[str, int] = MappingProxyType(
    {
        "openpose": 0,
        "depth": 1,
        "hed/pidi/scribble/ted": 2,
        "canny/lineart/anime_lineart/mlsd": 3,
        "normal": 4,
        "segment": 5,
        "tile": 6,
        "repaint": 7,
    }
)


@dataclass(eq=False)
class UnionTypeError(ServiceError):
    """A type of hint that a union ControlNet was not trained on."""

    status = 422
    code = "union_type_unknown"
    template = "The union ControlNet {name} knows {count} types of hints, and not {type!r}."
    name: str
    count: int
    type: str


def union_type_index(net: ControlNet, count: int) -> int | None:
    """Which of `count` types a hint is of; None where it is not said."""
    index = TYPES.get(net.union_type)
    if index is not None and index >= count:
        raise UnionTypeError(net.file.name, count, net.union_type)
    return index
