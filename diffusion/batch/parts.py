"""Pictures of many rows side by side, as one call of a network takes them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from diffusion.batch.prompts import Embedding
from diffusion.batch.rows import Row
from diffusion.families.sd.attention import Attention, KeysAndValues, project_context


@dataclass(frozen=True, eq=False)
class Part:
    """Some pictures of a row: all of them, unless a call cannot hold so many."""

    row: Row
    start: int
    stop: int

    @property
    def count(self) -> int:
        return self.stop - self.start

    def of(self, tensor: Tensor) -> Tensor:
        """This part's pictures of [B or 1, ...]."""
        if len(tensor) == 1:
            return tensor.expand(self.count, *tensor.shape[1:])
        return tensor[self.start : self.stop]


def vectors(parts: Sequence[Part], dtype: torch.dtype) -> Tensor | None:
    """The vector embeddings [N, Y] of all pictures; None where the prompts have none."""
    ys = [part.of(y) for part in parts if (y := part.row.prompt.embedding.y) is not None]
    return torch.cat(ys).to(dtype) if ys else None


class Contexts:
    """What one network's layers read of prompts, projected once for as long as a job lasts."""

    def __init__(self, layers: Mapping[str, Attention], dtype: torch.dtype) -> None:
        self._layers = layers
        self._dtype = dtype
        self._projected: WeakKeyDictionary[Embedding, KeysAndValues] = WeakKeyDictionary()

    def __len__(self) -> int:
        return len(self._projected)

    def beside(self, parts: Sequence[Part]) -> KeysAndValues:
        """Keys and values [N, T, D] by layer, all at one length, one entry for every picture."""
        embeddings = [part.row.prompt.embedding for part in parts]
        tokens = [embedding.context.shape[1] for embedding in embeddings]
        length = math.lcm(*tokens)
        repeats = [length // count for count in tokens]
        known = [self._of(embedding) for embedding in embeddings]

        def joined(tensors: Sequence[Tensor]) -> Tensor:
            pairs = zip(parts, tensors, repeats, strict=True)
            return torch.cat([part.of(t.repeat(1, times, 1)) for part, t, times in pairs])

        return {
            place: (
                joined([layers[place][0] for layers in known]),
                joined([layers[place][1] for layers in known]),
            )
            for place in self._layers
        }

    def _of(self, embedding: Embedding) -> KeysAndValues:
        known = self._projected.get(embedding)
        if known is None:
            known = project_context(self._layers, embedding.context.to(self._dtype))
            self._projected[embedding] = known
        return known
