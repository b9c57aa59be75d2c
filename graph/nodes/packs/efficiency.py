"""Efficiency Nodes: a loader that does it all, samplers that decode, and stacks.

They are graphs of ComfyUI's own nodes, made before anything runs.
"""

from typing import Annotated, Any, Literal, TypedDict, Unpack

from graph.errors import NotAvailableError
from graph.extra_schedules import SCHEDULERS_OF_EFFICIENCY, sampled
from graph.input_hints import Numbered
from graph.node import Choices, Default, Files, Widget, node
from graph.prompt import Node, Source
from graph.results import Expansion
from graph.sampling import SAMPLER_NAMES, SCHEDULER_NAMES
from graph.stacks import ControlNets, LoraStack
from graph.stages import Stage
from graph.values import Conditioning, ControlNet, Image, Latent, Link, Model, ModelFile, Vae

LOADERS, STACKERS = "Efficiency Nodes/Loaders", "Efficiency Nodes/Stackers"
SAMPLING = "Efficiency Nodes/Sampling"
LOADER = "Efficient Loader"
MOST_LORAS = 50
TILE = 320  # of what samplers decode in tiles
Side = Annotated[int, Widget(min=64, max=16384, step=64), Default(512)]
Strength = Annotated[float, Widget(min=-10.0, max=10.0, step=0.01), Default(1.0)]
Share = Annotated[float, Widget(min=0.0, max=1.0, step=0.01)]
Percent = Annotated[float, Widget(min=0.0, max=1.0, step=0.001)]
Seed = Annotated[int, Widget(min=0, max=2**64 - 1), Default(0)]
LoraName = Annotated[ModelFile, Files("loras", also=("None",))]
MadeModel = Annotated[Expansion, Link("MODEL")]
MadePrompt = Annotated[Expansion, Link("CONDITIONING")]
MadeLatent = Annotated[Expansion, Link("LATENT")]
MadeVae = Annotated[Expansion, Link("VAE")]
MadeClip = Annotated[Expansion, Link("CLIP")]
MadeImage = Annotated[Expansion, Link("IMAGE")]


class Loading(TypedDict):
    ckpt_name: Annotated[ModelFile, Files("checkpoints")]
    vae_name: Annotated[ModelFile, Files("vae", also=("Baked VAE",))]
    clip_skip: Annotated[int, Widget(min=-24, max=-1, step=1), Default(-1)]
    lora_name: LoraName
    lora_model_strength: Strength
    lora_clip_strength: Strength
    positive: Annotated[str, Widget(multiline=True), Default("CLIP_POSITIVE")]
    negative: Annotated[str, Widget(multiline=True), Default("CLIP_NEGATIVE")]
    token_normalization: Literal["none", "mean", "length", "length+mean"]
    weight_interpretation: Literal["comfy", "A1111", "compel", "comfy++", "down_weight"]
    empty_latent_width: Side
    empty_latent_height: Side
    batch_size: Annotated[int, Widget(min=1, max=262144), Default(1)]
    lora_stack: LoraStack | None
    cnet_stack: ControlNets | None


