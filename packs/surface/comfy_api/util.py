"""comfy_api.util: parts of videos."""

from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from typing import Any


class VideoCodec(str, Enum):  # noqa: UP042 - as ComfyUI's, it is a text
    """How a video is coded."""

    AUTO = "auto"
    H264 = "h264"

    @classmethod
    def as_input(cls) -> list[str]:
        return [one.value for one in cls]


class VideoContainer(str, Enum):  # noqa: UP042
    """What a video file is."""

    AUTO = "auto"
    MP4 = "mp4"

    @classmethod
    def as_input(cls) -> list[str]:
        return [one.value for one in cls]

    @classmethod
    def get_extension(cls, value: Any) -> str:
        return "mp4" if value in {cls.MP4, cls.AUTO, "mp4", "auto"} else ""


@dataclass
class VideoComponents:
    """Frames [B, H, W, C], their rate, and sound."""

    images: Any
    frame_rate: Fraction
    audio: Any = None
    metadata: Any = None


@dataclass
class MESH:
    """A mesh."""

    vertices: Any
    faces: Any


@dataclass
class VOXEL:
    """Voxels."""

    data: Any
