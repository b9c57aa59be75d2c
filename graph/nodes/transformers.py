"""Nodes for diffusion transformers: T5 prompts, guidance inputs, reference latents."""

import asyncio
import re
from types import MappingProxyType
from typing import Annotated, Literal

from graph.choices import TextEncoderName
from graph.digits import whole_number
from graph.node import Widget, node
from graph.stages import Stage
from graph.stages.encode import TextEncoding
from graph.stages.image import Pictures
from graph.stages.sample import Conditionings
from graph.values import Clip, Conditioning, Image, Latent, Model

NUMBER = re.compile(r"\d+")
FLUX = "advanced/conditioning/flux"
# What Lumina 2 was trained with.
ASSISTANT = "You are an assistant designed to generate"
LUMINA2_SYSTEM = MappingProxyType(
    {
        "superior": f"{ASSISTANT} superior images with the superior degree of image-text alignment "
        "based on textual prompts or user prompts.",
        "alignment": f"{ASSISTANT} high-quality images with the highest degree of image-text "
        "alignment based on textual prompts.",
    }
)
Prompt = Annotated[str, Widget(multiline=True, dynamicPrompts=True)]
Guidance = Annotated[float, Widget(min=0.0, max=100.0, step=0.1)]
Layers = Annotated[str, Widget(multiline=False)]
When = Annotated[float, Widget(min=0.0, max=1.0, step=0.001)]


@node("CLIPTextEncodeFlux", runs_on=Stage.ENCODE, category=FLUX, costly=True)
async def encode_flux(
    encoders: TextEncoding, *, clip: Clip, clip_l: Prompt, t5xxl: Prompt, guidance: Guidance = 3.5
) -> Conditioning:
    """Encode a prompt for each of Flux's text encoders."""
    return await encoders.encode_flux(clip, clip_l=clip_l, t5xxl=t5xxl, guidance=guidance)


@node("CLIPTextEncodeSD3", runs_on=Stage.ENCODE, category="advanced/conditioning", costly=True)
async def encode_sd3(
    encoders: TextEncoding,
    *,
    clip: Clip,
    clip_l: Prompt,
    clip_g: Prompt,
    t5xxl: Prompt,
    empty_padding: Literal["none", "empty_prompt"],
) -> Conditioning:
    """Encode a prompt for each of Stable Diffusion 3's text encoders."""
    texts: dict[TextEncoderName, str] = {"l": clip_l, "g": clip_g, "t5xxl": t5xxl}
    return await encoders.encode_sd3(clip, texts=texts, padded=empty_padding == "empty_prompt")


@node(
    "CLIPTextEncodeLumina2",
    runs_on=Stage.ENCODE,
    display_name="CLIP Text Encode for Lumina2",
    category="model/conditioning/lumina",
    costly=True,
)
async def encode_lumina2(
    encoders: TextEncoding,
    *,
    system_prompt: Literal["superior", "alignment"],
    user_prompt: Prompt,
    clip: Clip,
) -> Conditioning:
    """Encode a prompt behind one that says what is to be drawn well."""
    text = f"{LUMINA2_SYSTEM[system_prompt]} <Prompt Start> {user_prompt}"
    return await encoders.encode_text(clip, text)


@node("FluxGuidance", runs_on=Stage.SAMPLE, category=FLUX)
def guide(
    stage: Conditionings, *, conditioning: Conditioning, guidance: Guidance = 3.5
) -> Conditioning:
    """Say how strongly a distilled model follows a prompt."""
    return stage.with_extras(conditioning, guidance=guidance)


@node("FluxDisableGuidance", runs_on=Stage.SAMPLE, category=FLUX)
def disable_guidance(stage: Conditionings, *, conditioning: Conditioning) -> Conditioning:
    """Tell a distilled model nothing of how strongly it follows a prompt."""
    return stage.with_extras(conditioning, guidance=None)


@node("ReferenceLatent", runs_on=Stage.SAMPLE, category="advanced/conditioning/edit_models")
def refer_to_latent(
    stage: Conditionings, *, conditioning: Conditioning, latent: Latent | None = None
) -> Conditioning:
    """Give an edit model one more picture to go by."""
    return conditioning if latent is None else stage.with_reference(conditioning, latent)


