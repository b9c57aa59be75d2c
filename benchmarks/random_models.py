"""Models of random weights that are in no file: of full size, or tiny ones built the same way.

Speed does not depend on what weights are; these are scaled so that numbers stay numbers.
"""

import math
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from diffusion.autoencoder.network import Autoencoder, VaeShape
from diffusion.families.flux.shapes import FluxShape
from diffusion.families.sd.control_network import ControlNetwork
from diffusion.families.sd.network import Unet
from diffusion.families.sd.shapes import Level, UnetShape
from diffusion.weights import Entry, Weights
from graph.values import ModelFile

POOL = 2**24  # numbers that are drawn; all weights are cut from them
LORA_RANK = 16
HINT_WIDTHS = (16, 32, 96, 256)
Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Sizes:
    """How large the networks are that are built."""

    unet: tuple[int, int, int] = (320, 640, 1280)  # channels of a level
    depths: tuple[int, int] = (2, 10)  # transformers of the two coarser ones
    flux: tuple[int, int, int, int] = (3072, 128, 19, 38)  # width, head, double and single blocks
    vae: tuple[int, ...] = (128, 256, 512, 512)
    upscaler: int = 23  # dense blocks


TINY = Sizes((32, 64, 64), (1, 1), (64, 32, 1, 2), (32, 32, 32, 32), 1)


def sdxl(sizes: Sizes) -> UnetShape:
    """SDXL's U-Net, whose prompts are always as wide, so that it is known as what it is."""
    fine, middle, coarse = sizes.unet
    two, ten = sizes.depths
    levels = (
        Level(fine, (0, 0), (0, 0, 0)),
        Level(middle, (two, two), (two, two, two)),
        Level(coarse, (ten, ten), (ten, ten, ten)),
    )
    return UnetShape(4, 4, 2048, 2816, linear=True, levels=levels, mid=ten)


def flux(sizes: Sizes) -> FluxShape:
    width, head, double, single = sizes.flux
    return FluxShape(16, 16, width, 4 * width, double, single, head, 4096, 768, guided=True)


def flux_network(shape: FluxShape) -> nn.Module:
    from diffusers import FluxTransformer2DModel  # noqa: PLC0415 - it takes ten seconds

    kind: Any = FluxTransformer2DModel
    module: nn.Module = kind(**shape.config())
    return module


def lora_shapes(unet: UnetShape) -> dict[str, tuple[int, ...]]:
    """A LoRA on all attention of a U-Net, by kohya's names."""
    found: dict[str, tuple[int, ...]] = {}
    for name, (out, into) in matrices(shapes_of(lambda: Unet(unet))):
        stem = "lora_unet_" + name.removesuffix(".weight").replace(".", "_")
        found[f"{stem}.lora_down.weight"] = (LORA_RANK, into)
        found[f"{stem}.lora_up.weight"] = (out, LORA_RANK)
    return found


def matrices(shapes: Shapes) -> Iterator[tuple[str, tuple[int, ...]]]:
    """The weights of attention."""
    for name, shape in shapes.items():
        if ".attn" in name and len(shape) == 2:
            yield name, shape


def upscaler_shapes(blocks: int) -> dict[str, tuple[int, ...]]:
    """Real-ESRGAN x4plus, in the layout of its first files."""
    convolutions = {"model.0": (3, 64), f"model.1.sub.{blocks}": (64, 64)}
    for block in range(blocks):
        for dense in (1, 2, 3):
            for place in range(1, 6):
                name = f"model.1.sub.{block}.RDB{dense}.conv{place}.0"
                convolutions[name] = (64 + 32 * (place - 1), 64 if place == 5 else 32)
    convolutions |= {f"model.{place}": (64, 64) for place in (3, 6, 8)} | {"model.10": (64, 3)}
    shapes: dict[str, tuple[int, ...]] = {}
    for name, (into, out) in convolutions.items():
        shapes |= {f"{name}.weight": (out, into, 3, 3), f"{name}.bias": (out,)}
    return shapes


def shapes_of(made: Callable[[], nn.Module]) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a network's parameters; none of it is built."""
    with torch.device("meta"):
        module = made()
    return {name: tuple(parameter.shape) for name, parameter in module.named_parameters()}


FILES: Mapping[str, Callable[[Sizes], Shapes]] = {
    "sdxl": lambda sizes: shapes_of(lambda: Unet(sdxl(sizes))),
    "flux": lambda sizes: shapes_of(lambda: flux_network(flux(sizes))),
    "sdxl_vae": lambda sizes: shapes_of(lambda: Autoencoder(VaeShape(sizes.vae, 2, 4, quant=True))),
    "flux_vae": lambda s: shapes_of(lambda: Autoencoder(VaeShape(s.vae, 2, 16, quant=False))),
    "control": lambda s: shapes_of(lambda: ControlNetwork(sdxl(s), 3, HINT_WIDTHS)),
    "lora": lambda sizes: lora_shapes(sdxl(sizes)),
    "upscaler": lambda sizes: upscaler_shapes(sizes.upscaler),
}


@dataclass(eq=False)
class RandomFiles:
    """Opens models by the names of FILES, as if they were files of `dtype`."""

    sizes: Sizes
    dtype: torch.dtype
    _shapes: dict[str, Shapes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self._pool = torch.randn(POOL, generator=generator).to(self.dtype)

    def __call__(self, file: ModelFile) -> Weights:
        shapes = self._shapes.get(file.name)
        if shapes is None:
            shapes = self._shapes[file.name] = FILES[file.name](self.sizes)
        entries = {name: Entry(shape, self.dtype) for name, shape in shapes.items()}
        return Weights(file, entries, lambda name: self._read(name, shapes[name]))

    def _read(self, name: str, shape: tuple[int, ...]) -> Tensor:
        count = math.prod(shape)
        start = zlib.crc32(name.encode()) % (POOL // 2)
        drawn = self._pool[start:]
        drawn = drawn[:count] if count <= len(drawn) else self._repeated(drawn, count)
        drawn = drawn.view(shape)
        if len(shape) > 1:
            return drawn * (1 / math.sqrt(math.prod(shape[1:])))
        norm = name.endswith("weight")
        return drawn * 0.02 + (1.0 if norm else 0.0)

    def _repeated(self, drawn: Tensor, count: int) -> Tensor:
        times = math.ceil((count - len(drawn)) / POOL)
        return torch.cat([drawn, self._pool.repeat(times)])[:count]
