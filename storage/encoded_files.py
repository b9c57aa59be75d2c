"""Pictures as files that are not yet named: encoded one by one, wherever the pixels are."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save

from graph.new_files import Medium, NewFile
from storage.animations import Animation, encode_animation
from storage.deep_pictures import exr_32, png_16
from storage.media_types import media_type
from storage.pictures import EXTENSIONS, MIME_TYPES, Encoding, encode_picture

DEEP_KINDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {"png": (".png", "image/png"), "exr": (".exr", "image/x-exr")}
)


def picture_files(
    images: npt.NDArray[np.float32], prefix: str, encoding: Encoding, *, temporary: bool = False
) -> Iterator[NewFile]:
    """A batch [B, H, W, C], float32 in 0..1, picture by picture."""
    count, height, width, _ = images.shape
    how = replace(encoding, compress_level=1) if temporary else encoding
    for k, image in enumerate(images):
        yield NewFile(
            encode_picture(image, how),
            prefix,
            EXTENSIONS[how.format],
            "image",
            MIME_TYPES[how.format],
            width,
            height,
            batch_num=k,
            batch_size=count,
            temporary=temporary,
        )


def deep_picture_files(
    images: npt.NDArray[np.float32], prefix: str, kind: str, colors: str, text: Mapping[str, str]
) -> Iterator[NewFile]:
    """A batch [B, H, W, C], float32, as PNG of 16 bits or OpenEXR, picture by picture."""
    count, height, width, _ = images.shape
    extension, mime_type = DEEP_KINDS[kind]
    for k, image in enumerate(images):
        content = png_16(image, text) if kind == "png" else exr_32(image, text, colors)
        yield NewFile(
            content,
            prefix,
            extension,
            "image",
            mime_type,
            width,
            height,
            batch_num=k,
            batch_size=count,
        )


def animation_file(
    images: npt.NDArray[np.float32], prefix: str, animation: Animation, text: Mapping[str, str]
) -> NewFile:
    """A batch [B, H, W, C], float32 in 0..1, as one file with `text` by keyword."""
    _, height, width, _ = images.shape
    extension, mime_type = EXTENSIONS[animation.format], MIME_TYPES[animation.format]
    content = encode_animation(images, animation, text)
    return NewFile(content, prefix, extension, "image", mime_type, width, height)


def other_file(content: bytes, prefix: str, extension: str) -> NewFile:
    """Any other file; `extension` is ".mp4", ".latent" ..."""
    mime_type = media_type(f"x{extension}")
    families: dict[str, Medium] = {"image": "image", "video": "video", "audio": "audio"}
    family = families.get(mime_type.partition("/")[0], "file")
    return NewFile(content, prefix, extension, family, mime_type)


def latent_file(samples: npt.NDArray[Any], prefix: str, text: Mapping[str, str]) -> NewFile:
    """Latents as ComfyUI's SaveLatent writes them, in safetensors with `text` beside them."""
    tensors = {
        "latent_tensor": np.ascontiguousarray(samples),
        "latent_format_version_0": np.zeros(0, np.float32),  # which tells how they are scaled
    }
    return other_file(save(tensors, dict(text) or None), prefix, ".latent")


async def in_thread(files: Iterator[NewFile]) -> AsyncIterator[NewFile]:
    """What an iterator that computes gives, each computed in a thread."""
    while (file := await asyncio.to_thread(next, files, None)) is not None:
        yield file
