"""The parity case image_ops, with its operations called one after the other."""

from pathlib import Path

import numpy as np
from PIL import Image

from imaging.colors import invert_image
from imaging.decode import decode_image
from imaging.filters import blend_images, gaussian_blur, sharpen
from imaging.resize import scale_image_by

PARITY = Path(__file__).parents[1] / "parity"


def test_the_picture_is_comfyuis() -> None:
    image, _ = decode_image((PARITY / "input" / "scene_mask.png").read_bytes())
    scaled = scale_image_by(image, 1.25, "lanczos")
    detailed = sharpen(gaussian_blur(scaled, 3, 1.2), 1, 0.6, 0.8)
    blended = blend_images(detailed, invert_image(scaled), 0.3, "overlay")
    drawn = (255 * blended[0]).numpy().astype(np.uint8).astype(int)
    with Image.open(PARITY / "expected" / "image_ops.7.0.png") as picture:
        expected = np.array(picture.convert("RGB")).astype(int)
    assert drawn.shape == expected.shape
    assert np.abs(drawn - expected).max() <= 1
    assert (drawn != expected).mean() < 0.001
