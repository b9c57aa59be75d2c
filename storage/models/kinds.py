"""The kind and family of a model file, told by the names and shapes of its tensors."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from graph.families import FAMILIES
from graph.family_marks import Family
from graph.model_files.header import Entry, Header
from graph.recognition import LORA, TO_TEXT, is_unet, of_text_width, recognised, text_width
from storage.models.layers import pairs

UNKNOWN = "unknown"
DIFFUSION = ("checkpoint", "diffusion_model")
THINGS: Mapping[str, str] = MappingProxyType(
    {
        "diffusion_model": "diffusion model",
        "lora": "LoRA",
        "controlnet": "ControlNet",
        "vae": "autoencoder",
        "text_encoder": "text encoder",
    }
)
# Kinds whose tensors may be named as those of a diffusion model are.
OF_ANY_FAMILY = frozenset(
    {
        "ip_adapter",
        "control_lora",
        "t2i_adapter",
        "style_model",
        "clip_vision",
        "embedding",
        "motion_module",
        "motion_lora",
        "gligen",
        "photomaker",
        "frame_interpolator",
    }
)
# The first that is found in any name says what a file is.
MARKS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (kind, re.compile(pattern))
    for kind, pattern in (
        ("motion_lora", r"motion_modules\.\d+\..+\.processor\.to_\w+_lora\.(down|up)\.weight$"),
        (
            "motion_module",
            r"motion_modules\.\d+\.temporal_transformer\.|temporal_attentions\.\d+\.",
        ),
        ("gligen", r"^position_net\.null_positive_feature$|\.fuser\.alpha_attn$"),
        ("photomaker", r"^(id_encoder\.)?fuse_module\."),
        (
            "frame_interpolator",
            r"^(module\.|flownet\.)*(block0|blocks\.0)\.conv0\.0\.0\.weight$|"
            r"^extract\.extract_sublevels\.",
        ),
        ("ip_adapter", r"^(ip_adapter|image_proj|adapter_modules)\."),
        ("control_lora", r"^lora_controlnet$"),
        ("lora", LORA.pattern),
        ("controlnet", r"zero_convs\.0\.0\.weight$|controlnet_cond_embedding\.conv_in\."),
        ("controlnet", r"(^|\.)(controlnet_blocks|controlnet_down_blocks)\.0\."),
        ("t2i_adapter", r"^(adapter\.)?(body\.0\.(resnets|block[12]|in_conv|out_conv)\.)"),
        ("style_model", r"^(style_embedding$|redux_)"),
        (
            "diffusion_model",
            r"(^|\.)(input_blocks\.0\.0\.weight|down_blocks\.0\.resnets\.0\.norm1\.weight)$|"
            r"(^|\.)(joint_blocks|double_blocks|single_transformer_blocks|transformer_blocks)\.0\.",
        ),
        ("vae", r"(^|\.)(en|de)coder\.conv_in\.weight$|^taesd_(en|de)coder\."),
        ("clip_vision", r"(^|\.)(vision_model\.embeddings|visual\.(conv1|transformer))\."),
        ("text_encoder", r"(token_embedding|embed_tokens|^shared)\.weight$"),
        ("embedding", r"^(emb_params|clip_[lgh]|\*|bundle_emb\..+)$|^string_to_param"),
        ("upscaler", r"^(conv_first|model\.0)\.(weight|bias)$|^(RRDB_trunk|upsampler|conv_up1)\."),
    )
)
BESIDE_THE_NETWORK = re.compile(
    r"^(first_stage_model|cond_stage_model|conditioner|vae|text_encoders)\."
)


@dataclass(frozen=True)
class Place:
    """What a folder of the models folder is for.

    `strict`: what is not known is not that. Else it may be, if a tensor in it has so many `dims`.
    """

    holds: str
    kinds: frozenset[str]
    strict: bool = True
    dims: int = 0


PLACES: Mapping[str, Place] = MappingProxyType(
    {
        "checkpoints": Place("diffusion model", frozenset(DIFFUSION)),
        "diffusion_models": Place("diffusion model", frozenset(DIFFUSION)),
        "loras": Place("LoRA", frozenset({"lora"})),
        "controlnet": Place(
            "ControlNet or T2I-Adapter", frozenset({"controlnet", "control_lora", "t2i_adapter"})
        ),
        "vae": Place("autoencoder", frozenset({"vae", "checkpoint"})),
        "upscale_models": Place("upscaling model", frozenset({"upscaler"}), strict=False, dims=4),
        "text_encoders": Place(
            "text encoder", frozenset({"text_encoder", "clip_vision", "checkpoint"}), strict=False
        ),
        "clip_vision": Place("image encoder", frozenset({"clip_vision", "checkpoint"})),
        "ipadapter": Place("IP-Adapter", frozenset({"ip_adapter"})),
        "instantid": Place("InstantID adapter", frozenset({"ip_adapter"})),
        "animatediff_models": Place("motion module", frozenset({"motion_module"})),
        "animatediff_motion_lora": Place("motion LoRA", frozenset({"motion_lora"})),
        "gligen": Place("GLIGEN", frozenset({"gligen"})),
        "photomaker": Place("PhotoMaker", frozenset({"photomaker"})),
        "frame_interpolation": Place(
            "frame interpolation model", frozenset({"frame_interpolator"})
        ),
        "style_models": Place("style model", frozenset({"style_model"}), strict=False),
        "embeddings": Place("embedding", frozenset({"embedding"}), strict=False, dims=1),
    }
)
# Where a file says how wide the text is that its base model reads.
READS_TEXT: Mapping[str, re.Pattern[str]] = MappingProxyType(
    {
        "lora": re.compile(
            r"attn2[._](processor[._])?to_[kv][._]?(_lora|lora)?[._](lora_)?(down|A)(\.default)?(\.weight)?$"
        ),
        "control_lora": re.compile(r"attn2\.to_k\.down$"),
        "ip_adapter": re.compile(r"to_k_ip\.weight$"),
    }
)
FLOATS = frozenset({"F64", "F32", "F16", "BF16"})
LISTED = 3
VISION = tuple(
    f"vision_model.embeddings.{name}"
    for name in ("class_embedding", "patch_embedding.weight", "position_embedding.weight")
)


@dataclass(frozen=True)
class Nature:
    """What a file is: its kind, and its family, "" where it does not say.

    `kind` is one of MARKS' kinds, "checkpoint" for a diffusion model with what belongs to it, or
    UNKNOWN. `problem` says why no file of this family is served, if so.
    """

    kind: str
    family: str = ""
    problem: str | None = None


def nature_of(header: Header, families: Sequence[Family] = FAMILIES) -> Nature:
    """What a file with this header is."""
    kind = next((k for k, mark in MARKS if any(map(mark.search, header.tensors))), UNKNOWN)
    found = recognised(header.tensors, families) if kind not in OF_ANY_FAMILY else None
    if found is not None and (found.kind == "lora") == (kind == "lora"):
        kind, family = found.kind, found.family.name
    else:
        width = text_width(header.tensors, READS_TEXT.get(kind, TO_TEXT))
        of_width = of_text_width(width)
        found, family = None, of_width.name if of_width else ""
    if kind == "diffusion_model" and any(map(BESIDE_THE_NETWORK.search, header.tensors)):
        kind = "checkpoint"
    if found is not None and not found.family.served:
        thing = _one(THINGS.get(kind, kind))
        return Nature(kind, family, f"it is {thing} of {found.of}, which is not served here")
    if found is None and kind in DIFFUSION and not is_unet(header.tensors):
        return Nature(kind, "", f"it is a diffusion model of an unknown family; {_found(header)}")
    return Nature(kind, family)


def _found(header: Header) -> str:
    examples = ", ".join(sorted(header.tensors)[:LISTED])
    return f"found {len(header.tensors)} tensors such as {examples}"


def misplaced(header: Header, folder: str, kind: str) -> str | None:
    """Why a file of this kind is no file for a folder, if so."""
    place = PLACES.get(folder)
    if place is None or kind in place.kinds:
        return None
    if kind != UNKNOWN:
        return f"it is {_one(kind.replace('_', ' '))}, not {_one(place.holds)}"
    if not place.strict and any(len(e.shape) >= place.dims for e in header.tensors.values()):
        return None
    return f"no {place.holds} in it; {_found(header)}"


def _one(thing: str) -> str:
    return f"{'an' if thing[0] in 'aeiouAEIO' else 'a'} {thing}"


def misshapen(header: Header, kind: str) -> str | None:
    """What of a file's shapes contradicts itself, if anything does."""
    check = _SHAPES.get(kind)
    return (check(header.tensors) if check else None) or _biases(header.tensors)


