"""GLIGEN: what a prompt wants to be in which box."""

from dataclasses import dataclass, replace
from typing import Annotated

from graph.errors import ServiceError
from graph.latent_sizes import NODE_PX
from graph.node import Files, Widget, node
from graph.nodes.prompts import Prompt
from graph.stages import Stage
from graph.stages.encode import TextEncoding
from graph.values import Clip, Condition, Conditioning, Gligen, Grounding, ModelFile, TextBox

MAX_BOXES = 30  # as many as the networks were trained with
Side = Annotated[int, Widget(min=8, max=16384, step=8)]
Place = Annotated[int, Widget(min=0, max=16384, step=8)]


@dataclass(eq=False)
class TooManyBoxesError(ServiceError):
    """More boxes in a conditioning than networks can be told of."""

    status = 422
    code = "too_many_boxes"
    template = "Input 'conditioning_to': must have fewer than {most} boxes of text, got {received}."
    most: int
    received: int


@dataclass(eq=False)
class NoPooledTextError(ServiceError):
    """A text encoder that says nothing of a text as a whole."""

    status = 422
    code = "unsupported_text_encoder"
    template = "Input 'clip': must be CLIP; other text encoders say nothing that goes into a box."


def check_room(condition: Condition) -> None:
    """Raises TooManyBoxesError where no box more may be added."""
    count = 0 if condition.grounding is None else len(condition.grounding.boxes)
    if count >= MAX_BOXES:
        raise TooManyBoxesError(MAX_BOXES, count)


@node(
    "GLIGENLoader", runs_on=Stage.INLINE, display_name="Load GLIGEN Model", category="model/loaders"
)
def load_gligen(*, gligen_name: Annotated[ModelFile, Files("gligen")]) -> Gligen:
    """Name a network that draws what is said in boxes."""
    return Gligen(gligen_name)


@node(
    "GLIGENTextBoxApply",
    runs_on=Stage.ENCODE,
    display_name="Apply GLIGEN Text Box",
    category="model/conditioning/gligen",
)
async def apply_text_box(
    encoders: TextEncoding,
    *,
    conditioning_to: Conditioning,
    clip: Clip,
    gligen_textbox_model: Gligen,
    text: Prompt,
    width: Side = 64,
    height: Side = 64,
    x: Place = 0,
    y: Place = 0,
) -> Conditioning:
    """Say what is to be in a box of the picture."""
    for condition in conditioning_to:
        check_room(condition)
    encoded, *_ = await encoders.encode_text(clip, text)
    if encoded.pooled is None:
        raise NoPooledTextError
    sides = (side // NODE_PX for side in (height, width, y, x))
    box = TextBox(encoded.pooled, *sides)
    return tuple(_with_box(own, gligen_textbox_model, box) for own in conditioning_to)


def _with_box(condition: Condition, net: Gligen, box: TextBox) -> Condition:
    """The network that is named last is told of all boxes, as in ComfyUI."""
    before = () if condition.grounding is None else condition.grounding.boxes
    return replace(condition, grounding=Grounding(net, (*before, box)))