@node(
    LOADER,
    runs_on=Stage.INLINE,
    rewrites=True,
    category=LOADERS,
    outputs=("MODEL", "CONDITIONING+", "CONDITIONING-", "LATENT", "VAE", "CLIP", "DEPENDENCIES"),
)
def load(
    **inputs: Unpack[Loading],
) -> tuple[
    MadeModel,
    MadePrompt,
    MadePrompt,
    MadeLatent,
    MadeVae,
    MadeClip,
    Annotated[Expansion, Link("DEPENDENCIES")],
]:
    """Name a checkpoint and its LoRAs, encode two prompts, and make an empty latent."""
    given: dict[str, Any] = dict(inputs)
    weighting = given["token_normalization"], given["weight_interpretation"]
    if weighting != ("none", "comfy"):
        needed = f"prompts weighted by {weighting[1]} with normalization {weighting[0]}"
        raise NotAvailableError(LOADER, needed)
    nodes = {"checkpoint": Node("CheckpointLoaderSimple", {"ckpt_name": given["ckpt_name"]})}
    model, clip = Source("checkpoint", 0), Source("checkpoint", 1)
    vae = Source("checkpoint", 2)
    first = given["lora_name"], given["lora_model_strength"], given["lora_clip_strength"]
    loras = (*((first,) if first[0] != "None" else ()), *(given.get("lora_stack") or ()))
    if loras:
        links = {"model": model, "clip": clip, "lora_stack": loras}
        nodes["loras"] = Node("CR Apply LoRA Stack", links)
        model, clip = Source("loras", 0), Source("loras", 1)
    skip = {"clip": clip, "stop_at_clip_layer": given["clip_skip"]}
    nodes["clip"] = Node("CLIPSetLastLayer", skip)
    for side, text in (("positive", given["positive"]), ("negative", given["negative"])):
        nodes[side] = Node("CLIPTextEncode", {"clip": Source("clip", 0), "text": text})
    stack = given.get("cnet_stack") or ControlNets()
    prompts = stack.applied(nodes, Source("positive", 0), Source("negative", 0))
    if given["vae_name"] != "Baked VAE":
        nodes["vae"] = Node("VAELoader", {"vae_name": given["vae_name"]})
        vae = Source("vae", 0)
    size = {"width": given["empty_latent_width"], "height": given["empty_latent_height"]}
    nodes["latent"] = Node("EmptyLatentImage", {**size, "batch_size": given["batch_size"]})
    outputs = (model, *prompts, Source("latent", 0), vae, Source("clip", 0), ())
    return Expansion(nodes, outputs)  # type: ignore[return-value]


class OneLora(TypedDict):
    lora_name: LoraName
    lora_wt: Strength
    model_str: Strength
    clip_str: Strength


@node(
    "LoRA Stacker",
    runs_on=Stage.INLINE,
    category=STACKERS,
    outputs=("LORA_STACK",),
    numbered=Numbered(OneLora, MOST_LORAS),
)
def stack_loras(
    *,
    input_mode: Literal["simple", "advanced"],
    lora_count: Annotated[int, Widget(min=0, max=MOST_LORAS, step=1)] = 3,
    lora_stack: LoraStack | None = None,
    **loras: Any,
) -> LoraStack:
    """Put LoRAs on a stack, under those of another."""
    of_model, of_clip = ("lora_wt",) * 2 if input_mode == "simple" else ("model_str", "clip_str")
    own = (
        (loras[f"lora_name_{k}"], loras[f"{of_model}_{k}"], loras[f"{of_clip}_{k}"])
        for k in range(1, lora_count + 1)
        if loras.get(f"lora_name_{k}", "None") != "None"
    )
    return *own, *(lora_stack or ())


@node(
    "Control Net Stacker",
    runs_on=Stage.INLINE,
    rewrites=True,
    category=STACKERS,
    outputs=("CNET_STACK",),
)
def stack_control_net(
    *,
    control_net: ControlNet,
    image: Image,
    strength: Annotated[float, Widget(min=0.0, max=10.0, step=0.01)] = 1.0,
    start_percent: Percent = 0.0,
    end_percent: Percent = 1.0,
    cnet_stack: ControlNets | None = None,
) -> Annotated[Expansion, Link("CONTROL_NET_STACK")]:
    """Put a ControlNet on a stack, over those that are there."""
    below = (cnet_stack or ControlNets()).items
    new = control_net, image, strength, start_percent, end_percent
    return Expansion({}, (ControlNets((*below, new)),))


@node(
    "Apply ControlNet Stack",
    runs_on=Stage.INLINE,
    rewrites=True,
    category=STACKERS,
    outputs=("CONDITIONING+", "CONDITIONING-"),
)
def apply_stack(
    *, positive: Conditioning, negative: Conditioning, cnet_stack: ControlNets | None = None
) -> tuple[MadePrompt, MadePrompt]:
    """Lay the ControlNets of a stack on prompts."""
    nodes: dict[str, Node] = {}
    prompts = (cnet_stack or ControlNets()).applied(nodes, positive, negative)
    return Expansion(nodes, prompts)  # type: ignore[return-value]


class Denoising(TypedDict):
    model: Model
    seed: Seed
    steps: Annotated[int, Widget(min=1, max=10000), Default(20)]
    cfg: Annotated[float, Widget(min=0.0, max=100.0), Default(7.0)]
    sampler_name: Annotated[str, Choices(SAMPLER_NAMES)]
    scheduler: Annotated[str, Choices(SCHEDULERS_OF_EFFICIENCY)]
    positive: Conditioning
    negative: Conditioning
    latent_image: Latent
    denoise: Annotated[Share, Default(1.0)]


