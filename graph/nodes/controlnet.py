"""ControlNets and T2I-Adapters: loading by name, and applying to prompts."""

from dataclasses import replace
from typing import Annotated, Literal

from graph.node import Files, Widget, node
from graph.stages import Stage
from graph.stages.sample import Conditionings
from graph.values import Conditioning, ControlNet, Image, Mask, Model, ModelFile, Vae

Strength = Annotated[float, Widget(min=0.0, max=10.0, step=0.01)]
When = Annotated[float, Widget(min=0.0, max=1.0, step=0.001)]
ControlNetFile = Annotated[ModelFile, Files("controlnet")]
UnionType = Literal[
    "auto",
    "openpose",
    "depth",
    "hed/pidi/scribble/ted",
    "canny/lineart/anime_lineart/mlsd",
    "normal",
    "segment",
    "tile",
    "repaint",
]


@node(
    "ControlNetLoader",
    runs_on=Stage.INLINE,
    display_name="Load ControlNet Model",
    category="loaders",
)
def load_control_net(*, control_net_name: ControlNetFile) -> ControlNet:
    """Name a ControlNet, a control-LoRA or a T2I-Adapter."""
    return ControlNet(control_net_name)


@node(
    "DiffControlNetLoader",
    runs_on=Stage.INLINE,
    display_name="Load ControlNet Model (diff)",
    category="loaders",
)
def load_diff_control_net(*, model: Model, control_net_name: ControlNetFile) -> ControlNet:
    """Name a ControlNet whose file holds differences to the weights of `model`."""
    return ControlNet(control_net_name, base=model.file)


@node("SetUnionControlNetType", runs_on=Stage.INLINE, category="conditioning/controlnet")
def set_union_type(*, control_net: ControlNet, type: UnionType) -> ControlNet:
    """Say what the picture shows that a union ControlNet goes by."""
    return replace(control_net, union_type="" if type == "auto" else type)


@node(
    "ControlNetApply",
    runs_on=Stage.SAMPLE,
    display_name="Apply ControlNet (OLD)",
    category="conditioning/controlnet",
    deprecated=True,
)
def apply_control_net(
    stage: Conditionings,
    *,
    conditioning: Conditioning,
    control_net: ControlNet,
    image: Image,
    strength: Strength = 1.0,
) -> Conditioning:
    """Go by a picture, with this prompt and, unless it has a ControlNet too, its negative."""
    return stage.apply_control(conditioning, control_net, image, strength)


@node(
    "ControlNetApplyAdvanced",
    runs_on=Stage.SAMPLE,
    display_name="Apply ControlNet",
    category="conditioning/controlnet",
    outputs=("positive", "negative"),
)
def apply_control_net_advanced(
    stage: Conditionings,
    *,
    positive: Conditioning,
    negative: Conditioning,
    control_net: ControlNet,
    image: Image,
    strength: Strength = 1.0,
    start_percent: When = 0.0,
    end_percent: When = 1.0,
    vae: Vae | None = None,
) -> tuple[Conditioning, Conditioning]:
    """Go by a picture, with two prompts, for a part of the way from noise to picture."""
    return stage.apply_control_to_both(
        positive,
        negative,
        control_net,
        image,
        strength=strength,
        start_percent=start_percent,
        end_percent=end_percent,
        vae=vae,
    )


@node(
    "ControlNetInpaintingAliMamaApply",
    runs_on=Stage.SAMPLE,
    category="conditioning/controlnet",
    outputs=("positive", "negative"),
)
def apply_inpainting_control_net(
    stage: Conditionings,
    *,
    positive: Conditioning,
    negative: Conditioning,
    control_net: ControlNet,
    vae: Vae,
    image: Image,
    mask: Mask,
    strength: Strength = 1.0,
    start_percent: When = 0.0,
    end_percent: When = 1.0,
) -> tuple[Conditioning, Conditioning]:
    """Go by a picture with a hole in it, with ControlNets that know of holes."""
    return stage.apply_control_to_both(
        positive,
        negative,
        control_net,
        image,
        strength=strength,
        start_percent=start_percent,
        end_percent=end_percent,
        vae=vae,
        mask=mask,
    )


@node(
    "ControlNetApplySD3",
    runs_on=Stage.SAMPLE,
    display_name="Apply Controlnet with VAE",
    category="conditioning/controlnet",
    outputs=("positive", "negative"),
    deprecated=True,
)
def apply_control_net_with_vae(
    stage: Conditionings,
    *,
    positive: Conditioning,
    negative: Conditioning,
    control_net: ControlNet,
    vae: Vae,
    image: Image,
    strength: Strength = 1.0,
    start_percent: When = 0.0,
    end_percent: When = 1.0,
) -> tuple[Conditioning, Conditioning]:
    """Go by a picture, with ControlNets that take latents as hints."""
    return stage.apply_control_to_both(
        positive,
        negative,
        control_net,
        image,
        strength=strength,
        start_percent=start_percent,
        end_percent=end_percent,
        vae=vae,
    )
