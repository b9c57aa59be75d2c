"""The files that the hosted API's videos come in."""

from collections.abc import Mapping
from types import MappingProxyType

from api.hosted.draft import Draft
from api.hosted.fields import VideoType

FORMATS: Mapping[VideoType, str] = MappingProxyType({"mp4": "video/h264-mp4", "gif": "image/gif"})


def save_as(draft: Draft, kind: VideoType, fps: int) -> None:
    draft.set("Save", format=FORMATS[kind], frame_rate=fps)


def file_ending(kind: VideoType) -> str:
    """What follows a file's number."""
    return f".{kind}"
