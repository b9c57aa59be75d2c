"""Video and sound nodes give what ComfyUI gave (0.3.64; joined channels, 0.33.0)."""

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from deployments.media_functions import NodeMedia
from deployments.output_functions import NodeFiles
from graph.errors import ServiceError
from graph.new_files import NewFile
from graph.nodes import audio as nodes
from graph.nodes.video import slice_video, video_components
from graph.stages.media import MergeMethod
from graph.values import Audio, InputFile, Video
from media.audio_formats import FLAC, write_sound
from media.limits import MediaLimits, MediaTooLargeError, MediaUnreadableError
from media.probe import probe
from media.reading import Sound, read_frames, read_sound
from storage.pictures import Encoding

RECORDED = np.load(Path(__file__).parent.parent / "contract" / "media.npz")
TAGS = {"prompt": '{"1": {}}', "workflow": '{"nodes": []}'}


@dataclass(frozen=True)
class Stage(NodeMedia):
    media_limits: MediaLimits = MediaLimits()  # noqa: RUF009 - frozen


STAGE = Stage()


def given(name: str) -> Audio:
    return Audio(torch.from_numpy(RECORDED[f"in_{name}"]), int(RECORDED[f"rate_{name}"]))


def file_of(content: bytes, name: str = "x.mp4") -> InputFile:
    return InputFile(name, content, hashlib.sha256(content).hexdigest())


RECORDED_VIDEO = RECORDED["video_file"].tobytes()


def check(name: str, *given_out: Audio) -> None:
    for k, audio in enumerate(given_out):
        expected = RECORDED[f"{name}_{k}"]
        assert tuple(audio.waveform.shape) == expected.shape
        assert np.abs(audio.waveform.numpy() - expected).max(initial=0) < 1e-6
        assert audio.sample_rate == RECORDED[f"{name}_{k}_rate"]


@pytest.mark.parametrize(("start", "duration"), [(0.1, 0.2), (-0.2, 0.15), (0.05, 60.0)])
def test_trimmed_sound(start: float, duration: float) -> None:
    trimmed = nodes.trim_audio(STAGE, audio=given("a"), start_index=start, duration=duration)
    check(f"trim_{start}_{duration}", trimmed)


def test_joined_sound() -> None:
    a, b, m = given("a"), given("b"), given("m")
    check("concat_after", nodes.concatenate_audio(STAGE, audio1=a, audio2=b, direction="after"))
    check("concat_before", nodes.concatenate_audio(STAGE, audio1=a, audio2=b, direction="before"))
    check("concat_mono", nodes.concatenate_audio(STAGE, audio1=m, audio2=b))


@pytest.mark.parametrize("method", ["add", "mean", "subtract", "multiply"])
@pytest.mark.parametrize("pair", ["ab", "ba", "ac"])
def test_mixed_sound(method: MergeMethod, pair: str) -> None:
    first, second = map(given, pair)
    mixed = nodes.merge_audio(STAGE, audio1=first, audio2=second, merge_method=method)
    check(f"merge_{method}_{pair}", mixed)


def test_louder_split_joined_and_empty_sound() -> None:
    a = given("a")
    check("volume_6", nodes.adjust_volume(STAGE, audio=a, volume=6))
    check("volume_-20", nodes.adjust_volume(STAGE, audio=a, volume=-20))
    check("split", *nodes.split_channels(STAGE, audio=a))
    check("join", nodes.join_channels(STAGE, audio_left=given("m"), audio_right=given("n")))
    check("empty", nodes.empty_audio(STAGE, duration=0.11, sample_rate=8000, channels=2))


def test_the_parts_of_a_video_file() -> None:
    video = Video(file=file_of(RECORDED_VIDEO))
    images, audio, fps, *_ = video_components(STAGE, video=video)
    assert (images.numpy() * 255).round().astype(np.uint8).tolist() == (
        RECORDED["video_images"].tolist()
    )
    assert fps == RECORDED["video_fps"]
    assert audio.waveform.shape == tuple(RECORDED["video_wave_n"])
    np.testing.assert_array_equal(audio.waveform[..., :4000], RECORDED["video_wave"])
    loaded = nodes.load_audio(STAGE, audio=file_of(RECORDED_VIDEO))
    np.testing.assert_array_equal(loaded.waveform[0, :, :4000], RECORDED["load_audio"])


async def made(video: Video, container: str = "auto", codec: str = "auto") -> NewFile:
    files: list[NewFile] = []

    async def take(file: NewFile) -> None:
        files.append(file)

    await NodeFiles(Encoding(text=TAGS), take).save_video(video, "video/x", container, codec)
    (file,) = files
    return file


def frames() -> Any:
    return torch.from_numpy(RECORDED["video_frames_in"].astype(np.float32) / 255 + 1e-3).clamp(0, 1)


def x264_settings(content: bytes) -> bytes:
    """What x264 writes into a stream of its version and of every option."""
    start = content.index(b"x264 - core")
    return content[start : content.index(b"\0", start)]


def loss(images: Any) -> float:
    """How far decoded frames are from those that were coded, in levels.

    x264 itself codes the same frames a little differently from call to call (about 1 level), so
    two files are not compared frame by frame.
    """
    return float(np.abs(images.astype(int) - RECORDED["video_frames_in"]).mean())


