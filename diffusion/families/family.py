"""What a model family is to the rest of the engine: data and functions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeAlias

import torch
from torch import Tensor, nn

from diffusion.batch.calls import Denoiser, Limits
from diffusion.batch.controls import LoadedControl
from diffusion.batch.frame import Frame
from diffusion.batch.grounding import LoadedGrounding
from diffusion.batch.noise_levels import PercentSchedule
from diffusion.batch.prompts import Embedding
from diffusion.batch.rows import JobImage
from diffusion.dit.patches import PatchKind
from diffusion.latent_format import LatentFormat
from diffusion.networks.compiling import Blocks
from diffusion.networks.weight_names import Names
from diffusion.parameterization import Parameterization
from diffusion.text.encodings import TextEncoding
from diffusion.vision.ip_adapter import ImageLayers
from diffusion.weights import Weights
from graph.errors import BadModelFile
from graph.image_prompts import ImagePrompt
from graph.values import Condition

FOR_UNETS = "it is made for U-Nets, which this model is not"


class Shape(Protocol):
    """A network as its family describes it. The rest of the engine reads these two numbers."""

    @property
    def in_channels(self) -> int:
        """Of the network's input: the latent's, and those that ride beside it."""

    @property
    def context_dim(self) -> int:
        """Width of the text that the network reads."""


@dataclass(frozen=True, eq=False)
class Found:
    """The part of a file that is a diffusion model."""

    family: "Family"
    weights: Weights  # the whole file
    part: Weights  # the network's tensors, named without prefix
    shape: Any  # the family's Shape


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A diffusion model, ready to run."""

    family: "Family"
    module: Any
    shape: Any  # the family's Shape
    parameterization: Parameterization
    latent_format: LatentFormat
    dtype: torch.dtype  # in which it computes
    size: int  # bytes
    warnings: tuple[str, ...] = ()  # about the files it was made of
    # Whether it sees what a noise mask keeps as it is, and not with the noise of the step.
    sees_kept_clean: bool = False

    @property
    def in_channels(self) -> int:
        """Of the network's input: the latent's, and those that ride beside it."""
        return int(self.shape.in_channels)


@dataclass(frozen=True, eq=False)
class Loading:
    """How weights are to be loaded. `weight_dtype`, of 8 bits, is what they are brought to."""

    dtype: torch.dtype
    device: torch.device
    weight_dtype: torch.dtype | None = None

    def without_float16(self) -> "Loading":
        """For a network that overflows in it."""
        return replace(self, dtype=without_float16(self.dtype))


def without_float16(dtype: torch.dtype) -> torch.dtype:
    """In which a network that overflows in float16 computes, where others compute in `dtype`."""
    return torch.bfloat16 if dtype == torch.float16 else dtype


@dataclass(frozen=True, eq=False)
class ControlSource:
    """A ControlNet's file, and what it may be made of."""

    weights: Weights
    model: LoadedModel
    base: Callable[[], Weights] | None  # opens the model that a file of differences names
    dtype: torch.dtype
    device: torch.device


@dataclass(frozen=True, eq=False)
class ControlKind:
    """One kind of files of ControlNets and their like.

    `mine` tells by names and shapes alone whether a file is of it. What `made_of_model` has layers
    of the model that it was loaded for, and serves no other. `load` raises BadModelFile.
    """

    mine: Callable[[Weights], bool]
    load: Callable[[ControlSource], LoadedControl]
    made_of_model: bool = False


def as_it_is(shape: Any, _patched: Mapping[str, Tensor]) -> Any:
    """The shape of a network that no adapter changes."""
    return shape


def nothing_repeats(_module: nn.Module) -> Blocks:
    """Nothing is compiled."""
    return {}


def no_file_names(_shape: Any) -> Mapping[str, str]:
    """The modules are named as in the files."""
    return {}


ImagePrompts: TypeAlias = Callable[
    [ImagePrompt, ImageLayers, LoadedModel, PercentSchedule, int], JobImage
]


