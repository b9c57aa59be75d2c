"""A small GLIGEN file in the real one's layout, for the narrow models."""

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from graph.values import Gligen, ModelFile
from tests.diffusion.model_files import seeded

GLIGEN = Gligen(ModelFile("gligen", "gligen.safetensors"))
FUSERS = ("input_blocks.3.1", "middle_block.1", "output_blocks.0.1", "output_blocks.1.1")
BEHIND = ".transformer_blocks.0.fuser."
WIDTH, TEXT = 64, 768


def gligen_tensors() -> dict[str, Tensor]:
    """Gates are wide open, so that what is within them counts."""
    fuser = {
        "linear.weight": (WIDTH, TEXT),
        "linear.bias": (WIDTH,),
        **{f"attn.to_{name}.weight": (WIDTH, WIDTH) for name in "qkv"},
        "attn.to_out.0.weight": (WIDTH, WIDTH),
        "attn.to_out.0.bias": (WIDTH,),
        "ff.net.0.proj.weight": (8 * WIDTH, WIDTH),
        "ff.net.0.proj.bias": (8 * WIDTH,),
        "ff.net.2.weight": (WIDTH, 4 * WIDTH),
        "ff.net.2.bias": (WIDTH,),
        **{
            f"{norm}.{part}": (WIDTH,) for norm in ("norm1", "norm2") for part in ("weight", "bias")
        },
    }
    layers = {0: (TEXT + 64, 512), 2: (512, 512), 4: (512, TEXT)}
    shapes = {
        f"{place}.transformer_blocks.0.fuser.{k}": v for place in FUSERS for k, v in fuser.items()
    }
    for number, (into, out) in layers.items():
        shapes[f"position_net.linears.{number}.weight"] = (out, into)
        shapes[f"position_net.linears.{number}.bias"] = (out,)
    shapes |= {
        "position_net.null_positive_feature": (TEXT,),
        "position_net.null_position_feature": (64,),
    }
    tensors = {key: seeded(key, shape) for key, shape in shapes.items()}
    for place in FUSERS:
        tensors[f"{place}{BEHIND}alpha_attn"] = torch.tensor(1.5)
        tensors[f"{place}{BEHIND}alpha_dense"] = torch.tensor(-0.8)
    return tensors


def write_gligen(folder: Path) -> None:
    save_file(gligen_tensors(), folder / GLIGEN.file.name)
