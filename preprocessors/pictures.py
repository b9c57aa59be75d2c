"""Pictures as the hint makers of the ControlNet-aux pack see them: bytes, at a resolution.

Those hint makers are defined by what OpenCV makes of bytes, so OpenCV it is here too. (Apache-2.0
pack Fannovel16/comfyui_controlnet_aux: utils.py, common_annotator_call; util.py,
resize_image_with_pad.)
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from graph.errors import ServiceError
from imaging.sizes import check_size

Picture: TypeAlias = NDArray[Any]  # [H, W, 3] or, grey, [H, W]; uint8
Draw: TypeAlias = Callable[[Picture], Picture]
MULTIPLE = 64  # sides are completed to multiples of this while a hint is drawn


@dataclass(eq=False)
class HintError(ServiceError):
    """A picture that a hint cannot be drawn of."""

    status = 422
    code = "hint_failed"
    template = "No hint can be drawn of an image of {width} × {height} pixels: {problem}."
    width: int
    height: int
    problem: str


def each_picture(image: Tensor, draw: Draw) -> Tensor:
    """What `draw` makes of each picture of `image` [B, H, W, C], as [B, H, W, 3] in 0..1.

    Raises:
        HintError: OpenCV refuses the picture.
    """
    levels = (image.cpu().float().clamp(0, 1) * 255).to(torch.uint8).numpy()
    try:
        drawn = [three_channels(draw(three_channels(picture))) for picture in levels]
    except cv2.error as error:
        raise HintError(image.shape[2], image.shape[1], error.err or error.msg) from error
    return torch.from_numpy(np.stack(drawn)).float() / 255


def at_resolution(
    image: Tensor, resolution_px: int, draw: Draw, *, enlarge: int = cv2.INTER_CUBIC
) -> Tensor:
    """`each_picture`, drawn of pictures whose shorter side has `resolution_px` pixels.

    `enlarge` is OpenCV's method for pictures that are smaller.
    """
    height, width = image.shape[1:3]
    factor = resolution_px / min(height, width)
    new_height, new_width = round(height * factor), round(width * factor)
    down, right = -new_height % MULTIPLE, -new_width % MULTIPLE
    check_size(len(image), new_height + down, new_width + right, 3)

    def draw_resized(picture: Picture) -> Picture:
        method = enlarge if factor > 1 else cv2.INTER_AREA
        resized = cv2.resize(picture, (new_width, new_height), interpolation=method)
        padded = np.pad(resized, ((0, down), (0, right), (0, 0)), mode="edge")
        return draw(padded)[:new_height, :new_width]

    return each_picture(image, draw_resized)


def three_channels(picture: Picture) -> Picture:
    """[H, W], or [H, W, C] of one, three or four channels, as [H, W, 3]; alpha over white."""
    if picture.ndim == 2:
        picture = picture[..., None]
    if picture.shape[-1] == 4:
        alpha = picture[..., 3:].astype(np.float32) / 255
        picture = (picture[..., :3] * alpha + 255 * (1 - alpha)).clip(0, 255).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(picture, (*picture.shape[:2], 3)))
