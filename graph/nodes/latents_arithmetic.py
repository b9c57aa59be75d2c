"""Latents as numbers: sums, mixtures, joins and operations."""

from typing import Annotated, Literal

from graph.node import Widget, node
from graph.stages import Stage
from graph.stages.sample import Latents
from graph.values import Change, Latent, Link, Model

LatentOperation = Annotated[Change, Link("LATENT_OPERATION")]


@node("LatentAdd", runs_on=Stage.SAMPLE, category="latent/advanced")
def add_latents(latents: Latents, *, samples1: Latent, samples2: Latent) -> Latent:
    """Add two latents."""
    return latents.add_latents(samples1, samples2)


@node("LatentSubtract", runs_on=Stage.SAMPLE, category="latent/advanced")
def subtract_latents(latents: Latents, *, samples1: Latent, samples2: Latent) -> Latent:
    """Subtract a latent from another."""
    return latents.subtract_latents(samples1, samples2)


@node("LatentMultiply", runs_on=Stage.SAMPLE, category="latent/advanced")
def multiply_latent(
    latents: Latents,
    *,
    samples: Latent,
    multiplier: Annotated[float, Widget(min=-10.0, max=10.0, step=0.01)] = 1.0,
) -> Latent:
    """Multiply latents by a number."""
    return latents.multiply_latent(samples, multiplier)


@node("LatentInterpolate", runs_on=Stage.SAMPLE, category="latent/advanced")
def interpolate_latents(
    latents: Latents,
    *,
    samples1: Latent,
    samples2: Latent,
    ratio: Annotated[float, Widget(min=0.0, max=1.0, step=0.01)] = 1.0,
) -> Latent:
    """Mix the directions and the lengths of two latents, with so much of the first."""
    return latents.interpolate_latents(samples1, samples2, ratio)


@node("LatentConcat", runs_on=Stage.SAMPLE, category="latent/advanced")
def concat_latents(
    latents: Latents,
    *,
    samples1: Latent,
    samples2: Latent,
    dim: Literal["x", "-x", "y", "-y", "t", "-t"],
) -> Latent:
    """Join two latents side by side."""
    return latents.concat_latents(samples1, samples2, dim)


@node("LatentCut", runs_on=Stage.SAMPLE, category="latent/advanced")
def cut_latent(
    latents: Latents,
    *,
    samples: Latent,
    dim: Literal["x", "y", "t"],
    index: Annotated[int, Widget(min=-16384, max=16384, step=1)] = 0,
    amount: Annotated[int, Widget(min=1, max=16384, step=1)] = 1,
) -> Latent:
    """Cut a slice out of latents."""
    return latents.cut_latent(samples, dim, index, amount)


@node("LatentCutToBatch", runs_on=Stage.SAMPLE, category="model/latent/advanced")
def cut_latent_to_batch(
    latents: Latents,
    *,
    samples: Latent,
    dim: Literal["t", "x", "y"],
    slice_size: Annotated[int, Widget(min=1, max=16384, step=1)] = 1,
) -> Latent:
    """Make a batch of the slices of latents."""
    return latents.cut_latent_to_batch(samples, dim, slice_size)


@node("LatentBatchSeedBehavior", runs_on=Stage.SAMPLE, category="latent/advanced")
def set_seed_behavior(
    latents: Latents,
    *,
    samples: Latent,
    seed_behavior: Literal["random", "fixed"] = "fixed",
) -> Latent:
    """Give every latent of a batch its own noise, or all the same."""
    return latents.set_seed_behavior(samples, seed_behavior)


@node(
    "LatentApplyOperation",
    runs_on=Stage.SAMPLE,
    category="latent/advanced/operations",
    experimental=True,
)
def apply_operation(latents: Latents, *, samples: Latent, operation: LatentOperation) -> Latent:
    """Change latents by an operation."""
    return latents.apply_latent_operation(samples, operation)


@node(
    "LatentApplyOperationCFG",
    runs_on=Stage.INLINE,
    category="latent/advanced/operations",
    experimental=True,
)
def apply_operation_to_guidance(*, model: Model, operation: LatentOperation) -> Model:
    """Change what guidance adds by an operation, at every step."""
    return model.changed("latent_operation_cfg", operation=operation)


@node(
    "LatentOperationTonemapReinhard",
    runs_on=Stage.INLINE,
    category="latent/advanced/operations",
    experimental=True,
)
def tonemap_reinhard(
    *, multiplier: Annotated[float, Widget(min=0.0, max=100.0, step=0.01)] = 1.0
) -> LatentOperation:
    """Describe the pressing of large values below a top."""
    return Change("tonemap_reinhard", (("multiplier", multiplier),))


@node(
    "LatentOperationSharpen",
    runs_on=Stage.INLINE,
    category="latent/advanced/operations",
    experimental=True,
)
def sharpen(
    *,
    sharpen_radius: Annotated[int, Widget(min=1, max=31, step=1)] = 9,
    sigma: Annotated[float, Widget(min=0.1, max=10.0, step=0.1)] = 1.0,
    alpha: Annotated[float, Widget(min=0.0, max=5.0, step=0.01)] = 0.1,
) -> LatentOperation:
    """Describe the sharpening of directions."""
    return Change("sharpen", (("alpha", alpha), ("radius", sharpen_radius), ("sigma", sigma)))
