"""Sound as a file of its own: FLAC, MP3, Opus and WAV."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO

import av
from av.audio.stream import AudioStream

from media.containers import BROKEN_FILE, plain
from media.limits import MediaNotWritableError
from media.reading import Sound
from media.writing import layout_of, write_sound_into

OPUS_RATES = (8000, 12000, 16000, 24000, 48000)


@dataclass(frozen=True)
class AudioFormat:
    """One way to write sound. `rates` are the sample rates it can hold; none named: all."""

    container: str
    extension: str
    mime_type: str
    codec: str
    rates: tuple[int, ...] = ()

    def rate_for(self, sample_rate: int) -> int:
        """The rate to resample to: the same, the next higher, or the highest there is."""
        return next_rate(sample_rate, self.rates)


def next_rate(sample_rate: int, rates: tuple[int, ...]) -> int:
    """The first of rising `rates` that is no lower, or the highest; of no rates, the same."""
    if not rates:
        return sample_rate
    return next((rate for rate in rates if rate >= sample_rate), rates[-1])


FLAC = AudioFormat("flac", ".flac", "audio/flac", "flac")
MP3 = AudioFormat(
    "mp3",
    ".mp3",
    "audio/mpeg",
    "libmp3lame",
    (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000),
)
OPUS = AudioFormat("opus", ".opus", "audio/ogg", "libopus", OPUS_RATES)
WAV = AudioFormat("wav", ".wav", "audio/wav", "pcm_s16le")


def write_sound(
    target: BinaryIO,
    sound: Sound,
    how: AudioFormat,
    *,
    bit_rate: int | None = None,
    best: bool = False,
    tags: Mapping[str, str] | None = None,
) -> None:
    """Write sound whose rate the format can hold (see `rate_for`). `best` is MP3's V0.

    Raises:
        MediaNotWritableError: the format cannot hold it.
    """
    try:
        with av.open(target, mode="w", format=how.container) as file:
            file.metadata.update(tags or {})
            stream = file.add_stream(how.codec, rate=sound.sample_rate, layout=layout_of(sound))
            assert isinstance(stream, AudioStream)
            if bit_rate is not None:
                stream.codec_context.bit_rate = bit_rate
            stream.codec_context.qscale = best
            write_sound_into(file, stream, sound)
    except BROKEN_FILE as error:
        raise MediaNotWritableError(how.mime_type, plain(error)) from error
