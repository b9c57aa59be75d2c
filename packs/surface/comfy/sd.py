"""comfy.sd: loading, by the service."""

from pathlib import Path
from typing import Any

from packs.surface import folder_paths
from packs.surface.service_values import NeedsModelObjectsError, Vae, run

VAE = Vae


def load_checkpoint_guess_config(ckpt_path: str, *_: Any, **__: Any) -> tuple[Any, ...]:
    """MODEL, CLIP and VAE of a checkpoint of the models folder."""
    found = run("CheckpointLoaderSimple", ckpt_name=_name("checkpoints", ckpt_path))
    return (*found, None)


def load_lora_for_models(
    model: Any, clip: Any, lora: Any, strength_model: float, strength_clip: float
) -> Any:
    """LoRAs are loaded by name: nodes.LoraLoader does it."""
    del model, clip, lora, strength_model, strength_clip
    raise NeedsModelObjectsError("comfy.sd.load_lora_for_models")


def _name(folder: str, path: str) -> str:
    """The name of a model file by its path."""
    for root in folder_paths.get_folder_paths(folder):
        if Path(path).is_relative_to(root):
            return Path(path).relative_to(root).as_posix()
    raise FileNotFoundError(f"{path} is in none of the folders of {folder}")
