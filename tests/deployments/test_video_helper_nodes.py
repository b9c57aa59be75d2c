"""VideoHelperSuite's nodes: what they load and what they write."""

import hashlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Picture
from PIL import ImageSequence

from deployments.batch_functions import NodeBatches
from deployments.media_functions import NodeMedia
from deployments.output_functions import NodeFiles
from graph.errors import ServiceError
from graph.new_files import NewFile
from graph.nodes import video_helper, video_helper_batches
from graph.values import Audio, InputFile, Latent
from media.limits import MediaLimits, MediaTooLargeError
from media.probe import DEFAULT_LIMITS, probe
from media.reading import read_frames, read_sound
from storage.pictures import Encoding

RECORDED = np.load(Path(__file__).parent.parent / "contract" / "media.npz")
FRAMES = RECORDED["video_frames_in"]  # [9, 48, 64, 3]
IMAGES = torch.from_numpy(FRAMES.astype(np.float32) / 255 + 1e-3).clamp(0, 1)
TAGS = {"prompt": '{"1": {"a": "x;=#\\\\"}}', "workflow": '{"nodes": []}'}
FORMATS = ("h264", "hevc", "vp9", "libdav1d", "prores", "ffv1")


@dataclass(frozen=True)
class Stage(NodeMedia, NodeBatches):
    media_limits: MediaLimits = DEFAULT_LIMITS


STAGE: Any = Stage()
VIDEO = RECORDED["video_file"].tobytes()
UPLOAD = InputFile("x.mp4", VIDEO, hashlib.sha256(VIDEO).hexdigest())


async def combined(format: str, **inputs: Any) -> NewFile:
    files: list[NewFile] = []

    async def take(file: NewFile) -> None:
        files.append(file)

    outputs = NodeFiles(Encoding(text=TAGS), take)
    given = {"images": IMAGES, "frame_rate": 8.0, "format": format, **inputs}
    await video_helper.combine_video(outputs, **given)
    (file,) = files
    return file


@pytest.mark.parametrize(
    ("format", "codec", "pixel_format"),
    [
        ("video/h264-mp4", "h264", "yuv420p"),
        ("video/h265-mp4", "hevc", "yuv420p10le"),
        ("video/webm", "vp9", "yuv420p"),
        ("video/av1-webm", "libdav1d", "yuv420p10le"),
        ("video/ProRes", "prores", "yuv422p10le"),
        ("video/ffv1-mkv", "ffv1", "yuv444p"),
    ],
)
async def test_a_video_is_of_the_format_that_was_asked_for(
    format: str, codec: str, pixel_format: str
) -> None:
    file = await combined(format, audio=Audio(torch.zeros(1, 2, 22_050), 22_050))
    info = probe(file.content)
    assert info.video is not None
    assert info.audio is not None
    assert (info.video.codec.removeprefix("libvpx-"), info.video.pixel_format) == (
        codec,
        pixel_format,
    )
    assert info.video.fps == 8
    found = {name.lower(): value for name, value in info.metadata.items()}
    assert {name: found[name] for name in TAGS} == TAGS
    frames = np.stack(list(read_frames(file.content))).astype(int)
    assert frames.shape == FRAMES.shape
    assert np.abs(frames - FRAMES).mean() < 5  # edges of colour are at half the size
    heard = read_sound(file.content)
    assert heard is not None
    assert 1.1 < heard.samples.shape[1] / heard.sample_rate < 1.25
    assert (file.tail, file.poster_tail) == ("-audio", ".png")


async def test_the_first_picture_has_the_workflow() -> None:
    file = await combined("video/h264-mp4")
    with Picture.open(io.BytesIO(file.poster)) as png:
        assert {name: png.info[name] for name in TAGS} == TAGS
        assert "CreationTime" in png.info
        assert json.loads(png.info["CreationTime"])
        np.testing.assert_array_equal(np.asarray(png), FRAMES[0])
    assert file.tail == ""
    bare = await combined("video/h264-mp4", save_metadata=False)
    assert "workflow" not in probe(bare.content).metadata


async def test_colours_are_marked_as_bt709() -> None:
    import av  # noqa: PLC0415 - only to look at the stream

    file = await combined("video/h264-mp4")
    with av.open(io.BytesIO(file.content)) as opened:
        context = opened.streams.video[0].codec_context
        assert (context.colorspace, context.color_range, context.color_trc) == (1, 1, 1)


async def test_pictures_go_back_and_forth_and_are_repeated() -> None:
    back = await combined("video/h264-mp4", pingpong=True, loop_count=1)
    assert len(list(read_frames(back.content))) == 2 * 16
    assert back.facts["frames"] == 32


