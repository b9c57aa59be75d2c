"""The registry of served families."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from diffusion.dit.patches import PatchKind
from diffusion.families.anima.family import ANIMA
from diffusion.families.chroma.family import CHROMA
from diffusion.families.chroma_radiance.family import CHROMA_RADIANCE
from diffusion.families.family import FOR_UNETS, ControlKind, Family, Found, LoadedModel, Loading
from diffusion.families.flux.family import FLUX
from diffusion.families.flux2.family import FLUX2
from diffusion.families.ltxv.family import LTXV
from diffusion.families.lumina2.family import LUMINA2
from diffusion.families.omnigen2.family import OMNIGEN2
from diffusion.families.qwen_image.family import QWEN_IMAGE
from diffusion.families.sd.family import REFINER, SD15, SD20, SDXL, UPSCALER
from diffusion.families.sd3.family import SD3
from diffusion.families.svd.family import SV3D, SVD
from diffusion.families.wan.family import WAN
from diffusion.families.z_image.family import Z_IMAGE
from diffusion.networks.packed_layers import FLOAT8
from diffusion.networks.prefixes import PREFIXES
from diffusion.parameterization import Parameterization
from diffusion.text.encodings import TextEncoding, TextEncodings
from diffusion.weights import Weights
from graph.recognition import family_of

# What UNETLoader calls the precisions that weights may be brought to. The fast kind is a way to
# multiply on a GPU, not another precision.
WEIGHT_DTYPES: Mapping[str, torch.dtype] = {
    "fp8_e4m3fn": torch.float8_e4m3fn,
    "fp8_e4m3fn_fast": torch.float8_e4m3fn,
    "fp8_e5m2": torch.float8_e5m2,
}


def any_family(_family: Family) -> bool:
    """All of them."""
    return True


@dataclass(frozen=True, eq=False)
class Families:
    """An open list: whoever serves others too passes a longer one to the stages."""

    families: tuple[Family, ...]

    def find(self, weights: Weights, among: Callable[[Family], bool] = any_family) -> Found | None:
        """The diffusion model in a file and its family; None where there is none of `among`.

        Raises:
            BadModelFile: it is damaged, or of a layout that is known and of no family that is.
        """
        families = [family for family in self.families if among(family)]
        for read in dict.fromkeys(family.read for family in families):
            alike = [family for family in families if family.read is read]
            for part in map(weights.under, PREFIXES):
                shape = read(part)
                if shape is None:
                    continue
                family = next((own for own in alike if own.fits(shape)), None)
                if family is None:
                    raise weights.bad(problem=alike[0].unknown(shape))
                return Found(family, weights, part, shape)
        return None

    def found(self, weights: Weights) -> Found:
        """As `find`. Raises BadModelFile where there is no diffusion model in the file, too."""
        self._refuse_unserved(weights)
        found = self.find(weights)
        if found is None:
            examples = ", ".join(sorted(weights)[:3])
            problem = f"no U-Net in it; found {len(weights)} tensors such as {examples}"
            raise weights.bad(problem=problem)
        return found

    def _refuse_unserved(self, weights: Weights) -> None:
        """Raises BadModelFile, by its title, for a family that is known and not among these."""
        known = family_of(weights.entries)
        if known is not None and known.name not in {own.name for own in self.families}:
            problem = f"it is a diffusion model of {known.title}, which is not served here"
            raise weights.bad(problem=problem)

    def load(
        self,
        weights: Weights,
        *,
        dtype: torch.dtype,
        device: torch.device,
        weight_dtype: str = "default",
    ) -> LoadedModel:
        """The diffusion model of a checkpoint, or of a file that holds nothing else.

        Raises:
            BadModelFile: there is none in it, or one of a kind that is not known.
        """
        found = self.found(weights)
        loading = Loading(dtype, device, WEIGHT_DTYPES.get(weight_dtype))
        return found.family.load(found, loading)

    def expected_bytes(
        self, weights: Weights, *, dtype: torch.dtype, weight_dtype: str = "default"
    ) -> int:
        """About what a file's diffusion model takes in memory, by its names and shapes.

        Raises:
            BadModelFile: there is none in it.
        """
        found = self.found(weights)
        part, keeps = found.part, found.family.keeps_float8
        narrow = keeps and weight_dtype in WEIGHT_DTYPES
        return sum(
            entry.packed_bytes
            if keeps and entry.packed_bytes is not None
            else math.prod(entry.shape)
            * (1 if narrow or (keeps and entry.dtype in FLOAT8) else dtype.itemsize)
            for entry in part.entries.values()
        )

    def parameterization(self, weights: Weights) -> Parameterization:
        """What a file says of its noise levels, read from its names and a few small tensors."""
        found = self.found(weights)
        return found.family.parameterization(found)

    def image_adapters(self, weights: Weights) -> str:
        """As what presets of IP-Adapters know the model in a file. Raises BadModelFile."""
        found = self.found(weights)
        if not found.family.image_adapters:
            raise weights.bad(problem=f"no IP-Adapter is made for it: {FOR_UNETS}")
        return found.family.image_adapters

    @property
    def controls(self) -> tuple[ControlKind, ...]:
        """The kinds of ControlNets, in the order in which a file is tried as one."""
        return tuple(dict.fromkeys(kind for own in self.families for kind in own.controls))

    @property
    def patches(self) -> tuple[PatchKind, ...]:
        """The kinds of model patches, in the order in which a file is tried as one."""
        return tuple(dict.fromkeys(kind for own in self.families for kind in own.patches))

    @property
    def changes(self) -> frozenset[str]:
        """The kinds of changes to how a network is run that some family makes."""
        return frozenset().union(*(family.changes for family in self.families))

    @property
    def texts(self) -> TextEncodings:
        """How they read prompts."""
        encodings = [family.text for family in self.families if family.text is not None]
        return TextEncodings(tuple(dict.fromkeys(encodings)), self._text_beside)

    def _text_beside(self, weights: Weights) -> TextEncoding | None:
        """That of the model in a checkpoint, where its networks alone do not tell it."""
        found = self.find(weights, lambda family: bool(family.text and family.text.kinds))
        return None if found is None else found.family.text


FAMILIES = Families(
    (
        SVD,
        SV3D,
        SD3,
        FLUX2,
        CHROMA_RADIANCE,
        CHROMA,
        FLUX,
        WAN,
        LTXV,
        Z_IMAGE,
        LUMINA2,
        OMNIGEN2,
        ANIMA,
        QWEN_IMAGE,
        SD15,
        SD20,
        UPSCALER,
        SDXL,
        REFINER,
    )
)