@node(
    "FluxKontextMultiReferenceLatentMethod", runs_on=Stage.SAMPLE, category=FLUX, experimental=True
)
def choose_reference_places(
    stage: Conditionings,
    *,
    conditioning: Conditioning,
    reference_latents_method: Literal["offset", "index", "uxo/uno", "index_timestep_zero"],
) -> Conditioning:
    """Say where the pictures to go by are put beside the one that is made."""
    method = "uxo" if "uxo" in reference_latents_method else reference_latents_method
    return stage.with_extras(conditioning, reference_latents_method=method)


@node(
    "FluxKVCache",
    runs_on=Stage.INLINE,
    display_name="Flux KV Cache",
    category="experimental",
    experimental=True,
)
def cache_references(*, model: Model) -> Model:
    """Compute what a prompt's references say in the first step alone."""
    return model.changed("flux_kv_cache")


@node("FluxKontextImageScale", runs_on=Stage.IMAGE, category=FLUX)
async def scale_for_kontext(pictures: Pictures, *, image: Image) -> Image:
    """Scale a picture to the size nearest in shape of those that Flux Kontext was trained on."""
    return await asyncio.to_thread(pictures.scaled_for_kontext, image)


@node(
    "SkipLayerGuidanceSD3",
    runs_on=Stage.INLINE,
    category="advanced/guidance",
    experimental=True,
)
def guide_by_skipped_layers(
    *,
    model: Model,
    layers: Layers = "7, 8, 9",
    scale: Annotated[float, Widget(min=0.0, max=10.0, step=0.1)] = 3.0,
    start_percent: When = 0.01,
    end_percent: When = 0.15,
) -> Model:
    """Guide away from what the model makes without some of its blocks."""
    return guide_by_skipped_blocks(
        model=model,
        double_layers=layers,
        single_layers="",
        scale=scale,
        start_percent=start_percent,
        end_percent=end_percent,
    )


@node(
    "SkipLayerGuidanceDiT",
    runs_on=Stage.INLINE,
    category="advanced/guidance",
    experimental=True,
)
def guide_by_skipped_blocks(
    *,
    model: Model,
    double_layers: Layers = "7, 8, 9",
    single_layers: Layers = "7, 8, 9",
    scale: Annotated[float, Widget(min=0.0, max=10.0, step=0.1)] = 3.0,
    start_percent: When = 0.01,
    end_percent: When = 0.15,
    rescaling_scale: Annotated[float, Widget(min=0.0, max=10.0, step=0.01)] = 0.0,
) -> Model:
    """Guide away from what the model makes without some of its blocks, of either kind."""
    double, single = _numbers(double_layers), _numbers(single_layers)
    if not double and not single:
        return model
    return model.changed(
        "skip_layer_guidance",
        double=double,
        single=single,
        scale=scale,
        start_percent=start_percent,
        end_percent=end_percent,
        rescaling_scale=rescaling_scale,
    )


@node(
    "SkipLayerGuidanceDiTSimple",
    runs_on=Stage.INLINE,
    category="advanced/guidance",
    experimental=True,
)
def weaken_negative_by_skipped_blocks(
    *,
    model: Model,
    double_layers: Layers = "7, 8, 9",
    single_layers: Layers = "7, 8, 9",
    start_percent: When = 0.0,
    end_percent: When = 1.0,
) -> Model:
    """Let the model make the negative without some of its blocks."""
    double, single = _numbers(double_layers), _numbers(single_layers)
    if not double and not single:
        return model
    return model.changed(
        "skip_negative_layers",
        double=double,
        single=single,
        start_percent=start_percent,
        end_percent=end_percent,
    )


def _numbers(layers: str) -> tuple[int, ...]:
    """Every whole number in a text. (ComfyUI takes them from any text as well.)"""
    numbers = (whole_number(word) for word in NUMBER.findall(layers))
    return tuple(number for number in numbers if number is not None)
