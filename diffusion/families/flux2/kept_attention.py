"""Attention of Flux.2 that keeps what its references say, from the first step to the others.

Their keys and values hardly change from step to step, and they are most of the tokens.
(ComfyUI comfy_extras/nodes_flux.py, FluxKVCache)
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from diffusion.dit.kept import Kept


@dataclass(frozen=True, eq=False)
class KeptLayer:
    """What one layer keeps of the tokens behind the first `before`, which are no references."""

    kept: Kept
    layer: str
    before: int
    reading: bool  # whether they were kept by a step before, and are not there now

    def with_references(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values [N, T, H, head] of all tokens."""
        names = (f"{self.layer} keys", f"{self.layer} values")
        if not self.reading:
            for name, tensor in zip(names, (keys, values), strict=True):
                self.kept.put(name, tensor[:, self.before :])
            return keys, values
        if not self.kept.has(names[0]):  # the layer was left out in the first step
            return keys, values
        of_keys, of_values = map(self.kept.get, names)
        return torch.cat([keys, of_keys], dim=1), torch.cat([values, of_values], dim=1)


def attend_to_kept(module: Any) -> None:
    """Let the blocks of a transformer take a `KeptLayer` beside their arguments."""
    # Here and not at the top: importing this takes many seconds, and only stages that sample
    # need it.
    from diffusers.models.embeddings import apply_rotary_emb  # noqa: PLC0415
    from diffusers.models.transformers.transformer_flux2 import (  # noqa: PLC0415
        Flux2AttnProcessor,
        Flux2ParallelSelfAttnProcessor,
    )

    def attended(qkv: tuple[Tensor, ...], places: Any, kept: KeptLayer) -> Tensor:
        """[N, T, D] of queries, keys and values [N, T, H, head] that are normed."""
        turned: list[Any] = [apply_rotary_emb(x, places, sequence_dim=1) for x in qkv[:2]]
        keys, values = kept.with_references(turned[1], qkv[2])
        seen = functional.scaled_dot_product_attention(
            turned[0].transpose(1, 2), keys.transpose(1, 2), values.transpose(1, 2)
        )
        return seen.transpose(1, 2).flatten(2)

    class OfTwo(Flux2AttnProcessor):
        """Of pictures and text, each with layers of its own."""

        def __call__(  # noqa: PLR0917 - as diffusers calls it
            self,
            attn: Any,
            hidden_states: Tensor,
            encoder_hidden_states: Any = None,
            attention_mask: Tensor | None = None,
            image_rotary_emb: Any = None,
            kept: KeptLayer | None = None,
        ) -> Any:
            text = encoder_hidden_states
            if kept is None:
                return super().__call__(attn, hidden_states, text, attention_mask, image_rotary_emb)

            def heads(layer: Any, tokens: Tensor) -> Tensor:
                split: Tensor = layer(tokens).unflatten(-1, (-1, attn.head_dim))
                return split

            pictures = (
                attn.norm_q(heads(attn.to_q, hidden_states)),
                attn.norm_k(heads(attn.to_k, hidden_states)),
                heads(attn.to_v, hidden_states),
            )
            words = (
                attn.norm_added_q(heads(attn.add_q_proj, text)),
                attn.norm_added_k(heads(attn.add_k_proj, text)),
                heads(attn.add_v_proj, text),
            )
            qkv = tuple(torch.cat(pair, dim=1) for pair in zip(words, pictures, strict=True))
            seen = attended(qkv, image_rotary_emb, kept)
            length = text.shape[1]
            return attn.to_out[0](seen[:, length:]), attn.to_add_out(seen[:, :length])

    class OfOne(Flux2ParallelSelfAttnProcessor):
        """Of both in one sequence, beside a perceptron."""

        def __call__(
            self,
            attn: Any,
            hidden_states: Tensor,
            attention_mask: Tensor | None = None,
            image_rotary_emb: Any = None,
            kept: KeptLayer | None = None,
        ) -> Any:
            if kept is None:
                return super().__call__(attn, hidden_states, attention_mask, image_rotary_emb)
            own = attn.to_qkv_mlp_proj(hidden_states)
            first = 3 * attn.inner_dim
            queries, keys, values = (
                x.unflatten(-1, (-1, attn.head_dim)) for x in own[..., :first].chunk(3, dim=-1)
            )
            qkv = (attn.norm_q(queries), attn.norm_k(keys), values)
            seen = attended(qkv, image_rotary_emb, kept)
            return attn.to_out(torch.cat([seen, attn.mlp_act_fn(own[..., first:])], dim=-1))

    two: Any = OfTwo
    one: Any = OfOne
    for block in module.transformer_blocks:
        block.attn.set_processor(two())
    for block in module.single_transformer_blocks:
        block.attn.set_processor(one())
