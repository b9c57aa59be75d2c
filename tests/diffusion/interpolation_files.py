"""Seeded frame interpolation networks in the layouts of real files."""

from pathlib import Path

import torch
from torch import Tensor

from diffusion.interpolation.film import Film
from diffusion.interpolation.rife import Rife, RifeShape

WIDTHS = (192, 128, 96, 64)
SHAPES = {
    "rife40": RifeShape(
        WIDTHS, learned_slopes=True, scaled_residuals=False, shuffles=False, refines=True
    ),
    "rife47": RifeShape(WIDTHS, "pair", 16, features=4, extra=1),
    "rife417": RifeShape(WIDTHS, "head", 32, features=8, extra=1),
    "rife426": RifeShape((*WIDTHS, 32), "head", 16, features=4, carried=8),
}


def seeded_tensors(module: torch.nn.Module, seed: int = 1) -> dict[str, Tensor]:
    """Weights that make of frames something that changes with them."""
    generator = torch.Generator().manual_seed(seed)
    found = {}
    for name, value in sorted(module.state_dict().items()):
        noise = torch.randn(value.shape, generator=generator)
        if value.ndim > 1 and "beta" not in name:
            found[name] = noise * (1.2 / value[0].numel() ** 0.5)
        else:
            found[name] = 0.3 + 0.05 * noise if "bias" not in name else 0.05 * noise
    return found


def film_layout(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """As the first file of FILM names them: `.0` of what is followed by a slope, else nothing."""
    found = {}
    for name, tensor in tensors.items():
        layer, kind = name.rsplit(".", 1)
        plain = layer.removesuffix(".conv")
        bends = plain != layer and not (
            plain.endswith("_convs.4") or (plain.startswith("fuse.") and plain.endswith(".0"))
        )
        found[f"{plain}.0.{kind}" if bends else f"{plain}.{kind}"] = tensor
    return found


def frames(count: int = 3, height: int = 70, width: int = 90) -> Tensor:
    """[F, H, W, 3]: a bright square that wanders over a slope of colors."""
    y = torch.linspace(0, 1, height)[:, None, None]
    x = torch.linspace(0, 1, width)[None, :, None]
    picture = (y * torch.tensor([0.7, 0.1, 0.3]) + x * torch.tensor([0.1, 0.6, 0.4])).repeat(
        count, 1, 1, 1
    )
    for frame in range(count):
        picture[frame, 20:40, 10 + 12 * frame : 30 + 12 * frame] = 0.9
    return picture


def write_rife(folder: Path, name: str) -> dict[str, Tensor]:
    tensors = seeded_tensors(Rife(SHAPES[name]))
    (folder / "frame_interpolation").mkdir(exist_ok=True)
    torch.save(tensors, folder / "frame_interpolation" / f"{name}.pth")
    return tensors


def film_tensors() -> dict[str, Tensor]:
    return seeded_tensors(Film())
