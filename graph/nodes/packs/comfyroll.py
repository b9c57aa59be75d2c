"""Comfyroll: stacks of LoRAs and ControlNets, and a seed."""

from typing import Annotated, Any, Literal, TypedDict

from graph.input_hints import Numbered
from graph.node import Default, Files, MayBeAbsent, Widget, node
from graph.nodes.controlnet import load_control_net
from graph.nodes.loras import load_lora
from graph.prompt import Node
from graph.results import Expansion
from graph.stacks import ControlNets, LoraStack
from graph.stages import Stage
from graph.values import Clip, Conditioning, Image, Link, Model, ModelFile

CATEGORY = "🧩 Comfyroll Studio/✨ Essential/💊 LoRA"
HELP = "Three LoRAs with their weights; what is Off or None is left out."
NETS = "🧩 Comfyroll Studio/✨ Essential/🕹️ ControlNet"
NETS_HELP = "ControlNets with their pictures; what is Off, None or has no picture is left out."
MadePrompt = Annotated[Expansion, Link("CONDITIONING")]
MadeText = Annotated[Expansion, Link("STRING")]
Percent = Annotated[float, Widget(min=0.0, max=1.0, step=0.001)]
Switch = Literal["Off", "On"]
LoraName = Annotated[ModelFile, Files("loras", also=("None",))]
Weight = Annotated[float, Widget(min=-10.0, max=10.0, step=0.01), Default(1.0)]


class OneLora(TypedDict):
    switch: Switch
    lora_name: LoraName
    model_weight: Weight
    clip_weight: Weight


@node(
    "CR LoRA Stack",
    runs_on=Stage.INLINE,
    display_name="💊 CR LoRA Stack",
    category=CATEGORY,
    outputs=("LORA_STACK", "show_help"),
    numbered=Numbered(OneLora, 3),
)
def stack_loras(*, lora_stack: LoraStack | None = None, **loras: Any) -> tuple[LoraStack, str]:
    """Put up to three LoRAs on a stack, over those of another."""
    new = (
        (loras[f"lora_name_{k}"], loras[f"model_weight_{k}"], loras[f"clip_weight_{k}"])
        for k in (1, 2, 3)
        if loras.get(f"switch_{k}") == "On" and loras.get(f"lora_name_{k}", "None") != "None"
    )
    return (*(lora_stack or ()), *new), HELP


@node(
    "CR Apply LoRA Stack",
    runs_on=Stage.INLINE,
    display_name="💊 CR Apply LoRA Stack",
    category=CATEGORY,
    outputs=("MODEL", "CLIP", "show_help"),
)
def apply_stack(*, model: Model, clip: Clip, lora_stack: LoraStack) -> tuple[Model, Clip, str]:
    """Name the LoRAs of a stack on a model and its text encoder."""
    for file, of_model, of_clip in lora_stack:
        model, clip = load_lora(
            model=model,
            clip=clip,
            lora_name=file,
            strength_model=of_model,
            strength_clip=of_clip,
        )
    return model, clip, HELP


class OneNet(TypedDict):
    switch: Annotated[Switch, MayBeAbsent(), Default("Off")]
    controlnet: Annotated[
        ModelFile, Files("controlnet", also=("None",)), MayBeAbsent(), Default("None")
    ]
    controlnet_strength: Annotated[Weight, MayBeAbsent()]
    start_percent: Annotated[Percent, MayBeAbsent(), Default(0.0)]
    end_percent: Annotated[Percent, MayBeAbsent(), Default(1.0)]
    image: Image | None


@node(
    "CR Multi-ControlNet Stack",
    runs_on=Stage.INLINE,
    rewrites=True,
    display_name="🕹️ CR Multi-ControlNet Stack",
    category=NETS,
    outputs=("CONTROLNET_STACK", "show_help"),
    numbered=Numbered(OneNet, 3),
)
def stack_nets(
    *, controlnet_stack: ControlNets | None = None, **nets: Any
) -> tuple[Annotated[Expansion, Link("CONTROL_NET_STACK")], MadeText]:
    """Put up to three ControlNets on a stack, over those of another."""
    new = (
        (
            load_control_net(control_net_name=nets[f"controlnet_{k}"]),
            nets[f"image_{k}"],
            nets[f"controlnet_strength_{k}"],
            nets[f"start_percent_{k}"],
            nets[f"end_percent_{k}"],
        )
        for k in (1, 2, 3)
        if nets[f"switch_{k}"] == "On"
        and nets[f"controlnet_{k}"] != "None"
        and nets.get(f"image_{k}") is not None
    )
    stack = ControlNets((*(controlnet_stack or ControlNets()).items, *new))
    return Expansion({}, (stack, NETS_HELP))  # type: ignore[return-value]


@node(
    "CR Apply Multi-ControlNet",
    runs_on=Stage.INLINE,
    rewrites=True,
    display_name="🕹️ CR Apply Multi-ControlNet",
    category=NETS,
    outputs=("base_pos", "base_neg", "show_help"),
)
def apply_nets(
    *,
    base_positive: Conditioning,
    base_negative: Conditioning,
    switch: Switch,
    controlnet_stack: ControlNets,
) -> tuple[MadePrompt, MadePrompt, MadeText]:
    """Lay the ControlNets of a stack on prompts."""
    nodes: dict[str, Node] = {}
    prompts = base_positive, base_negative
    if switch == "On":
        prompts = controlnet_stack.applied(nodes, *prompts)
    return Expansion(nodes, (*prompts, NETS_HELP))  # type: ignore[return-value]


@node(
    "CR Seed",
    runs_on=Stage.INLINE,
    display_name="🌱 CR Seed",
    category="🧩 Comfyroll Studio/✨ Essential",
    outputs=("seed", "show_help"),
)
def seed(
    *, seed: Annotated[int, Widget(min=0, max=2**64 - 1, control_after_generate=True)] = 0
) -> tuple[int, str]:
    """Give a seed."""
    return seed, "A seed."
