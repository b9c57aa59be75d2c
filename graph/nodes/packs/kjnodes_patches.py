"""KJNodes: patches of attention, of memory and of compilation, which change no picture.

They pass on what they are given: this service compiles and attends in its own ways.
"""

from typing import Annotated, Literal, TypedDict, Unpack

from graph.node import Default, MayBeAbsent, Widget, node
from graph.stages import Stage
from graph.values import ControlNet, Model, Vae

COMPILING, TRYING = "KJNodes/torchcompile", "KJNodes/experimental"
No = Annotated[bool, Default(False)]
Yes = Annotated[bool, Default(True)]
MayBeNo = Annotated[bool, MayBeAbsent(), Default(False)]
MayBeYes = Annotated[bool, MayBeAbsent(), Default(True)]
Backend = Annotated[Literal["inductor", "cudagraphs"], Default("inductor")]
Mode = Annotated[
    Literal["default", "max-autotune", "max-autotune-no-cudagraphs", "reduce-overhead"],
    Default("default"),
]
CacheLimit = Annotated[int, Widget(min=0, max=1024, step=1), Default(64)]


class Compiling(TypedDict):
    backend: Backend
    fullgraph: No
    mode: Mode


class OfModel(TypedDict):
    model: Model


class CompilingModel(OfModel, Compiling):
    """What all that compile a model take."""


class CompilingWan(CompilingModel):
    dynamic: No
    compile_transformer_blocks_only: Yes
    dynamo_cache_size_limit: CacheLimit
    force_parameter_static_shapes: MayBeYes


class CompilingFlux(CompilingModel):
    double_blocks: Yes
    single_blocks: Yes
    dynamic: No
    dynamo_cache_size_limit: Annotated[CacheLimit, MayBeAbsent()]
    force_parameter_static_shapes: MayBeYes


class CompilingAny(CompilingModel):
    dynamic: Annotated[Literal["auto", "true", "false"], Default("false")]
    compile_transformer_blocks_only: Yes
    dynamo_cache_size_limit: CacheLimit
    debug_compile_keys: No
    disable_dynamic_vram: MayBeNo


class CompilingVae(Compiling):
    compile_encoder: Yes
    compile_decoder: Yes


class Chunked(OfModel):
    chunks: Annotated[int, Widget(min=1, max=100, step=1), Default(2)]
    dim_threshold: Annotated[int, Widget(min=0, max=16384, step=256), Default(4096)]


class FlashAttention(OfModel):
    allow_compile: MayBeNo


class Accumulation(OfModel):
    enable_fp16_accumulation: No


class PatchOrder(OfModel):
    patch_order: Annotated[
        Literal["object_patch_first", "weight_patch_first"], Default("weight_patch_first")
    ]
    full_load: Annotated[Literal["enabled", "disabled", "auto"], Default("auto")]


@node("TorchCompileModelWanVideoV2", runs_on=Stage.INLINE, category=COMPILING, deprecated=True)
def compile_wan(**given: Unpack[CompilingWan]) -> Model:
    """Pass a model on: this service compiles by its own settings."""
    return given["model"]


@node("TorchCompileModelFluxAdvancedV2", runs_on=Stage.INLINE, category=COMPILING, deprecated=True)
def compile_flux(**given: Unpack[CompilingFlux]) -> Model:
    """Pass a model on: this service compiles by its own settings."""
    return given["model"]


@node("TorchCompileModelAdvanced", runs_on=Stage.INLINE, category=COMPILING, experimental=True)
def compile_any(**given: Unpack[CompilingAny]) -> Model:
    """Pass a model on: this service compiles by its own settings."""
    return given["model"]


@node("TorchCompileVAE", runs_on=Stage.INLINE, category=COMPILING, experimental=True)
def compile_vae(*, vae: Vae, **_how: Unpack[CompilingVae]) -> Vae:
    """Pass an autoencoder on: this service compiles by its own settings."""
    return vae


@node("TorchCompileControlNet", runs_on=Stage.INLINE, category=COMPILING, experimental=True)
def compile_control_net(*, controlnet: ControlNet, **_how: Unpack[Compiling]) -> ControlNet:
    """Pass a ControlNet on: this service compiles by its own settings."""
    return controlnet


@node(
    "LTXVChunkFeedForward",
    runs_on=Stage.INLINE,
    display_name="LTXV Chunk FeedForward",
    category="KJNodes/ltxv",
    outputs=("model",),
    experimental=True,
)
@node(
    "WanChunkFeedForward",
    runs_on=Stage.INLINE,
    display_name="Wan Chunk FeedForward",
    category="KJNodes/wan",
    outputs=("model",),
    experimental=True,
)
def chunk_feed_forward(**given: Unpack[Chunked]) -> Model:
    """Pass a model on: memory is this service's to keep."""
    return given["model"]


@node(
    "PatchFlashAttentionKJ",
    runs_on=Stage.INLINE,
    display_name="Patch Flash Attention KJ",
    category=TRYING,
    experimental=True,
)
def flash_attention(**given: Unpack[FlashAttention]) -> Model:
    """Pass a model on: this service attends in its own way, for the same pictures."""
    return given["model"]


@node(
    "ModelPatchTorchSettings",
    runs_on=Stage.INLINE,
    display_name="Model Patch Torch Settings",
    category=TRYING,
    experimental=True,
)
def torch_settings(**given: Unpack[Accumulation]) -> Model:
    """Pass a model on: sums are kept in the precision that this service was started with."""
    return given["model"]


@node(
    "PatchModelPatcherOrder",
    runs_on=Stage.INLINE,
    display_name="Patch Model Patcher Order",
    category="KJNodes/deprecated",
    deprecated=True,
)
def patch_order(**given: Unpack[PatchOrder]) -> Model:
    """Pass a model on, as the pack does."""
    return given["model"]
