"""AnimateDiff: windows over more frames than are seen at once. ComfyUI-AnimateDiff-Evolved's."""

from typing import Annotated, TypedDict, Unpack

from graph.motion import FUSE_METHODS, FUSE_METHODS_STATIC, Context, Contexts, View, Windows
from graph.node import Choices, Default, MayBeAbsent, Widget, node
from graph.nodes.packs.animatediff import CATEGORY, Guarantee, When
from graph.stages import Stage

WITHIN = f"{CATEGORY}/context opts"
VIEWS = f"{WITHIN}/view opts"
Length = Annotated[int, Widget(min=1, max=128)]
Stride = Annotated[int, Widget(min=1, max=32)]
Overlap = Annotated[int, Widget(min=0, max=128)]
Fuse = Annotated[str, Choices(FUSE_METHODS), MayBeAbsent()]
FuseStatic = Annotated[str, Choices(FUSE_METHODS_STATIC), MayBeAbsent()]
Flag = Annotated[bool, MayBeAbsent()]


class Scheduled(TypedDict, total=False):
    start_percent: Annotated[When, MayBeAbsent(), Default(0.0)]
    guarantee_steps: Annotated[Guarantee, Default(1)]
    prev_context: Contexts | None


class Viewed(Scheduled, total=False):
    view_opts: View | None


def _added(windows: Windows, scheduled: Scheduled, view: View | None = None) -> Contexts:
    start = scheduled.get("start_percent", 0.0)
    own = Context(windows, start, scheduled.get("guarantee_steps", 1), view)
    return (*(scheduled.get("prev_context") or ()), own)


@node(
    "ADE_StandardStaticContextOptions",
    runs_on=Stage.INLINE,
    display_name="Context Options◆Standard Static 🎭🅐🅓",
    category=WITHIN,
    outputs=("CONTEXT_OPTS",),
)
def static_context(
    *,
    context_length: Length = 16,
    context_overlap: Overlap = 4,
    fuse_method: FuseStatic = "pyramid",
    use_on_equal_length: Flag = False,
    **scheduled: Unpack[Viewed],
) -> Contexts:
    """Windows that lie alike at every step."""
    windows = Windows(
        "standard_static",
        context_length,
        context_overlap,
        fuse_method=fuse_method,
        on_equal_length=use_on_equal_length,
    )
    return _added(windows, scheduled, scheduled.get("view_opts"))


@node(
    "ADE_StandardUniformContextOptions",
    runs_on=Stage.INLINE,
    display_name="Context Options◆Standard Uniform 🎭🅐🅓",
    category=WITHIN,
    outputs=("CONTEXT_OPTS",),
)
def uniform_context(
    *,
    context_length: Length = 16,
    context_stride: Stride = 1,
    context_overlap: Overlap = 4,
    fuse_method: Fuse = "pyramid",
    use_on_equal_length: Flag = False,
    **scheduled: Unpack[Viewed],
) -> Contexts:
    """Windows that lie elsewhere at every step."""
    windows = Windows(
        "standard_uniform",
        context_length,
        context_overlap,
        context_stride,
        fuse_method=fuse_method,
        on_equal_length=use_on_equal_length,
    )
    return _added(windows, scheduled, scheduled.get("view_opts"))


@node(
    "ADE_LoopedUniformContextOptions",
    runs_on=Stage.INLINE,
    display_name="Context Options◆Looped Uniform 🎭🅐🅓",
    category=WITHIN,
    outputs=("CONTEXT_OPTS",),
)
def looped_context(
    *,
    context_length: Length = 16,
    context_stride: Stride = 1,
    context_overlap: Overlap = 4,
    closed_loop: bool = False,
    fuse_method: Fuse = "flat",
    use_on_equal_length: Flag = False,
    **scheduled: Unpack[Viewed],
) -> Contexts:
    """Windows that go on at the beginning where they pass the end."""
    windows = Windows(
        "looped_uniform",
        context_length,
        context_overlap,
        context_stride,
        closed_loop,
        fuse_method,
        use_on_equal_length,
    )
    return _added(windows, scheduled, scheduled.get("view_opts"))


