"""ControlNets of diffusion transformers: what they add behind the blocks, for many jobs in a call.

(ComfyUI comfy/controlnet.py, ldm/flux/controlnet.py and cldm/mmdit.py)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor, nn

from diffusion.batch.controls import PX, Asked, ModelShape, asked_of
from diffusion.batch.parts import Part, vectors
from diffusion.dit.call import Added, packed, padded, tokens_along, vector_told
from diffusion.dit.loading import FLUX_LATENT, SD3_LATENT
from diffusion.dit.shapes import DitShape, Sd3Shape
from diffusion.families.flux.rotary import Grid, rotary_tables
from diffusion.families.sd.union import union_type_index
from graph.values import ControlNet
from imaging.resize import resize_image


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
    pooled: Tensor  # [N, P]
    guidance: Tensor | None = None  # [N]
    mode: int | None = None


class LoadedDitControl:
    """One set of weights. `hints` reads pictures, of networks that take no latents."""

    pools = False

    def __init__(self, module: Any, shape: DitShape, hints: nn.Module | None = None) -> None:
        self._module = module
        self._shape = shape
        self._hints = hints
        self.reads_latents = hints is None
        self.reads_masks = self.reads_latents and self._hint_channels() == 17
        self._dtype = module.controlnet_blocks[0].bias.dtype

    @property
    def size(self) -> int:
        """Bytes."""
        parts = (self._module, *([] if self._hints is None else [self._hints]))
        return sum(p.nbytes for part in parts for p in part.parameters())

    def _hint_channels(self) -> int:
        if isinstance(self._shape, Sd3Shape):
            return int(self._module.pos_embed_input.proj.weight.shape[1])
        return int(self._module.controlnet_x_embedder.weight.shape[1]) // 4

    def misfit(self, model: ModelShape) -> str | None:
        """Why it cannot control a model of such a shape, if so."""
        own = self._shape
        if not isinstance(model, type(own)):
            family = "Stable Diffusion 3" if isinstance(own, Sd3Shape) else "Flux"
            return f"it is a ControlNet for {family}, which this model is not"
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
        """What a hint says at a latent size: latents [B, C, h, w], or pictures [B, H, W, C]."""
        mode = None
        embedder = getattr(self._module, "controlnet_mode_embedder", None)
        if embedder is not None:
            mode = union_type_index(net, embedder.num_embeddings)
        if self._hints is not None:
            picture = resize_image(hint, width * PX, height * PX, "nearest-exact", "center")
            pixels = picture.movedim(-1, 1)[:, :3] * 2.0 - 1.0
            return DitGuide(self._hints(pixels.to(self._dtype)), mode)
        return DitGuide(self._scaled(hint), mode)

    def _scaled(self, hint: Tensor) -> Tensor:
        """Latents of links in the model's scale; Stable Diffusion 3's are not shifted."""
        latents, rest = hint[:, :16], hint[:, 16:]
        if isinstance(self._shape, Sd3Shape):
            scaled = latents * SD3_LATENT.scale
        else:
            scaled = (latents - FLUX_LATENT.shift) * FLUX_LATENT.scale
        return torch.cat([scaled, rest], dim=1)

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
        assert pooled is not None
        times = torch.cat([question.timestep for question in asked])
        told = [e.guidance for p in parts if (e := p.row.prompt.embedding).guidance is not None]
        counts = torch.tensor([part.count for part in parts])
        heard = Heard(
            sample=torch.cat([question.sample for question in asked]).to(self._dtype),
            hint=torch.cat([q.of(q.guide.channels) for q in asked]).to(self._dtype),
            times=times,
            context=torch.cat([p.of(p.row.prompt.embedding.context) for p in parts]).to(
                self._dtype
            ),
            pooled=pooled,
            guidance=torch.tensor(told).repeat_interleave(counts).to(times) if told else None,
            mode=mode,
        )
        return self._behind(heard)

    def _behind(self, heard: Heard) -> Added:
        return behind_blocks(self._module, self._shape, heard)

    def spread(self, added: Added, shape: DitShape) -> Added:
        """What it says, for every block of a model of such a shape."""
        return spread(added, shape, cycled=not self.reads_latents)


def behind_blocks(module: Any, shape: DitShape, heard: Heard) -> Added:
    """What a ControlNet says behind each of its own blocks."""
    return _sd3(module, heard) if isinstance(shape, Sd3Shape) else _flux(module, heard)


def spread(added: Added, shape: DitShape, *, cycled: bool) -> Added:
    """What a ControlNet of few blocks says, for every block of the model.

    Neighbours hear the same, or with `cycled` the network begins anew at its end. The last block
    of Stable Diffusion 3 hears nothing.
    """
    if isinstance(shape, Sd3Shape):
        times = shape.depth // len(added.double)
        return Added(tuple(t for t in added.double for _ in range(times))[:-1])
    return Added(
        _repeated(added.double, shape.double, cycled=cycled),
        _repeated(added.single, shape.single, cycled=cycled),
    )


def _repeated(tensors: tuple[Tensor, ...], blocks: int, *, cycled: bool) -> tuple[Tensor, ...]:
    if not tensors:
        return ()
    times = -(-blocks // len(tensors))
    longer = tensors * times if cycled else tuple(t for t in tensors for _ in range(times))
    return longer[:blocks]


def _sd3(module: Any, heard: Heard) -> Added:
    picture = module.pos_embed(padded(heard.sample)) + module.pos_embed_input(padded(heard.hint))
    vector = module.time_text_embed(heard.times, torch.zeros_like(heard.pooled))
    text = module.context_embedder(heard.context)
    behind = []
    for block, out in zip(module.transformer_blocks, module.controlnet_blocks, strict=True):
        text, picture = block(hidden_states=picture, encoder_hidden_states=text, temb=vector)
        behind.append(out(picture))
    return Added(tuple(behind))


def _flux(module: Any, heard: Heard) -> Added:
    hint = module.controlnet_x_embedder(packed(heard.hint))
    picture = module.x_embedder(packed(heard.sample)) + hint
    text = module.context_embedder(heard.context)
    if heard.mode is not None:
        told = module.controlnet_mode_embedder.weight[heard.mode].to(text)
        text = torch.cat([told.expand(len(text), 1, -1), text], dim=1)
    vector = vector_told(module, heard.times, heard.pooled, heard.guidance)
    sides = (tokens_along(side) for side in heard.sample.shape[-2:])
    places = rotary_tables(module.pos_embed, text.shape[1], [Grid(0, 0, 0, *sides)], text.device)
    double, single = [], []
    for block, out in zip(module.transformer_blocks, module.controlnet_blocks, strict=True):
        text, picture = block(picture, text, vector, places)
        double.append(out(picture))
    pairs = zip(module.single_transformer_blocks, module.controlnet_single_blocks, strict=True)
    for block, out in pairs:
        text, picture = block(picture, text, vector, places)
        single.append(out(picture))
    return Added(tuple(double), tuple(single))


def dit_added(
    parts: Sequence[Part], samples: Sequence[Tensor], times: Tensor, shape: DitShape
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
            own = network.spread(answer, shape)
            sums[question.place] = _sum(sums[question.place], own, question.control.use.strength)
    counts = [part.count for part in parts]
    double = _beside([own.double for own in sums], counts)
    return Added(double, _beside([own.single for own in sums], counts))


def _sum(total: Added, added: Added, strength: float) -> Added:
    return Added(
        _summed(total.double, added.double, strength), _summed(total.single, added.single, strength)
    )


def _summed(
    total: tuple[Tensor, ...], added: tuple[Tensor, ...], strength: float
) -> tuple[Tensor, ...]:
    pairs = zip_longest(total, (tensor * strength for tensor in added))
    return tuple(b if a is None else a if b is None else a + b for a, b in pairs)


def _beside(tensors: Sequence[tuple[Tensor, ...]], counts: Sequence[int]) -> tuple[Tensor, ...]:
    """Block by block, all parts; zeros for those that have none."""
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
