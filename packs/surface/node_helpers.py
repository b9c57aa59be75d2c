"""node_helpers: small functions that nodes share."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from PIL import Image, ImageFile, UnidentifiedImageError


def conditioning_set_values(
    conditioning: list[Any], values: Mapping[str, Any] | None = None, append: bool = False
) -> list[Any]:
    """A CONDITIONING with values set in each of its parts; appended to lists with `append`."""
    found = []
    for tokens, options in conditioning:
        new = dict(options)
        for name, value in (values or {}).items():
            old = options.get(name)
            new[name] = [*old, *value] if append and old is not None else value
        found.append([tokens, new])
    return found


def pillow(fn: Callable[..., Any], arg: Any) -> Any:
    """Call a function of Pillow; once more leniently where it finds a file cut short."""
    try:
        return fn(arg)
    except (OSError, UnidentifiedImageError, ValueError):
        before = ImageFile.LOAD_TRUNCATED_IMAGES
        ImageFile.LOAD_TRUNCATED_IMAGES = True
        try:
            return fn(arg)
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = before


def hasher() -> Callable[..., Any]:
    return hashlib.sha256


def string_to_torch_dtype(string: str) -> Any:
    """The dtype that a word such as fp16 means."""
    import torch  # noqa: PLC0415

    return {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}.get(string)


def image_alpha_fix(destination: Any, source: Any) -> tuple[Any, Any]:
    """Two pictures with as many channels: an opaque one is added, or one too many left out."""
    import torch  # noqa: PLC0415

    if destination.shape[-1] < source.shape[-1]:
        source = source[..., : destination.shape[-1]]
    elif destination.shape[-1] > source.shape[-1]:
        source = torch.nn.functional.pad(source, (0, 1))
        source[..., -1] = 1.0
    return destination, source


def open_image(path: str) -> Image.Image:
    return Image.open(path)
