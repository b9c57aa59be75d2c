"""The upscale stage: the functions that nodes call to upscale with a model. No Ray."""

import asyncio
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from math import ceil
from threading import Event, Lock
from typing import Protocol, TypeAlias

import torch
from torch import Tensor

from diffusion.autoencoder.tiles import Tiling
from diffusion.memory.cache import ModelCache
from diffusion.upscaling.models import LoadedUpscaler, load_upscaler
from diffusion.weights import Weights
from graph.errors import ServiceError
from graph.values import ModelFile, UpscaleModel
from imaging.sizes import check_size

# ComfyUI comfy_extras/nodes_upscale_model.py, ImageUpscaleWithModel; pixels of the small picture
TILE = 512
OVERLAP = 32
SMALLEST_TILE = 128
PICTURES_AT_ONCE = 4

OpenWeights: TypeAlias = Callable[[ModelFile], Weights]
TilesDone: TypeAlias = Callable[[int, int], None]  # tiles finished, tiles in all
Upscale: TypeAlias = Callable[[Tensor], Tensor]


@dataclass(eq=False)
class UpscaleMemoryError(ServiceError):
    """A model that does not fit beside the smallest tile."""

    status = 503
    code = "out_of_memory"
    template = "Upscaling with {name} takes more memory than there is, even in tiles of {tile}."
    name: str
    tile: int


class Sized(Protocol):
    """A network that is loaded."""

    @property
    def size(self) -> int: ...  # bytes


class StoppedError(Exception):
    """Nobody waits for the picture any more."""


@dataclass(eq=False)
class Turns:
    """One request's share of the device: a tile at a time, told to whoever waits for it."""

    device: Lock
    tell: TilesDone
    stop: Event = field(default_factory=Event)
    done: int = 0
    of: int = 0

    def begin(self, of: int) -> None:
        self.done, self.of = 0, of

    def take(self, ask: Callable[[], Tensor], *, counts: bool = True) -> Tensor:
        """What `ask` says when it is its turn; what `counts` is one of those that are told."""
        with self.device:
            if self.stop.is_set():
                raise StoppedError
            answer = ask()
        if counts:
            self.done += 1
            self.tell(self.done, self.of)
        return answer

    def work(self, upscale: Upscale, part: Tensor) -> Tensor:
        return self.take(lambda: upscale(part))


class UpscaleStage:
    """Upscaling models of one device, kept within a memory budget. For one event loop.

    Several pictures are worked on at once and take turns, tile by tile; one that nobody waits
    for any more gives up its next turn.
    """

    def __init__(
        self, open_weights: OpenWeights, *, device: torch.device, budget_bytes: int
    ) -> None:
        self.open = open_weights
        self.device = device
        self.weights: ModelCache[Hashable, Sized] = ModelCache(
            budget_bytes, lambda loaded: loaded.size
        )
        self._turn = Lock()
        self._threads = ThreadPoolExecutor(PICTURES_AT_ONCE, "upscale")

    async def upscale(
        self, model: UpscaleModel, image: Tensor, report: TilesDone | None = None
    ) -> Tensor:
        """Pictures [B, H * scale, W * scale, 3] in 0..1 of `image` [B, H, W, 3 or 4].

        `report` is called on the event loop after each tile.

        Raises:
            BadModelFile, MissingModelFile: the model cannot be made.
            ImageTooLargeError: the result would have too many pixels.
            UpscaleMemoryError: out of memory, however small the tiles.
        """
        return await self.run(partial(self._upscale, model, image), report)

    async def run(self, work: Callable[[Turns], Tensor], report: TilesDone | None) -> Tensor:
        """What `work` says, on a thread, turn by turn; a cancelled one takes no more turns."""
        loop = asyncio.get_running_loop()

        def tell(done: int, of: int) -> None:
            if report is not None:
                loop.call_soon_threadsafe(report, done, of)

        turns = Turns(self._turn, tell)
        try:
            return await loop.run_in_executor(self._threads, work, turns)
        except asyncio.CancelledError:
            turns.stop.set()
            raise

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _upscale(self, model: UpscaleModel, image: Tensor, turns: Turns) -> Tensor:
        load = partial(self._load, model.file)
        with self.weights.lease(model.file, load) as loaded:
            assert isinstance(loaded, LoadedUpscaler)
            batch, height, width = image.shape[:3]
            check_size(batch, height * loaded.scale, width * loaded.scale, 3)
            x = image[..., :3].movedim(-1, 1)
            try:
                upscaled = in_tiles(loaded, loaded.scale, x, turns)
            except torch.OutOfMemoryError as error:
                raise UpscaleMemoryError(model.file.name, SMALLEST_TILE) from error
        return upscaled.clamp(0, 1).movedim(1, -1)

    def _load(self, file: ModelFile) -> LoadedUpscaler:
        return load_upscaler(self.open(file), device=self.device)


def in_tiles(upscale: Upscale, scale: int, x: Tensor, turns: Turns) -> Tensor:
    """`upscale` of x [B, 3, H, W], in tiles half as large each time memory runs out."""
    tile = TILE
    while True:
        turns.begin(x.shape[0] * tiles(x.shape[-2], tile) * tiles(x.shape[-1], tile))
        try:
            return Tiling(tile, tile, OVERLAP, scale).over(x, partial(turns.work, upscale))
        except torch.OutOfMemoryError:
            tile //= 2
            if tile < SMALLEST_TILE:
                raise
        torch.cuda.empty_cache()


def tiles(length: int, tile: int) -> int:
    """How many tiles cover a side of `length` pixels."""
    return 1 if length <= tile else ceil((length - OVERLAP) / (tile - OVERLAP))