def _biases(tensors: Mapping[str, Entry]) -> str | None:
    """A bias has as many numbers as its layer gives: its weight's first side, or second."""
    for name, bias in tensors.items():
        weight = tensors.get(name.removesuffix("bias") + "weight")
        if not name.endswith(".bias") or weight is None or weight.dtype not in FLOATS:
            continue
        if len(bias.shape) == 1 and weight.shape and bias.shape[0] not in weight.shape[:2]:
            return f"{name!r} has {bias.shape[0]} numbers, its weight is {weight.shape}"
    return None


def _lora(tensors: Mapping[str, Entry]) -> str | None:
    for name, up, down in pairs(tensors):
        stem = name.removesuffix(".weight")
        has_core = name.replace("up", "mid") in tensors
        if len(up.shape) < 2 or len(down.shape) < 2:
            return f"{stem!r} and its other half are {up.shape} and {down.shape}"
        if not has_core and up.shape[1] != down.shape[0]:
            return f"{stem!r} is of rank {up.shape[1]}, its other half of rank {down.shape[0]}"
    return None


def _controlnet(tensors: Mapping[str, Entry]) -> str | None:
    for name, entry in tensors.items():
        if re.search(r"zero_convs\.\d+\.0\.weight$", name) and (
            len(entry.shape) != 4 or entry.shape[0] != entry.shape[1]
        ):
            return f"{name!r} is {entry.shape}, not a square convolution"
    return None


def _ip_adapter(tensors: Mapping[str, Entry]) -> str | None:
    for half in ("image_proj.", "to_k_ip."):
        if not any(half in name for name in tensors):
            return f"nothing in it is named {half}..., so it is only a part of an IP-Adapter"
    for name, keys in tensors.items():
        values = tensors.get(name.replace("to_k_ip", "to_v_ip"), keys)
        if "to_k_ip" in name and (len(keys.shape) != 2 or keys.shape != values.shape):
            return f"{name!r} and its values' are {keys.shape} and {values.shape}"
    return None


def _clip_vision(tensors: Mapping[str, Entry]) -> str | None:
    shapes = {name: tensors[name].shape for name in VISION if name in tensors}
    widths = {shape[0] if len(shape) > 2 else shape[-1] for shape in shapes.values() if shape}
    if len(widths) > 1:
        listed = ", ".join(f"{name!r} {shape}" for name, shape in shapes.items())
        return f"its embeddings are of different widths: {listed}"
    return None


_SHAPES: Mapping[str, Callable[[Mapping[str, Entry]], str | None]] = MappingProxyType(
    {
        "lora": _lora,
        "controlnet": _controlnet,
        "ip_adapter": _ip_adapter,
        "clip_vision": _clip_vision,
    }
)
