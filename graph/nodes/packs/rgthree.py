"""rgthree-comfy: switches, seeds, LoRAs by the dozen, and what is shown."""

import secrets
from typing import Annotated, Any

from graph.input_hints import FileInside
from graph.node import Hidden, Widget, node
from graph.nodes.loras import load_lora, load_lora_model_only
from graph.nodes.shown_values import as_text, show_pair
from graph.stages import Stage
from graph.stages.output import OutputFunctions
from graph.values import Clip, Image, Link, Model, ModelFile

CATEGORY = "rgthree"
LARGEST_SEED = 1125899906842624
DRAWN = frozenset({-1, -2, -3})  # random, and one more or less than the editor's last


@node("Any Switch (rgthree)", runs_on=Stage.INLINE, category=CATEGORY, outputs=("*",))
def any_switch(**others: Any) -> Annotated[Any, Link("*")]:
    """Pass on the first of its inputs `any_01`, `any_02` ... that there is."""
    given = (value for name, value in sorted(others.items()) if name.startswith("any_"))
    return next((value for value in given if value is not None), None)


@node("Seed (rgthree)", runs_on=Stage.INLINE, category=CATEGORY, outputs=("SEED",))
def seed(*, seed: Annotated[int, Widget(min=-LARGEST_SEED, max=LARGEST_SEED)] = 0) -> int:
    """Give a seed; for -1, -2 and -3 a random one, as a server knows no last one."""
    return secrets.randbelow(LARGEST_SEED) + 1 if seed in DRAWN else seed


@node(
    "Power Lora Loader (rgthree)",
    runs_on=Stage.INLINE,
    category=CATEGORY,
    outputs=("MODEL", "CLIP"),
)
def load_loras(
    *,
    model: Model | None = None,
    clip: Clip | None = None,
    **loras: Annotated[Any, FileInside("loras", "lora", when="on")],
) -> tuple[Annotated[Model | None, Link("MODEL")], Annotated[Clip | None, Link("CLIP")]]:
    """Name the LoRAs that are on, each with a strength of its own for the text encoder or none."""
    for name, lora in loras.items():
        file = lora.get("lora") if name.lower().startswith("lora_") and lora.get("on") else None
        if model is None or not isinstance(file, ModelFile):
            continue
        strength = float(lora.get("strength", 1.0))
        of_clip = lora.get("strengthTwo")
        if clip is None:
            model = load_lora_model_only(model=model, lora_name=file, strength_model=strength)
        else:
            model, clip = load_lora(
                model=model,
                clip=clip,
                lora_name=file,
                strength_model=strength,
                strength_clip=strength if of_clip is None else float(of_clip),
            )
    return model, clip


@node("Display Any (rgthree)", runs_on=Stage.OUTPUT, category=CATEGORY, output_node=True)
async def display_any(
    outputs: OutputFunctions,
    *,
    source: Annotated[Any, Link("*")],
    unique_id: Annotated[str, Hidden.NODE_ID] = "",  # noqa: ARG001 - the editor's
    extra_pnginfo: Annotated[object, Hidden.EXTRA_PNGINFO] = None,  # noqa: ARG001
) -> None:
    """Show a value as text."""
    await outputs.show_text(as_text(source))


@node("Image Comparer (rgthree)", runs_on=Stage.OUTPUT, category=CATEGORY, output_node=True)
async def compare_images(
    outputs: OutputFunctions,
    *,
    image_a: Image | None = None,
    image_b: Image | None = None,
    prompt: Annotated[object, Hidden.PROMPT] = None,  # noqa: ARG001 - `outputs` has both
    extra_pnginfo: Annotated[object, Hidden.EXTRA_PNGINFO] = None,  # noqa: ARG001
) -> None:
    """Show two pictures, to be compared."""
    await show_pair(outputs, ("rgthree.compare.", image_a), ("rgthree.compare.", image_b))
