"""`meta` of an answer: the parameters that were used, under the hosted API's names."""

from typing import Any

from api.hosted.draft import Draft
from api.hosted.image_request import ImageRequest


def yes_no(value: bool) -> str:
    return "yes" if value else "no"


def image_meta(draft: Draft, request: ImageRequest, width: int, height: int) -> dict[str, Any]:
    """The effective values of a request, whichever of them it gave itself."""
    sampler = draft.inputs("Sampler")
    strengths = request.lora_strength or [1.0]
    return {
        "prompt": draft.inputs("Prompt")["text"],
        "model_id": draft.inputs("Checkpoint")["ckpt_name"],
        "negative_prompt": draft.inputs("Negative prompt")["text"],
        "scheduler": request.scheduler or "UniPCMultistepScheduler",
        "safety_checker": "no",
        "W": width,
        "H": height,
        "guidance_scale": sampler["cfg"],
        "seed": sampler["seed"],
        "steps": sampler["steps"],
        "n_samples": request.samples,
        "instant_response": yes_no(request.instant_response),
        "ip_adapter_id": request.ip_adapter_id,
        "ip_adapter_scale": request.ip_adapter_scale,
        "ip_adapter_image": _shown(request.ip_adapter_image),
        "enhance_prompt": "no",
        "multi_lingual": "no",
        "panorama": "no",
        "self_attention": yes_no(request.self_attention),
        "upscale": "no" if request.upscale == 1 else str(request.upscale),
        "highres_fix": yes_no(draft.has("Refine")),
        "use_karras_sigmas": yes_no(sampler["scheduler"] == "karras"),
        "algorithm_type": request.algorithm_type or "none",
        "vae": request.vae,
        "lora": ",".join(request.lora_model) or None,
        "lora_strength": ",".join(f"{strength:g}" for strength in strengths),
        "clip_skip": request.clip_skip or 1,
        "base64": yes_no(request.base64),
        "temp": yes_no(request.temp),
        "webhook": request.webhook,
        "track_id": request.track_id,
    }


def _shown(picture: str | None) -> str | None:
    """A picture as `meta` repeats it: a link, but not a whole file."""
    return picture if picture is None or len(picture) <= LONGEST_LINK else "base64"


def shown_pictures(**pictures: str | None) -> dict[str, str | None]:
    return {name: _shown(picture) for name, picture in pictures.items()}


LONGEST_LINK = 2000
