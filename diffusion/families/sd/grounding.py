"""GLIGEN: layers within a U-Net's transformers that see what is to be where (Li et al. 2023).

(ComfyUI comfy/gligen.py)
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from diffusion.batch.parts import Part
from diffusion.families.sd.attention import Attention
from diffusion.networks.filling import copied, fill, size_of
from diffusion.networks.layers import FeedForward
from diffusion.weights import Weights

POSITION = "position_net."
NULL = POSITION + "null_positive_feature"
FUSER = re.compile(r"(input_blocks|middle_block|output_blocks)\.(\d+)\..*\.fuser\.(.+)")
PLACES = ("input_blocks", "middle_block", "output_blocks")
BOXES = 30  # that layers see; those that are not told are empty
FREQUENCIES = 8  # of sinusoids that stand for one edge of a box
HOTTEST = 100
TEXT_OF_SD1, HEADS_OF_SD1, HEAD = 768, 8, 64
HIDDEN = 512


class Fuser(nn.Module):
    """Attention of a picture's tokens to each other and to what is to be where, behind a gate."""

    def __init__(self, width: int, object_width: int, heads: int) -> None:
        super().__init__()
        self.linear = nn.Linear(object_width, width)
        self.attn = Attention(width, None, heads)
        self.ff = FeedForward(width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.alpha_attn = nn.Parameter(torch.empty(()))
        self.alpha_dense = nn.Parameter(torch.empty(()))

    def forward(self, x: Tensor, objects: Tensor) -> Tensor:
        """`x` [B, T, C], `objects` [B, N, D]."""
        both = torch.cat([x, self.linear(objects)], dim=1)
        seen = self.attn(self.norm1(both))[:, : x.shape[1]]
        x = x + torch.tanh(self.alpha_attn) * seen
        answer: Tensor = x + torch.tanh(self.alpha_dense) * self.ff(self.norm2(x))
        return answer


class PositionNet(nn.Module):
    """Makes tokens of texts and the boxes they are in."""

    def __init__(self, text_width: int, out: int) -> None:
        super().__init__()
        edges = 2 * FREQUENCIES * 4
        self.linears = nn.Sequential(
            nn.Linear(text_width + edges, HIDDEN),
            nn.SiLU(),
            nn.Linear(HIDDEN, HIDDEN),
            nn.SiLU(),
            nn.Linear(HIDDEN, out),
        )
        self.null_positive_feature = nn.Parameter(torch.empty(text_width))
        self.null_position_feature = nn.Parameter(torch.empty(edges))

    def forward(self, said: Tensor, boxes: Tensor) -> Tensor:
        """Of texts [N, P] in boxes [N, 4]: [BOXES, D], those that are left empty at the end."""
        left = BOXES - len(said)
        texts = torch.cat([said, self.null_positive_feature.expand(left, -1)])
        places = torch.cat([_waves(boxes), self.null_position_feature.expand(left, -1)])
        tokens: Tensor = self.linears(torch.cat([texts, places], dim=-1))
        return tokens


def _waves(boxes: Tensor) -> Tensor:
    """[N, 4] to [N, 64]: sine and cosine of all edges, frequency by frequency."""
    bands = HOTTEST ** (torch.arange(FREQUENCIES, device=boxes.device) / FREQUENCIES)
    return torch.cat([wave(band * boxes) for band in bands for wave in (torch.sin, torch.cos)], -1)


@dataclass(frozen=True, eq=False)
class GligenNet:
    """The whole of a file: a fuser for every transformer of a U-Net, in the order they are run."""

    fusers: nn.ModuleList
    positions: PositionNet
    text_width: int
    problem: ClassVar[str] = (
        "it is made for a U-Net of {count} transformers of widths {widths}, this model's are {own}"
    )

    @property
    def size(self) -> int:
        """Bytes."""
        return size_of(self.fusers) + size_of(self.positions)

    def misfit(self, network: Any) -> str | None:
        """Why it does not fit a U-Net, if so."""
        own = list(widths_of(network).values())
        fusers: Any = self.fusers
        widths = [fuser.linear.out_features for fuser in fusers]
        if widths == own:
            return None
        return self.problem.format(count=len(widths), widths=widths, own=own)

    @torch.inference_mode()
    def objects(self, said: Tensor, boxes: Tensor) -> Tensor:
        """[1, BOXES, D] of texts [N, P] in boxes [N, 4]."""
        like = self.positions.null_positive_feature
        tokens: Tensor = self.positions(said.to(like), boxes.to(like))
        return tokens[None]


def widths_of(unet: nn.Module) -> dict[str, int]:
    """The width of every transformer of a U-Net, by name, in the order in which they are run."""
    order = ("down_blocks", "mid_block", "up_blocks")
    found: dict[str, int] = {}
    for name, module in unet.named_modules():
        if isinstance(module, Attention) and module.crosses:
            found.setdefault(transformer_of(name), module.to_q.out_features)

    def place(name: str) -> int:
        return next(k for k, part in enumerate(order) if part in name.split("."))

    return {name: found[name] for name in sorted(found, key=place)}


def transformer_of(place: str) -> str:
    """The name of the transformer that an attention layer at `place` is in."""
    return place.partition(".transformer_blocks")[0]


def is_gligen(weights: Weights) -> bool:
    return NULL in weights


def load_gligen(weights: Weights, dtype: torch.dtype, device: torch.device) -> GligenNet:
    """Raises BadModelFile where something is missing, or has no such shape."""
    if not is_gligen(weights):
        examples = ", ".join(sorted(weights)[:3])
        raise weights.bad(problem=f"no GLIGEN of text boxes in it, but {examples} ...")
    try:
        text_width, out = _flat(weights, NULL, 1)[0], _flat(weights, POSITION + LAST, 2)[0]
        own = _fuser_keys(weights)
        layouts = [_flat(weights, keys["linear.weight"], 2) for keys in own]
    except KeyError as error:
        raise weights.bad(problem=f"the tensor for {error} is missing") from error
    heads = [_heads(weights, width, objects) for width, objects in layouts]
    with torch.device("meta"):
        positions = PositionNet(text_width, out)
        pairs = zip(layouts, heads, strict=True)
        fusers = nn.ModuleList([Fuser(width, objects, count) for (width, objects), count in pairs])
    part = weights.under(POSITION)
    fill(positions, weights, {key: copied(part[key], dtype, device) for key in part})
    for fuser, keys in zip(fusers, own, strict=True):
        tensors = {name: copied(weights[key], dtype, device) for name, key in keys.items()}
        fill(fuser, weights, tensors)
    if any(objects != out for _, objects in layouts):
        raise weights.bad(problem=f"its layers do not read tokens of width {out}")
    return GligenNet(fusers, positions, text_width)


LAST = "linears.4.weight"


def _flat(weights: Weights, key: str, axes: int) -> tuple[int, ...]:
    shape = weights.shape(key)
    if len(shape) != axes or 0 in shape:
        raise weights.bad(problem=f"the tensor {key!r} is {shape}")
    return shape


def _heads(weights: Weights, width: int, objects: int) -> int:
    head = width // HEADS_OF_SD1 if objects == TEXT_OF_SD1 else HEAD
    if head == 0 or width % head:
        raise weights.bad(problem=f"a layer of width {width} has no whole heads")
    return width // head


def _fuser_keys(weights: Weights) -> list[Mapping[str, str]]:
    """The keys of every fuser's tensors by their own names, in the order in which they are run."""
    found: dict[tuple[int, int], dict[str, str]] = {}
    for key in sorted(weights):
        own = FUSER.search(key)
        if own:
            place = (PLACES.index(own[1]), int(own[2][:4]))
            found.setdefault(place, {})[own[3]] = key
    return [found[place] for place in sorted(found)]


@dataclass(frozen=True, eq=False)
class CallGrounding:
    """The boxes of the rows of one call of the network."""

    entries: tuple[tuple[slice, GligenNet, Tensor], ...]  # pictures of the call
    numbers: Mapping[str, int]  # of transformers, in the order in which they are run

    def added(self, place: str, x: Tensor) -> Tensor:
        """`x` [N, T, C] behind the self-attention at `place`, with what is to be in boxes."""
        number = self.numbers[transformer_of(place)]
        for here, net, objects in self.entries:
            own = x[here]
            x[here] = net.fusers[number](own, objects.to(x.dtype).expand(len(own), -1, -1))
        return x


def call_grounding(
    parts: Sequence[Part], size: tuple[int, int], numbers: Mapping[str, int]
) -> CallGrounding | None:
    """The boxes of the rows of a call; None where none of them has any."""
    entries: list[tuple[slice, Any, Tensor]] = []
    start = 0
    for part in parts:
        here = slice(start, start + part.count)
        own = part.row.prompt.grounding
        if own is not None:
            entries.append((here, own.loaded, own.objects(*size)))
        start = here.stop
    return CallGrounding(tuple(entries), numbers) if entries else None
