"""Decodes uploaded pictures to tensors (ComfyUI nodes.py, LoadImage and LoadImageMask)."""

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageFile, ImageOps, ImageSequence
from torch import Tensor

from graph.choices import Channel
from graph.errors import ServiceError
from graph.picture_formats import PICTURE_FORMATS, without_side_data
from imaging.sizes import ImageTooLargeError

JPEG_START, JPEG_END = b"\xff\xd8", b"\xff\xd9"
BROKEN_FILE = (  # what Pillow's readers raise on bytes that are not as they should be
    OSError,
    RuntimeError,
    SyntaxError,
    ValueError,
    LookupError,
    ArithmeticError,
    TypeError,
    AttributeError,
    EOFError,
    MemoryError,
    struct.error,
    zlib.error,
)
DEEP_MODES = frozenset({"I;16", "I;16B", "I;16L", "I;16N"})  # Pillow's, grey
DEEPEST = 65535.0
NO_MASK = (64, 64)  # the size of the all-zero mask of a picture without transparency


@dataclass(frozen=True)
class DecodeLimits:
    """What an upload may unpack to, checked before it does."""

    pixels: int = 64 * 2**20  # of one frame
    frames: int = 1024
    all_pixels: int = 128 * 2**20


DEFAULT_LIMITS = DecodeLimits()


@dataclass(eq=False)
class ImageUnreadableError(ServiceError):
    """Bytes that are no picture, or one of a format that is not taken."""

    status = 422
    code = "image_unreadable"
    template = "The file is not a readable picture ({problem}); {formats} are read."
    problem: str
    formats: str


def decode_image(content: bytes, limits: DecodeLimits = DEFAULT_LIMITS) -> tuple[Tensor, Tensor]:
    """A picture file as ([B, H, W, 3], [B, h, w]): its frames, and where they are transparent.

    Frames of another size than the first are left out. The mask is 1 where the picture is
    transparent; without transparency it is 64 x 64 zeros.

    Raises:
        ImageUnreadableError: no picture, broken, or a format that is not taken.
        ImageTooLargeError: more pixels or frames than `limits` allow.
    """
    images: list[Tensor] = []
    masks: list[Tensor] = []
    for frame in _frames(content, limits):
        image = _colors(frame)
        if images and image.shape != images[0].shape:
            continue
        images.append(image)
        masks.append(_transparency(frame))
    if any(mask.shape != masks[0].shape for mask in masks):  # some frames have alpha, others none
        size = images[0].shape[:2]
        masks = [mask if mask.shape == size else torch.zeros(size) for mask in masks]
    return torch.stack(images), torch.stack(masks)


def decode_mask(content: bytes, channel: Channel, limits: DecodeLimits = DEFAULT_LIMITS) -> Tensor:
    """One channel of the first frame of a picture file, [1, H, W]; alpha is turned over.

    Raises:
        ImageUnreadableError: no picture, broken, or a format that is not taken.
        ImageTooLargeError: more pixels than `limits` allow.
    """
    frame = next(_frames(content, limits))
    if frame.mode in DEEP_MODES and channel != "alpha":
        return _deep_values(frame)[None]
    mask = _values(frame.convert("RGBA").getchannel(channel[0].upper()))
    return (1.0 - mask if channel == "alpha" else mask)[None]


def decode_with_alpha(
    content: bytes, limits: DecodeLimits = DEFAULT_LIMITS
) -> tuple[Tensor, Tensor]:
    """The first frame of a picture file, [1, H, W, 3], and its alpha, [1, H, W].

    In place of alpha that it has not, its first channel: masks come as grey pictures.

    Raises:
        ImageUnreadableError: no picture, broken, or a format that is not taken.
        ImageTooLargeError: more pixels than `limits` allow.
    """
    frame = next(_frames(content, limits))
    if frame.has_transparency_data:
        mask = _values(frame.convert("RGBA").getchannel("A"))
    elif frame.mode in DEEP_MODES:
        mask = _deep_values(frame)
    else:
        mask = _values(frame.convert("RGB").getchannel("R"))
    return _colors(frame)[None], mask[None]


def _frames(content: bytes, limits: DecodeLimits) -> Iterator[Image.Image]:
    """The frames of a file, upright; 32 bits are brought to 8 as ComfyUI does."""
    left = limits.all_pixels
    # a JPEG that is cut short is taken as far as it goes; after a whole one, this is ignored
    content = content + JPEG_END if content.startswith(JPEG_START) else without_side_data(content)
    try:
        with Image.open(io.BytesIO(content), formats=PICTURE_FORMATS) as file:
            for index, frame in enumerate(ImageSequence.Iterator(file)):
                pixels = frame.width * frame.height
                left -= pixels
                if index >= limits.frames:
                    raise ImageTooLargeError(index + 1, "frames or more", limits.frames)
                if pixels > limits.pixels:
                    raise ImageTooLargeError(pixels, "pixels", limits.pixels)
                if left < 0:
                    total = limits.all_pixels - left
                    raise ImageTooLargeError(total, "pixels in all frames", limits.all_pixels)
                yield _upright(file)  # the iterator's frame is the file itself, moved on
                if file.format == "MPO":  # a camera's preview and depth pictures follow
                    return
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageTooLargeError(limits.pixels + 1, "pixels or more", limits.pixels) from error
    except BROKEN_FILE as error:
        problem = str(error).partition("<")[0].strip() or type(error).__name__
        raise ImageUnreadableError(problem, ", ".join(PICTURE_FORMATS)) from error


def _upright(frame: ImageFile.ImageFile) -> Image.Image:
    try:
        frame.load()
    except OSError:
        # ComfyUI takes what could be decoded of a file that is cut short. Without tiles left to
        # read, Pillow takes the frame as it is; its own switch for this is a process-wide global.
        frame.tile = []
        frame.load()
    upright = ImageOps.exif_transpose(frame)
    return upright.point(lambda value: value * (1 / 255)) if upright.mode == "I" else upright


def _colors(frame: Image.Image) -> Tensor:
    """[H, W, 3]. Grey of 16 bits keeps them."""
    if frame.mode in DEEP_MODES:
        return _deep_values(frame)[..., None].repeat(1, 1, 3)
    return _values(frame.convert("RGB"))


def _transparency(frame: Image.Image) -> Tensor:
    if "A" in frame.getbands():
        return 1.0 - _values(frame.getchannel("A"))
    if frame.mode == "P" and "transparency" in frame.info:
        return 1.0 - _values(frame.convert("RGBA").getchannel("A"))
    return torch.zeros(NO_MASK)


def _deep_values(picture: Image.Image) -> Tensor:
    """Grey of 16 bits in 0..1: ComfyUI's own scaling waits for a mode that Pillow gave up."""
    return torch.from_numpy(np.array(picture).astype(np.float32) / DEEPEST).clamp(0, 1)


def _values(picture: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(picture).astype(np.float32) / 255.0)
