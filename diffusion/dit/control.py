"""ControlNets of diffusion transformers: batched residuals behind the blocks.

(ComfyUI comfy/controlnet.py)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from diffusion.batch.asked import Asked, asked_of
from diffusion.batch.parts import Part, vectors
from diffusion.batch.union_types import union_type_index
from diffusion.dit.call import Added
from diffusion.dit.conditions import DitEmbedding
from graph.values import ControlNet
from imaging.resize import resize_image

WITH_MASK = 17  # channels of hints that are a latent of 16 and a mask


@dataclass(frozen=True, eq=False)
class DitGuide:
    """What a hint says at one size."""

    channels: Tensor  # [B or 1, C, h, w], in tokens they join the picture's
    mode: int | None = None  # what a union ControlNet is told of the hint


@dataclass(frozen=True, eq=False)
class Heard:
    """What a ControlNet is asked with, in its own precision."""

    sample: Tensor  # [N, C, h, w]
    hint: Tensor  # [N, C', h, w]
    times: Tensor  # [N], float32
    context: Tensor  # [N, T, D]
    pooled: Tensor  # [N, P]; P is 0 where the family reads none
    guidance: Tensor | None = None  # [N]
    mode: int | None = None


class LoadedDitControl:
    """One set of weights of a family's own kind. `hints` reads pictures, of those that take no
    latents.
    """

    pools = False
    family: ClassVar[str]  # by its title, for messages

    def __init__(self, module: Any, shape: Any, hints: nn.Module | None = None) -> None:
        self._module = module
        self._shape = shape
        self._hints = hints
        self.reads_latents = hints is None
        self.reads_masks = self.reads_latents and self.hint_channels() == WITH_MASK
        self._dtype = module.controlnet_blocks[0].bias.dtype

    @property
    def size(self) -> int:
        """Bytes."""
        parts = (self._module, *([] if self._hints is None else [self._hints]))
        return sum(p.nbytes for part in parts for p in part.parameters())

    def hint_channels(self) -> int:
        """Of the latents that it goes by."""
        raise NotImplementedError

    def scaled(self, latents: Tensor) -> Tensor:
        """Latents of links in the scale in which it takes them."""
        raise NotImplementedError

    def behind(self, heard: Heard) -> Added:
        """What it says behind each of its own blocks."""
        raise NotImplementedError

    def spread(self, added: Added, shape: Any) -> Added:
        """What it says, for every block of a model of such a shape."""
        raise NotImplementedError

    def strength(self, strength: float) -> float:
        """How much a strength that a node says counts."""
        return strength

    def misfit(self, model: Any) -> str | None:
        """Why it cannot control a model of such a shape, if so."""
        own = self._shape
        if not isinstance(model, type(own)):
            return f"it is a ControlNet for {self.family}, which this model is not"
        if (own.width, own.context_dim) != (model.width, model.context_dim):
            return (
                f"it is a ControlNet for models of width {own.width} with text of width "
                f"{own.context_dim}, this model's are {model.width} and {model.context_dim}"
            )
        return None

    def prepared(self, picture: Tensor) -> Tensor:
        """A picture [B, H, W, C] as latents are to be made of it."""
        return picture

    def guide(self, hint: Tensor, height: int, width: int, net: ControlNet) -> DitGuide:
        """What a hint says of pictures of so many pixels: latents, or pictures [B, H, W, C]."""
        mode = None
        embedder = getattr(self._module, "controlnet_mode_embedder", None)
        if embedder is not None:
            mode = union_type_index(net, embedder.num_embeddings)
        if self._hints is not None:
            picture = resize_image(hint, width, height, "nearest-exact", "center")
            pixels = picture.movedim(-1, 1)[:, :3] * 2.0 - 1.0
            return DitGuide(self._hints(pixels.to(self._dtype)), mode)
        return DitGuide(self._scaled(hint), mode)

    def _scaled(self, hint: Tensor) -> Tensor:
        """Latents, and the mask that may follow them as it is."""
        channels = WITH_MASK - 1
        return torch.cat([self.scaled(hint[:, :channels]), hint[:, channels:]], dim=1)

    def __call__(self, asked: Sequence[Asked]) -> list[Added]:
        """What it adds behind every block of the model, for each question."""
        modes: dict[int | None, list[int]] = {}
        for index, question in enumerate(asked):
            modes.setdefault(question.guide.mode, []).append(index)
        answers: dict[int, Added] = {}
        for mode, indices in modes.items():
            own = [asked[index] for index in indices]
            behind = self._run(own, mode)
            counts = [question.part.count for question in own]
            for place, index in enumerate(indices):
                answers[index] = Added(
                    tuple(torch.split(each, counts)[place] for each in behind.double),
                    tuple(torch.split(each, counts)[place] for each in behind.single),
                )
        return [answers[index] for index in range(len(asked))]

    def _run(self, asked: Sequence[Asked], mode: int | None) -> Added:
        parts = [question.part for question in asked]
        pooled = vectors(parts, self._dtype)
        times = torch.cat([question.timestep for question in asked])
        guidances = [g for part in parts if (g := _guidance(part)) is not None]
        counts = torch.tensor([part.count for part in parts])
        sample = torch.cat([question.sample for question in asked]).to(self._dtype)
        heard = Heard(
            sample=sample,
            hint=torch.cat([q.of(q.guide.channels) for q in asked]).to(self._dtype),
            times=times,
            context=torch.cat([p.of(p.row.prompt.embedding.context) for p in parts]).to(
                self._dtype
            ),
            pooled=sample.new_zeros(len(sample), 0) if pooled is None else pooled,
            guidance=torch.tensor(guidances).repeat_interleave(counts).to(times)
            if guidances
            else None,
            mode=mode,
        )
        return self.behind(heard)


def _guidance(part: Part) -> float | None:
    embedding = part.row.prompt.embedding
    return embedding.guidance if isinstance(embedding, DitEmbedding) else None


def repeated(tensors: tuple[Tensor, ...], blocks: int, *, cycled: bool) -> tuple[Tensor, ...]:
    """What few blocks say, for each of many: neighbours hear the same, or it begins anew."""
    if not tensors:
        return ()
    times = -(-blocks // len(tensors))
    longer = tensors * times if cycled else tuple(t for t in tensors for _ in range(times))
    return longer[:blocks]


def added_by_controls(
    parts: Sequence[Part], samples: Sequence[Tensor], times: Tensor, shape: Any
) -> Added | None:
    """What all controls of all `parts` add behind the blocks of a model; None without any."""
    networks: dict[int, list[Asked]] = {}
    for question in asked_of(parts, samples, times):
        networks.setdefault(id(question.control.loaded), []).append(question)
    if not networks:
        return None
    sums = [Added() for _ in parts]
    for asked in networks.values():
        network: Any = asked[0].control.loaded
        for question, answer in zip(asked, network(asked), strict=True):
            strength = network.strength(question.control.use.strength)
            own = network.spread(_scaled(answer, strength), shape)
            sums[question.place] = _sum(sums[question.place], own)
    counts = [part.count for part in parts]
    double = _beside([own.double for own in sums], counts)
    return Added(double, _beside([own.single for own in sums], counts))


def _scaled(added: Added, strength: float) -> Added:
    return Added(*(tuple(t * strength for t in each) for each in (added.double, added.single)))


def _sum(total: Added, added: Added) -> Added:
    return Added(_summed(total.double, added.double), _summed(total.single, added.single))


def _summed(total: tuple[Tensor, ...], added: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    pairs = zip_longest(total, added)
    return tuple(b if a is None else a if b is None else a + b for a, b in pairs)


def _beside(tensors: Sequence[tuple[Tensor, ...]], counts: Sequence[int]) -> tuple[Tensor, ...]:
    """Block by block, all parts; zeros for those that have none."""
    if len(tensors) == 1:  # blocks may hear the same tensor, which need not be copied for each
        return tensors[0]
    longest = max(tensors, key=len)
    return tuple(
        torch.cat(
            [
                own[block] if block < len(own) else like.new_zeros(count, *like.shape[1:])
                for own, count in zip(tensors, counts, strict=True)
            ]
        )
        for block, like in enumerate(longest)
    )