@dataclass(frozen=True)
class MotionPlaces:
    """The layers of a U-Net behind which a motion module may run, and their widths, in order."""

    down: tuple[tuple[str, int], ...]
    middle: tuple[tuple[str, int], ...]
    up: tuple[tuple[str, int], ...]

    @property
    def widths(self) -> tuple[int, ...]:
        return tuple(width for _, width in (*self.down, *self.middle, *self.up))


def no_motion(_shape: Any) -> MotionPlaces | None:
    """No motion module is made for it."""
    return None


def no_image_prompts(
    prompt: ImagePrompt,
    _layers: ImageLayers,
    _model: LoadedModel,
    _schedule: PercentSchedule,
    _batch: int,
) -> JobImage:
    """Raises BadModelFile."""
    raise BadModelFile(prompt.file.folder, prompt.file.name, FOR_UNETS)


GroundingLoader: TypeAlias = Callable[[Weights, torch.dtype, torch.device], LoadedGrounding]


def no_grounding(weights: Weights, _dtype: torch.dtype, _device: torch.device) -> LoadedGrounding:
    """Raises BadModelFile."""
    raise weights.bad(problem=FOR_UNETS)


@dataclass(frozen=True, eq=False)
class Family:
    """One family of models. See the package's own docstring for how to add one.

    Recognition: `read` gives the shape of a network from the names and shapes of its tensors, or
    None where it is of another layout; families of one layout share it, and `fits` tells them
    apart. Both read headers only.
    """

    name: str  # as graph/families.py has it
    read: Callable[[Weights], Any]
    load: Callable[[Found, Loading], LoadedModel]
    parameterization: Callable[[Found], Parameterization]
    # What asks the network: many rows of many jobs in one call.
    denoiser: Callable[[LoadedModel, Limits], Denoiser]
    # What a condition, of a conditioning of this name, says to the network.
    embed: Callable[[LoadedModel, Condition, str, Frame], Embedding]
    # A prompt that says nothing, to warm a network of such a shape with.
    blank: Callable[[Any], Condition]
    weight_names: Callable[[Any, tuple[str, ...]], Names]  # what LoRAs call its parameters
    fits: Callable[[Any], bool] = lambda _shape: True
    unknown: Callable[[Any], str] = lambda _shape: "it is of no known family"  # if none fits
    text: TextEncoding | None = None
    keeps_float8: bool = False  # whether weights of 8 bits stay as they are
    # Whether its network's layers are given all rows of a call, each row by itself; then models
    # that differ in some layers can share one (diffusion/batch/row_layers.py).
    rows_stay_apart: bool = False
    blocks: Callable[[nn.Module], Blocks] = nothing_repeats  # those that are compiled
    # diffusers' name of a module -> that of the model's own file, which merges go by.
    file_names: Callable[[Any], Mapping[str, str]] = no_file_names
    scales_attention: bool = False  # whether its attention layers have the names to be scaled by
    widened: Callable[[Any, Mapping[str, Tensor]], Any] = as_it_is  # the shape under LoRAs
    controls: Sequence[ControlKind] = ()
    sees_batches: bool = False  # whether the latents of a batch always see each other
    patches: Sequence[PatchKind] = ()
    changes: frozenset[str] = frozenset()  # kinds of changes to how the network is run
    drawing_changes: frozenset[str] = frozenset()  # those of them that draw random numbers
    # Those under which the latents of a batch see each other, so that no call may divide them.
    joining_changes: frozenset[str] = frozenset()
    # Those under which the network keeps tensors of a prompt from step to step (`Row.kept`).
    keeping_changes: frozenset[str] = frozenset()
    image_prompt: ImagePrompts = no_image_prompts
    motion_places: Callable[[Any], MotionPlaces | None] = no_motion
    grounding: GroundingLoader = no_grounding  # of files that draw what is said in boxes
    image_adapters: str = ""  # as which presets of IP-Adapters know it
