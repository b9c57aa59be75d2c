"""Animations: every picture, its time and what the file says."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

from storage.animations import Animation, encode_animation
from storage.job_outputs import JobOutputs
from storage.local_files import LocalFiles
from storage.outputs import OutputStore
from storage.pictures import Encoding, to_bytes_per_channel
from storage.signing import UrlSigner

FRAMES = np.random.default_rng(1).random((3, 8, 12, 3), np.float32)
TEXT = {"prompt": json.dumps({"1": {}}), "workflow": json.dumps({"nodes": []})}


@pytest.mark.parametrize("format_", ["webp", "png"])
@pytest.mark.parametrize("channels", [3, 4])
def test_every_picture_is_played_for_its_time(format_: str, channels: int) -> None:
    frames = np.concatenate([FRAMES, np.ones((3, 8, 12, channels - 3), np.float32)], axis=3)
    content = encode_animation(frames, Animation(format_, fps=8.0), TEXT)  # type: ignore[arg-type]
    with Image.open(io.BytesIO(content)) as file:
        for frame, played in zip(FRAMES, ImageSequence.Iterator(file), strict=True):
            pixels = np.asarray(played.convert("RGB"))
            np.testing.assert_array_equal(pixels, to_bytes_per_channel(frame))
            assert played.info["duration"] == 125


def test_a_file_says_what_it_was_made_of() -> None:
    with Image.open(io.BytesIO(encode_animation(FRAMES, Animation("png", fps=1), TEXT))) as png:
        assert {name: png.info[name] for name in TEXT} == TEXT
    with Image.open(io.BytesIO(encode_animation(FRAMES, Animation("webp", fps=1), TEXT))) as webp:
        exif = webp.getexif()
        assert exif[0x0110] == f"prompt:{TEXT['prompt']}"
        assert exif[0x010F] == f"workflow:{TEXT['workflow']}"


def test_less_quality_is_a_smaller_file() -> None:
    sizes = [
        len(encode_animation(FRAMES, Animation("webp", 6.0, lossless=False, quality=quality), {}))
        for quality in (5, 95)
    ]
    assert sizes[0] < sizes[1]


async def test_a_batch_is_saved_as_one_output(tmp_path: Path) -> None:
    store = OutputStore(LocalFiles(tmp_path), UrlSigner(b"key"))
    outputs = JobOutputs(store.job_folder("local", 7), Encoding(text=TEXT))
    saved = await outputs.save_animation(FRAMES, "sub/x", Animation("webp", 6.0), node_id="9")
    assert (saved.filename, saved.subfolder, saved.mime_type) == (
        "x_00001_.webp",
        "sub",
        "image/webp",
    )
    assert (saved.type, saved.width, saved.height) == ("image", 12, 8)
    with Image.open(io.BytesIO(store.read("local", 7, saved.location))) as file:
        assert file.n_frames == len(FRAMES)  # type: ignore[attr-defined]
