"""Context windows: long batches and videos, of which a model sees a part at a time."""

from typing import Annotated, Literal, TypeAlias

from graph.motion import CONTEXT_WINDOWS, Windows
from graph.node import Widget, node
from graph.stages import Stage
from graph.values import Model

CATEGORY = "model/patch"
VIDEO_AXIS = 2  # of latents with a time axis
FRAMES = 4  # of a video in one of its latents
Length = Annotated[int, Widget(min=1, max=16384)]
VideoLength = Annotated[int, Widget(min=1, max=16384, step=4)]
Overlap = Annotated[int, Widget(min=0, max=16384)]
Stride = Annotated[int, Widget(min=1, max=64)]
Schedule: TypeAlias = Literal["standard_static", "standard_uniform", "looped_uniform", "batched"]
Fuse: TypeAlias = Literal["pyramid", "relative", "flat", "overlap-linear"]


@node(
    "ContextWindowsManual",
    runs_on=Stage.INLINE,
    display_name="Context Windows (Manual)",
    category=CATEGORY,
    experimental=True,
)
def apply_windows(
    *,
    model: Model,
    context_length: Length = 16,
    context_overlap: Overlap = 4,
    context_schedule: Schedule,
    context_stride: Stride = 1,
    closed_loop: bool = False,
    fuse_method: Fuse = "pyramid",
    dim: Annotated[int, Widget(min=0, max=5)] = 0,
) -> Model:
    """Let a model see a part of a batch at a time, or of an axis of its latents."""
    windows = Windows(
        context_schedule, context_length, context_overlap, context_stride, closed_loop, fuse_method
    )
    return model.changed(CONTEXT_WINDOWS, windows=windows, axis=dim)


@node(
    "WanContextWindowsManual",
    runs_on=Stage.INLINE,
    display_name="Wan Context Windows",
    category=f"{CATEGORY}/wan",
    experimental=True,
)
def apply_video_windows(
    *,
    model: Model,
    context_length: VideoLength = 81,
    context_overlap: Overlap = 30,
    context_schedule: Schedule,
    context_stride: Stride = 1,
    closed_loop: bool = False,
    fuse_method: Fuse = "pyramid",
) -> Model:
    """Let a model see some frames of a video at a time."""
    length = max((context_length - 1) // FRAMES + 1, 1)
    overlap = max((context_overlap - 1) // FRAMES + 1, 0)
    windows = Windows(context_schedule, length, overlap, context_stride, closed_loop, fuse_method)
    return model.changed(CONTEXT_WINDOWS, windows=windows, axis=VIDEO_AXIS)
