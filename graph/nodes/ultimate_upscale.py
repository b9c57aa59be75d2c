"""Pictures made larger and drawn again tile by tile. The nodes of ComfyUI_UltimateSDUpscale."""

from typing import Annotated, Literal, TypeAlias

from graph.node import Choices, Hidden, Widget, node
from graph.redraw import Drawing, Tiles
from graph.sampling import SAMPLER_NAMES, SCHEDULER_NAMES, SamplerChoice, Sigmas
from graph.stages import Stage
from graph.stages.sample import Redrawing
from graph.values import Conditioning, Image, Model, UpscaleModel, Vae

LARGEST = 8192
Factor = Annotated[float, Widget(min=0.05, max=4, step=0.05)]
Seed = Annotated[int, Widget(min=0, max=2**64 - 1)]
Steps = Annotated[int, Widget(min=1, max=10000, step=1)]
Cfg = Annotated[float, Widget(min=0.0, max=100.0)]
Share = Annotated[float, Widget(min=0.0, max=1.0, step=0.01)]
Side = Annotated[int, Widget(min=64, max=LARGEST, step=8)]
Width = Annotated[int, Widget(min=0, max=LARGEST, step=8)]
Radius = Annotated[int, Widget(min=0, max=64, step=1)]
Count = Annotated[int, Widget(min=1, max=4096, step=1)]
SamplerName = Annotated[str, Choices(SAMPLER_NAMES)]
SchedulerName = Annotated[str, Choices(SCHEDULER_NAMES)]
Mode = Literal["Linear", "Chess", "None"]
SeamFix = Literal["None", "Band Pass", "Half Tile", "Half Tile + Intersections"]
Upscaled: TypeAlias = Annotated[Image | None, Hidden.UPSCALED]


@node(
    "UltimateSDUpscale",
    runs_on=Stage.SAMPLE,
    display_name="Ultimate SD Upscale",
    category="image/upscaling",
    costly=True,
)
async def upscale(
    sampler: Redrawing,
    *,
    image: Image,
    model: Model,
    positive: Conditioning,
    negative: Conditioning,
    vae: Vae,
    upscale_by: Factor = 2,
    seed: Seed = 0,
    steps: Steps = 20,
    cfg: Cfg = 8.0,
    sampler_name: SamplerName,
    scheduler: SchedulerName,
    denoise: Share = 0.2,
    upscale_model: UpscaleModel,  # noqa: ARG001 - used by the step before, which gives `upscaled`
    mode_type: Mode,
    tile_width: Side = 512,
    tile_height: Side = 512,
    mask_blur: Radius = 8,
    tile_padding: Width = 32,
    seam_fix_mode: SeamFix,
    seam_fix_denoise: Share = 1.0,  # noqa: ARG001 - the pack draws seams with `denoise` too
    seam_fix_width: Width = 64,
    seam_fix_mask_blur: Radius = 8,
    seam_fix_padding: Width = 16,
    force_uniform_tiles: bool = True,
    tiled_decode: bool = False,
    batch_size: Count = 1,
    upscaled: Upscaled = None,
) -> Image:
    """Make pictures larger with a model, and draw them again in tiles."""
    drawing = Drawing(
        model, positive, negative, vae, seed, steps, cfg,
        sampler_name, scheduler, denoise, tiled_decode,
    )  # fmt: skip
    tiles = Tiles(
        mode_type, tile_width, tile_height, mask_blur, tile_padding,
        seam_fix_mode, seam_fix_width, seam_fix_mask_blur, seam_fix_padding,
        force_uniform_tiles, batch_size,
    )  # fmt: skip
    return await sampler.redraw(image, drawing, tiles, factor=upscale_by, upscaled=upscaled)


@node(
    "UltimateSDUpscaleNoUpscale",
    runs_on=Stage.SAMPLE,
    display_name="Ultimate SD Upscale (No Upscale)",
    category="image/upscaling",
    costly=True,
)
async def refine(
    sampler: Redrawing,
    *,
    upscaled_image: Image,
    model: Model,
    positive: Conditioning,
    negative: Conditioning,
    vae: Vae,
    seed: Seed = 0,
    steps: Steps = 20,
    cfg: Cfg = 8.0,
    sampler_name: SamplerName,
    scheduler: SchedulerName,
    denoise: Share = 0.2,
    mode_type: Mode,
    tile_width: Side = 512,
    tile_height: Side = 512,
    mask_blur: Radius = 8,
    tile_padding: Width = 32,
    seam_fix_mode: SeamFix,
    seam_fix_denoise: Share = 1.0,  # noqa: ARG001 - as above
    seam_fix_width: Width = 64,
    seam_fix_mask_blur: Radius = 8,
    seam_fix_padding: Width = 16,
    force_uniform_tiles: bool = True,
    tiled_decode: bool = False,
    batch_size: Count = 1,
) -> Image:
    """Draw pictures again in tiles, in the size in which they are."""
    drawing = Drawing(
        model, positive, negative, vae, seed, steps, cfg,
        sampler_name, scheduler, denoise, tiled_decode,
    )  # fmt: skip
    tiles = Tiles(
        mode_type, tile_width, tile_height, mask_blur, tile_padding,
        seam_fix_mode, seam_fix_width, seam_fix_mask_blur, seam_fix_padding,
        force_uniform_tiles, batch_size,
    )  # fmt: skip
    return await sampler.redraw(upscaled_image, drawing, tiles, factor=1.0)


@node(
    "UltimateSDUpscaleCustomSample",
    runs_on=Stage.SAMPLE,
    display_name="Ultimate SD Upscale (Custom Sample)",
    category="image/upscaling",
    costly=True,
)
async def upscale_custom(
    sampler: Redrawing,
    *,
    image: Image,
    model: Model,
    positive: Conditioning,
    negative: Conditioning,
    vae: Vae,
    upscale_by: Factor = 2,
    seed: Seed = 0,
    steps: Steps = 20,
    cfg: Cfg = 8.0,
    sampler_name: SamplerName,
    scheduler: SchedulerName,
    denoise: Share = 0.2,
    mode_type: Mode,
    tile_width: Side = 512,
    tile_height: Side = 512,
    mask_blur: Radius = 8,
    tile_padding: Width = 32,
    seam_fix_mode: SeamFix,
    seam_fix_denoise: Share = 1.0,  # noqa: ARG001 - as above
    seam_fix_width: Width = 64,
    seam_fix_mask_blur: Radius = 8,
    seam_fix_padding: Width = 16,
    force_uniform_tiles: bool = True,
    tiled_decode: bool = False,
    batch_size: Count = 1,
    upscale_model: UpscaleModel | None = None,  # noqa: ARG001 - as above
    custom_sampler: SamplerChoice | None = None,
    custom_sigmas: Sigmas | None = None,
    upscaled: Upscaled = None,
) -> Image:
    """Make pictures larger and draw them again in tiles, by a sampler and sigmas of one's own."""
    drawing = Drawing(
        model, positive, negative, vae, seed, steps, cfg,
        sampler_name, scheduler, denoise, tiled_decode, custom_sampler, custom_sigmas,
    )  # fmt: skip
    tiles = Tiles(
        mode_type, tile_width, tile_height, mask_blur, tile_padding,
        seam_fix_mode, seam_fix_width, seam_fix_mask_blur, seam_fix_padding,
        force_uniform_tiles, batch_size,
    )  # fmt: skip
    return await sampler.redraw(image, drawing, tiles, factor=upscale_by, upscaled=upscaled)
