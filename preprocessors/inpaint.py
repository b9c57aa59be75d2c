"""Pictures with a hole where they are to be painted anew (the pack's InpaintPreprocessor)."""

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from imaging.sizes import match_batch

HOLE, BLACK = -1.0, 0.0


def inpaint_hint(image: Tensor, mask: Tensor, *, black: bool = False) -> Tensor:
    """`image` [B, H, W, C] with -1, or black, where `mask` [B, h, w] is above one half.

    Raises:
        BatchMismatchError: neither batch is 1 and they differ.
    """
    masks = mask.reshape(-1, 1, *mask.shape[-2:])
    sized = interpolate(masks, size=image.shape[1:3], mode="bilinear").movedim(1, -1)
    hole = torch.tensor(BLACK if black else HOLE).to(image)
    return torch.where(match_batch(image, sized) > 0.5, hole, image)
