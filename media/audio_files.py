"""Sound as files that are not yet named."""

import io
from collections.abc import Iterator, Mapping
from dataclasses import replace

from graph.new_files import NewFile
from media.audio_formats import FLAC, MP3, OPUS, AudioFormat, write_sound
from media.reading import Sound
from media.sounds import Wave, resampled

FORMATS: Mapping[str, AudioFormat] = {
    "flac": FLAC,
    "mp3": MP3,
    "opus": replace(OPUS, container="opus"),
}


def audio_files(
    wave: Wave,
    sample_rate: int,
    prefix: str,
    *,
    kind: str,
    quality: str = "",
    tags: Mapping[str, str] | None = None,
    temporary: bool = False,
) -> Iterator[NewFile]:
    """Sounds [B, C, n] as a file each. `quality` is "128k" ..., or "V0" for MP3's best.

    Raises:
        MediaNotWritableError: the format cannot hold it.
    """
    how = FORMATS[kind]
    rate = how.rate_for(sample_rate)
    bit_rate = int(quality[:-1]) * 1000 if quality.endswith("k") else None
    for k, samples in enumerate(resampled(wave, sample_rate, rate)):
        target = io.BytesIO()
        sound = Sound(samples, rate)
        write_sound(target, sound, how, bit_rate=bit_rate, best=quality == "V0", tags=tags)
        yield NewFile(
            target.getvalue(),
            prefix,
            how.extension,
            "audio",
            how.mime_type,
            batch_num=k,
            batch_size=len(wave),
            temporary=temporary,
            facts={
                "sample_rate": rate,
                "channels": samples.shape[0],
                "duration_s": round(samples.shape[1] / rate, 3),
            },
        )
