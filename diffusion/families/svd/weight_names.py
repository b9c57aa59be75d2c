"""LoRA key names for Stable Video Diffusion's U-Net."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from diffusion.families.sd.shapes import UnetShape
from diffusion.families.svd.loading import names_of
from diffusion.networks.weight_names import UNET_PREFIXES, Names, flat


@dataclass(frozen=True)
class VideoNames(Names):
    """Its weights, under our names for them and LDM's."""

    shape: UnetShape
    names: tuple[str, ...]

    def parameters(self) -> Mapping[str, str]:
        ldm = sorted(((own, theirs) for theirs, own in names_of(self.shape).items()), reverse=True)
        found = {}
        for name in self.names:
            short = name.removesuffix(".weight")
            found[flat(short)] = name
            start = next(((a, b) for a, b in ldm if short.startswith(a)), ("", ""))
            found[flat(start[1] + short.removeprefix(start[0]))] = name
        return found

    def stems(self, stem: str) -> Iterable[str]:
        return (flat(stem.removeprefix(p)) for p in UNET_PREFIXES if stem.startswith(p))
