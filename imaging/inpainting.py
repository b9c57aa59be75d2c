"""Masks and pictures made ready for inpainting, and put back (comfyui-inpaint-nodes)."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import conv2d, interpolate, pad

from graph.errors import ServiceError
from graph.stages.inpainting import MaskBlur, MaskedFill
from imaging.cie_lab import lab_to_rgb, rgb_to_lab
from imaging.filters import ImageTooSmallError, blur_channels
from imaging.masks import as_masks
from imaging.morphology import dilate, erode

MASKED = 0.99  # from here on a pixel is wholly masked
FILL_RADIUS = 3  # pixels that OpenCV looks around


@dataclass(eq=False)
class InpaintingError(ServiceError):
    """Pictures or masks that a node cannot work on."""

    status = 422
    code = "inpainting"
    template = "{problem}."
    problem: str


def expand_mask(mask: Tensor, reach: int, blur: int, kind: MaskBlur) -> Tensor:
    """1 where anything is masked within `reach` pixels, blurred."""
    x = _planes(mask)
    if reach > 0:
        x = (dilate(x, (reach, reach)) > 0).to(x.dtype)
    return _blurred(x, blur, kind)


def shrink_mask(mask: Tensor, reach: int, blur: int, kind: MaskBlur) -> Tensor:
    """1 where all is masked within `reach` pixels, blurred."""
    x = _planes(mask)
    if reach > 0:
        x = (erode(x, (reach, reach)) >= 1).to(x.dtype)
    return _blurred(x, blur, kind)


def stabilize_mask(mask: Tensor, epsilon: float) -> Tensor:
    """What is masked almost wholly is masked wholly."""
    x = as_masks(mask)
    return torch.where(x > 1.0 - epsilon, torch.ones_like(x), x)


def steepen_mask(mask: Tensor, offset: float, threshold: float) -> Tensor:
    """0 up to `offset`, 1 from `threshold` on, and a slope in between.

    Raises:
        InpaintingError: the one is not below the other.
    """
    if offset >= threshold:
        problem = f"offset ({offset}) must be less than threshold ({threshold})"
        raise InpaintingError(problem)
    return ((mask - offset) * (1 / (threshold - offset))).clamp(0, 1)


def mask_bounds(mask: Tensor) -> tuple[int, int, int, int]:
    """x, y, width and height of what the first mask has.

    Raises:
        InpaintingError: it is empty.
    """
    places = torch.nonzero(as_masks(mask)[0])
    if not len(places):
        problem = "The mask is empty, so that nothing bounds it"
        raise InpaintingError(problem)
    (top, left), (bottom, right) = places.amin(0).tolist(), places.amax(0).tolist()
    return left, top, right + 1 - left, bottom + 1 - top


def fill_masked(image: Tensor, mask: Tensor, fill: MaskedFill, falloff: int) -> Tensor:
    """Pictures that are grey where the mask is, or filled from around it.

    Raises:
        InpaintingError: as many masks as pictures are needed, of their size.
    """
    _check_alike(image, mask)
    if len(as_masks(mask)) != len(image):
        problem = f"{len(image)} pictures need as many masks, got {len(mask)}"
        raise InpaintingError(problem)
    alpha = _with_falloff(_hard(mask), _odd(falloff)).movedim(1, -1)
    if fill == "neutral":
        colors = (image[..., :3] - 0.5) * (1.0 - alpha) + 0.5
        return torch.cat([colors, image[..., 3:]], dim=-1)
    filled = [_filled(one, where[..., 0], fill) for one, where in zip(image, alpha, strict=True)]
    return image * (1.0 - alpha) + torch.stack(filled) * alpha


def blur_masked(image: Tensor, mask: Tensor, blur: int, falloff: int) -> Tensor:
    """Pictures that are blurred where the mask is.

    Raises:
        InpaintingError: the mask has another size.
        ImageTooSmallError: the picture is too small for such a blur.
    """
    _check_alike(image, mask)
    size = _odd(blur)
    alpha = _with_falloff(_hard(mask), min(_odd(falloff), size - 2)).movedim(1, -1)
    blurred = _gaussian(image.movedim(-1, 1), size).movedim(1, -1)
    return image + (blurred - image) * alpha


def with_opacity(image: Tensor, mask: Tensor) -> Tensor:
    """Pictures that are opaque where the mask is; the first mask where there are not as many.

    Raises:
        InpaintingError: the mask has another size.
    """
    _check_alike(image, mask)
    opacity = as_masks(mask)
    if len(opacity) != len(image):
        opacity = opacity[:1].expand(len(image), -1, -1)
    return torch.cat([image[..., :3], opacity[..., None]], dim=-1)


def match_lab_colors(
    target: Tensor, reference: Tensor, exclude: Tensor | None, strength: float
) -> Tensor:
    """Pictures with another's mean and spread of every channel of CIE L*a*b*.

    What is excluded counts as black in both, as in the node pack.

    Raises:
        InpaintingError: pictures and masks do not go by pairs.
    """
    if strength <= 0.0:
        return target
    counts = {len(target), len(reference), 1 if exclude is None else len(as_masks(exclude))}
    if len(counts - {1}) > 1 or len(reference) > len(target):
        problem = "Targets, references and masks must be as many, or one"
        raise InpaintingError(problem)
    colors = target[..., :3].movedim(-1, 1)
    mean, deviation = _statistics(rgb_to_lab(colors), exclude)
    wanted_mean, wanted_deviation = _statistics(
        rgb_to_lab(reference[..., :3].movedim(-1, 1)), exclude
    )
    ratio = wanted_deviation / deviation.clamp(min=1e-6)
    matched = lab_to_rgb((rgb_to_lab(colors) - mean) * ratio + wanted_mean)
    if strength < 1.0:
        matched = (1.0 - strength) * colors + strength * matched
    return matched.movedim(1, -1).clamp(0, 1)


def _statistics(lab: Tensor, exclude: Tensor | None) -> tuple[Tensor, Tensor]:
    """Mean and deviation [B, 3, 1, 1] of every channel."""
    if exclude is not None:
        mask = _planes(exclude)
        if mask.shape[-2:] != lab.shape[-2:]:
            mask = interpolate(mask, size=tuple(lab.shape[-2:]), mode="bilinear")
        lab = lab * (mask < 0.5)
    deviation, mean = torch.std_mean(lab.flatten(2), dim=-1, unbiased=False)
    return mean[..., None, None], deviation[..., None, None]


def _planes(mask: Tensor) -> Tensor:
    return as_masks(mask)[:, None]


def _hard(mask: Tensor) -> Tensor:
    x = _planes(mask)
    return (x >= MASKED).to(x.dtype)


def _with_falloff(alpha: Tensor, size: int) -> Tensor:
    """A hard mask that fades towards its edge, over so many pixels."""
    if size <= 0:
        return alpha
    return alpha * _gaussian((erode(alpha, (size, size)) >= 1).to(alpha.dtype), size)


def _filled(image: Tensor, alpha: Tensor, fill: MaskedFill) -> Tensor:
    """[H, W, C] filled by OpenCV, on 8 bits."""
    import cv2  # noqa: PLC0415 - slow

    method = cv2.INPAINT_TELEA if fill == "telea" else cv2.INPAINT_NS
    pixels, where = ((255.0 * x).cpu().numpy().astype(np.uint8) for x in (image, alpha))
    filled = cv2.inpaint(pixels, where, FILL_RADIUS, method)
    return torch.from_numpy(filled.astype(np.float32) / 255.0).to(image.device)


def _blurred(x: Tensor, size: int, kind: MaskBlur) -> Tensor:
    """[B, 1, H, W] to [B, H, W]."""
    size = _odd(size)
    if size > 2:
        x = _gaussian(x, size) if kind == "gaussian" else _weighed(x, _weights(size, kind))
    return x[:, 0]


def _weights(size: int, kind: MaskBlur) -> Tensor:
    if kind == "box" or size == 3:
        return torch.full((size,), 1 / size)
    half = size // 2
    slope = torch.linspace(1 / half, (half - 1) / half, half)
    weights = torch.cat([slope, torch.ones(1), slope.flip(0)])
    return weights / weights.sum()


def _weighed(x: Tensor, weights: Tensor) -> Tensor:
    """Both axes of [B, 1, H, W] with weights, mirrored at the edges."""
    radius = len(weights) // 2
    if radius >= min(x.shape[-2:]):
        raise ImageTooSmallError(radius, x.shape[-1], x.shape[-2])
    weights = weights.to(x)
    mirrored = pad(x, (radius, radius, radius, radius), mode="reflect")
    return conv2d(conv2d(mirrored, weights[None, None, None]), weights[None, None, :, None])


def _gaussian(x: Tensor, size: int) -> Tensor:
    """[B, C, H, W] behind a Gaussian as wide as OpenCV makes it for so many pixels."""
    radius = size // 2
    return blur_channels(x, radius, (0.3 * (size - 1) + 0.8) / radius) if radius else x


def _odd(size: int) -> int:
    return size + 1 if size > 0 and size % 2 == 0 else size


def _check_alike(image: Tensor, mask: Tensor) -> None:
    if image.shape[1:3] != mask.shape[-2:]:
        sizes = [f"{x[1]} x {x[0]}" for x in (image.shape[1:3], mask.shape[-2:])]
        problem = f"The picture is {sizes[0]} and the mask {sizes[1]} pixels"
        raise InpaintingError(problem)
