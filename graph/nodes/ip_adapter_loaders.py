"""Which IP-Adapter and image encoder: by name, or by what they are for.

Presets and the names of their files are those of the ComfyUI_IPAdapter_plus pack.
"""

from typing import Annotated

from graph.node import Files, node
from graph.presets import PresetFiles, Presets, Wanted
from graph.stages import Stage
from graph.values import ClipVision, IpAdapter, Model, ModelFile

CLIP_H = Wanted(
    "clip_vision",
    "clip_vision",
    (r"(ViT.H.14.*s32B.b79K|ipadapter.*sd15|sd1.?5.*model)\.(bin|safetensors)",),
    "CLIP-ViT-H-14-laion2B-s32B-b79K.safetensors",
)
CLIP_G = Wanted(
    "clip_vision",
    "clip_vision",
    (r"(ViT.bigG.14.*39B.b160k|ipadapter.*sdxl|sdxl.*model)\.(bin|safetensors)",),
    "CLIP-ViT-bigG-14-laion2B-39B-b160k.safetensors",
)
ENDING = r"\.(safetensors|bin)$"


def adapter(family: str, usual: str, *patterns: str) -> Wanted:
    """An IP-Adapter of a preset."""
    named = tuple(pattern + ENDING for pattern in patterns)
    return Wanted(family, "ipadapter", named, f"{usual}.safetensors")


PRESETS = Presets(
    (
        (
            "LIGHT - SD1.5 only (low strength)",
            (CLIP_H, adapter("sd15", "ip-adapter_sd15_light_v11", "sd15.light.v11", "sd15.light")),
        ),
        (
            "STANDARD (medium strength)",
            (
                CLIP_H,
                adapter("sd15", "ip-adapter_sd15", "ip.adapter.sd15"),
                adapter("sdxl", "ip-adapter_sdxl_vit-h", "ip.adapter.sdxl.vit.h"),
            ),
        ),
        (
            "VIT-G (medium strength)",
            (
                CLIP_G,
                adapter("sd15", "ip-adapter_sd15_vit-G", "sd15.vit.g"),
                adapter("sdxl", "ip-adapter_sdxl", "ip.adapter.sdxl"),
            ),
        ),
        (
            "PLUS (high strength)",
            (
                CLIP_H,
                adapter("sd15", "ip-adapter-plus_sd15", "ip.adapter.plus.sd15"),
                adapter("sdxl", "ip-adapter-plus_sdxl_vit-h", "plus.sdxl.vit.h"),
            ),
        ),
        (
            "PLUS FACE (portraits)",
            (
                CLIP_H,
                adapter("sd15", "ip-adapter-plus-face_sd15", "plus.face.sd15"),
                adapter("sdxl", "ip-adapter-plus-face_sdxl_vit-h", "plus.face.sdxl.vit.h"),
            ),
        ),
        (
            "FULL FACE - SD1.5 only (portraits stronger)",
            (CLIP_H, adapter("sd15", "ip-adapter-full-face_sd15", "full.face.sd15")),
        ),
    )
)
COMMUNITY_PRESETS = Presets(
    (
        (
            "Composition",
            (
                CLIP_H,
                adapter("sd15", "ip_plus_composition_sd15", "plus.composition.sd15"),
                adapter("sdxl", "ip_plus_composition_sdxl", "plus.composition.sdxl"),
            ),
        ),
    )
)


def found(preset: PresetFiles) -> IpAdapter:
    """The files of a preset, as what nodes hand on."""
    clip_vision = preset.by_use()["clip_vision"]
    files = tuple((use, file) for use, file in preset.files if use != "clip_vision")
    return IpAdapter(files, ClipVision(clip_vision))


@node("IPAdapterModelLoader", runs_on=Stage.INLINE, display_name="IPAdapter Model Loader",
      category="ipadapter/loaders")  # fmt: skip
def load_ip_adapter(*, ipadapter_file: Annotated[ModelFile, Files("ipadapter")]) -> IpAdapter:
    """Name an IP-Adapter."""
    return IpAdapter((("", ipadapter_file),))


@node(
    "IPAdapterUnifiedLoader",
    runs_on=Stage.INLINE,
    display_name="IPAdapter Unified Loader",
    category="ipadapter",
    outputs=("model", "ipadapter"),
)
def load_preset(
    *,
    model: Model,
    preset: Annotated[PresetFiles, PRESETS],
    ipadapter: IpAdapter | None = None,  # noqa: ARG001 - a chain's models, which are found by name
) -> tuple[Model, IpAdapter]:
    """Name an IP-Adapter and its image encoder by what they are for."""
    return model, found(preset)


@node(
    "IPAdapterUnifiedLoaderCommunity",
    runs_on=Stage.INLINE,
    display_name="IPAdapter Unified Loader Community",
    category="ipadapter/loaders",
    outputs=("model", "ipadapter"),
)
def load_community_preset(
    *,
    model: Model,
    preset: Annotated[PresetFiles, COMMUNITY_PRESETS],
    ipadapter: IpAdapter | None = None,  # noqa: ARG001 - as above
) -> tuple[Model, IpAdapter]:
    """Name an IP-Adapter that the community trained, and its image encoder."""
    return model, found(preset)
