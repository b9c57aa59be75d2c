"""ComfyUI_IPAdapter_plus before version 2: IPAdapterApply, which is IPAdapterAdvanced now.

The weight types of then are not told apart, and `noise` is not added: what is left is the same.
"""

from typing import Annotated, Any, Literal, TypedDict, Unpack

from graph.node import Default, MayBeAbsent, Widget, node
from graph.prompt import Node, Source
from graph.results import Expansion
from graph.stages import Stage
from graph.values import ClipVision, Image, IpAdapter, Link, Mask, Model

When = Annotated[float, Widget(min=0.0, max=1.0, step=0.001), MayBeAbsent()]


class Applied(TypedDict):
    ipadapter: IpAdapter
    clip_vision: ClipVision
    image: Image
    model: Model
    weight: Annotated[float, Widget(min=-1, max=3, step=0.05), Default(1.0)]
    noise: Annotated[float, Widget(min=0.0, max=1.0, step=0.01), Default(0.0)]
    weight_type: Literal["original", "linear", "channel penalty"]
    start_at: Annotated[When, Default(0.0)]
    end_at: Annotated[When, Default(1.0)]
    unfold_batch: Annotated[bool, MayBeAbsent(), Default(False)]
    attn_mask: Mask | None


@node(
    "IPAdapterApply",
    runs_on=Stage.INLINE,
    rewrites=True,
    display_name="Apply IPAdapter",
    category="ipadapter",
    deprecated=True,
)
def apply(**inputs: Unpack[Applied]) -> Annotated[Expansion, Link("MODEL")]:
    """Let a model go by pictures; by one each where the batch is unfolded."""
    given: dict[str, Any] = {name: value for name, value in inputs.items() if value is not None}
    del given["noise"]
    class_type = "IPAdapterBatch" if given.pop("unfold_batch") else "IPAdapterAdvanced"
    given |= {"weight_type": "linear", "embeds_scaling": "V only"}
    if class_type == "IPAdapterAdvanced":
        given["combine_embeds"] = "concat"
    return Expansion({"applied": Node(class_type, given)}, (Source("applied", 0),))
