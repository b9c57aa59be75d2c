"""Copies streams to a new file without decoding."""

from collections.abc import Mapping
from typing import BinaryIO

import av
from av.audio.stream import AudioStream
from av.stream import Stream
from av.video.stream import VideoStream

from media.containers import opened

MUXERS = {"mov": "mp4", "matroska": "matroska"}  # by the demuxer that read the file


def remux(content: bytes, target: BinaryIO, container: str, tags: Mapping[str, str]) -> None:
    """Copy video and audio packets to `target`; the file's own tags stay under `tags`.

    Raises:
        MediaUnreadableError: the file is broken, or `container` cannot hold its codecs.
    """
    with opened(content, wanted="video") as source:
        options = {"movflags": "use_metadata_tags"} if container == "mp4" else {}
        with av.open(target, mode="w", format=container, options=options) as file:
            file.metadata.update({**source.metadata, **tags})
            copies: dict[int, Stream] = {
                stream.index: file.add_stream_from_template(stream, opaque=True)
                for stream in source.streams
                if isinstance(stream, VideoStream | AudioStream)
            }
            for packet in source.demux():
                if packet.dts is not None and packet.stream.index in copies:
                    packet.stream = copies[packet.stream.index]
                    file.mux(packet)
