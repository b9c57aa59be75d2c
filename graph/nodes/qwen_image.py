"""Qwen-Image: prompts that show pictures, pictures as references, and its block-wise control."""

from typing import Annotated, Any

from graph.node import Files, Widget, node
from graph.prompt import Node, Source
from graph.results import Expansion
from graph.stages import Stage
from graph.stages.encode import TextEncoding
from graph.stages.image import Filters
from graph.stages.sample import Conditionings
from graph.values import (
    Clip,
    Conditioning,
    Image,
    Link,
    Mask,
    Model,
    ModelFile,
    ModelPatch,
    PatchUse,
    Vae,
)

Prompt = Annotated[str, Widget(multiline=True, dynamicPrompts=True)]
PatchStrength = Annotated[float, Widget(min=-10.0, max=10.0, step=0.01)]
Encoded = Annotated[Expansion, Link("CONDITIONING")]
CATEGORY = "model/conditioning/qwen image"
SHOWN, FITTED = "comfyray.TextEncodeShown", "comfyray.FitReference"
SYSTEM = (
    "Describe the key features of the input image (color, shape, size, texture, objects, "
    "background), then explain how the user's text instruction should alter or modify the image. "
    "Generate a new image that meets the user's requirements while maintaining consistency with "
    "the original input where appropriate."
)
PLACE = "<|vision_start|><|image_pad|><|vision_end|>"
STARTS = ("<|im_start|>", "<|start_header_id|>")  # of prompts with a template of their own
MEGAPIXEL, SMALL = 1024 * 1024, 384 * 384
GRID = 8  # pixels of a picture for each of a latent


@node("TextEncodeQwenImageEdit", runs_on=Stage.INLINE, rewrites=True, category=CATEGORY)
def encode_edit(
    *, clip: Clip, prompt: Prompt, vae: Vae | None = None, image: Image | None = None
) -> Encoded:
    """Encode what to change in a picture, which is shown and, with a VAE, gone by."""
    if image is None:
        encoded = Node("CLIPTextEncode", {"clip": clip, "text": prompt})
        return Expansion({"text": encoded}, (Source("text", 0),))
    asked = {"clip": clip, "prompt": prompt, "area_px": MEGAPIXEL, "places": PLACE}
    nodes = {"text": Node(SHOWN, {**asked, "image1": image})}
    if vae is None:
        return Expansion(nodes, (Source("text", 0),))
    scaled = {"image": image, "upscale_method": "area", "megapixels": 1.0}
    nodes["scaled"] = Node("ImageScaleToTotalPixels", scaled)
    return _with_references(nodes, vae, ["scaled"])


@node("TextEncodeQwenImageEditPlus", runs_on=Stage.INLINE, rewrites=True, category=CATEGORY)
def encode_edit_plus(
    *,
    clip: Clip,
    prompt: Prompt,
    vae: Vae | None = None,
    image1: Image | None = None,
    image2: Image | None = None,
    image3: Image | None = None,
) -> Encoded:
    """Encode what to make of up to three pictures, which are shown and, with a VAE, gone by."""
    numbered = {
        number: image
        for number, image in enumerate((image1, image2, image3), start=1)
        if image is not None
    }
    places = "".join(f"Picture {number}: {PLACE}" for number in numbered)
    asked = {"clip": clip, "prompt": prompt, "area_px": SMALL, "places": places}
    shown = {f"image{number}": image for number, image in numbered.items()}
    nodes = {"text": Node(SHOWN, {**asked, **shown})}
    if vae is None:
        return Expansion(nodes, (Source("text", 0),))
    names = [f"scaled{number}" for number in numbered]
    nodes |= {
        name: Node(FITTED, {"image": image})
        for name, image in zip(names, numbered.values(), strict=True)
    }
    return _with_references(nodes, vae, names)


@node(SHOWN, runs_on=Stage.ENCODE, internal=True, costly=True, category=CATEGORY)
async def encode_shown(
    encoders: TextEncoding,
    *,
    clip: Clip,
    prompt: str,
    places: str,
    area_px: int,
    image1: Image | None = None,
    image2: Image | None = None,
    image3: Image | None = None,
) -> Conditioning:
    """Encode a prompt behind the places of its pictures, in the template for edits."""
    pictures = [image for image in (image1, image2, image3) if image is not None]
    own = area_px == MEGAPIXEL and prompt.startswith(STARTS)
    text = prompt if own else _templated(places + prompt)
    return await encoders.encode_shown(clip, text, pictures=pictures, area_px=area_px)


@node(FITTED, runs_on=Stage.IMAGE, internal=True, category=CATEGORY)
def fit_reference(filters: Filters, *, image: Image) -> Image:
    """A picture of about a megapixel whose sides are whole latent pixels."""
    return filters.scale_image_to_area(image, MEGAPIXEL, GRID)


def _templated(text: str) -> str:
    return (
        f"<|im_start|>system\n{SYSTEM}<|im_end|>\n"
        f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n"
    )


def _with_references(nodes: dict[str, Node], vae: Any, pictures: list[str]) -> Expansion:
    """The text, and behind it the latent of each picture to go by."""
    last = Source("text", 0)
    for number, picture in enumerate(pictures, start=1):
        latent, reference = f"latent{number}", f"reference{number}"
        nodes[latent] = Node("VAEEncode", {"pixels": Source(picture, 0), "vae": vae})
        links = {"conditioning": last, "latent": Source(latent, 0)}
        nodes[reference] = Node("ReferenceLatent", links)
        last = Source(reference, 0)
    return Expansion(nodes, (last,))


@node("ModelPatchLoader", runs_on=Stage.INLINE, category="model/loaders", experimental=True)
def load_model_patch(*, name: Annotated[ModelFile, Files("model_patches")]) -> ModelPatch:
    """Name a model patch."""
    return ModelPatch(name)


@node(
    "ZImageFunControlnet", runs_on=Stage.SAMPLE, category="model/patch/z-image", experimental=True
)
def control_by_pictures(
    _stage: Conditionings,
    *,
    model: Model,
    model_patch: ModelPatch,
    vae: Vae,
    strength: PatchStrength = 1.0,
    image: Image | None = None,
    inpaint_image: Image | None = None,
    mask: Mask | None = None,
) -> Model:
    """Let a model go by a picture, or fill in another."""
    use = PatchUse(model_patch, vae, image, strength, mask, inpaint_image)
    return model.changed("model_patch", use=use)


@node(
    "QwenImageDiffsynthControlnet",
    runs_on=Stage.SAMPLE,
    category="model/patch/qwen",
    experimental=True,
)
def control_blocks(
    _stage: Conditionings,
    *,
    model: Model,
    model_patch: ModelPatch,
    vae: Vae,
    image: Image,
    strength: PatchStrength = 1.0,
    mask: Mask | None = None,
) -> Model:
    """Let a model go by a picture behind each of its blocks."""
    return model.changed("model_patch", use=PatchUse(model_patch, vae, image, strength, mask))
