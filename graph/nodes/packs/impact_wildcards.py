"""Impact Pack: prompts that are drawn by a seed. There are no files of wildcards."""

import re
from typing import Annotated, Literal, TypedDict, Unpack

from graph.detailing import encoded
from graph.errors import NotAvailableError
from graph.node import Default, Files, Widget, node
from graph.prompt import Node
from graph.results import Expansion
from graph.stages import Stage
from graph.values import Clip, Link, Model, ModelFile
from graph.wildcards import populated

CATEGORY = "ImpactPack/Prompt"
ADD_WILDCARD, ADD_LORA = "Select to add Wildcard", "Select to add LoRA"
LORA = re.compile(r"<lora:[^>]+>")
Text = Annotated[str, Widget(multiline=True, dynamicPrompts=False)]
Seed = Annotated[int, Widget(min=0, max=2**64 - 1), Default(0)]
Added = Annotated[
    Literal["Select the Wildcard to add to the text"],
    Default("Select the Wildcard to add to the text"),
]
AddedLora = Annotated[
    ModelFile,
    Files("loras", also=("Select the LoRA to add to the text",)),
    Default("Select the LoRA to add to the text"),
]


class Drawn(TypedDict):
    wildcard_text: Text
    populated_text: Text
    mode: Annotated[bool, Default(True)]


Processed = TypedDict("Processed", {"seed": Seed, "Select to add Wildcard": Added})
Encoded = TypedDict(
    "Encoded", {"Select to add LoRA": AddedLora, "Select to add Wildcard": Added, "seed": Seed}
)


class OfText(Drawn, Processed):
    """The inputs of ImpactWildcardProcessor."""


class OfModel(TypedDict):
    model: Model
    clip: Clip


class OfPrompt(OfModel, Drawn, Encoded):
    """The inputs of ImpactWildcardEncode."""


@node("ImpactWildcardProcessor", runs_on=Stage.INLINE, category=CATEGORY)
def draw_text(**given: Unpack[OfText]) -> str:
    """Draw what a text leaves open, by a seed; the text is the one that the editor populated."""
    return populated(given["populated_text"], given["seed"])


@node(
    "ImpactWildcardEncode",
    runs_on=Stage.INLINE,
    rewrites=True,
    category=CATEGORY,
    outputs=("model", "clip", "conditioning", "populated_text"),
)
def draw_prompt(
    **given: Unpack[OfPrompt],
) -> tuple[
    Annotated[Expansion, Link("MODEL")],
    Annotated[Expansion, Link("CLIP")],
    Annotated[Expansion, Link("CONDITIONING")],
    Annotated[Expansion, Link("STRING")],
]:
    """Draw what a text leaves open, and encode it; what BREAK parts is joined behind it."""
    text = populated(given["populated_text"], given["seed"])
    if LORA.search(text):
        needed = "a LoRA loader in place of <lora:...> in its text"
        raise NotAvailableError("ImpactWildcardEncode", needed)
    nodes: dict[str, Node] = {}
    prompt = encoded(nodes, "text", text, given["clip"])
    return Expansion(nodes, (given["model"], given["clip"], prompt, text))  # type: ignore[return-value]
