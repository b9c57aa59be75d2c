"""Descriptions of motion: modules that see a batch of latents as the frames of a video, and how.

The values of the ComfyUI-AnimateDiff-Evolved pack's links.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar, TypeAlias

from graph.values import Link, Mask, ModelFile

EVOLVED = "evolved_sampling"  # the kind of a model's change; its option is an `Evolved`
CONTEXT_WINDOWS = "context_windows"  # ComfyUI's own; options: windows, and the axis they are along
BETA_SCHEDULE = "beta_schedule"  # options: name, and the motion module that chooses if it is ""

# The pack's names, which differ from ComfyUI's in that "linear" here is linear in sqrt(beta).
BETA_SCHEDULES = (
    "autoselect",
    "use existing",
    "sqrt_linear (AnimateDiff)",
    "linear (AnimateDiff-SDXL)",
    "linear (HotshotXL/default)",
    "avg(sqrt_linear,linear)",
    "lcm avg(sqrt_linear,linear)",
    "lcm",
    "lcm[100_ots]",
    "lcm >> sqrt_linear",
    "sqrt",
    "cosine",
    "squaredcos_cap_v2",
)
NOISE_TYPES = ("default", "constant", "empty", "repeated_context", "FreeNoise")
SEED_GENERATORS = ("comfy", "comfy [gpu]", "auto1111", "auto1111 [gpu]")
MOST_OFFSET = 4096  # latents that are drawn and not used
FUSE_METHODS = (
    "pyramid",
    "flat",
    "overlap-linear",
    "🔬delayed reverse sawtooth",
    "🔬pyramid-sigma",
    "🔬pyramid-sigma inverse",
    "🔬gauss-sigma",
    "🔬gauss-sigma inverse",
)
FUSE_METHODS_STATIC = ("pyramid", "relative", *FUSE_METHODS[1:])


@dataclass(frozen=True, eq=False)
class Multival:
    """A number for all frames, or for each of them; with a `mask`, for every place of each.

    With `scaled`, a mask [F, H, W] is brought from 0..1 ("absolute") or from its own lowest and
    highest ("relative") to those two numbers.
    """

    link: ClassVar = Link("MULTIVAL")
    value: float | tuple[float, ...] = 1.0
    mask: Mask | None = None
    scaled: tuple[str, float, float] | None = None


@dataclass(frozen=True)
class MotionLora:
    """A LoRA for motion modules."""

    file: ModelFile
    strength: float


MotionLoras: TypeAlias = Annotated[tuple[MotionLora, ...], Link("MOTION_LORA")]


@dataclass(frozen=True, eq=False)
class MotionKeyframe:
    """Multivals that hold from a part of the schedule on, for at least so many steps.

    What is missing is as it was before, or with `inherit` off is 1.
    """

    start_percent: float
    scale: Multival | None = None
    effect: Multival | None = None
    inherit: bool = True
    guarantee_steps: int = 1


MotionKeyframes: TypeAlias = Annotated[tuple[MotionKeyframe, ...], Link("AD_KEYFRAMES")]


@dataclass(frozen=True)
class MotionModel:
    """A motion module: the file it is in."""

    link: ClassVar = Link("MOTION_MODEL_ADE")
    file: ModelFile


@dataclass(frozen=True, eq=False)
class Motion:
    """A motion module, and how strongly and when it moves."""

    file: ModelFile
    loras: tuple[MotionLora, ...] = ()
    scale: Multival | None = None  # of the keys of its attention
    effect: Multival | None = None  # what share of its output counts
    keyframes: tuple[MotionKeyframe, ...] = ()
    start_percent: float = 0.0
    end_percent: float = 1.0


Motions: TypeAlias = Annotated[
    tuple[Motion, ...], Link("M_MODELS")
]  # the newest first, which runs last


@dataclass(frozen=True)
class Windows:
    """How windows move over frames; `schedule` names a function of diffusion/motion/windows.py."""

    schedule: str
    length: int
    overlap: int = 0
    stride: int = 1
    closed_loop: bool = False
    fuse_method: str = "flat"
    on_equal_length: bool = False  # whether as many frames as a window is long have windows too


View: TypeAlias = Annotated[Windows, Link("VIEW_OPTS")]


@dataclass(frozen=True)
class Context:
    """Windows that hold from a part of the schedule on, for at least so many steps."""

    windows: Windows
    start_percent: float = 0.0
    guarantee_steps: int = 1
    view: Windows | None = None  # windows in which motion modules see the frames of a window


Contexts: TypeAlias = Annotated[tuple[Context, ...], Link("CONTEXT_OPTIONS")]


@dataclass(frozen=True)
class Drawn:
    """How noise is drawn: its kind, and the seeds and places in the stream that are skipped."""

    noise_type: str = "default"
    seed_gen: str = "comfy"
    batch_offset: int = 0
    seed_offset: int = 0
    seed_override: int | None = None


@dataclass(frozen=True, eq=False)
class NoiseLayer:
    """Noise applied to other noise, in the places of a mask."""

    drawn: Drawn
    application: str  # names a function of diffusion/motion/noise.py
    weight: float = 1.0
    balance: float = 1.0
    mask: Mask | None = None


NoiseLayers: TypeAlias = Annotated[tuple[NoiseLayer, ...], Link("NOISE_LAYERS")]


@dataclass(frozen=True, eq=False)
class SampleSettings:
    """The noise that frames begin with."""

    link: ClassVar = Link("SAMPLE_SETTINGS")
    drawn: Drawn = Drawn()
    layers: tuple[NoiseLayer, ...] = ()


@dataclass(frozen=True, eq=False)
class Evolved:
    """What AnimateDiff-Evolved applies to a model."""

    motions: tuple[Motion, ...] = ()
    contexts: tuple[Context, ...] = ()
    joins_v2_norms: bool = False  # whether modules of version 2 run with norms as version 1 does
    settings: SampleSettings | None = None
