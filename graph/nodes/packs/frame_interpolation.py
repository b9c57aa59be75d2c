"""ComfyUI-Frame-Interpolation: RIFE and FILM."""

from dataclasses import dataclass
from typing import Annotated

from graph.errors import ServiceError
from graph.interpolation import FrameInterpolator, Interpolation, InterpolationStates, Precision
from graph.node import Choices, Files, MayBeAbsent, Widget, node
from graph.stages import Stage
from graph.stages.upscale import UpscaleFunctions
from graph.values import Image, ModelFile

CATEGORY = "ComfyUI-Frame-Interpolation"
DRAWING = f"{CATEGORY}/VFI"
SCALE_FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)
MOST_LISTED = 10_000
SHOWN = 40

Network = Annotated[ModelFile, Files("frame_interpolation")]
Cleared = Annotated[int, Widget(min=1, max=1000)]


@dataclass(eq=False)
class FrameIndicesError(ServiceError):
    """A list of frames that is none."""

    status = 422
    code = "frame_indices"
    template = (
        "frame_indices must be at most {limit} whole numbers with commas between them, "
        "such as 1,2,3; got {received!r}."
    )
    limit: int
    received: str


@node(
    "Make Interpolation State List",
    runs_on=Stage.INLINE,
    category=DRAWING,
)
def interpolation_states(
    *,
    frame_indices: Annotated[str, Widget(multiline=True)] = "1,2,3",
    is_skip_list: bool = True,
) -> InterpolationStates:
    """List frames behind which nothing is drawn, or the only ones behind which something is."""
    listed = frame_indices.split(",", MOST_LISTED)
    try:
        frames = tuple(int(one) for one in listed)
    except ValueError:
        frames = ()
    if not frames or len(listed) > MOST_LISTED:
        raise FrameIndicesError(MOST_LISTED, frame_indices[:SHOWN])
    return InterpolationStates(frames, is_skip_list)


@node(
    "RIFE VFI",
    runs_on=Stage.UPSCALE,
    display_name="RIFE VFI (recommend rife4.25+)",
    category=DRAWING,
    costly=True,
)
async def rife(
    networks: UpscaleFunctions,
    *,
    ckpt_name: Network,
    frames: Image,
    clear_cache_after_n_frames: Cleared = 10,  # noqa: ARG001 - memory is ours to mind
    multiplier: Annotated[int, Widget(min=1)] = 2,
    fast_mode: bool = True,
    ensemble: bool = True,
    scale_factor: Annotated[float, Choices(SCALE_FACTORS)] = 1.0,
    dtype: Annotated[Precision, MayBeAbsent()] = "float32",
    torch_compile: Annotated[bool, MayBeAbsent()] = False,  # noqa: ARG001 - ours decide
    batch_size: Annotated[int, Widget(min=1, max=64), MayBeAbsent()] = 1,
    optional_interpolation_states: InterpolationStates | None = None,
) -> Image:
    """Draw frames between those of a video.

    The pack hands `fast_mode` and `ensemble` on by place, to parameters of other names: one lets
    version 4.0 look again at far flows, the other leaves out its refinement.
    """
    how = Interpolation(
        "rife",
        multiplier,
        optional_interpolation_states,
        float(scale_factor),
        dtype,
        refine=not ensemble,
        watch_flow=not fast_mode,
        together=batch_size,
    )
    return await networks.interpolate(FrameInterpolator(ckpt_name), frames, how)


@node("FILM VFI", runs_on=Stage.UPSCALE, category=DRAWING, costly=True)
async def film(
    networks: UpscaleFunctions,
    *,
    ckpt_name: Network,
    frames: Image,
    clear_cache_after_n_frames: Cleared = 10,  # noqa: ARG001 - memory is ours to mind
    multiplier: Annotated[int, Widget(min=2, max=1000)] = 2,
    optional_interpolation_states: InterpolationStates | None = None,
) -> Image:
    """Draw frames between those of a video, each in the middle of two that are there already.

    A frame behind which nothing is to be drawn is left out, as in the pack.
    """
    how = Interpolation("film", multiplier, optional_interpolation_states)
    return await networks.interpolate(FrameInterpolator(ckpt_name), frames, how)


@node("VFI FloatToInt", runs_on=Stage.INLINE, category=CATEGORY)
def float_to_int(*, float: Annotated[float, Widget(min=0, step=0.01)] = 0.0) -> int:
    """Leave out what is behind the point."""
    return int(float)
