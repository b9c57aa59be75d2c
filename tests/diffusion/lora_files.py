"""LoRA files for the narrow U-Net of narrow_stage.py and a narrow text encoder."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from graph.values import ModelFile
from tests.diffusion.model_files import seeded

BLOCK = "lora_unet_input_blocks_3_1_transformer_blocks_0"
TEXT = "lora_te_text_model_encoder_layers_0_self_attn_q_proj"


def factors(stem: str, seed: str, out: int, into: int, rank: int = 2) -> dict[str, Tensor]:
    """A LoRA of one linear layer, strong enough to be seen."""
    return {
        f"{stem}.lora_up.weight": 3 * seeded(f"{seed}.up", (out, rank)),
        f"{stem}.lora_down.weight": seeded(f"{seed}.down", (rank, into)),
        f"{stem}.alpha": torch.tensor(float(rank)),
    }


def unet_lora(seed: str, width: int) -> dict[str, Tensor]:
    """A LoRA of two attention layers of `width` channels."""
    return {
        **factors(f"{BLOCK}_attn1_to_q", seed, width, width),
        **factors(f"{BLOCK}_attn1_to_v", seed + "v", width, width),
    }


def write_lora(folder: Path, name: str, tensors: Mapping[str, Tensor]) -> ModelFile:
    save_file(dict(tensors), folder / name)
    return ModelFile("loras", name)
