"""The ways in which video is written: container, codec and its options, as data."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
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
        return replace(self, options={**self.options, **options})


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
H264_MKV = VideoFormat("matroska", ".mkv", "video/x-matroska", "libx264", "yuv420p")
AV1_MP4 = VideoFormat(
    "mp4",
    ".mp4",
    "video/mp4",
    "libsvtav1",
    "yuv420p10le",
    {"preset": "6"},
    container_options=TAGS,
)
AV1_MKV = VideoFormat(
    "matroska", ".mkv", "video/x-matroska", "libsvtav1", "yuv420p10le", {"preset": "6"}
)
# ComfyUI's SaveVideo, by container and codec; "auto" is the first that fits.
SAVED_AS: Mapping[tuple[str, str], VideoFormat] = MappingProxyType(
    {
        ("mp4", "h264"): MP4,
        ("mp4", "av1"): AV1_MP4,
        ("mkv", "h264"): H264_MKV,
        ("mkv", "av1"): AV1_MKV,
        ("webm", "av1"): AV1,
    }
)


def saved_as(container: str, codec: str) -> VideoFormat | None:
    """The format of a container and codec, of which each may be "auto"; None: there is none."""
    for (of, coded), how in SAVED_AS.items():
        if container in {"auto", of} and codec in {"auto", coded}:
            return how
    return None


def _in_bt709(how: VideoFormat, crf: str) -> VideoFormat:
    """A format as VideoHelperSuite writes it: in BT.709, with a quality of its own."""
    return replace(how, options={**how.options, "crf": crf}, bt709=True)


H265 = VideoFormat(
    "mp4",
    ".mp4",
    "video/mp4",
    "libx265",
    "yuv420p10le",
    {"preset": "medium", "x265-params": "log-level=none"},
    tag="hvc1",
    container_options=TAGS,
)
PRORES = VideoFormat(
    "mov",
    ".mov",
    "video/quicktime",
    "prores_ks",
    "yuv422p10le",
    {"profile": "3"},
    bt709=True,
    audio_codec="pcm_s16le",
    container_options=TAGS,
)
FFV1 = VideoFormat(
    "matroska", ".mkv", "video/x-matroska", "ffv1", "yuv444p", {"level": "3"}, audio_codec="flac"
)
# What VideoHelperSuite's VHS_VideoCombine calls them. Those of NVENC are encoded on cores.
COMBINED_AS: Mapping[str, VideoFormat] = MappingProxyType(
    {
        "video/av1-webm": _in_bt709(AV1, "23"),
        "video/ffv1-mkv": FFV1,
        "video/h264-mp4": _in_bt709(MP4, "19"),
        "video/h265-mp4": _in_bt709(H265, "22"),
        "video/nvenc_av1-mp4": _in_bt709(AV1_MP4, "23"),
        "video/nvenc_h264-mp4": _in_bt709(MP4, "19"),
        "video/nvenc_hevc-mp4": _in_bt709(H265, "22"),
        "video/ProRes": PRORES,
        "video/webm": _in_bt709(VP9, "20"),
    }
)
