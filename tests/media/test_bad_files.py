"""Files that are broken, or made to harm, are refused by name."""

import io
import random
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from media.audio_formats import WAV, write_sound
from media.limits import MediaTooLargeError, MediaUnreadableError
from media.probe import probe
from media.reading import Sound, read_frames, read_sound
from media.video_formats import MP4
from media.writing import as_rate, write_video

PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"
CONCAT = b"ffconcat version 1.0\nfile /etc/passwd\n"
SDP = b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n"


def video(frames: int = 8) -> bytes:
    target = io.BytesIO()
    noise = np.random.default_rng(1).integers(0, 255, (frames, 32, 32, 3), np.uint8)
    write_video(target, list(noise), MP4, as_rate(8))
    return target.getvalue()


def sound() -> bytes:
    target = io.BytesIO()
    write_sound(target, Sound(np.zeros((1, 800), np.float32), 8000), WAV)
    return target.getvalue()


@pytest.mark.parametrize("content", [PLAYLIST, CONCAT, SDP, b"", b"\0" * 64, b"GIF89a"])
def test_what_is_no_media_or_names_other_files_is_refused(content: bytes) -> None:
    with pytest.raises(MediaUnreadableError):
        probe(content)


def test_sound_alone_is_no_video() -> None:
    with pytest.raises(MediaUnreadableError, match="no video stream"):
        list(read_frames(sound()))


def test_a_video_without_sound_has_none() -> None:
    assert read_sound(video()) is None


def test_a_video_that_is_cut_short_is_refused_where_its_index_is_gone() -> None:
    with pytest.raises(MediaUnreadableError):
        list(read_frames(video()[:-200]))


def test_a_million_declared_frames_are_refused_from_the_header() -> None:
    content = video()
    at = content.index(b"stts") + 12  # entry count 1, then frames and their duration
    forged = content[:at] + (10**6).to_bytes(4, "big") + content[at + 4 :]
    with pytest.raises((MediaTooLargeError, MediaUnreadableError)):
        probe(forged)


def refusal_of(read: Callable[[bytes], object], content: bytes) -> str:
    """Why a file is refused, or nothing where it is read to its end."""
    try:
        given = read(content)
        list(given) if isinstance(given, Iterator) else None
    except (MediaUnreadableError, MediaTooLargeError) as error:
        return str(error)
    return ""


def test_mutated_files_are_read_or_refused() -> None:
    rng, whole = random.Random(7), video(3)
    for _ in range(150):
        content = bytearray(whole)
        for _ in range(rng.randint(1, 12)):
            content[rng.randrange(len(content))] = rng.randrange(256)
        for read in (read_frames, read_sound):
            assert len(refusal_of(read, bytes(content))) < 400
