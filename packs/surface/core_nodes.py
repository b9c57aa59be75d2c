"""ComfyUI's own node classes as packs call and inherit from them: the service runs them."""

from collections.abc import Mapping
from typing import Any

from packs.child.calls import PROCESS
from packs.surface.service_values import run

# The method that packs call, and its parameters where they are not in the order of the inputs.
METHODS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "CLIPTextEncode": ("encode", ("clip", "text")),
    "CLIPTextEncodeSDXL": (
        "encode",
        ("clip", "width", "height", "crop_w", "crop_h", "target_width", "target_height", "text_g",
         "text_l"),
    ),
    "CLIPSetLastLayer": ("set_last_layer", ()),
    "CLIPVisionEncode": ("encode", ()),
    "CLIPVisionLoader": ("load_clip", ()),
    "CLIPLoader": ("load_clip", ()),
    "DualCLIPLoader": ("load_clip", ()),
    "CheckpointLoaderSimple": ("load_checkpoint", ()),
    "CheckpointLoader": ("load_checkpoint", ()),
    "ConditioningAverage": ("addWeighted", ()),
    "ConditioningCombine": ("combine", ()),
    "ConditioningConcat": ("concat", ()),
    "ConditioningSetArea": ("append", ()),
    "ConditioningSetAreaPercentage": ("append", ()),
    "ConditioningSetMask": ("append", ()),
    "ConditioningSetTimestepRange": ("set_range", ()),
    "ConditioningZeroOut": ("zero_out", ()),
    "ControlNetApply": ("apply_controlnet", ()),
    "ControlNetApplyAdvanced": ("apply_controlnet", ()),
    "ControlNetLoader": ("load_controlnet", ()),
    "DiffControlNetLoader": ("load_controlnet", ()),
    "EmptyImage": ("generate", ()),
    "EmptyLatentImage": ("generate", ()),
    "ImageBatch": ("batch", ()),
    "ImageInvert": ("invert", ()),
    "ImagePadForOutpaint": ("expand_image", ()),
    "ImageScale": ("upscale", ()),
    "ImageScaleBy": ("upscale", ()),
    "ImageUpscaleWithModel": ("upscale", ()),
    "KSampler": ("sample", ()),
    "KSamplerAdvanced": ("sample", ()),
    "LatentBatch": ("batch", ()),
    "LatentBlend": ("blend", ()),
    "LatentComposite": ("composite", ()),
    "LatentCrop": ("crop", ()),
    "LatentFlip": ("flip", ()),
    "LatentFromBatch": ("frombatch", ()),
    "LatentRotate": ("rotate", ()),
    "LatentUpscale": ("upscale", ()),
    "LatentUpscaleBy": ("upscale", ()),
    "LoadImage": ("load_image", ()),
    "LoadImageMask": ("load_image", ()),
    "LoraLoader": ("load_lora", ()),
    "LoraLoaderModelOnly": ("load_lora_model_only", ()),
    "RepeatLatentBatch": ("repeat", ()),
    "SetLatentNoiseMask": ("set_mask", ()),
    "StyleModelApply": ("apply_stylemodel", ()),
    "StyleModelLoader": ("load_style_model", ()),
    "UNETLoader": ("load_unet", ()),
    "UpscaleModelLoader": ("load_model", ()),
    "VAEDecode": ("decode", ("vae", "samples")),
    "VAEDecodeTiled": (
        "decode",
        ("vae", "samples", "tile_size", "overlap", "temporal_size", "temporal_overlap"),
    ),
    "VAEEncode": ("encode", ("vae", "pixels")),
    "VAEEncodeForInpaint": ("encode", ("vae", "pixels", "mask", "grow_mask_by")),
    "VAEEncodeTiled": (
        "encode",
        ("vae", "pixels", "tile_size", "overlap", "temporal_size", "temporal_overlap"),
    ),
    "VAELoader": ("load_vae", ()),
}  # fmt: skip
MADE: dict[str, Any] = {}
UPSCALE_METHODS = ["nearest-exact", "bilinear", "area", "bicubic", "lanczos"]
MORE: Mapping[str, Mapping[str, Any]] = {
    "ImageScale": {"upscale_methods": UPSCALE_METHODS, "crop_methods": ["disabled", "center"]},
    "ImageScaleBy": {"upscale_methods": UPSCALE_METHODS},
    "LatentUpscale": {
        "upscale_methods": ["nearest-exact", "bilinear", "area", "bicubic", "bislerp"],
        "crop_methods": ["disabled", "center"],
    },
    "LatentUpscaleBy": {
        "upscale_methods": ["nearest-exact", "bilinear", "area", "bicubic", "bislerp"]
    },
}


def core_names() -> tuple[str, ...]:
    """The node types of the service."""
    return tuple(PROCESS.start.get("core") or ())


def core_class(name: str) -> Any:
    """The class of a node type of the service; None where it has none of that name."""
    entry = (PROCESS.start.get("core") or {}).get(name)
    if entry is None:
        return None
    if name not in MADE:
        MADE[name] = _class_of(name, entry)
    return MADE[name]


def _class_of(name: str, entry: Mapping[str, Any]) -> Any:
    inputs = {
        section: {key: tuple(spec) for key, spec in entry["input"].get(section, {}).items()}
        for section in ("required", "optional")
    }
    method, order = METHODS.get(name, ("execute", ()))
    names = order or tuple(key for section in inputs.values() for key in section)
    defaults = {
        key: spec[1]["default"]
        for section in inputs.values()
        for key, spec in section.items()
        if len(spec) > 1 and "default" in spec[1]
    }

    def call(self: Any, *given: Any, **named: Any) -> tuple[Any, ...]:
        del self
        return run(name, **{**defaults, **dict(zip(names, given, strict=False)), **named})

    def input_types(_cls: Any) -> dict[str, Any]:
        return {section: dict(found) for section, found in inputs.items() if found}

    return type(
        name,
        (),
        {
            "INPUT_TYPES": classmethod(input_types),
            "RETURN_TYPES": tuple(entry["output"]),
            "RETURN_NAMES": tuple(entry["output_name"]),
            "OUTPUT_IS_LIST": tuple(entry["output_is_list"]),
            "FUNCTION": method,
            "CATEGORY": entry["category"],
            "DESCRIPTION": entry["description"],
            method: call,
            **MORE.get(name, {}),
        },
    )
