"""Adds models, LoRAs, adapters and upscaling to a workflow template."""

from dataclasses import dataclass, field
from secrets import randbelow
from typing import Any

from api.hosted.catalog import Catalog
from api.hosted.draft import Draft
from api.hosted.image_request import ImageRequest
from api.hosted.pictures import PictureReader
from api.hosted.problems import wrong_field
from api.hosted.schedulers import sampling
from graph.family_marks import Family

MODEL, CLIP, VAE = 0, 1, 2  # outputs of a checkpoint loader
VIT_H = "vit-h"  # of a picture encoder's public file name


@dataclass(frozen=True)
class Bench:
    """What a translation works with."""

    catalog: Catalog
    pictures: PictureReader


@dataclass
class Translation:
    """A workflow that stands for a request, and what the answer says of it."""

    draft: Draft
    meta: dict[str, Any]
    ignored: list[str] = field(default_factory=list)  # fields that change nothing here
    ending: str = "_.png"  # of the files that its "Save" writes, behind their numbers


def canvas_size(request: ImageRequest, width: int, height: int) -> tuple[int, int]:
    """The size of a request; `width` and `height` are the model's, or the picture's."""
    if request.aspect_ratio and not (request.width or request.height):
        across, down = map(int, request.aspect_ratio.split(":"))
        side = (width * height * across / down) ** 0.5
        return _eighths(side), _eighths(side * down / across)
    return request.width or width, request.height or height


def fill(draft: Draft, request: ImageRequest, bench: Bench, *roles: str) -> None:
    """Set the models, prompts and sampling of a request.

    `roles` are the aliases of the checkpoint to use where the request names none.
    """
    catalog = bench.catalog
    name = request.model_id
    model = catalog.find("checkpoints", name) if name else catalog.default("checkpoints", *roles)
    draft.set("Checkpoint", ckpt_name=model)
    draft.set("Prompt", text=request.prompt)
    draft.set("Negative prompt", text=request.negative_prompt)
    draft.set(
        "Sampler",
        seed=randbelow(2**32) if request.seed is None else request.seed,
        steps=request.num_inference_steps,
        cfg=request.guidance_scale,
    )
    chosen = sampling(
        request.scheduler, karras=request.use_karras_sigmas, algorithm=request.algorithm_type
    )
    draft.set("Sampler", sampler_name=chosen.sampler_name, scheduler=chosen.scheduler)
    if request.vae:
        vae = draft.add("VAELoader", "VAE", vae_name=catalog.find("vae", request.vae))
        draft.reroute([draft.id("Checkpoint"), VAE], [vae, 0])
    _add_loras(draft, request, catalog)
    _skip_layers(draft, request)
    if request.self_attention:
        _change_model(draft, "SelfAttentionGuidance", "Self-attention", scale=0.5, blur_sigma=2.0)


async def add_ip_adapter(draft: Draft, request: ImageRequest, bench: Bench) -> None:
    """Let the pictures follow a picture."""
    if not request.ip_adapter_image:
        return
    catalog = bench.catalog
    name = request.ip_adapter_id or (await _family(draft, catalog)).ip_adapter
    file = catalog.find("ipadapter", name)
    picture = await bench.pictures.read("ip_adapter_image", request.ip_adapter_image)
    sees = (await catalog.family("ipadapter", file)).ip_adapter_sees
    kind = VIT_H if VIT_H in name else sees
    vision = catalog.aliases("clip_vision").get(kind) or await catalog.best("clip_vision", (kind,))
    _change_model(
        draft,
        "IPAdapterAdvanced",
        "IP-Adapter",
        ipadapter=_node(draft, "IPAdapterModelLoader", ipadapter_file=file),
        image=_node(draft, "LoadImage", image=picture.uri),
        weight=request.ip_adapter_scale,
        weight_type="linear",
        combine_embeds="concat",
        start_at=0.0,
        end_at=1.0,
        embeds_scaling="V only",
        clip_vision=_node(draft, "CLIPVisionLoader", clip_name=vision or f"CLIP-{kind}"),
    )


