"""The ways in which video is written: container, codec and its options, as data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType


@dataclass(frozen=True)
class VideoFormat:
    """One way to write video. `options` are the encoder's own (FFmpeg's names)."""

    container: str  # FFmpeg's muxer
    extension: str
    mime_type: str
    codec: str
    pixel_format: str
    options: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    bt709: bool = False  # convert to BT.709 in limited range and say so; else as FFmpeg defaults
    tag: str = ""  # the codec's name in the container, where players want another
    audio_codec: str = "aac"
    container_options: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    even: bool = True  # chroma at half the size: an odd picture is continued by its edge

    def with_options(self, **options: str) -> "VideoFormat":
        """The same with other options of the encoder."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return VideoFormat(**{**values, "options": {**self.options, **options}})


TAGS = {"movflags": "use_metadata_tags"}  # keep tags of any name in an MP4
MP4 = VideoFormat("mp4", ".mp4", "video/mp4", "libx264", "yuv420p", container_options=TAGS)
VP9 = VideoFormat("webm", ".webm", "video/webm", "libvpx-vp9", "yuv420p", audio_codec="libopus")
AV1 = VideoFormat(
    "webm",
    ".webm",
    "video/webm",
    "libsvtav1",
    "yuv420p10le",
    {"preset": "6"},
    audio_codec="libopus",
)
