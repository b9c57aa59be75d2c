"""The Pillow tasks that run in a picture process (child.py)."""

import io
import struct
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from PIL import Image, ImageFile

from graph.picture_formats import (
    PICTURE_FORMATS,
    png_text,
    with_png_text,
    without_side_data,
)

MOST_TEXT_BYTES = 16 * 2**20  # of the text that a masked picture takes over from its original
DEEPER = {"I": 1 / 255, "I;16": 1 / 257, "I;16B": 1 / 257, "I;16L": 1 / 257, "I;16N": 1 / 257}
STREAM_START = b"\xff\x4f\xff\x51"  # of a JPEG 2000 code stream, up to its size
TAG_BYTES = {3: 2, 4: 4, 5: 8, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
PLAIN_TAGS = frozenset({1, 2, 6, 7})  # bytes and text; others become numbers, which take more
MOST_NUMBERS = 2**18  # in a tag: of a page of 64 Mi pixels, more than one for each strip

Answer: TypeAlias = tuple[dict[str, Any], bytes]


@dataclass
class RefusedError(Exception):
    """Why a picture is not taken: the name of an error of picture_limits.py, and its facts."""

    error: str
    facts: dict[str, Any]


def look(content: bytes, *, most_pixels: int, most_frames: int) -> Answer:
    """What a picture is, by its header."""
    with opened(content, most_pixels, most_frames) as picture:
        mime = Image.MIME.get(picture.format or "", "application/octet-stream")
        turned = picture.getexif().get(0x0112, 1) in {5, 6, 7, 8}
        width, height = picture.size[::-1] if turned else picture.size
    return {"mime": mime, "width": width, "height": height}, b""


def repaint(content: bytes, *, limits: Mapping[str, int], format: str, channel: str, quality: int,
            shrink: bool) -> Answer:  # fmt: skip
    """A picture in another format, or its colours ("rgb") or alpha ("a") alone.

    The alpha is that of an otherwise empty picture (ComfyUI server.py, view_image). Where it may
    `shrink`, one that is larger than a preview is made smaller while it is read.
    """
    with opened(content, limits["most_pixels"], limits["most_frames"]) as picture:
        factor = _factor(picture, limits) if shrink else 1
        if factor > 1:
            picture.draft(None, (picture.width // factor, picture.height // factor))
        whole = eight_bits(_loaded(picture)).convert("RGBA")
        factor = _factor(whole, limits) if shrink else 1
        whole = whole.reduce(factor) if factor > 1 else whole
    if channel == "a":
        painted = Image.new("RGBA", whole.size)
        painted.putalpha(whole.getchannel("A"))
    else:
        painted = whole.convert("RGB") if channel == "rgb" or format == "jpeg" else whole
    buffer = io.BytesIO()
    painted.save(buffer, format=format, quality=quality)
    return {}, buffer.getvalue()


def masked(original: bytes, mask: bytes, *, limits: Mapping[str, int]) -> Answer:
    """The original, with its text, and with the alpha of `mask`, as PNG."""
    with opened(original, limits["most_pixels"], limits["most_frames"]) as first:
        picture = eight_bits(_loaded(first)).convert("RGBA")
    with opened(mask, limits["most_pixels"], limits["most_frames"], name="mask") as drawn:
        alpha = eight_bits(_loaded(drawn)).convert("RGBA").getchannel("A")
    if alpha.size != picture.size:
        facts = {"mask_px": alpha.size, "original_px": picture.size}
        raise RefusedError("MaskSizeError", facts)
    picture.putalpha(alpha)
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", compress_level=4)
    return {}, with_png_text(buffer.getvalue(), png_text(original, MOST_TEXT_BYTES))


TASKS: Mapping[str, Callable[..., Answer]] = {"look": look, "repaint": repaint, "masked": masked}


def opened(
    content: bytes, most_pixels: int, most_frames: int, name: str | None = None
) -> ImageFile.ImageFile:
    """A picture within the limits, its pixels not read yet.

    Raises:
        RefusedError: it is not.
    """
    frames = tiff_pages(content, most_frames)
    with warnings.catch_warnings():  # Pillow's own limit of pixels is not ours
        warnings.simplefilter("ignore")
        try:
            picture = Image.open(io.BytesIO(without_side_data(content)), formats=PICTURE_FORMATS)
        except Image.DecompressionBombError as error:
            facts = {"pixels": 2 * (Image.MAX_IMAGE_PIXELS or 0), "limit": most_pixels}
            raise RefusedError("PictureTooLargeError", _named(facts, name)) from error
    if frames is None:
        frames = getattr(picture, "n_frames", 1) if picture.format != "MPO" else 1
    if frames > most_frames:
        raise RefusedError("TooManyFramesError", _named({"limit": most_frames}, name))
    pixels = picture.width * picture.height * frames
    if picture.format == "ICO":
        pixels = _icon_pixels(picture)
    if pixels > most_pixels:
        facts = {"pixels": pixels, "limit": most_pixels}
        raise RefusedError("PictureTooLargeError", _named(facts, name))
    if picture.format == "JPEG2000":
        _check_stream(content, picture)
    return picture


def eight_bits(picture: Image.Image) -> Image.Image:
    """Grey of more bits scaled to 8, which a mere conversion would cut off at 255."""
    scale = DEEPER.get(picture.mode)
    if scale is None:
        return picture
    return picture.convert("I").point(lambda value: value * scale).convert("L")


def tiff_pages(content: bytes, most: int) -> int | None:
    """How many pages a TIFF has, counted up to `most` + 1 by their links; None of other files.

    Raises:
        RefusedError: the tags of a page say that they hold more than the file does.
    """
    if content[:4] not in {b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"}:
        return None
    big = b"+" in content[:4]
    order = "<" if content[:1] == b"I" else ">"
    count, link = struct.Struct(order + "HQ"[big]), struct.Struct(order + "IQ"[big])
    entry = struct.Struct(order + ("HHQQ" if big else "HHII"))
    pages = 0
    try:
        (page,) = link.unpack_from(content, 8 if big else 4)
        while page and pages <= most:
            pages += 1
            (entries,) = count.unpack_from(content, page)
            end = page + count.size + entries * entry.size
            _check_tags(entry.iter_unpack(content[page + count.size : end]), len(content))
            (page,) = link.unpack_from(content, end)
    except (struct.error, OverflowError):  # the last page is cut off
        pass
    return max(pages, 1)


def _check_tags(entries: Iterator[tuple[int, ...]], most_bytes: int) -> None:
    """Raises RefusedError where tags share their values, which a reader would copy for each."""
    left = most_bytes
    for _, kind, count, _ in entries:
        left -= count * TAG_BYTES.get(kind, 1)
        if left < 0 or (kind not in PLAIN_TAGS and count > MOST_NUMBERS):
            raise RefusedError("NoPictureError", {"problem": "its tags are too large"})


def _loaded(picture: ImageFile.ImageFile) -> Image.Image:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        picture.load()
    return picture


def _factor(picture: Image.Image, limits: Mapping[str, int]) -> int:
    """By how much a picture is made smaller to be no larger than a preview."""
    factor = 1
    while (
        picture.width * picture.height > limits["preview_pixels"] * factor**2
        or max(picture.size) > limits["preview_side"] * factor
    ):
        factor += 1
    return factor


def _icon_pixels(picture: ImageFile.ImageFile) -> int:
    """An icon's size once it is read: its directory does not say that of a PNG within."""
    _loaded(picture)
    return picture.width * picture.height


def _check_stream(content: bytes, picture: Image.Image) -> None:
    """Raises RefusedError where a JPEG 2000 file is of another size than its header says."""
    start = content.find(STREAM_START)
    try:
        right, bottom, left, top = struct.unpack_from(">4I", content, start + 8)
    except struct.error:
        right = bottom = left = top = 0
    if start < 0 or (right - left, bottom - top) != picture.size:
        raise RefusedError("NoPictureError", {"problem": "its sizes contradict each other"})


def _named(facts: dict[str, Any], name: str | None) -> dict[str, Any]:
    return facts if name is None else facts | {"name": name}
