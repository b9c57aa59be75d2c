"""Pictures made larger and drawn again tile by tile. The nodes of ComfyUI_UltimateSDUpscale."""

from dataclasses import fields
from typing import Annotated, Any, Literal, TypedDict, Unpack

from graph.node import Choices, Default, Widget, node
from graph.prompt import Node, Source
from graph.redraw import Drawing, Tiles
from graph.results import Expansion
from graph.sampling import SAMPLER_NAMES, SCHEDULER_NAMES, SamplerChoice, Sigmas
from graph.stages import Stage
from graph.stages.sample import Redrawing
from graph.values import Conditioning, Image, Link, Model, UpscaleModel, Vae

LARGEST = 8192
CATEGORY = "image/upscaling"
REDRAW = "comfyray.RedrawInTiles"
Side = Annotated[int, Widget(min=64, max=LARGEST, step=8), Default(512)]
Radius = Annotated[int, Widget(min=0, max=64, step=1)]
Width = Annotated[int, Widget(min=0, max=LARGEST, step=8)]
Share = Annotated[float, Widget(min=0.0, max=1.0, step=0.01)]
Redrawn = Annotated[Expansion, Link("IMAGE")]


class Picture(TypedDict):
    image: Image


class UpscaledPicture(TypedDict):
    upscaled_image: Image


class Prompts(TypedDict):
    model: Model
    positive: Conditioning
    negative: Conditioning
    vae: Vae


class Factor(TypedDict):
    upscale_by: Annotated[float, Widget(min=0.05, max=4, step=0.05), Default(2)]


class Sampling(TypedDict):
    seed: Annotated[int, Widget(min=0, max=2**64 - 1), Default(0)]
    steps: Annotated[int, Widget(min=1, max=10000, step=1), Default(20)]
    cfg: Annotated[float, Widget(min=0.0, max=100.0), Default(8.0)]
    sampler_name: Annotated[str, Choices(SAMPLER_NAMES)]
    scheduler: Annotated[str, Choices(SCHEDULER_NAMES)]
    denoise: Annotated[Share, Default(0.2)]


class Upscaler(TypedDict):
    upscale_model: UpscaleModel


class Tiling(TypedDict):
    mode_type: Literal["Linear", "Chess", "None"]
    tile_width: Side
    tile_height: Side
    mask_blur: Annotated[Radius, Default(8)]
    tile_padding: Annotated[Width, Default(32)]
    seam_fix_mode: Literal["None", "Band Pass", "Half Tile", "Half Tile + Intersections"]
    seam_fix_denoise: Annotated[Share, Default(1.0)]  # the pack draws seams with `denoise` too
    seam_fix_width: Annotated[Width, Default(64)]
    seam_fix_mask_blur: Annotated[Radius, Default(8)]
    seam_fix_padding: Annotated[Width, Default(16)]
    force_uniform_tiles: Annotated[bool, Default(True)]
    tiled_decode: Annotated[bool, Default(False)]
    batch_size: Annotated[int, Widget(min=1, max=4096, step=1), Default(1)]


class OwnSampler(TypedDict):
    upscale_model: UpscaleModel | None
    custom_sampler: SamplerChoice | None
    custom_sigmas: Sigmas | None


class Upscale(Picture, Prompts, Factor, Sampling, Upscaler, Tiling):
    """The inputs of UltimateSDUpscale."""


class Refine(UpscaledPicture, Prompts, Sampling, Tiling):
    """The inputs of UltimateSDUpscaleNoUpscale."""


class UpscaleCustom(Picture, Prompts, Factor, Sampling, Tiling, OwnSampler):
    """The inputs of UltimateSDUpscaleCustomSample."""


class Redraw(Picture, Prompts, Factor, Sampling, Tiling):
    """The inputs of the step that draws."""


@node(
    "UltimateSDUpscale",
    runs_on=Stage.INLINE,
    rewrites=True,
    display_name="Ultimate SD Upscale",
    category=CATEGORY,
)
def upscale(**inputs: Unpack[Upscale]) -> Redrawn:
    """Make pictures larger with a model, and draw them again in tiles."""
    return _redrawn(dict(inputs))


@node(
    "UltimateSDUpscaleNoUpscale",
    runs_on=Stage.INLINE,
    rewrites=True,
    display_name="Ultimate SD Upscale (No Upscale)",
    category=CATEGORY,
)
def refine(**inputs: Unpack[Refine]) -> Redrawn:
    """Draw pictures again in tiles, in the size in which they are."""
    given = dict(inputs)
    return _redrawn({"image": given.pop("upscaled_image"), "upscale_by": 1.0, **given})


@node(
    "UltimateSDUpscaleCustomSample",
    runs_on=Stage.INLINE,
    rewrites=True,
    display_name="Ultimate SD Upscale (Custom Sample)",
    category=CATEGORY,
)
def upscale_custom(**inputs: Unpack[UpscaleCustom]) -> Redrawn:
    """Make pictures larger and draw them again in tiles, by a sampler and sigmas of one's own."""
    return _redrawn(dict(inputs))


def _redrawn(given: dict[str, Any]) -> Expansion:
    """What draws the pictures, after an upscaling model has made them larger if there is one."""
    nodes: dict[str, Node] = {}
    if (model := given.pop("upscale_model", None)) is not None:
        larger = {"upscale_model": model, "image": given["image"]}
        nodes["upscaled"] = Node("ImageUpscaleWithModel", larger)
        given["upscaled"] = Source("upscaled", 0)
    nodes["drawn"] = Node(REDRAW, given)
    return Expansion(nodes, (Source("drawn", 0),))


@node(REDRAW, runs_on=Stage.SAMPLE, internal=True, costly=True)
async def redraw(
    sampler: Redrawing,
    *,
    upscaled: Image | None = None,
    custom_sampler: SamplerChoice | None = None,
    custom_sigmas: Sigmas | None = None,
    **inputs: Unpack[Redraw],
) -> Image:
    """Draw pictures again in tiles; `upscaled` are they as a model made them larger."""
    given: dict[str, Any] = {**inputs, "custom_sampler": custom_sampler}
    given["custom_sigmas"] = custom_sigmas
    drawing = Drawing(**{part.name: given[part.name] for part in fields(Drawing)})
    tiles = Tiles(**{part.name: given[part.name] for part in fields(Tiles)})
    return await sampler.redraw(
        inputs["image"], drawing, tiles, factor=inputs["upscale_by"], upscaled=upscaled
    )
