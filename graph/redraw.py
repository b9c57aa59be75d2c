"""Descriptions of tiled redrawing (Ultimate SD Upscale)."""

from dataclasses import dataclass
from typing import Literal

from graph.sampling import SamplerChoice, Sigmas
from graph.values import Conditioning, Model, Vae


@dataclass(frozen=True, eq=False)
class Drawing:
    """How each tile is drawn: a KSampler's settings, or a sampler and sigmas of one's own."""

    model: Model
    positive: Conditioning
    negative: Conditioning
    vae: Vae
    seed: int
    steps: int
    cfg: float
    sampler_name: str
    scheduler: str
    denoise: float
    tiled_decode: bool
    custom_sampler: SamplerChoice | None = None
    custom_sigmas: Sigmas | None = None


@dataclass(frozen=True)
class Tiles:
    """How a picture is taken apart, under the names of the nodes' inputs."""

    mode_type: Literal["Linear", "Chess", "None"]
    tile_width: int
    tile_height: int
    mask_blur: int
    tile_padding: int
    seam_fix_mode: Literal["None", "Band Pass", "Half Tile", "Half Tile + Intersections"]
    seam_fix_width: int
    seam_fix_mask_blur: int
    seam_fix_padding: int
    force_uniform_tiles: bool
    batch_size: int
