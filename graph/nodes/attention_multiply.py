"""Attention whose weights are multiplied.

Nodes only describe; the replica that loads the model computes (diffusion/lora/merging.py).
"""

from typing import Annotated

from graph.node import Widget, node
from graph.stages import Stage
from graph.values import Clip, Model

CATEGORY = "_for_testing/attention_experiments"
Factor = Annotated[float, Widget(min=0.0, max=10.0, step=0.01)]


@node("UNetSelfAttentionMultiply", runs_on=Stage.INLINE, category=CATEGORY, experimental=True)
def multiply_self_attention(
    *, model: Model, q: Factor = 1.0, k: Factor = 1.0, v: Factor = 1.0, out: Factor = 1.0
) -> Model:
    """Multiply the self-attention of a U-Net."""
    return model.changed("scale", factors=_of_unet("attn1", q, k, v, out))


@node("UNetCrossAttentionMultiply", runs_on=Stage.INLINE, category=CATEGORY, experimental=True)
def multiply_cross_attention(
    *, model: Model, q: Factor = 1.0, k: Factor = 1.0, v: Factor = 1.0, out: Factor = 1.0
) -> Model:
    """Multiply the attention of a U-Net to the prompt."""
    return model.changed("scale", factors=_of_unet("attn2", q, k, v, out))


@node("UNetTemporalAttentionMultiply", runs_on=Stage.INLINE, category=CATEGORY, experimental=True)
def multiply_temporal_attention(
    *,
    model: Model,
    self_structural: Factor = 1.0,
    self_temporal: Factor = 1.0,  # noqa: ARG001 - as the next, of models of videos alone
    cross_structural: Factor = 1.0,
    cross_temporal: Factor = 1.0,  # noqa: ARG001
) -> Model:
    """Multiply what comes out of a U-Net's attention."""
    factors = (("attn1.to_out.0", self_structural), ("attn2.to_out.0", cross_structural))
    return model.changed("scale", factors=factors)


@node("CLIPAttentionMultiply", runs_on=Stage.INLINE, category=CATEGORY, experimental=True)
def multiply_text_attention(
    *, clip: Clip, q: Factor = 1.0, k: Factor = 1.0, v: Factor = 1.0, out: Factor = 1.0
) -> Clip:
    """Multiply the self-attention of CLIP text encoders."""
    factors = {"q": q, "k": k, "v": v, "out": out}
    named = ((f"self_attn.{part}_proj", factor) for part, factor in factors.items())
    return clip.changed("scale", factors=tuple(named))


def _of_unet(attention: str, *factors: float) -> tuple[tuple[str, float], ...]:
    layers = ("to_q", "to_k", "to_v", "to_out.0")
    return tuple(zip((f"{attention}.{layer}" for layer in layers), factors, strict=True))
