"""What happens while a segment runs, as it is told to whoever waits for it."""

from dataclasses import dataclass
from typing import Any, TypeAlias


@dataclass(frozen=True)
class Started:
    node_id: str


@dataclass(frozen=True)
class Progress:
    """A step of a long node. `preview` is a small JPEG of the picture so far, on request."""

    node_id: str
    step: int
    of: int
    preview: bytes | None = None


@dataclass(frozen=True)
class Warned:
    """Something a node did not do as asked, and went on."""

    node_id: str
    text: str


@dataclass(frozen=True, eq=False)
class Done:
    """A node has its outputs. `outputs` is None where nobody outside the segment needs them."""

    node_id: str
    seconds: float
    outputs: tuple[Any, ...] | None = None


StepEvent: TypeAlias = Started | Progress | Warned | Done
