"""The output stage: what a job keeps."""

from typing import Any, Protocol

from graph.values import Image


class OutputFunctions(Protocol):
    """What nodes that save may call."""

    async def save_animation(self, images: Image, filename_prefix: str, **how: Any) -> None: ...

    async def save_images(
        self, images: Image, filename_prefix: str, *, temporary: bool = False
    ) -> None: ...
