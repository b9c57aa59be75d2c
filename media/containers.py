"""Opens untrusted media files: allow-listed formats and codecs, no references to other files."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import av
from av.container import InputContainer
from av.error import FFmpegError

from media.limits import MediaUnreadableError

# Demuxers that read one self-contained file. Playlists (hls, dash, concat, sdp ...) name others.
FORMATS = (
    "mov", "matroska", "avi", "flv", "mpegts", "mpeg", "asf", "gif", "apng", "ivf", "m4v",
    "wav", "w64", "mp3", "flac", "ogg", "aac", "aiff", "caf",
)  # fmt: skip
DECODERS = (
    "h264", "hevc", "vp8", "vp9", "libvpx-vp9", "av1", "libdav1d", "mpeg4", "mpeg2video",
    "mpeg1video", "msmpeg4v2", "msmpeg4v3", "h263", "flv", "wmv2", "vc1", "wmv3", "theora",
    "prores", "dnxhd", "ffv1", "huffyuv", "utvideo", "qtrle", "mjpeg", "png", "apng", "gif",
    "rawvideo",
    "aac", "mp3", "mp3float", "mp2", "opus", "libopus", "vorbis", "flac", "alac", "ac3", "eac3",
    "wmav2", "pcm_u8", "pcm_s8", "pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be", "pcm_s32le",
    "pcm_s32be", "pcm_f32le", "pcm_f32be", "pcm_f64le", "pcm_mulaw", "pcm_alaw", "adpcm_ms",
    "adpcm_ima_wav",
)  # fmt: skip
WORDS = 200  # characters of a library's message that a caller is shown
BROKEN_FILE = (  # what PyAV raises on bytes that are not as they should be
    FFmpegError,
    ValueError,
    ArithmeticError,
    LookupError,
    EOFError,
    MemoryError,
    AttributeError,
    TypeError,
)


@contextmanager
def opened(content: bytes, *, wanted: str) -> Iterator[InputContainer]:
    """The file as a container; what goes wrong while it is open is raised as unreadable.

    Raises:
        MediaUnreadableError: it is no file of FORMATS, or it is broken.
    """
    options = {
        "format_whitelist": ",".join(FORMATS),
        "codec_whitelist": ",".join(DECODERS),
        "protocol_whitelist": "",
    }
    source = io.BytesIO(content)
    try:
        with av.open(source, mode="r", options=options, metadata_errors="replace") as file:
            yield file
    except BROKEN_FILE as error:
        raise MediaUnreadableError(wanted, plain(error)) from error


def plain(error: BaseException) -> str:
    """What FFmpeg said, without its numbers and Python's file names."""
    said: Any = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(said).partition(";")[0].strip(". \n")[:WORDS]
