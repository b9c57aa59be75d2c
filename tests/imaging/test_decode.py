"""Uploaded picture files, as LoadImage and LoadImageMask of ComfyUI read them."""

import io
import pickle
import struct
import zlib
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from graph.errors import ServiceError
from graph.picture_formats import PICTURE_FORMATS
from imaging.decode import (
    DecodeLimits,
    ImageUnreadableError,
    decode_image,
    decode_mask,
    decode_with_alpha,
)
from imaging.sizes import ImageTooLargeError
from tests.picture_files import FILE_OPTIONS, chunk, grey16, png_with, small

NUMBERS = np.random.default_rng(0).integers(0, 256, (4, 6, 5, 4), dtype=np.uint8)


def rgba(index: int = 0) -> Image.Image:
    return Image.fromarray(NUMBERS[index])


def rgb(index: int = 0) -> Image.Image:
    return Image.fromarray(NUMBERS[index, ..., :3])


def encoded(picture: Image.Image, format_: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format_, **options)
    return buffer.getvalue()


def levels(numbers: np.ndarray[Any, Any]) -> torch.Tensor:
    return torch.from_numpy(numbers.astype(np.float32) / 255)


def png_of_size(width: int, height: int) -> bytes:
    """A PNG whose header claims a size that its few bytes of data do not have."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data)


def test_a_picture_without_alpha_has_a_small_empty_mask() -> None:
    image, mask = decode_image(encoded(rgb()))
    assert torch.equal(image, levels(NUMBERS[:1, ..., :3]))
    assert torch.equal(mask, torch.zeros(1, 64, 64))


def test_the_mask_is_one_where_the_picture_is_transparent() -> None:
    image, mask = decode_image(encoded(rgba()))
    assert torch.equal(image, levels(NUMBERS[:1, ..., :3]))
    assert torch.equal(mask, 1 - levels(NUMBERS[:1, ..., 3]))


def test_a_transparent_palette_colour_is_masked() -> None:
    picture = rgb().quantize(4)
    _, mask = decode_image(encoded(picture, transparency=2))
    assert torch.equal(mask[0] == 1, torch.from_numpy(np.array(picture) == 2))


def test_exif_turns_the_picture_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # Orientation: the camera was turned by 90 degrees
    image, _ = decode_image(encoded(rgb(), exif=exif))
    assert torch.equal(image, levels(np.rot90(NUMBERS[:1, ..., :3], -1, (1, 2))))


def test_sixteen_bits_become_eight() -> None:
    deep = Image.fromarray(np.array([[0, 51 * 255, 255 * 255]], dtype=np.int32))
    image, _ = decode_image(encoded(deep, "TIFF"))
    assert image[0, 0, :, 0].tolist() == pytest.approx([0, 51 / 255, 1])


def test_frames_of_an_animation_are_a_batch() -> None:
    frames = [rgb(index) for index in range(4)]
    content = encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    image, mask = decode_image(content)
    assert torch.equal(image, levels(NUMBERS[..., :3]))
    assert mask.shape == (4, 64, 64)


def test_frames_of_another_size_are_left_out() -> None:
    frames = [rgb(), rgb(1).resize((3, 3)), rgb(2)]
    content = encoded(
        frames[0], "TIFF", save_all=True, append_images=frames[1:], compression="tiff_deflate"
    )
    image, _ = decode_image(content)
    assert torch.equal(image, levels(NUMBERS[[0, 2], ..., :3]))


def test_a_file_that_is_cut_short_is_read_as_far_as_it_goes() -> None:
    tall = Image.fromarray(np.tile(NUMBERS[0, ..., :3], (60, 20, 1)))
    for format_ in ("PNG", "JPEG"):
        content = encoded(tall, format_)
        whole, _ = decode_image(content)
        part, _ = decode_image(content[: len(content) // 2])
        assert part.shape == whole.shape
        assert torch.equal(part[:, :32], whole[:, :32])


def test_a_mask_is_read_from_any_channel() -> None:
    content = encoded(rgba())
    assert torch.equal(decode_mask(content, "green"), levels(NUMBERS[:1, ..., 1]))
    assert torch.equal(decode_mask(content, "alpha"), 1 - levels(NUMBERS[:1, ..., 3]))


def test_a_picture_without_alpha_masks_nothing() -> None:
    assert torch.equal(decode_mask(encoded(rgb()), "alpha"), torch.zeros(1, 6, 5))


@pytest.mark.parametrize(
    "content",
    [b"", b"hello", b"GIF89a", b"%!PS-Adobe-3.0", b"<svg/>", encoded(rgb(), "JPEG")[:40]],
)
def test_what_is_no_picture_is_refused(content: bytes) -> None:
    with pytest.raises(ImageUnreadableError):
        decode_image(content)


def test_formats_that_are_not_on_the_list_are_refused() -> None:
    with pytest.raises(ImageUnreadableError, match="PNG, JPEG"):
        decode_image(encoded(rgb(), "PPM"))


@pytest.mark.parametrize("side", [9_000, 60_000])
def test_a_decompression_bomb_is_refused_before_it_unpacks(side: int) -> None:
    with pytest.raises(ImageTooLargeError):
        decode_image(png_of_size(side, side))


@pytest.mark.parametrize("limits", [DecodeLimits(frames=3), DecodeLimits(all_pixels=100)])
def test_a_long_animation_is_refused(limits: DecodeLimits) -> None:
    frames = [rgb(index) for index in range(4)]
    content = encoded(frames[0], "PNG", save_all=True, append_images=frames[1:])
    with pytest.raises(ImageTooLargeError):
        decode_image(content, limits)


def test_errors_arrive_intact_from_another_process() -> None:
    for error in (ImageUnreadableError("no picture", "PNG"), ImageTooLargeError(9, "pixels", 8)):
        assert str(pickle.loads(pickle.dumps(error))) == str(error)


@pytest.mark.parametrize("format_", FILE_OPTIONS)
def test_every_format_on_the_list_is_decoded(format_: str) -> None:
    image, mask = decode_image(small(format_))
    assert image.shape[:3] == (1, 16, 16)
    assert torch.allclose(image[0, 3, 2] * 255, torch.tensor([200.0, 80.0, 40.0]), atol=9)
    assert not mask.any()
    red = decode_mask(small(format_), "red")
    assert red[0, 3, 2].item() * 255 == pytest.approx(200, abs=9)


def test_the_list_is_what_is_tried() -> None:
    assert set(PICTURE_FORMATS) == FILE_OPTIONS.keys()


@pytest.mark.parametrize("format_", ["PNG", "TIFF"])
def test_grey_of_16_bits_keeps_its_depth(format_: str) -> None:
    levels_ = [0, 16384 / 65535, 32768 / 65535, 1]
    image, _ = decode_image(grey16(format_))
    assert image[0, 0, ::2, 1].tolist() == pytest.approx(levels_, abs=1e-7)
    for channel in ("red", "green", "blue"):
        mask = decode_mask(grey16(format_), channel)
        assert mask[0, 0, ::2].tolist() == pytest.approx(levels_, abs=1e-7)
    assert not decode_mask(grey16(format_), "alpha").any()


@pytest.mark.parametrize(
    "side_data",
    [
        chunk(b"zTXt", b"workflow\0\0" + zlib.compress(bytes(5 * 2**20))),
        chunk(b"iTXt", b"workflow\0\1\0\0\0" + zlib.compress(bytes(5 * 2**20))),
        chunk(b"iCCP", b"profile\0\0" + zlib.compress(bytes(5 * 2**20))),
        b"".join(chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(10**6))) for _ in range(100)),
    ],
)
def test_what_a_png_says_beside_its_pixels_does_not_matter(side_data: bytes) -> None:
    image, _ = decode_image(png_with(side_data))
    assert torch.equal(image, decode_image(small("PNG"))[0])


def test_a_png_is_turned_by_what_its_text_says() -> None:
    xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    content = chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp)
    wide = encoded(rgb())
    image, _ = decode_image(wide[:33] + content + wide[33:])
    assert torch.equal(image, levels(np.rot90(NUMBERS[:1, ..., :3], -1, (1, 2))))


@pytest.mark.filterwarnings("ignore")  # Pillow and libtiff say what is wrong with a file
@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(sorted(FILE_OPTIONS)),
    st.lists(st.tuples(st.integers(0, 2000), st.binary(min_size=1, max_size=8)), max_size=6),
    st.integers(0, 2000),
)
def test_a_damaged_file_is_decoded_or_refused(
    format_: str, damage: list[tuple[int, bytes]], kept: int
) -> None:
    content = bytearray(small(format_))
    for place, data in damage:
        at = place % len(content)
        content[at : at + len(data)] = data
    with suppress(ServiceError):
        image, _ = decode_image(bytes(content[: kept or None]), DecodeLimits(10**6, 50, 10**6))
        assert image.shape[-1] == 3


def test_the_mask_beside_a_picture_is_its_alpha_or_its_first_channel() -> None:
    for picture, channel in ((rgba(), 3), (rgb(), 0)):
        image, mask = decode_with_alpha(encoded(picture))
        assert torch.equal(image[0], levels(NUMBERS[0, ..., :3]))
        assert torch.equal(mask[0], levels(NUMBERS[0, ..., channel]))
    image, mask = decode_with_alpha(encoded(rgb().convert("L")))
    assert image.shape == (1, 6, 5, 3)
    assert torch.equal(image[0, ..., 0], mask[0])
