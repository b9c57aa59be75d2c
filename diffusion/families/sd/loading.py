"""Diffusion models of the U-Net kind, from checkpoint files to modules."""

from dataclasses import dataclass
from typing import Literal

import torch

from diffusion.families.sd.network import Unet
from diffusion.families.sd.shapes import UnetShape, diffusers_keys, read_shape
from diffusion.networks.filling import copied, fill
from diffusion.text.clip_layout import is_slim
from diffusion.weights import Weights

# Where a checkpoint keeps its U-Net, and "" for a file that holds nothing else.
PREFIXES = ("model.diffusion_model.", "diffusion_model.", "unet.", "")

Family = Literal["sd15", "sd20", "sdxl", "refiner"]
FOR_UNETS = "it is made for U-Nets, which this model is not"
YKind = Literal["none", "sdxl", "refiner", "unclip", "pooled"]
# (width of the text, width of y) -> family
FAMILIES: dict[tuple[int, int | None], Family] = {
    (768, None): "sd15",
    (1024, None): "sd20",
    (1024, 1536): "sd20",  # unCLIP with a ViT-L
    (1024, 2048): "sd20",  # and with a ViT-H
    (2048, 2816): "sdxl",
    (1280, 2560): "refiner",
}


@dataclass(frozen=True)
class LatentFormat:
    """How latents on links become what the model sees: (x - mean) / std * scale, per channel."""

    channels: int
    scale: float
    shift: float = 0.0
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None


SD15_LATENT = LatentFormat(4, 0.18215)
SDXL_LATENT = LatentFormat(4, 0.13025)
PLAYGROUND_LATENT = LatentFormat(
    4,
    0.5,
    mean=(-1.6574, 1.886, -1.383, 2.5155),
    std=(8.4927, 5.9022, 6.5498, 5.2299),
)


@dataclass(frozen=True)
class Parameterization:
    """What the model's output means, and the noise levels it was trained on where they are given.

    `kind`: "eps", "v" (both over the discrete 1000-step schedule), "edm" or "v_edm" (continuous,
    from `sigma_min` to `sigma_max`), "flow" or "flux" (rectified flows, moved by `shift`; the
    network is told the time times `multiplier`). `zsnr`: the schedule ends in pure noise.
    """

    kind: Literal["eps", "v", "edm", "v_edm", "flow", "flux"]
    zsnr: bool = False
    sigma_min: float | None = None
    sigma_max: float | None = None
    sigma_data: float = 1.0
    shift: float = 1.0
    multiplier: float = 1000.0


@dataclass(frozen=True, eq=False)
class LoadedUnet:
    """A diffusion model, ready to run.

    `y`, the vector that `module` takes, is made of the pooled text and the sizes the way `y_kind`
    says ("sdxl": six numbers, "refiner": five), or of pictures ("unclip").
    """

    module: Unet
    family: Family
    shape: UnetShape
    y_kind: YKind
    parameterization: Parameterization
    latent_format: LatentFormat
    size: int  # bytes
    warnings: tuple[str, ...] = ()  # about the files it was made of

    @property
    def in_channels(self) -> int:
        """4, or 9 for inpainting (mask and masked image), or 8 for InstructPix2Pix."""
        return self.shape.in_channels


def family_of(shape: UnetShape) -> Family | None:
    """What reads the same text in the same way. A slim relative of SD 1.x is known by its layers.

    Of all families SD 1.x alone takes no vector and projects with convolutions.
    """
    if shape.y_dim is None and not shape.linear and is_slim(shape.context_dim):
        return "sd15"
    return FAMILIES.get((shape.context_dim, shape.y_dim))


def load_unet(weights: Weights, *, dtype: torch.dtype, device: torch.device) -> LoadedUnet:
    """The U-Net of a checkpoint, or of a file that holds only a U-Net.

    Raises:
        BadModelFile: there is none in it, or one of a kind that is not known.
    """
    part, shape = find_unet(weights)
    family = family_of(shape)
    if family is None:
        found = f"text of width {shape.context_dim} and a vector of width {shape.y_dim}"
        raise weights.bad(problem=f"its U-Net takes {found}, which no known family does")
    module = _module(part, shape, dtype, device)
    parameterization = read_parameterization(weights, part, shape, family)
    return LoadedUnet(
        module=module,
        family=family,
        shape=shape,
        y_kind=_y_kind(family, shape),
        parameterization=parameterization,
        latent_format=_latent_format(family, parameterization),
        size=sum(p.numel() * p.element_size() for p in module.parameters()),
    )


def _y_kind(family: Family, shape: UnetShape) -> YKind:
    if shape.y_dim is None:
        return "none"
    return "refiner" if family == "refiner" else "sdxl" if family == "sdxl" else "unclip"


def find_unet(weights: Weights) -> tuple[Weights, UnetShape]:
    """The part of a file that is a U-Net, named without prefix, and its shape.

    Raises:
        BadModelFile: no part of it is.
    """
    for prefix in PREFIXES:
        part = weights.under(prefix)
        shape = read_shape(part)
        if shape is not None:
            return part, shape
    examples = ", ".join(sorted(weights)[:3])
    raise weights.bad(problem=f"no U-Net in it; found {len(weights)} tensors such as {examples}")


def _module(part: Weights, shape: UnetShape, dtype: torch.dtype, device: torch.device) -> Unet:
    with torch.device("meta"):
        module = Unet(shape)
    wanted = dict(module.named_parameters())
    keys = diffusers_keys(part, shape)
    tensors = {
        name: copied(part[key], dtype, device) for name, key in keys.items() if name in wanted
    }
    fill(module, part, tensors)
    return module


def read_parameterization(
    weights: Weights, part: Weights, shape: UnetShape, family: Family
) -> Parameterization:
    """What the marks in the file say (ComfyUI supported_models.py, `SDXL` and `SD20`)."""
    if family == "sd20":
        return Parameterization("v" if _looks_like_v(part, shape) else "eps")
    if family != "sdxl":
        return Parameterization("eps")
    if "edm_mean" in weights and "edm_std" in weights:
        return Parameterization("edm", sigma_min=0.002, sigma_max=80.0, sigma_data=0.5)
    if "edm_vpred.sigma_max" in weights:
        low = weights.get("edm_vpred.sigma_min")
        high = weights["edm_vpred.sigma_max"]
        return Parameterization(
            "v_edm",
            sigma_min=0.002 if low is None else float(low),
            sigma_max=float(high),
        )
    if "v_pred" in weights:
        return Parameterization("v", zsnr="ztsnr" in weights)
    return Parameterization("eps")


def _looks_like_v(part: Weights, shape: UnetShape) -> bool:
    """SD 2.x says nothing of it, but v-prediction spread the biases of its last norm wider."""
    key = "output_blocks.11.1.transformer_blocks.0.norm1.bias"
    if shape.in_channels != 4 or key not in part:
        return False
    return float(part[key].float().std(unbiased=False)) > 0.09


def _latent_format(family: Family, parameterization: Parameterization) -> LatentFormat:
    if family in {"sd15", "sd20"}:
        return SD15_LATENT
    return PLAYGROUND_LATENT if parameterization.kind == "edm" else SDXL_LATENT
