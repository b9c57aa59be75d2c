"""SEGS: parts of a picture that a detector found, as Impact Pack hands them on.

Detectors are descriptions: which file, and of what kind. The image stage loads them.
"""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from graph.errors import ServiceError
from graph.values import Image, Link, Mask, ModelFile

MOST_PARTS = 1_000  # of one picture
Region = tuple[int, int, int, int]  # x1, y1, x2, y2
Box = tuple[float, float, float, float]


@dataclass(eq=False)
class TooManyPartsError(ServiceError):
    """A picture or mask with more parts than anything is done with."""

    status = 422
    code = "too_many_parts"
    template = "The picture has more than {limit} parts, which are allowed."
    limit: int


@dataclass(frozen=True, eq=False)
class Seg:
    """One part: its mask [h, w] (or [B, h, w]) within the region that is cut out around it."""

    mask: Mask
    confidence: float
    crop_region: Region
    bbox: Box
    label: str
    image: Image | None = None  # of the region, where it was drawn already

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the region."""
        x1, y1, x2, y2 = self.crop_region
        return x2 - x1, y2 - y1


@dataclass(frozen=True, eq=False)
class Segs:
    """The parts of a picture of `size`: its height and width."""

    link: ClassVar = Link("SEGS")
    size: tuple[int, int]
    items: tuple[Seg, ...] = ()

    def __post_init__(self) -> None:
        """Raises: TooManyPartsError."""
        if len(self.items) > MOST_PARTS:
            raise TooManyPartsError(MOST_PARTS)

    def of(self, items: Any) -> "Segs":
        """Other parts of the same picture."""
        return replace(self, items=tuple(items))


@dataclass(frozen=True)
class BboxDetector:
    """What finds boxes."""

    link: ClassVar = Link("BBOX_DETECTOR")
    file: ModelFile


@dataclass(frozen=True)
class SegmDetector:
    """What finds shapes. Without a file it finds nothing."""

    link: ClassVar = Link("SEGM_DETECTOR")
    file: ModelFile | None = None


@dataclass(frozen=True)
class SamModel:
    """What finds the shape of a thing at points or in a box."""

    link: ClassVar = Link("SAM_MODEL")
    file: ModelFile


@dataclass(frozen=True)
class SamHints:
    """What SAM is told of each part, under the names of Impact Pack's inputs."""

    detection_hint: str = "center-1"
    dilation: int = 0
    threshold: float = 0.93
    bbox_expansion: int = 0
    mask_hint_threshold: float = 0.7
    mask_hint_use_negative: str = "False"


@dataclass(frozen=True)
class Detection:
    """How boxes or shapes are looked for, under the names of Impact Pack's inputs."""

    threshold: float = 0.5
    dilation: int = 0
    crop_factor: float = 3.0
    drop_size: int = 1


def overlap(first: Region, second: Region) -> bool:
    """Whether two regions share a pixel."""
    return (
        first[0] < second[2]
        and second[0] < first[2]
        and first[1] < second[3]
        and second[1] < first[3]
    )
