"""Keys and values of prompts, projected once and kept while their jobs last."""

import math
from collections.abc import Mapping, Sequence
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from diffusion.batch.calls import Scope, no_scope
from diffusion.batch.parts import Part
from diffusion.batch.prompts import Embedding
from diffusion.families.sd.attention import Attention, KeysAndValues, project_context


class Contexts:
    """What one network's layers read of prompts, projected once for as long as a job lasts."""

    def __init__(
        self, layers: Mapping[str, Attention], dtype: torch.dtype, scope: Scope = no_scope
    ) -> None:
        self._layers = layers
        self._dtype = dtype
        self._scope = scope
        self._projected: WeakKeyDictionary[Embedding, KeysAndValues] = WeakKeyDictionary()

    def __len__(self) -> int:
        return len(self._projected)

    def beside(
        self, parts: Sequence[Part], said: Sequence[Embedding] | None = None
    ) -> KeysAndValues:
        """Keys and values [N, T, D] by layer, all at one length, one entry for every picture.

        They are of the parts' prompts, or of what is `said` to each instead.
        """
        embeddings = said or [part.row.prompt.embedding for part in parts]
        tokens = [embedding.context.shape[1] for embedding in embeddings]
        length = math.lcm(*tokens)
        repeats = [length // count for count in tokens]
        known = [self._of(part, own) for part, own in zip(parts, embeddings, strict=True)]

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

    def _of(self, part: Part, embedding: Embedding) -> KeysAndValues:
        known = self._projected.get(embedding)
        if known is None:
            with self._scope([part]):
                known = project_context(self._layers, embedding.context.to(self._dtype))
            self._projected[embedding] = known
        return known