async def add_highres_fix(
    draft: Draft, request: ImageRequest, catalog: Catalog, width: int, height: int
) -> None:
    """Draw the composition at the model's own size, then the picture in the size asked for."""
    if not request.highres_fix:
        return
    native = await native_px(draft, catalog)
    scale = max(native / min(width, height), 0.5)
    if scale >= 1:
        return
    draft.set("Canvas", width=_eighths(width * scale), height=_eighths(height * scale))
    first = draft.id("Sampler")
    again = dict(draft.inputs("Sampler"))
    larger = _node(
        draft,
        "LatentUpscale",
        samples=[first, 0],
        upscale_method="bislerp",
        width=width,
        height=height,
        crop="disabled",
    )
    second = draft.add("KSampler", "Refine", **again | {"latent_image": larger, "denoise": 0.5})
    draft.set("Decode", samples=[second, 0])


def add_upscaling(
    draft: Draft, request: ImageRequest, bench: Bench, width: int, height: int
) -> None:
    """Make the pictures larger, by a model where there is one."""
    if request.upscale == 1:
        return
    link = draft.inputs("Save")["images"]
    if bench.catalog.files("upscale_models"):
        model = bench.catalog.default("upscale_models", "upscale")
        loaded = _node(draft, "UpscaleModelLoader", model_name=model)
        link = _node(draft, "ImageUpscaleWithModel", upscale_model=loaded, image=link)
    sides = {"width": width * request.upscale, "height": height * request.upscale}
    scaled = _node(
        draft, "ImageScale", image=link, upscale_method="lanczos", crop="disabled", **sides
    )
    draft.set("Save", images=scaled)


def start_from_picture(draft: Draft, uri: str, width: int, height: int, samples: int) -> list[Any]:
    """Sample from a picture instead of an empty canvas; the link to its latent."""
    canvas = draft.id("Canvas")
    picture = _node(draft, "LoadImage", image=uri)
    fitted = _node(
        draft,
        "ImageScale",
        image=picture,
        upscale_method="lanczos",
        width=width,
        height=height,
        crop="center",
    )
    vae = draft.inputs("Decode")["vae"]
    encoded = _node(draft, "VAEEncode", pixels=fitted, vae=vae)
    latent = _node(draft, "RepeatLatentBatch", samples=encoded, amount=samples)
    draft.reroute([canvas, 0], latent)
    del draft.nodes[canvas]
    return latent


def _add_loras(draft: Draft, request: ImageRequest, catalog: Catalog) -> None:
    """One loader after the other; one strength for all, or one each."""
    names, strengths = request.lora_model, request.lora_strength or [1.0]
    if len(strengths) not in {1, len(names)} and names:
        problem = f"must be one number, or one for each of the {len(names)} LoRAs"
        raise wrong_field("lora_strength", problem, strengths)
    for k, name in enumerate(names):
        strength = strengths[k if len(strengths) > 1 else 0]
        model, clip = draft.inputs("Sampler")["model"], draft.inputs("Prompt")["clip"]
        loader = draft.add(
            "LoraLoader",
            f"LoRA {k + 1}",
            model=model,
            clip=clip,
            lora_name=catalog.find("loras", name),
            strength_model=strength,
            strength_clip=strength,
        )
        draft.reroute(model, [loader, MODEL])
        draft.reroute(clip, [loader, CLIP])


def _skip_layers(draft: Draft, request: ImageRequest) -> None:
    """1 is the text encoder's last layer, 2 the one before it."""
    if (request.clip_skip or 1) == 1:
        return
    clip = draft.inputs("Prompt")["clip"]
    skipping = _node(draft, "CLIPSetLastLayer", clip=clip, stop_at_clip_layer=-request.clip_skip)  # type: ignore[operator]
    draft.reroute(clip, skipping)


def _change_model(draft: Draft, class_type: str, title: str, **inputs: Any) -> None:
    """Put a node between the sampler and its model."""
    model = draft.inputs("Sampler")["model"]
    changed = draft.add(class_type, title, model=model, **inputs)
    draft.reroute(model, [changed, 0])


def _node(draft: Draft, class_type: str, **inputs: Any) -> list[Any]:
    """The link to the first output of a new node."""
    return [draft.add(class_type, class_type, **inputs), 0]


async def native_px(draft: Draft, catalog: Catalog) -> int:
    """The side of the pictures that the draft's checkpoint draws best."""
    return await catalog.native_px(draft.inputs("Checkpoint")["ckpt_name"])


async def _family(draft: Draft, catalog: Catalog) -> Family:
    """That of the draft's checkpoint."""
    return await catalog.family("checkpoints", draft.inputs("Checkpoint")["ckpt_name"])


def _eighths(side: float) -> int:
    return min(max(64, round(side / 8) * 8), 2048)