async def test_a_video_ends_with_its_sound_where_that_is_asked_for() -> None:
    sound = Audio(torch.zeros(1, 1, 22_050 // 2), 22_050)
    file = await combined("video/h264-mp4", audio=sound, trim_to_audio=True)
    assert len(list(read_frames(file.content))) == 4


@pytest.mark.parametrize("format", ["image/gif", "image/webp"])
async def test_animations(format: str) -> None:
    file = await combined(format, frame_rate=12.0, pingpong=True)
    with Picture.open(io.BytesIO(file.content)) as animation:
        shown = [
            frame.load() and frame.info["duration"] for frame in ImageSequence.Iterator(animation)
        ]
        assert len(shown) == 16
        assert set(shown) <= {80, 83}  # a GIF counts hundredths of a second
        assert animation.info["loop"] == 0
    assert (file.mime_type, file.type) == (format, "image")


async def test_odd_sizes_are_continued_by_their_edge() -> None:
    file = await combined("video/h264-mp4", images=IMAGES[:, :47, :63])
    (first, *_) = read_frames(file.content)
    assert first.shape == (48, 64, 3)
    assert (file.width, file.height) == (64, 48)


async def test_no_pictures_make_no_video() -> None:
    with pytest.raises(ServiceError, match="no frames"):
        await combined("video/h264-mp4", images=IMAGES[:0])


def load(**inputs: Any) -> Any:
    return video_helper.load_video(STAGE, video=UPLOAD, **inputs)


def test_a_video_is_loaded_with_what_it_is() -> None:
    images, count, audio, info = load()
    assert (count, tuple(images.shape)) == (9, (9, 48, 64, 3))
    assert audio.sample_rate == 44_100
    assert info.source == (12.5, 9, pytest.approx(0.72, abs=0.02), 64, 48)
    assert info.loaded == (12.5, 9, pytest.approx(0.72), 64, 48)
    assert video_helper.video_info(video_info=info) == (*info.source, *info.loaded)


def test_frames_are_chosen() -> None:
    whole = load()[0]
    assert torch.equal(load(skip_first_frames=2, select_every_nth=3)[0], whole[2::3])
    assert torch.equal(load(frame_load_cap=4)[0], whole[:4])
    doubled, count, *_ = load(force_rate=25.0)
    assert count == 18
    assert torch.equal(doubled[::2], whole)
    assert load(force_rate=6.25)[1] == 4
    assert load(custom_width=32)[0].shape[1:3] == (24, 32)
    assert load(force_size="?x24")[0].shape[1:3] == (24, 32)


def test_a_video_of_too_many_frames_is_refused_while_it_is_decoded() -> None:
    few: Any = Stage(MediaLimits(all_pixels=5 * 48 * 64))
    with pytest.raises(MediaTooLargeError):
        video_helper.load_video(few, video=UPLOAD)
    assert video_helper.load_video(few, video=UPLOAD, frame_load_cap=5)[1] == 5


def test_batches_are_split_merged_thinned_and_repeated() -> None:
    nodes = video_helper_batches
    first, a, second, b = nodes.split_images(STAGE, images=IMAGES, split_index=4)
    assert (a, b) == (4, 5)
    assert torch.equal(torch.cat([first, second]), IMAGES)
    small = torch.zeros(2, 12, 16, 3)
    merged, count = nodes.merge_images(
        STAGE,
        images_A=small,
        images_B=IMAGES,
        merge_strategy="match larger",
        scale_method="bilinear",
        crop="disabled",
    )
    assert (count, tuple(merged.shape)) == (11, (11, 48, 64, 3))
    latent = Latent(torch.arange(24.0).reshape(6, 1, 2, 2), torch.ones(6, 1, 16, 16))
    thin, count = nodes.every_nth_latent(
        STAGE, latents=latent, select_every_nth=2, skip_first_latents=1
    )
    assert torch.equal(thin.samples, latent.samples[1::2])
    assert thin.noise_mask is not None
    assert (count, thin.noise_mask.shape[0]) == (3, 3)
    assert nodes.duplicate_masks(STAGE, mask=torch.zeros(2, 4, 4), multiply_by=3)[1] == 6


@pytest.mark.parametrize(
    "wrong", [{"pix_fmt": "no such"}, {"profile": "x", "format": "video/ProRes"}]
)
async def test_an_unknown_option_is_told(wrong: dict[str, Any]) -> None:
    with pytest.raises(ServiceError, match="cannot be written"):
        await combined(**({"format": "video/h264-mp4"} | wrong))
