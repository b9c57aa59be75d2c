"""Frame interpolation as nodes ask for it, on the device of the upscaling models."""

import os
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from diffusion.interpolation.film import SMALLEST, Film
from diffusion.interpolation.frames import FrameDrawing
from diffusion.interpolation.loading import LoadedInterpolator, load_interpolator
from diffusion.upscaling.stage import TilesDone, Turns, UpscaleStage
from graph.errors import ServiceError
from graph.interpolation import FrameInterpolator, Interpolation
from imaging.sizes import check_size

# Values that a network holds at once for each pixel of a frame (ComfyUI memory_used_forward)
RIFE_VALUES, FILM_VALUES = 300, 1700
SEEN_VALUES = 164  # that FILM keeps of a frame while others are drawn beside it
SHARE = 0.5  # of the machine's memory that one frame may take


@dataclass(eq=False)
class FrameMemoryError(ServiceError):
    """Frames too large for the memory there is."""

    status = 413
    code = "frame_too_large"
    template = (
        "Drawing between frames of {width} × {height} takes {needed} bytes with {name!r}, "
        "{limit} are allowed."
    )
    width: int
    height: int
    name: str
    needed: int
    limit: int


@dataclass(eq=False)
class FrameSizeError(ServiceError):
    """Frames too small for a network."""

    status = 422
    code = "frame_too_small"
    template = "{name!r} takes frames of at least {least} × {least} pixels, got {width} × {height}."
    name: str
    least: int
    width: int
    height: int


class InterpolationStage:
    """Shares the device, the memory budget and the turns of a stage that upscales."""

    def __init__(self, shared: UpscaleStage) -> None:
        self._shared = shared

    async def interpolate(
        self,
        model: FrameInterpolator,
        frames: Tensor,
        how: Interpolation,
        report: TilesDone | None = None,
    ) -> Tensor:
        """[N, H, W, 3] of `frames` [F, H, W, 3 or 4] in 0..1.

        `report` is called on the event loop after each frame that was drawn.

        Raises:
            BadModelFile, MissingModelFile: the network cannot be made.
            ImageTooLargeError: there would be too many frames.
            FrameMemoryError, FrameSizeError: frames of that size cannot be drawn between.
        """
        _, height, width = frames.shape[:3]
        check_size(how.count(len(frames)), height, width, 3)
        if how.count(len(frames)) == len(frames):
            return frames[[*(frame for frame, _ in how.pairs(len(frames))), -1], ..., :3]
        return await self._shared.run(partial(self._drawn, model, frames, how), report)

    def _drawn(
        self, model: FrameInterpolator, frames: Tensor, how: Interpolation, turns: Turns
    ) -> Tensor:
        dtype: torch.dtype = getattr(torch, how.precision)
        device = self._shared.device

        def load() -> LoadedInterpolator:
            return load_interpolator(self._shared.open(model.file), device=device, dtype=dtype)

        with self._shared.weights.lease((model.file, dtype), load) as loaded:
            assert isinstance(loaded, LoadedInterpolator)
            _check(loaded, model.file.name, frames, how)
            turns.begin(how.count(len(frames)) - len(frames))
            try:
                with torch.inference_mode():
                    return FrameDrawing(loaded, how, turns.take).over(frames)
            except torch.OutOfMemoryError as error:
                needed, limit = needed_bytes(loaded, frames, how), _memory(device)
                height, width = frames.shape[1:3]
                raise FrameMemoryError(width, height, model.file.name, needed, limit) from error


def _check(loaded: LoadedInterpolator, name: str, frames: Tensor, how: Interpolation) -> None:
    height, width = frames.shape[1:3]
    if isinstance(loaded.network, Film) and min(height, width) < SMALLEST:
        raise FrameSizeError(name, SMALLEST, width, height)
    needed, limit = needed_bytes(loaded, frames, how), _memory(loaded.device)
    if needed > limit:
        raise FrameMemoryError(width, height, name, needed, limit)


def needed_bytes(loaded: LoadedInterpolator, frames: Tensor, how: Interpolation) -> int:
    """What drawing between two frames takes, beside the frames that are drawn."""
    height, width = frames.shape[1:3]
    values = RIFE_VALUES * how.together
    if isinstance(loaded.network, Film):
        values = FILM_VALUES + (SEEN_VALUES * how.multiplier if how.way != "core" else 0)
    return values * height * width * loaded.dtype.itemsize


def _memory(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return int(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") * SHARE)
