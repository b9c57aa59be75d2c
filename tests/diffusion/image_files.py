"""Small image encoders and IP-Adapters for the narrow U-Net, in their files' layouts."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from diffusion.families.sd.image_prompts import places_of
from tests.diffusion.model_files import seeded

SEEN = 48  # what the narrow encoder projects to
WIDTH = 64  # of its tokens
SIDE = 28
PATCH = 14
TEXT = 768
TOKENS = 4


def image_encoder() -> dict[str, Tensor]:
    """In transformers' layout: two layers, one head."""
    layers = {
        f"vision_model.encoder.layers.{i}.{name}": shape
        for i in range(2)
        for name, shape in {
            **{f"self_attn.{p}_proj.weight": (WIDTH, WIDTH) for p in ("q", "k", "v", "out")},
            **{f"self_attn.{p}_proj.bias": (WIDTH,) for p in ("q", "k", "v", "out")},
            **{f"layer_norm{n}.{kind}": (WIDTH,) for n in (1, 2) for kind in ("weight", "bias")},
            "mlp.fc1.weight": (2 * WIDTH, WIDTH),
            "mlp.fc1.bias": (2 * WIDTH,),
            "mlp.fc2.weight": (WIDTH, 2 * WIDTH),
            "mlp.fc2.bias": (WIDTH,),
        }.items()
    }
    shapes: dict[str, tuple[int, ...]] = {
        "vision_model.embeddings.class_embedding": (WIDTH,),
        "vision_model.embeddings.patch_embedding.weight": (WIDTH, 3, PATCH, PATCH),
        "vision_model.embeddings.position_embedding.weight": ((SIDE // PATCH) ** 2 + 1, WIDTH),
        **{
            f"vision_model.{norm}.{kind}": (WIDTH,)
            for norm in ("pre_layrnorm", "post_layernorm")
            for kind in ("weight", "bias")
        },
        **layers,
        "visual_projection.weight": (SEEN, WIDTH),
    }
    return {name: seeded(name, shape) for name, shape in shapes.items()}


def base_projection() -> dict[str, Tensor]:
    shapes = {
        "proj.weight": (TOKENS * TEXT, SEEN),
        "proj.bias": (TOKENS * TEXT,),
        "norm.weight": (TEXT,),
        "norm.bias": (TEXT,),
    }
    return {name: seeded(name, shape) for name, shape in shapes.items()}


def plus_projection(width: int = 128) -> dict[str, Tensor]:
    """A resampler of four layers and two heads that reads tokens of WIDTH."""
    layers: dict[str, tuple[int, ...]] = {}
    for i in range(4):
        layers |= {
            **{f"layers.{i}.0.{norm}.{kind}": (width,) for norm in ("norm1", "norm2")
               for kind in ("weight", "bias")},
            f"layers.{i}.0.to_q.weight": (128, width),
            f"layers.{i}.0.to_kv.weight": (256, width),
            f"layers.{i}.0.to_out.weight": (width, 128),
            f"layers.{i}.1.0.weight": (width,),
            f"layers.{i}.1.0.bias": (width,),
            f"layers.{i}.1.1.weight": (4 * width, width),
            f"layers.{i}.1.3.weight": (width, 4 * width),
        }  # fmt: skip
    shapes: dict[str, tuple[int, ...]] = {
        "latents": (1, 16, width),
        "proj_in.weight": (width, WIDTH),
        "proj_in.bias": (width,),
        "proj_out.weight": (TEXT, width),
        "proj_out.bias": (TEXT,),
        "norm_out.weight": (TEXT,),
        "norm_out.bias": (TEXT,),
        **layers,
    }
    return {name: seeded(name, shape) for name, shape in shapes.items()}


def full_projection() -> dict[str, Tensor]:
    shapes = {
        "proj.0.weight": (WIDTH, WIDTH),
        "proj.0.bias": (WIDTH,),
        "proj.2.weight": (TEXT, WIDTH),
        "proj.2.bias": (TEXT,),
        "proj.3.weight": (TEXT,),
        "proj.3.bias": (TEXT,),
    }
    return {name: seeded(name, shape) for name, shape in shapes.items()}


def adapter_layers(unet: Any) -> dict[str, Tensor]:
    """Keys and values for every cross attention layer of `unet`, in its own order."""
    return {
        f"{2 * number + 1}.to_{part}_ip.weight": seeded(
            f"ip.{number}.{part}", (unet.get_submodule(name).to_q.out_features, TEXT)
        )
        for name, (number, _) in places_of(unet).items()
        for part in ("k", "v")
    }


def in_one_file(
    projection: Mapping[str, Tensor], layers: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The tensors as .safetensors files name them."""
    return {
        **{f"image_proj.{name}": tensor for name, tensor in projection.items()},
        **{f"ip_adapter.{name}": tensor for name, tensor in layers.items()},
    }
