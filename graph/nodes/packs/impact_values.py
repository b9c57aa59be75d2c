"""Impact Pack: pipes, which carry a model and its prompts on one link.

A pipe is taken apart before anything runs, so what is linked through it is linked directly.
"""

from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar

from graph.node import node
from graph.results import Expansion
from graph.stages import Stage
from graph.values import Clip, Conditioning, Link, Model, Vae

CATEGORY = "ImpactPack/Pipe"
PARTS = ("model", "clip", "vae", "positive", "negative")
Made = Annotated[Expansion, Link("BASIC_PIPE")]
MadeModel = Annotated[Expansion, Link("MODEL")]
MadeClip = Annotated[Expansion, Link("CLIP")]
MadeVae = Annotated[Expansion, Link("VAE")]
MadePrompt = Annotated[Expansion, Link("CONDITIONING")]


@dataclass(frozen=True)
class BasicPipe:
    """What a pipe carries: descriptions, or the links that lead to them."""

    link: ClassVar = Link("BASIC_PIPE")
    model: Any
    clip: Any
    vae: Any
    positive: Any
    negative: Any

    @property
    def parts(self) -> tuple[Any, ...]:
        return self.model, self.clip, self.vae, self.positive, self.negative


@node(
    "ToBasicPipe",
    runs_on=Stage.INLINE,
    rewrites=True,
    category=CATEGORY,
    outputs=("basic_pipe",),
)
def to_pipe(
    *, model: Model, clip: Clip, vae: Vae, positive: Conditioning, negative: Conditioning
) -> Made:
    """Put a model, what reads and paints for it, and its prompts on one link."""
    return Expansion({}, (BasicPipe(model, clip, vae, positive, negative),))


@node("FromBasicPipe", runs_on=Stage.INLINE, rewrites=True, category=CATEGORY, outputs=PARTS)
def from_pipe(
    *, basic_pipe: BasicPipe
) -> tuple[MadeModel, MadeClip, MadeVae, MadePrompt, MadePrompt]:
    """Take a pipe apart."""
    return Expansion({}, basic_pipe.parts)  # type: ignore[return-value]


@node(
    "FromBasicPipe_v2",
    runs_on=Stage.INLINE,
    rewrites=True,
    category=CATEGORY,
    outputs=("basic_pipe", *PARTS),
)
def from_pipe_too(
    *, basic_pipe: BasicPipe
) -> tuple[Made, MadeModel, MadeClip, MadeVae, MadePrompt, MadePrompt]:
    """Take a pipe apart, and pass it on."""
    return Expansion({}, (basic_pipe, *basic_pipe.parts))  # type: ignore[return-value]


@node(
    "EditBasicPipe",
    runs_on=Stage.INLINE,
    rewrites=True,
    category=CATEGORY,
    outputs=("basic_pipe",),
)
def edit_pipe(
    *,
    basic_pipe: BasicPipe,
    model: Model | None = None,
    clip: Clip | None = None,
    vae: Vae | None = None,
    positive: Conditioning | None = None,
    negative: Conditioning | None = None,
) -> Made:
    """Put other things in a pipe, where they are given."""
    given = dict(zip(PARTS, (model, clip, vae, positive, negative), strict=True))
    changed = {name: value for name, value in given.items() if value is not None}
    return Expansion({}, (replace(basic_pipe, **changed),))
