"""Loaders: they describe a file and its changes; replicas load it."""

from dataclasses import replace
from typing import Annotated

from graph.node import Choices, Files, node
from graph.stages import Stage
from graph.values import PIXEL_SPACE, Clip, Model, ModelFile, Vae


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


CONFIGS = (
    "anything_v3.yaml",
    "v1-inference.yaml",
    "v1-inference_clip_skip_2.yaml",
    "v1-inference_clip_skip_2_fp16.yaml",
    "v1-inference_fp16.yaml",
    "v1-inpainting-inference.yaml",
    "v2-inference-v.yaml",
    "v2-inference-v_fp32.yaml",
    "v2-inference.yaml",
    "v2-inference_fp32.yaml",
    "v2-inpainting-inference.yaml",
)
SKIPPING = frozenset(
    {
        "anything_v3.yaml",
        "v1-inference_clip_skip_2.yaml",
        "v1-inference_clip_skip_2_fp16.yaml",
    }
)
PREDICTING_V = frozenset({"v2-inference-v.yaml", "v2-inference-v_fp32.yaml"})


@node(
    "CheckpointLoader",
    runs_on=Stage.INLINE,
    display_name="Load Checkpoint With Config (DEPRECATED)",
    category="advanced/loaders",
    deprecated=True,
)
def load_checkpoint_with_config(
    *,
    config_name: Annotated[str, Choices(CONFIGS)],
    ckpt_name: Annotated[ModelFile, Files("checkpoints")],
) -> tuple[Model, Clip, Vae]:
    """Name the three models of a checkpoint. Of a config, only what the file cannot say counts."""
    model, clip, vae = load_checkpoint(ckpt_name=ckpt_name)
    if config_name in PREDICTING_V:
        model = model.changed("model_sampling_discrete", sampling="v_prediction", zsnr=False)
    return model, replace(clip, stop_at_layer=-2) if config_name in SKIPPING else clip, vae


@node("VAELoader", runs_on=Stage.INLINE, display_name="Load VAE", category="loaders")
def load_vae(*, vae_name: Annotated[ModelFile, Files("vae", also=(PIXEL_SPACE.name,))]) -> Vae:
    """Name an autoencoder with a file of its own, or none for models of pixels."""
    chosen: object = vae_name
    return Vae(chosen if isinstance(chosen, ModelFile) else PIXEL_SPACE)
