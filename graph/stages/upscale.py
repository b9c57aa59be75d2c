"""The upscale stage: networks that make pictures larger."""

from typing import Protocol

from graph.values import Image, UpscaleModel


class UpscaleFunctions(Protocol):
    """What nodes of the upscale stage may call."""

    async def upscale(self, model: UpscaleModel, image: Image) -> Image: ...
