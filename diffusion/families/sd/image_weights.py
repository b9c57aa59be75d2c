"""IP-Adapter weights for each transformer block of a U-Net: the tables behind weight types.

Transformers are numbered in the order in which they are run: down, middle, up.
(ComfyUI_IPAdapter_plus: ipadapter_execute and ipadapter_attention)
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from graph.errors import ServiceError
from graph.image_prompts import ImageUse

Block = Literal["input", "middle", "output"]
Tokens = Literal["positive", "negative", "composition", "zeros"]
Table: TypeAlias = dict[int, float]
FLOOR = 0.05  # of the weight that easing leaves
WEAK = 0.2
ASIDE = 0.1  # of the boost, for what neither styles nor composes


@dataclass(eq=False)
class LayerWeightsError(ServiceError):
    """A text that should say the weights of layers."""

    status = 422
    code = "layer_weights_invalid"
    template = "layer_weights must be like '0:1.0, 3:0.5', not {received!r}."
    received: str


@dataclass(frozen=True)
class Place:
    """One transformer of a U-Net that has `count` of them."""

    index: int
    block: Block
    count: int


@dataclass(frozen=True)
class Share:
    """What one transformer takes: how much, and of which tokens its two kinds of rows."""

    weight: float
    positive: Tokens = "positive"
    negative: Tokens = "negative"


@dataclass(frozen=True)
class Roles:
    """Which transformers of a family do what; `half` composes at a quarter of the weight.

    With `own_composition` those that compose go by the picture for that, where there is one.
    """

    count: int
    styling: tuple[int, ...]
    composing: tuple[int, ...]
    half: int | None = None
    own_composition: bool = False

    def styled(self, weight: float) -> Table:
        return dict.fromkeys(self.styling, weight)

    def composed(self, weight: float) -> Table:
        return {i: weight * 0.25 if i == self.half else weight for i in self.composing}

    def others(self, than: Iterable[int]) -> list[int]:
        return [index for index in range(self.count) if index not in set(than)]


SD15_ROLES = Roles(16, (0, 1, 2, 3, 9, 10, 11, 12, 13, 14, 15), (4, 5), half=4)
SDXL_ROLES = Roles(11, (6,), (3,), own_composition=True)


def share_of(use: ImageUse, place: Place, roles: Roles) -> Share | None:
    """What the transformer at `place` takes of an image prompt; None where it takes nothing."""
    table = layer_table(use, roles)
    if table is None:
        weight = use.weight * eased(use.weight_type, place)
        return Share(weight) if weight else None
    weight = table.get(place.index, 0.0)
    if not weight:
        return None
    composes = place.index in roles.composing
    if use.weight_type == ("style transfer precise" if composes else "composition precise"):
        return Share(weight, "zeros", "positive")  # away from the picture
    return Share(weight, "composition" if roles.own_composition and composes else "positive")


def eased(weight_type: str, place: Place) -> float:
    """The part of the weight that a transformer takes by its place alone."""
    along = place.index / place.count
    aside = abs(place.index - place.count / 2) / (place.count / 2)
    curves = {
        "ease in": 1 - along,
        "ease out": along,
        "ease in-out": 1 - aside,
        "reverse in-out": aside,
    }
    if weight_type in curves:
        return FLOOR + (1 - FLOOR) * curves[weight_type]
    strength, _, block = weight_type.partition(" ")
    if strength == "weak":
        return WEAK if place.block == block else 1.0
    if strength == "strong":
        return 1.0 if place.block == block else WEAK
    return 1.0


def layer_table(use: ImageUse, roles: Roles) -> Table | None:
    """The weights of those transformers that take any; None where all do, by their place."""
    if use.layer_weights.strip():
        return {i: w * use.weight for i, w in _read(use.layer_weights).items()}
    weight, composing = use.weight, use.weight_composition
    boost = weight if use.boost is None else use.boost
    strong = roles.others(roles.composing)
    aside = dict.fromkeys(roles.others((*roles.styling, *roles.composing)), boost * ASIDE)
    tables = {
        "style transfer": roles.styled(weight),
        "composition": roles.composed(weight),
        "strong style transfer": dict.fromkeys(strong, weight),
        "style and composition": roles.styled(weight) | roles.composed(composing),
        "strong style and composition": dict.fromkeys(strong, weight)
        | dict.fromkeys(roles.composing, composing),
        "style transfer precise": roles.styled(weight) | roles.composed(boost),
        "composition precise": roles.styled(boost) | aside | roles.composed(weight),
    }
    return tables.get(use.weight_type)


def _read(text: str) -> Table:
    try:
        pairs = [pair.split(":") for pair in text.split(",")]
        return {int(index): float(weight) for index, weight in pairs}
    except ValueError as error:
        raise LayerWeightsError(text) from error
