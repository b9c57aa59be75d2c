"""Stacks of LoRAs and ControlNets, as Efficiency Nodes and Comfyroll hand them to each other."""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, TypeAlias

from graph.prompt import Node, Source
from graph.values import Link, ModelFile

# Files, with their strengths on a model and on its text encoder.
LoraStack: TypeAlias = Annotated[tuple[tuple[ModelFile, float, float], ...], Link("LORA_STACK")]


@dataclass(frozen=True)
class ControlNets:
    """ControlNets on a stack: each with its picture, strength, start and end."""

    link: ClassVar = Link("CONTROL_NET_STACK")
    items: tuple[tuple[Any, Any, float, float, float], ...] = ()

    def applied(self, nodes: dict[str, Node], positive: Any, negative: Any) -> tuple[Any, Any]:
        """Add to `nodes` what applies them to prompts, in their order; gives the prompts."""
        for k, (net, image, strength, start, end) in enumerate(self.items):
            how = {"strength": strength, "start_percent": start, "end_percent": end}
            links = {"positive": positive, "negative": negative, "control_net": net, "image": image}
            nodes[f"controlled {k}"] = Node("ControlNetApplyAdvanced", {**links, **how})
            positive, negative = Source(f"controlled {k}", 0), Source(f"controlled {k}", 1)
        return positive, negative
