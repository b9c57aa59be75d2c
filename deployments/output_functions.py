"""What nodes of the OUTPUT stage are called with: they encode, and hand on what they made."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from graph.new_files import NewFile
from graph.values import Image
from storage.animations import Animation
from storage.encoded_files import animation_file, picture_files
from storage.outputs import in_thread
from storage.pictures import Encoding


@dataclass(frozen=True)
class NodeFiles:
    """The output stage as one node sees it. `made` takes each file once it is encoded."""

    encoding: Encoding
    made: Callable[[NewFile], Awaitable[None]]

    async def save_images(
        self, images: Image, filename_prefix: str, *, temporary: bool = False
    ) -> None:
        files = picture_files(as_array(images), filename_prefix, self.encoding, temporary=temporary)
        async for file in in_thread(files):
            await self.made(file)

    async def save_animation(self, images: Image, filename_prefix: str, **how: Any) -> None:
        pixels, text = as_array(images), self.encoding.text
        animation = Animation(**how)
        await self.made(
            await asyncio.to_thread(animation_file, pixels, filename_prefix, animation, text)
        )


def as_array(values: Any) -> npt.NDArray[np.float32]:
    """Pixels or samples in host memory, whether they come as a tensor or as an array."""
    tensor = values.detach().float().cpu() if hasattr(values, "detach") else values
    return np.asarray(tensor, np.float32)