class Decoding(TypedDict):
    optional_vae: Vae | None
    script: Annotated[Any | None, Link("SCRIPT")]


class Sampled(Denoising, Decoding):
    preview_method: Literal["auto", "latent2rgb", "taesd", "vae_decoded_only", "none"]
    vae_decode: Literal["true", "true (tiled)", "false"]


class SampledInPart(Decoding):
    model: Model
    add_noise: Literal["enable", "disable"]
    noise_seed: Seed
    steps: Annotated[int, Widget(min=1, max=10000), Default(20)]
    cfg: Annotated[float, Widget(min=0.0, max=100.0), Default(7.0)]
    sampler_name: Annotated[str, Choices(SAMPLER_NAMES)]
    scheduler: Annotated[str, Choices(SCHEDULER_NAMES)]
    positive: Conditioning
    negative: Conditioning
    latent_image: Latent
    start_at_step: Annotated[int, Widget(min=0, max=10000), Default(0)]
    end_at_step: Annotated[int, Widget(min=0, max=10000), Default(10000)]
    return_with_leftover_noise: Literal["disable", "enable"]
    preview_method: Literal["auto", "latent2rgb", "taesd", "none"]
    vae_decode: Literal["true", "true (tiled)", "false", "output only", "output only (tiled)"]


Made = tuple[MadeModel, MadePrompt, MadePrompt, MadeLatent, MadeVae, MadeImage]
OUTPUTS = ("MODEL", "CONDITIONING+", "CONDITIONING-", "LATENT", "VAE", "IMAGE")


@node(
    "KSampler (Efficient)",
    runs_on=Stage.INLINE,
    rewrites=True,
    category=SAMPLING,
    outputs=OUTPUTS,
    output_node=True,
)
def sample(**given: Unpack[Sampled]) -> Made:
    """Denoise a latent, decode it and show what it is."""
    nodes: dict[str, Node] = {}
    how: dict[str, Any] = {name: given[name] for name in Denoising.__annotations__}  # type: ignore[literal-required]
    latent = given["latent_image"] if given["denoise"] == 0 else sampled(nodes, "sampled", how)
    return _decoded(nodes, dict(given), latent)  # type: ignore[no-any-return]


@node(
    "KSampler Adv. (Efficient)",
    runs_on=Stage.INLINE,
    rewrites=True,
    category=SAMPLING,
    outputs=OUTPUTS,
    output_node=True,
)
def sample_in_part(**given: Unpack[SampledInPart]) -> Made:
    """Run some steps of a schedule, decode what came out and show it."""
    passed: dict[str, Any] = dict(given)
    how = {name: value for name, value in passed.items() if name not in NOT_SAMPLED}
    nodes = {"sampled": Node("KSamplerAdvanced", how)}
    return _decoded(nodes, passed, Source("sampled", 0))  # type: ignore[no-any-return]


NOT_SAMPLED = frozenset({"preview_method", "vae_decode", "optional_vae", "script"})


def _decoded(nodes: dict[str, Node], given: dict[str, Any], latent: Any) -> Any:
    """The outputs of a sampler: with a picture where there is an autoencoder, or one of no size."""
    vae, way = given.get("optional_vae"), given["vae_decode"]
    if vae is None or way == "false":
        empty = {"width": 1, "height": 1, "batch_size": 1, "color": 0}
        nodes["image"] = Node("EmptyImage", empty)
    elif "tiled" in way:
        tiles = {"tile_size": TILE, "overlap": 64, "temporal_size": 64, "temporal_overlap": 8}
        nodes["image"] = Node("VAEDecodeTiled", {"samples": latent, "vae": vae, **tiles})
    else:
        nodes["image"] = Node("VAEDecode", {"samples": latent, "vae": vae})
    image = Source("image", 0)
    shown = way in {"true", "true (tiled)"} and given["preview_method"] != "none"
    if vae is not None and shown:
        nodes["shown"] = Node("PreviewImage", {"images": image})
    kept = given["model"], given["positive"], given["negative"]
    return Expansion(nodes, (*kept, latent, vae, image))
