"""Video and sound that are written are read again as they were."""

import io
from fractions import Fraction

import av
import numpy as np
import pytest

from media.audio_formats import FLAC, MP3, OPUS, WAV, AudioFormat, write_sound
from media.limits import MediaLimits, MediaNotWritableError, MediaTooLargeError
from media.probe import probe
from media.reading import Part, Pixels, Sound, read_frames, read_sound
from media.remuxing import remux
from media.video_formats import AV1, MP4, VP9, VideoFormat
from media.writing import as_rate, write_video


def moving(frames: int = 12, height: int = 64, width: int = 96) -> list[Pixels]:
    """A soft disc that moves over a gradient."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    pictures = []
    for k in range(frames):
        away = np.hypot(x - 20 - 3 * k, y - height / 2)
        disc = np.clip((18 - away) / 6, 0, 1)[..., None]
        ground = np.stack([x / width, y / height, np.full_like(x, 0.4)], axis=-1)
        colored = ground * (1 - disc) + np.array([0.9, 0.5, 0.2]) * disc
        pictures.append((colored * 255).astype(np.uint8))
    return pictures


def tone(seconds: float = 0.5, rate: int = 48_000, channels: int = 2) -> Sound:
    times = np.arange(round(seconds * rate)) / rate
    waves = [0.5 * np.sin(2 * np.pi * 440 * (c + 1) * times) for c in range(channels)]
    return Sound(np.array(waves, np.float32), rate)


def written(how: VideoFormat, frames: list[Pixels], sound: Sound | None = None) -> bytes:
    target = io.BytesIO()
    tags = {"prompt": '{"1": {"class_type": "x;y=z#"}}', "workflow": '{"nodes": []}'}
    write_video(target, frames, how, as_rate(12.5), sound=sound, tags=tags)
    return target.getvalue()


@pytest.mark.parametrize("how", [MP4, VP9, AV1], ids=["h264", "vp9", "av1"])
def test_a_video_comes_back_within_three_levels(how: VideoFormat) -> None:
    frames = moving()
    content = written(how, frames, tone())
    back = list(read_frames(content))
    assert len(back) == len(frames)
    apart = np.mean([np.abs(a.astype(int) - b).mean() for a, b in zip(frames, back, strict=True)])
    assert apart < 3
    info = probe(content)
    assert info.video is not None
    assert (info.video.width, info.video.height) == (96, 64)
    assert info.video.fps == Fraction(25, 2)
    assert info.video.pixel_format == how.pixel_format
    sound = read_sound(content)
    assert sound is not None
    assert sound.samples.shape[0] == 2
    assert abs(sound.samples.shape[1] - 24_000) <= 2048  # a codec's frame and its delay


def test_an_mp4_keeps_tags_of_any_name() -> None:
    tags = probe(written(MP4, moving(2))).metadata
    assert tags["prompt"] == '{"1": {"class_type": "x;y=z#"}}'
    assert tags["workflow"] == '{"nodes": []}'


def test_an_odd_picture_is_continued_by_its_edge() -> None:
    (frame,) = read_frames(written(MP4, moving(1, 33, 47)))
    assert frame.shape == (34, 48, 3)
    assert np.abs(frame[33].astype(int) - frame[32]).mean() < 8


def test_a_converted_matrix_is_told_in_the_file() -> None:
    told = MP4.with_options(crf="10")
    content = written(VideoFormat(**{**vars(told), "bt709": True}), moving(3))
    with av.open(io.BytesIO(content)) as file:
        context = file.streams.video[0].codec_context
        assert (context.colorspace, context.color_primaries, context.color_trc) == (1, 1, 1)
    frames, back = moving(3), list(read_frames(content))
    assert np.abs(frames[1].astype(int) - back[1]).mean() < 3


@pytest.mark.parametrize("how", [FLAC, MP3, OPUS, WAV], ids=lambda how: how.container)
def test_sound_comes_back(how: AudioFormat) -> None:
    sound, target = tone(1.0), io.BytesIO()
    write_sound(target, sound, how, tags={"prompt": "{}"})
    back = read_sound(target.getvalue())
    assert back is not None
    assert back.sample_rate == sound.sample_rate
    assert back.samples.shape[0] == 2
    assert abs(back.samples.shape[1] - sound.samples.shape[1]) <= 4000
    loudness = np.sqrt((back.samples**2).mean()) / np.sqrt((sound.samples**2).mean())
    assert 0.9 < loudness < 1.1
    if how in {FLAC, WAV}:
        assert np.abs(back.samples - sound.samples).max() < 2**-14


def test_the_next_higher_rate_that_opus_holds_is_taken() -> None:
    assert [OPUS.rate_for(rate) for rate in (8000, 11025, 44100, 96000)] == [
        8000,
        12000,
        48000,
        48000,
    ]


def test_a_part_is_read_by_time() -> None:
    content = written(MP4, moving(25), tone(2.0))
    part = Part(0.4, 0.8)
    assert len(list(read_frames(content, part=part))) == 10
    sound = read_sound(content, part=part)
    assert sound is not None
    assert sound.samples.shape[1] == round(0.8 * sound.sample_rate)


def test_remuxing_copies_packets_and_replaces_tags() -> None:
    content, target = written(MP4, moving(), tone()), io.BytesIO()
    remux(content, target, "mp4", {"prompt": "{}"})
    again = target.getvalue()
    assert probe(again).metadata["prompt"] == "{}"
    assert probe(again).metadata["workflow"] == '{"nodes": []}'
    for before, after in zip(read_frames(content), read_frames(again), strict=True):
        assert np.array_equal(before, after)


def test_more_frames_than_allowed_are_refused_by_the_header_and_while_decoding() -> None:
    content = written(MP4, moving(12))
    with pytest.raises(MediaTooLargeError, match="12 frames"):
        probe(content, MediaLimits(frames=11))
    webm = written(VP9, moving(12))  # its header counts no frames
    with pytest.raises(MediaTooLargeError):
        list(read_frames(webm, MediaLimits(all_pixels=5 * 64 * 96)))


def test_nothing_is_written_of_no_frames() -> None:
    with pytest.raises(MediaNotWritableError, match="no frames"):
        write_video(io.BytesIO(), [], MP4, Fraction(8))


def test_progress_hears_each_frame() -> None:
    heard: list[int] = []
    write_video(io.BytesIO(), moving(4), MP4, Fraction(8), progress=heard.append)
    assert heard == [1, 2, 3, 4]
