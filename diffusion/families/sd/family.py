"""Stable Diffusion 1.x and 2.x, SDXL and its refiner: four families of one network, a U-Net.

Lotus, which estimates depths and normals, is a relative of Stable Diffusion 2."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from diffusion.families.family import Family, Found, LoadedModel, Loading, no_motion
from diffusion.families.sd import upscaler, vectors
from diffusion.families.sd.block_changes import BLOCK_CHANGES
from diffusion.families.sd.conditions import blank, embed
from diffusion.families.sd.controls import CONTROLS
from diffusion.families.sd.denoiser import UnetDenoiser
from diffusion.families.sd.grounding import load_gligen
from diffusion.families.sd.image_prompts import prepare_image
from diffusion.families.sd.image_weights import SD15_ROLES, SDXL_ROLES, Roles
from diffusion.families.sd.loading import always_eps, by_keys, eps_or_v, load
from diffusion.families.sd.network import UNET_BLOCKS, motion_places
from diffusion.families.sd.shapes import UnetShape, module_names, read_shape
from diffusion.families.sd.text import REFINER_TEXT, SD15_TEXT, SD20_TEXT, SDXL_TEXT
from diffusion.families.sd.token_changes import TOKEN_CHANGES
from diffusion.families.sd.vectors import Vector
from diffusion.families.sd.weight_names import UnetNames
from diffusion.latent_format import PLAYGROUND_LATENT, LatentColors, LatentFormat
from diffusion.parameterization import Parameterization
from diffusion.text.clip_layout import is_slim
from diffusion.text.encodings import TextEncoding

# keturn, "Decoding latents to RGB without upscaling", discuss.huggingface.co/t/23204 (2022);
# halved and moved up by a half here, as it is published for -1..1.
SD15_COLORS = LatentColors(
    (
        (0.149, 0.1035, 0.104),
        (0.0935, 0.143, 0.0865),
        (-0.079, 0.0945, 0.132),
        (-0.092, -0.1355, -0.2365),
    ),
    (0.5, 0.5, 0.5),
)
# Timothy Alexis Vass, "Explaining the SDXL latent space", huggingface.co/blog/TimothyAlexisVass
# (2023), there in 0..255.
SDXL_COLORS = LatentColors(
    (
        (60 / 255, 60 / 255, 60 / 255),
        (-60 / 255, -5 / 255, 10 / 255),
        (25 / 255, 15 / 255, -5 / 255),
        (-70 / 255, -50 / 255, -35 / 255),
    ),
    (150 / 255, 140 / 255, 130 / 255),
)
SD15_LATENT = LatentFormat(4, 0.18215, colors=SD15_COLORS)
SDXL_LATENT = LatentFormat(4, 0.13025, colors=SDXL_COLORS)
# Of vectors of SD 2.x: none, unCLIP's with a ViT-L or ViT-H, and that of Lotus.
SEEN_WIDTHS = frozenset({None, 1536, 2048, vectors.LOTUS_WIDTH})


def _is_sd15(shape: UnetShape) -> bool:
    """It alone takes no vector and projects with convolutions: so slim relatives are known."""
    if shape.y_dim is not None:
        return False
    return shape.context_dim == 768 or (not shape.linear and is_slim(shape.context_dim))


def _is_sd20(shape: UnetShape) -> bool:
    return shape.context_dim == 1024 and shape.y_dim in SEEN_WIDTHS


def _is_sdxl(shape: UnetShape) -> bool:
    return (shape.context_dim, shape.y_dim) == (2048, 2816)


def _is_refiner(shape: UnetShape) -> bool:
    return (shape.context_dim, shape.y_dim) == (1280, 2560)


def _unknown(shape: UnetShape) -> str:
    found = f"text of width {shape.context_dim} and a vector of width {shape.y_dim}"
    return f"its U-Net takes {found}, which no known family does"


def _file_names(shape: UnetShape) -> dict[str, str]:
    return {theirs: name for name, theirs in module_names(shape).items()}


def _load_xl(found: Found, loading: Loading) -> LoadedModel:
    own = found.family.parameterization(found)
    return load(found, loading, latent=PLAYGROUND_LATENT if own.kind == "edm" else SDXL_LATENT)


def _family(
    name: str,
    fits: Callable[[UnetShape], bool],
    loader: Callable[[Found, Loading], LoadedModel],
    parameterization: Callable[[Found], Parameterization],
    *,
    text: TextEncoding,
    vector: Vector = vectors.UNCLIP,
    roles: Roles = SD15_ROLES,
    image_adapters: str = "sd15",
    moves: bool = False,
) -> Family:
    return Family(
        name=name,
        read=read_shape,
        fits=fits,
        unknown=_unknown,
        load=loader,
        parameterization=parameterization,
        denoiser=UnetDenoiser,
        embed=partial(embed, vector=vector),
        blank=partial(blank, vector=vector),
        weight_names=UnetNames,
        text=text,
        blocks=lambda _module: UNET_BLOCKS,
        file_names=_file_names,
        scales_attention=True,
        rows_stay_apart=True,
        controls=CONTROLS,
        changes=frozenset({*BLOCK_CHANGES, *TOKEN_CHANGES}),
        drawing_changes=frozenset(TOKEN_CHANGES),
        image_prompt=partial(prepare_image, roles=roles),
        image_adapters=image_adapters,
        motion_places=motion_places if moves else no_motion,
        grounding=load_gligen,
    )


SD15 = _family(
    "sd15",
    _is_sd15,
    partial(load, latent=SD15_LATENT),
    always_eps,
    text=SD15_TEXT,
    moves=True,
)
SD20 = _family("sd20", _is_sd20, partial(load, latent=SD15_LATENT), eps_or_v, text=SD20_TEXT)
SDXL = _family(
    "sdxl",
    _is_sdxl,
    _load_xl,
    by_keys,
    text=SDXL_TEXT,
    vector=vectors.XL,
    roles=SDXL_ROLES,
    image_adapters="sdxl",
    moves=True,
)
REFINER = _family(
    "refiner",
    _is_refiner,
    partial(load, latent=SDXL_LATENT),
    always_eps,
    text=REFINER_TEXT,
    vector=vectors.REFINER,
)
UPSCALER = replace(
    SD20,
    name="sd_x4_upscaler",
    fits=upscaler.is_upscaler,
    load=partial(load, latent=upscaler.LATENT),
    parameterization=upscaler.parameterization,
    embed=upscaler.embed,
    blank=upscaler.blank,
    controls=(),
    motion_places=no_motion,
    image_adapters="",
)
