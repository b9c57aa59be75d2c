"""Loaders describe: which file, and what is laid on it. Replicas load."""

from typing import Annotated

from graph.node import Files, node
from graph.stages import Stage
from graph.values import Clip, Model, ModelFile, Vae


@node(
    "CheckpointLoaderSimple",
    runs_on=Stage.INLINE,
    display_name="Load Checkpoint",
    category="loaders",
)
def load_checkpoint(
    *, ckpt_name: Annotated[ModelFile, Files("checkpoints")]
) -> tuple[Model, Clip, Vae]:
    """Name the three models of a checkpoint."""
    return Model(ckpt_name), Clip((ckpt_name,)), Vae(ckpt_name)


@node("VAELoader", runs_on=Stage.INLINE, display_name="Load VAE", category="loaders")
def load_vae(*, vae_name: Annotated[ModelFile, Files("vae")]) -> Vae:
    """Name an autoencoder with a file of its own."""
    return Vae(vae_name)
