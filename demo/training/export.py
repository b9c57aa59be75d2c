"""Write trained weights as the files of SD 1.x are: `python -m demo.training.export FOLDER`."""

import argparse
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from demo.training import autoencoder, base
from diffusion.autoencoder.kl import module_names as vae_module_names
from diffusion.families.sd.shapes import module_names

MODELS = Path("models")
CHECKPOINT = "checkpoints/comfyray-demo.safetensors"


def write(tensors: Mapping[str, Tensor], path: Path) -> None:
    """In fp16, with equal bytes for equal weights."""
    path.parent.mkdir(parents=True, exist_ok=True)
    halves = {key: tensors[key].detach().half().contiguous() for key in sorted(tensors)}
    save_file(halves, path)


def checkpoint(model: base.Model, vae: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """All tensors of a checkpoint in the layout of SD 1.x."""
    unet = ldm_unet(model.unet.state_dict())
    text = model.text.file_tensors()
    return {
        **{f"model.diffusion_model.{key}": tensor for key, tensor in unet.items()},
        **{f"first_stage_model.{key}": tensor for key, tensor in ldm_vae(vae).items()},
        **{f"cond_stage_model.transformer.{key}": tensor for key, tensor in text.items()},
    }


def ldm_unet(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    names = {theirs: ldm for ldm, theirs in module_names(base.SHAPE).items()}
    return {renamed(key, names): tensor for key, tensor in tensors.items()}


def ldm_vae(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """LDM's attention projects with 1x1 convolutions, and calls shortcuts otherwise."""
    levels = len(autoencoder.SHAPE.channels)
    names = {theirs: ldm for ldm, theirs in vae_module_names(levels)}
    found = {}
    for key, tensor in tensors.items():
        name = renamed(key, names).replace(".conv_shortcut.", ".nin_shortcut.")
        is_projection = ".attn_1." in name and tensor.ndim == 2
        found[name] = tensor[:, :, None, None] if is_projection else tensor
    return found


def renamed(key: str, names: Mapping[str, str]) -> str:
    """`key` with the longest start of it that is in `names` replaced."""
    start = key
    while start and start not in names:
        start = start.rpartition(".")[0]
    return names[start] + key.removeprefix(start) if start else key


def load_base(folder: Path) -> base.Model:
    model = base.Model()
    model.load_state_dict(torch.load(folder / "base.pt"))
    return model.eval()


def export(folder: Path, models: Path) -> None:
    """Write the checkpoint."""
    autoencoder: dict[str, Tensor] = torch.load(folder / "autoencoder_final.pt")
    write(checkpoint(load_base(folder), autoencoder), models / CHECKPOINT)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where the trained weights are")
    parser.add_argument("--models", type=Path, default=MODELS, help="where to write the file")
    given = parser.parse_args()
    export(given.folder, given.models)


if __name__ == "__main__":
    main()
