"""LoRA key names for U-Nets. (ComfyUI comfy/lora.py, `model_lora_keys_unet`)"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from diffusion.families.sd.shapes import UnetShape, module_names
from diffusion.networks.weight_names import UNET_PREFIXES, Names, flat


@dataclass(frozen=True)
class UnetNames(Names):
    """The weights of a U-Net, under diffusers' names for them and LDM's."""

    shape: UnetShape
    names: tuple[str, ...]

    def parameters(self) -> Mapping[str, str]:
        ldm = {theirs: name for name, theirs in module_names(self.shape).items()}
        found = {}
        for name in self.names:
            short = name.removesuffix(".weight")
            found[flat(short)] = name
            found[flat(_renamed(short, ldm))] = name
            found[flat(short.replace("class_embedding.", "add_embedding."))] = name
            found[flat(short.removesuffix(".0") if ".to_out." in short else short)] = name
        return found

    def stems(self, stem: str) -> Iterable[str]:
        return (flat(stem.removeprefix(p)) for p in UNET_PREFIXES if stem.startswith(p))


def _renamed(name: str, names: Mapping[str, str]) -> str:
    """`name` with the longest start of it that is in `names` replaced."""
    start = name
    while start and start not in names:
        start = start.rpartition(".")[0]
    return names[start] + name.removeprefix(start) if start else name
