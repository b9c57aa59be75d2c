"""A small LoRA in Kohya's layout, for the narrow models."""

from pathlib import Path

import torch
from safetensors.torch import save_file

from graph.values import ModelFile
from tests.diffusion.model_files import seeded

LORA = ModelFile("loras", "hook.safetensors")
RANK, WIDTH, TEXT = 4, 64, 768
LAYERS = {
    "lora_unet_input_blocks_3_1_transformer_blocks_0_attn1_to_q": (WIDTH, WIDTH),
    "lora_unet_middle_block_1_transformer_blocks_0_attn2_to_k": (WIDTH, TEXT),
    "lora_unet_output_blocks_1_1_transformer_blocks_0_ff_net_2": (WIDTH, 4 * WIDTH),
}


def write_lora(folder: Path) -> None:
    tensors = {}
    for name, (out, into) in LAYERS.items():
        tensors[f"{name}.lora_down.weight"] = seeded(f"{name}.down.weight", (RANK, into)) * 3
        tensors[f"{name}.lora_up.weight"] = seeded(f"{name}.up.weight", (out, RANK)) * 3
        tensors[f"{name}.alpha"] = torch.tensor(float(RANK))
    save_file(tensors, folder / LORA.name)
