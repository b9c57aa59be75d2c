"""The upscale stage: networks that make pictures larger, and videos smoother."""

from typing import Protocol

from graph.interpolation import FrameInterpolator, Interpolation
from graph.values import Image, UpscaleModel


class UpscaleFunctions(Protocol):
    """What nodes of the upscale stage may call."""

    async def upscale(self, model: UpscaleModel, image: Image) -> Image: ...

    async def interpolate(
        self, model: FrameInterpolator, frames: Image, how: Interpolation
    ) -> Image: ...
