"""ControlNets in memory, evaluated for many jobs in one call.

(Zhang et al. 2023; ComfyUI comfy/controlnet.py, ControlNet; comfy/cldm/cldm.py)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from diffusion.batch.asked import Asked
from diffusion.batch.controls import Control, unchanged
from diffusion.batch.parts import vectors
from diffusion.batch.prompts import Embedding
from diffusion.batch.union_types import union_type_index
from diffusion.families.family import FOR_UNETS
from diffusion.families.sd.attention import AttentionCall, cross_attention_layers
from diffusion.families.sd.contexts import Contexts
from diffusion.families.sd.control_network import ControlNetwork
from diffusion.families.sd.residuals import Residuals
from diffusion.families.sd.shapes import UnetShape, skip_widths
from diffusion.families.sd.union import UnionTypes
from diffusion.networks.convolutions import place_convolutions
from graph.errors import ServiceError
from graph.values import ControlNet
from imaging.resize import resize


@dataclass(eq=False)
class HintChannelsError(ServiceError):
    """A picture that a control cannot go by."""

    status = 422
    code = "hint_channels"
    template = "{name} goes by pictures of {expected} channels, got {received}."
    name: str
    expected: int
    received: int


@dataclass(frozen=True, eq=False)
class Guide:
    """What a hint says to a ControlNet at one size."""

    embedding: Tensor  # [B or 1, C, h, w], joins the first feature map
    type_vector: Tensor | None = None  # [1, T], of the hint's type, for a union ControlNet


class LoadedControlNet:
    """One set of weights. What a hint says is worked out once a job."""

    prepared = staticmethod(unchanged)

    def __init__(
        self,
        module: ControlNetwork,
        shape: UnetShape,
        *,
        union: UnionTypes | None = None,
        pools: bool = False,
    ) -> None:
        self.pools = pools
        self.reads_latents = self.reads_masks = False
        self._shape = shape
        self._union = union
        self._parts = (module, *([] if union is None else [union]))
        if union is not None:
            module.class_embedding = WithTypeVector(module.class_embedding, shape.y_dim or 0)
        self._layout = place_convolutions(module, module.conv_in.weight.device)
        self._module = module
        self._dtype = module.conv_in.weight.dtype
        self._contexts = Contexts(cross_attention_layers(module), self._dtype)
        self._own_texts: WeakKeyDictionary[Control, Embedding] = WeakKeyDictionary()

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(p.nbytes for part in self._parts for p in part.parameters())

    def misfit(self, model: Any) -> str | None:
        """Why it cannot control a model of such a shape, if so."""
        if not isinstance(model, UnetShape):
            return FOR_UNETS
        unet = model
        own = self._shape
        if own.context_dim not in {0, unet.context_dim} or own.y_dim not in {None, unet.y_dim}:
            return (
                f"it is a ControlNet for models with text of width {own.context_dim}, "
                f"this model's is {unet.context_dim}"
            )
        if skip_widths(own) != skip_widths(unet):
            return "it is a ControlNet for a U-Net with other levels than this model's"
        return None

    def guide(self, hint: Tensor, height: int, width: int, net: ControlNet) -> Guide:
        """What a hint [B, H, W, C] says of pictures of so many pixels; the same at every step."""
        hints = self._module.controlnet_cond_embedding
        expected = hints.conv_in.in_channels
        picture = fitted_hint(hint, (height, width), expected, net)
        embedding = hints(picture.to(self._dtype))
        if self._union is None:
            return Guide(embedding)
        index = union_type_index(net, self._union.count)
        marked = embedding if index is None else self._union.marked(embedding, index)
        return Guide(marked, self._union.type_vector(index))

    def __call__(self, asked: Sequence[Asked]) -> list[Residuals]:
        parts = [question.part for question in asked]
        guides: list[Guide] = [question.guide for question in asked]
        embeddings = [q.of(guide.embedding) for q, guide in zip(asked, guides, strict=True)]
        sample = torch.cat([question.sample for question in asked])
        skips, middle = self._module(
            sample.to(self._dtype, memory_format=self._layout),
            torch.cat([question.timestep for question in asked]),
            AttentionCall(self._contexts.beside(parts, [self._text(one) for one in asked])),
            self._labels(asked, guides),
            torch.cat(embeddings),
        )
        counts = [part.count for part in parts]
        levels = [torch.split(skip, counts) for skip in skips]
        return [
            Residuals(tuple(level[place] for level in levels), own)
            for place, own in enumerate(torch.split(middle, counts))
        ]

    def _text(self, asked: Asked) -> Embedding:
        """What the network reads: the prompt, or the tokens that this use of it has."""
        control, tokens = asked.control, asked.control.use.tokens
        if tokens is None:
            return asked.part.row.prompt.embedding
        if control not in self._own_texts:
            context = torch.as_tensor(tokens).to(asked.sample.device)
            self._own_texts[control] = Embedding(context)
        return self._own_texts[control]

    def _labels(self, asked: Sequence[Asked], guides: Sequence[Guide]) -> Tensor | None:
        """What the module's class embedding reads: vectors of sizes, and of the hints' types."""
        parts = [question.part for question in asked]
        y = None if self._shape.y_dim is None else vectors(parts, self._dtype)
        type_vectors = [
            part.of(g.type_vector)
            for part, g in zip(parts, guides, strict=True)
            if g.type_vector is not None
        ]
        return (
            torch.cat([*([] if y is None else [y]), torch.cat(type_vectors)], dim=1)
            if type_vectors
            else y
        )


class WithTypeVector(nn.Module):
    """A class embedding whose input ends in a vector that is added as it stands."""

    def __init__(self, embedding: nn.Module | None, width: int) -> None:
        super().__init__()
        self.embedding = embedding
        self._width = width

    def forward(self, labels: Tensor) -> Tensor:
        """[N, width + T] -> [N, T]."""
        extra = labels[:, self._width :]
        embedded: Tensor = (
            extra if self.embedding is None else self.embedding(labels[:, : self._width]) + extra
        )
        return embedded


def fitted_hint(hint: Tensor, size: tuple[int, int], channels: int, net: ControlNet) -> Tensor:
    """[B, H, W, C] as [B, channels, *size], the middle of it.

    Raises:
        HintChannelsError: it has too few channels.
    """
    if hint.shape[-1] < channels:
        raise HintChannelsError(net.file.name, channels, hint.shape[-1])
    return resize(hint[..., :channels].movedim(-1, 1), size[1], size[0], "nearest-exact", "center")
