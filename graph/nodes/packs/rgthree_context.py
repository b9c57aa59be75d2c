"""rgthree-comfy: contexts, which carry many values on one link.

A context is taken apart before anything runs, so what is linked through it is linked directly.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, TypeAlias, TypedDict, Unpack, get_type_hints

from graph.node import Choices, Files, Widget, node
from graph.results import Expansion
from graph.sampling import SAMPLER_NAMES, SCHEDULER_NAMES
from graph.stages import Stage
from graph.values import (
    Clip,
    Conditioning,
    ControlNet,
    Image,
    Latent,
    Link,
    Mask,
    Model,
    ModelFile,
    Vae,
)

CATEGORY = "rgthree"
FORCED = Widget(forceInput=True)
ForcedInt = Annotated[int | None, FORCED]
ForcedText = Annotated[str | None, FORCED]


@dataclass(frozen=True)
class Context:
    """What a context carries: descriptions, constants, or the links that lead to them."""

    link: ClassVar = Link("RGTHREE_CONTEXT")
    parts: tuple[tuple[str, Any], ...] = ()

    def __getitem__(self, name: str) -> Any:
        return dict(self.parts).get(name)

    @property
    def empty(self) -> bool:
        return all(value is None for _, value in self.parts)


class Parts(TypedDict):
    base_ctx: Context | None
    model: Model | None
    clip: Clip | None
    vae: Vae | None
    positive: Conditioning | None
    negative: Conditioning | None
    latent: Latent | None
    images: Image | None
    seed: ForcedInt


class MoreParts(Parts):
    steps: ForcedInt
    step_refiner: ForcedInt
    cfg: Annotated[float | None, FORCED]
    ckpt_name: Annotated[ModelFile | None, Files("checkpoints"), FORCED]
    sampler: Annotated[str | None, Choices(SAMPLER_NAMES), FORCED]
    scheduler: Annotated[str | None, Choices(SCHEDULER_NAMES), FORCED]
    clip_width: ForcedInt
    clip_height: ForcedInt
    text_pos_g: ForcedText
    text_pos_l: ForcedText
    text_neg_g: ForcedText
    text_neg_l: ForcedText
    mask: Mask | None
    control_net: ControlNet | None


FIELDS = tuple(get_type_hints(MoreParts))[1:]
FIRST_FIELDS = tuple(get_type_hints(Parts))[1:]
MadeInt = Annotated[Expansion, Link("INT")]
MadeText = Annotated[Expansion, Link("STRING")]
MadeChoice = Annotated[Expansion, Link("COMBO")]
MadePrompt = Annotated[Expansion, Link("CONDITIONING")]
Made: TypeAlias = tuple[
    Annotated[Expansion, Link("RGTHREE_CONTEXT")],
    Annotated[Expansion, Link("MODEL")],
    Annotated[Expansion, Link("CLIP")],
    Annotated[Expansion, Link("VAE")],
    MadePrompt,
    MadePrompt,
    Annotated[Expansion, Link("LATENT")],
    Annotated[Expansion, Link("IMAGE")],
    MadeInt,
]
MadeBig: TypeAlias = tuple[
    *Made,
    MadeInt,
    MadeInt,
    Annotated[Expansion, Link("FLOAT")],
    MadeChoice,
    MadeChoice,
    MadeChoice,
    MadeInt,
    MadeInt,
    MadeText,
    MadeText,
    MadeText,
    MadeText,
    Annotated[Expansion, Link("MASK")],
    Annotated[Expansion, Link("CONTROL_NET")],
]
OUTPUTS = ("CONTEXT", *(name.upper() for name in FIRST_FIELDS))
BIG_OUTPUTS = ("CONTEXT", *(name.upper() for name in FIELDS))


def _taken(context: Context | None, names: Iterable[str]) -> Any:
    return Expansion({}, (context, *(context and context[name] for name in names)))


def _new(given: Mapping[str, Any]) -> Context:
    """A context with what is given, over what another has."""
    below = given.get("base_ctx") or Context()
    own = {name: value for name, value in given.items() if value is not None}
    return Context(tuple((name, own.get(name, below[name])) for name in FIELDS))


def _contexts(given: Mapping[str, Any]) -> list[Context]:
    named = sorted(name for name in given if name.startswith("ctx_"))
    return [given[name] for name in named if given[name] is not None and not given[name].empty]


def _first(given: Mapping[str, Any]) -> Context | None:
    return next(iter(_contexts(given)), None)


def _merged(given: Mapping[str, Any]) -> Context:
    """What the last context has that has it."""
    parts = dict.fromkeys(FIELDS)
    for context in _contexts(given):
        parts |= {name: value for name, value in context.parts if value is not None}
    return Context(tuple(parts.items()))


@node("Context (rgthree)", runs_on=Stage.INLINE, rewrites=True, category=CATEGORY, outputs=OUTPUTS)
def context(**given: Unpack[Parts]) -> Made:
    """Put on one link what a workflow hands on, and take it apart."""
    return _taken(_new(given), FIRST_FIELDS)  # type: ignore[no-any-return]


@node(
    "Context Big (rgthree)",
    runs_on=Stage.INLINE,
    rewrites=True,
    category=CATEGORY,
    outputs=BIG_OUTPUTS,
)
def big_context(**given: Unpack[MoreParts]) -> MadeBig:
    """Put on one link all that a workflow hands on, and take it apart."""
    return _taken(_new(given), FIELDS)  # type: ignore[no-any-return]


@node(
    "Context Switch (rgthree)",
    runs_on=Stage.INLINE,
    rewrites=True,
    category=CATEGORY,
    outputs=OUTPUTS,
)
def switch(**others: Any) -> Made:
    """Take the first of its contexts `ctx_01`, `ctx_02` ... that has something."""
    return _taken(_first(others), FIRST_FIELDS)  # type: ignore[no-any-return]


@node(
    "Context Switch Big (rgthree)",
    runs_on=Stage.INLINE,
    rewrites=True,
    category=CATEGORY,
    outputs=BIG_OUTPUTS,
)
def big_switch(**others: Any) -> MadeBig:
    """Take the first of its contexts `ctx_01`, `ctx_02` ... that has something."""
    return _taken(_first(others), FIELDS)  # type: ignore[no-any-return]


@node(
    "Context Merge (rgthree)",
    runs_on=Stage.INLINE,
    rewrites=True,
    category=CATEGORY,
    outputs=OUTPUTS,
)
def merge(**others: Any) -> Made:
    """Put its contexts together; what a later one has counts."""
    return _taken(_merged(others), FIRST_FIELDS)  # type: ignore[no-any-return]


@node(
    "Context Merge Big (rgthree)",
    runs_on=Stage.INLINE,
    rewrites=True,
    category=CATEGORY,
    outputs=BIG_OUTPUTS,
)
def big_merge(**others: Any) -> MadeBig:
    """Put its contexts together; what a later one has counts."""
    return _taken(_merged(others), FIELDS)  # type: ignore[no-any-return]
