"""Files that output nodes make: encoded, and not yet named or stored."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Medium = Literal["image", "video", "audio", "file"]


@dataclass(frozen=True, eq=False)
class NewFile:
    """An encoded file, and what its name and its entry in the outputs are made of."""

    content: Any  # bytes; between processes a Handle of them
    prefix: str  # as the node was given it
    extension: str  # ".png"
    type: Medium
    mime_type: str
    width: int | None = None
    height: int | None = None
    batch_num: int = 0  # its place in the batch, for %batch_num%
    batch_size: int = 1
    tail: str = "_"  # what its name has between number and extension
    temporary: bool = False
    sent: bool = False  # to the job's client, where it has one, instead of being stored
    facts: Mapping[str, Any] = field(default_factory=dict)  # of video and audio: fps, frames ...
    poster_tail: str = ".poster.jpg"  # what the poster's name has after the number
    poster: Any = None  # a JPEG of a video's first frame; bytes, or a Handle of them
