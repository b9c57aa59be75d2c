"""LoRA key names for Flux: common transformer names, XLabs', and Flux's own tools'."""

from collections.abc import Collection, Mapping

from diffusion.dit.pieces import Piece
from diffusion.dit.weight_names import DitNames
from diffusion.families.flux.pieces import pieces
from diffusion.families.flux.shapes import FIRST_LAYER, FluxShape
from diffusion.networks.weight_names import flat

# XLabs' names of layers -> those of Black Forest Labs' files.
XLABS: Mapping[str, str] = {
    "qkv_lora1": "img_attn.qkv",
    "qkv_lora2": "txt_attn.qkv",
    "proj_lora1": "img_attn.proj",
    "proj_lora2": "txt_attn.proj",
    "proj": "linear2",
}
FIRST_THREE = "#qkv"  # of XLabs' names too: a single block's first layer without its perceptron's
# Of Black Forest Labs' Depth and Canny, which are known by these two keys.
OF_TOOLS: Mapping[str, str] = {".lora_B.bias": "diff_b", ".scale": "set_weight"}
TOOLS = ("img_in.lora_A.weight", "single_blocks.0.norm.key_norm.scale")


class FluxNames(DitNames):
    """The weights of Flux."""

    def parameters(self) -> Mapping[str, str]:
        found = dict(super().parameters())
        for source in self.sources:
            found.update(_as_xlabs(source))
        return found

    def cut(self, layer: str) -> list[Piece]:
        whole = super().cut(layer.removesuffix(FIRST_THREE))
        return whole[:3] if layer.endswith(FIRST_THREE) else whole

    def endings(self, keys: Collection[str]) -> Mapping[str, str]:
        return OF_TOOLS if all(key in keys for key in TOOLS) else {}

    def fills_up(self, key: str) -> bool:
        return key == TOOLS[0]

    def widens(self, parameter: str) -> bool:
        return parameter == FIRST_LAYER


def weight_names(shape: FluxShape, names: tuple[str, ...]) -> FluxNames:
    """What files may call the parameters `names` of a transformer of this shape."""
    return FluxNames(tuple(pieces(shape)), names)


def _as_xlabs(source: str) -> dict[str, str]:
    """What XLabs calls a layer of a block, if anything."""
    block, number, *rest = [*source.split(".", 2), "", ""]
    layer = "".join(rest)
    found = {
        flat(f"{block}.{number}.{theirs}"): f"{source}.weight"
        for theirs, ours in XLABS.items()
        if layer == ours
    }
    if layer == "linear1":
        found[flat(f"{block}.{number}.qkv")] = f"{source}{FIRST_THREE}.weight"
    return found
