"""Converts latents to transformer tokens, each a square of latent pixels, and back."""

from torch import Tensor
from torch.nn import functional

PATCH = 2  # latent pixels along a side of a token


def padded(sample: Tensor) -> Tensor:
    """[N, C, h, w] with whole tokens, the missing pixels taken from the other side."""
    below, beside = -sample.shape[-2] % PATCH, -sample.shape[-1] % PATCH
    if not below and not beside:
        return sample
    return functional.pad(sample, (0, beside, 0, below), mode="circular")


def packed(sample: Tensor) -> Tensor:
    """[N, C, h, w] as tokens [N, T, C * 4]."""
    sample = padded(sample)
    count, channels, height, width = sample.shape
    tokens = sample.view(count, channels, height // PATCH, PATCH, width // PATCH, PATCH)
    return tokens.permute(0, 2, 4, 1, 3, 5).reshape(count, -1, channels * PATCH**2)


def packed_length(sample: Tensor) -> int:
    return tokens_along(sample.shape[-2]) * tokens_along(sample.shape[-1])


def tokens_along(side: int, patch: int = PATCH) -> int:
    """Tokens along a side of so many latent pixels."""
    return -(-side // patch)


def unpacked(tokens: Tensor, height: int, width: int) -> Tensor:
    """Tokens [N, T, C * 4] as [N, C, height, width]."""
    rows, columns = tokens_along(height), tokens_along(width)
    parts = tokens.view(len(tokens), rows, columns, -1, PATCH, PATCH)
    whole = parts.permute(0, 3, 1, 4, 2, 5).reshape(len(tokens), -1, rows * PATCH, columns * PATCH)
    return whole[..., :height, :width]


def patched(sample: Tensor) -> Tensor:
    """As `packed`, but each token has the channels of its first pixel first: [N, T, 4 * C]."""
    sample = padded(sample)
    parts = sample.unflatten(-1, (-1, PATCH)).unflatten(-3, (-1, PATCH))
    tokens: Tensor = parts.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)
    return tokens


def unpatched(tokens: Tensor, height: int, width: int) -> Tensor:
    """Tokens [N, T, 4 * C], channels last, as [N, C, height, width]."""
    rows, columns = tokens_along(height), tokens_along(width)
    parts = tokens.view(len(tokens), rows, columns, PATCH, PATCH, -1)
    whole = parts.permute(0, 5, 1, 3, 2, 4).reshape(len(tokens), -1, rows * PATCH, columns * PATCH)
    return whole[..., :height, :width]