@node(
    "ADE_AnimateDiffUniformContextOptions",
    runs_on=Stage.INLINE,
    display_name="Context Options◆Looped Uniform 🎭🅐🅓",
    outputs=("CONTEXT_OPTS",),
    deprecated=True,
)
def older_looped_context(
    *,
    context_length: Length = 16,
    context_stride: Stride = 1,
    context_overlap: Overlap = 4,
    context_schedule: Annotated[str, Choices(("uniform",))],  # noqa: ARG001 - there is one
    closed_loop: bool = False,
    fuse_method: Fuse = "flat",
    use_on_equal_length: Flag = False,
    **scheduled: Unpack[Viewed],
) -> Contexts:
    """Windows that go on at the beginning where they pass the end."""
    windows = Windows(
        "looped_uniform",
        context_length,
        context_overlap,
        context_stride,
        closed_loop,
        fuse_method,
        use_on_equal_length,
    )
    return _added(windows, scheduled, scheduled.get("view_opts"))


@node(
    "ADE_BatchedContextOptions",
    runs_on=Stage.INLINE,
    display_name="Context Options◆Batched [Non-AD] 🎭🅐🅓",
    category=WITHIN,
    outputs=("CONTEXT_OPTS",),
)
def batched_context(*, context_length: Length = 16, **scheduled: Unpack[Scheduled]) -> Contexts:
    """Windows one behind the other."""
    return _added(Windows("batched", context_length), scheduled)


@node(
    "ADE_ViewsOnlyContextOptions",
    runs_on=Stage.INLINE,
    display_name="Context Options◆Views Only [VRAM⇈] 🎭🅐🅓",
    category=WITHIN,
    outputs=("CONTEXT_OPTS",),
)
def views_alone(*, view_opts_req: View, **scheduled: Unpack[Scheduled]) -> Contexts:
    """All frames at once, of which motion modules see some at a time."""
    windows = Windows("view_as_context", view_opts_req.length, on_equal_length=True)
    return _added(windows, scheduled, view_opts_req)


@node(
    "ADE_StandardStaticViewOptions",
    runs_on=Stage.INLINE,
    display_name="View Options◆Standard Static 🎭🅐🅓",
    category=VIEWS,
)
def static_view(
    *, view_length: Length = 16, view_overlap: Overlap = 4, fuse_method: Fuse = "flat"
) -> View:
    """Let motion modules see windows that lie alike at every step."""
    return Windows("standard_static", view_length, view_overlap, fuse_method=fuse_method)


@node(
    "ADE_StandardUniformViewOptions",
    runs_on=Stage.INLINE,
    display_name="View Options◆Standard Uniform 🎭🅐🅓",
    category=VIEWS,
)
def uniform_view(
    *,
    view_length: Length = 16,
    view_stride: Stride = 1,
    view_overlap: Overlap = 4,
    fuse_method: Fuse = "pyramid",
) -> View:
    """Let motion modules see windows that lie elsewhere at every step."""
    return Windows(
        "standard_uniform", view_length, view_overlap, view_stride, fuse_method=fuse_method
    )


@node(
    "ADE_LoopedUniformViewOptions",
    runs_on=Stage.INLINE,
    display_name="View Options◆Looped Uniform 🎭🅐🅓",
    category=VIEWS,
)
def looped_view(
    *,
    view_length: Length = 16,
    view_stride: Stride = 1,
    view_overlap: Overlap = 4,
    closed_loop: bool = False,
    fuse_method: Fuse = "pyramid",
    use_on_equal_length: Flag = False,
) -> View:
    """Let motion modules see windows that go on at the beginning."""
    return Windows(
        "looped_uniform",
        view_length,
        view_overlap,
        view_stride,
        closed_loop,
        fuse_method,
        use_on_equal_length,
    )