async def test_a_video_of_pictures_is_coded_as_comfyui_codes_it() -> None:
    file = await made(Video(frames=frames(), fps=12.5))
    assert x264_settings(file.content) == x264_settings(RECORDED_VIDEO)
    assert loss(np.stack(list(read_frames(file.content)))) == pytest.approx(
        loss(RECORDED["video_images"]), rel=0.05
    )
    info = probe(file.content)
    assert info.video is not None
    theirs = probe(RECORDED_VIDEO).video
    assert theirs is not None
    assert info.video == theirs
    assert {name: info.metadata[name] for name in TAGS} == TAGS
    assert file.facts == {"fps": 12.5, "frames": 9, "duration_s": 0.72}
    assert (file.width, file.height, file.mime_type) == (64, 48, "video/mp4")
    assert file.poster[:2] == b"\xff\xd8"


async def test_sound_is_cut_to_the_pictures() -> None:
    sound = Audio(torch.zeros(1, 2, 3 * 44_100), 44_100)
    file = await made(Video(frames=frames(), fps=12.5, audio=sound))
    heard = read_sound(file.content)
    assert heard is not None
    assert 0.72 <= heard.samples.shape[1] / heard.sample_rate < 0.80


async def test_a_loaded_video_is_copied_and_keeps_its_tags() -> None:
    file = await made(Video(file=file_of(RECORDED_VIDEO)))
    before, after = list(read_frames(RECORDED_VIDEO)), list(read_frames(file.content))
    np.testing.assert_array_equal(before, after)
    assert {name: probe(file.content).metadata[name] for name in TAGS} == TAGS


@pytest.mark.parametrize(
    ("container", "codec", "coded"),
    [("mp4", "av1", "libdav1d"), ("mkv", "h264", "h264"), ("webm", "auto", "libdav1d")],
)
async def test_a_loaded_video_is_coded_anew_where_it_is_asked_for(
    container: str, codec: str, coded: str
) -> None:
    file = await made(Video(file=file_of(RECORDED_VIDEO)), container, codec)
    info = probe(file.content)
    assert info.video is not None
    assert (info.video.codec, file.extension) == (coded, f".{container}")
    assert len(list(read_frames(file.content))) == 9


async def test_a_stretch_of_a_video() -> None:
    whole = Video(file=file_of(RECORDED_VIDEO))
    part = slice_video(STAGE, video=whole, start_time=0.16, duration=0.32)
    images, audio, *_ = video_components(STAGE, video=part)
    assert (images.numpy() * 255).round().astype(np.uint8).tolist() == (
        RECORDED["video_images"][2:6].tolist()
    )
    heard = round(RECORDED["video_wave_n"][2] - 0.16 * 44_100)  # the sound ends before the pictures
    assert audio.waveform.shape[-1] == heard
    again = await made(part)
    assert len(list(read_frames(again.content))) == 4
    with pytest.raises(ServiceError, match="s long: there are no 9 s"):
        slice_video(STAGE, video=whole, start_time=0, duration=9, strict_duration=True)


def test_bad_files_are_refused_with_a_reason() -> None:
    with pytest.raises(MediaUnreadableError):
        video_components(STAGE, video=Video(file=file_of(RECORDED_VIDEO[:3000])))
    with pytest.raises(MediaUnreadableError):
        nodes.load_audio(STAGE, audio=file_of(b"no sound"))
    few = Stage(MediaLimits(all_pixels=8 * 64 * 48))
    with pytest.raises(MediaTooLargeError):
        video_components(few, video=Video(file=file_of(RECORDED_VIDEO)))


def test_a_day_of_silence_is_refused() -> None:
    with pytest.raises(MediaTooLargeError):
        nodes.empty_audio(STAGE, duration=86_400.0)


async def test_sound_alone_is_no_video() -> None:
    sound = io.BytesIO()
    write_sound(sound, Sound(np.zeros((1, 8000), np.float32), 8000), FLAC)
    video = Video(file=file_of(sound.getvalue(), "x.flac"))
    with pytest.raises(MediaUnreadableError, match="no video stream"):
        video_components(STAGE, video=video)
    with pytest.raises(MediaUnreadableError, match="no video stream"):
        await made(video)


async def test_a_file_that_breaks_off_is_no_output() -> None:
    with pytest.raises(MediaUnreadableError):
        await made(Video(file=file_of(RECORDED_VIDEO[:3000])))


async def test_a_container_that_does_not_hold_a_codec_is_told() -> None:
    with pytest.raises(ServiceError, match="does not hold h264"):
        await made(Video(frames=frames(), fps=8.0), "webm", "h264")


@pytest.mark.parametrize("rate", [1000, 44_101, 192_000])
async def test_sound_of_any_rate_goes_into_a_video(rate: int) -> None:
    sound = Audio(torch.zeros(1, 2, rate), rate)
    file = await made(Video(frames=frames(), fps=12.5, audio=sound))
    heard = read_sound(file.content)
    assert heard is not None
    assert 0.7 < heard.samples.shape[1] / heard.sample_rate < 0.95


def test_pictures_get_the_traces_of_videos() -> None:
    """Equal to ComfyUI's own with the same PyAV; here as far as that is sure to stay."""
    ramp = torch.linspace(0, 1, 41).expand(2, 33, 41)[..., None].expand(-1, -1, -1, 3)
    rough, fine = (NodeMedia().compressed(ramp, crf) for crf in (45, 10))
    assert rough.shape == fine.shape == (2, 32, 40, 3)
    even = ramp[:, :32, :40]
    assert (fine - even).abs().mean() < (rough - even).abs().mean() < 0.1
    assert NodeMedia().compressed(ramp, 0) is ramp
