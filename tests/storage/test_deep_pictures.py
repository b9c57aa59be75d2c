"""Pictures of more than 8 bits against ComfyUI 0.33.0: tests/contract/deep_pictures.npz.

It holds pictures of values in and out of 0..1, and what is read back with PyAV from the files that
comfy_extras.nodes_images makes of them.
"""

import io
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from storage.deep_pictures import exr_32, png_16

RECORDED = np.load(Path(__file__).parents[1] / "contract" / "deep_pictures.npz")
TEXT = {"prompt": '{"1": {}}'}


def read(content: bytes, kind: str, pixel_format: str) -> Any:
    codec: Any = av.CodecContext.create(kind, "r")
    frames: list[Any] = codec.decode(av.Packet(content))
    frames += codec.decode(None)
    return frames[0].to_ndarray(format=pixel_format)


@pytest.mark.parametrize(("channels", "pixels"), [(3, "rgb48le"), (4, "rgba64le")])
def test_a_png_of_16_bits_has_comfyuis_levels_and_the_text(channels: int, pixels: str) -> None:
    content = png_16(RECORDED[f"image{channels}"], TEXT)
    assert np.array_equal(read(content, "png", pixels), RECORDED[f"png{channels}"])
    assert Image.open(io.BytesIO(content)).info == TEXT


@pytest.mark.parametrize("colors", ["sRGB", "HDR", "linear"])
@pytest.mark.parametrize(("channels", "pixels"), [(3, "gbrpf32le"), (4, "gbrapf32le")])
def test_an_exr_has_comfyuis_light_and_the_text(channels: int, pixels: str, colors: str) -> None:
    content = exr_32(RECORDED[f"image{channels}"], TEXT, colors)
    expected = RECORDED[f"exr{channels}{colors}"]
    assert np.allclose(read(content, "exr", pixels), expected, atol=1e-6)
    assert b'prompt\0string\0\x09\0\0\0{"1": {}}' in content
