"""Changes to how a model's network is run: its blocks, its self-attention, its steps.

Nodes only describe; diffusion/guidance/network_changes.py lists who makes which kind of change.
"""

from typing import Annotated, Literal, TypeAlias

from graph.node import Widget, node
from graph.stages import Stage
from graph.values import Model

Scale = Annotated[float, Widget(min=0.0, max=10.0, step=0.01)]
Stretch = Annotated[float, Widget(min=0.0, max=100.0, step=0.1, advanced=True)]
Shift = Annotated[float, Widget(min=-256.0, max=256.0, step=0.1, advanced=True)]
Share = Annotated[float, Widget(min=0.0, max=1.0, step=0.01)]
FineShare = Annotated[float, Widget(min=0.0, max=1.0, step=0.001)]
Threshold = Annotated[float, Widget(min=0.0, max=3.0, step=0.01)]
Method: TypeAlias = Literal["bicubic", "nearest-exact", "bilinear", "area", "bislerp"]


@node("FreeU", runs_on=Stage.INLINE, category="model_patches/unet")
def freeu(
    *, model: Model, b1: Scale = 1.1, b2: Scale = 1.2, s1: Scale = 0.9, s2: Scale = 0.2
) -> Model:
    """Amplify what a U-Net makes itself over what its skip connections bring."""
    return model.changed("freeu", b1=b1, b2=b2, s1=s1, s2=s2)


@node("FreeU_V2", runs_on=Stage.INLINE, category="model_patches/unet")
def freeu_v2(
    *, model: Model, b1: Scale = 1.3, b2: Scale = 1.4, s1: Scale = 0.9, s2: Scale = 0.2
) -> Model:
    """Amplify what a U-Net makes itself, where it makes most."""
    return model.changed("freeu_v2", b1=b1, b2=b2, s1=s1, s2=s2)


@node("ScaleROPE", runs_on=Stage.INLINE, category="model/patch", experimental=True)
def scale_rope(
    *,
    model: Model,
    scale_x: Stretch = 1.0,
    shift_x: Shift = 0.0,
    scale_y: Stretch = 1.0,
    shift_y: Shift = 0.0,
    scale_t: Stretch = 1.0,
    shift_t: Shift = 0.0,
) -> Model:
    """Say where the tokens of a picture or a video lie."""
    return model.changed(
        "scale_rope",
        scale_x=scale_x,
        shift_x=shift_x,
        scale_y=scale_y,
        shift_y=shift_y,
        scale_t=scale_t,
        shift_t=shift_t,
    )


@node("HyperTile", runs_on=Stage.INLINE, category="model_patches/unet")
def hypertile(
    *,
    model: Model,
    tile_size: Annotated[int, Widget(min=1, max=2048)] = 256,
    swap_size: Annotated[int, Widget(min=1, max=128)] = 2,
    max_depth: Annotated[int, Widget(min=0, max=10)] = 0,
    scale_depth: bool = False,
) -> Model:
    """Let the finest self-attention see tiles of the picture, which is faster."""
    return model.changed(
        "hypertile",
        tile_size=tile_size,
        swap_size=swap_size,
        max_depth=max_depth,
        scale_depth=scale_depth,
    )


@node("TomePatchModel", runs_on=Stage.INLINE, category="model_patches/unet")
def tome(*, model: Model, ratio: Share = 0.3) -> Model:
    """Merge tokens that are alike in the finest self-attention, which is faster."""
    return model.changed("tome", ratio=ratio)


@node(
    "PatchModelAddDownscale",
    runs_on=Stage.INLINE,
    display_name="PatchModelAddDownscale (Kohya Deep Shrink)",
    category="model_patches/unet",
)
def downscale(
    *,
    model: Model,
    block_number: Annotated[int, Widget(min=1, max=32, step=1)] = 3,
    downscale_factor: Annotated[float, Widget(min=0.1, max=9.0, step=0.001)] = 2.0,
    start_percent: FineShare = 0.0,
    end_percent: FineShare = 0.35,
    downscale_after_skip: bool = True,
    downscale_method: Method,
    upscale_method: Method,
) -> Model:
    """Compose large pictures at the size a model knows: its inner blocks see them smaller."""
    return model.changed(
        "downscale",
        block_number=block_number,
        downscale_factor=downscale_factor,
        start_percent=start_percent,
        end_percent=end_percent,
        downscale_after_skip=downscale_after_skip,
        downscale_method=downscale_method,
        upscale_method=upscale_method,
    )


@node(
    "EasyCache",
    runs_on=Stage.INLINE,
    display_name="EasyCache",
    category="advanced/debug/model",
    experimental=True,
)
def easycache(
    *,
    model: Model,
    reuse_threshold: Threshold = 0.2,
    start_percent: Share = 0.15,
    end_percent: Share = 0.95,
    verbose: bool = False,  # noqa: ARG001 - ComfyUI logs more; the picture is the same
) -> Model:
    """Leave out steps in which the network's output hardly changes."""
    return model.changed(
        "easycache",
        reuse_threshold=reuse_threshold,
        start_percent=start_percent,
        end_percent=end_percent,
    )


@node(
    "LazyCache",
    runs_on=Stage.INLINE,
    display_name="LazyCache",
    category="advanced/debug/model",
    experimental=True,
)
def lazycache(
    *,
    model: Model,
    reuse_threshold: Threshold = 0.2,
    start_percent: Share = 0.15,
    end_percent: Share = 0.95,
    verbose: bool = False,  # noqa: ARG001 - ComfyUI logs more; the picture is the same
) -> Model:
    """Leave out steps in which the guided prediction hardly changes."""
    return model.changed(
        "lazycache",
        reuse_threshold=reuse_threshold,
        start_percent=start_percent,
        end_percent=end_percent,
    )
