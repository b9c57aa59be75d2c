"""Request fields that all image endpoints share."""

from pydantic import AliasChoices, Field

from api.hosted.fields import (
    Anything,
    ClipSkip,
    Flag,
    Guidance,
    HostedRequest,
    Items,
    Numbers,
    PictureText,
    Samples,
    Seed,
    Side,
    Steps,
    Strength,
    Text,
    Upscale,
)

NONE_HERE = (
    "safety_checker",
    "enhance_prompt",
    "multi_lingual",
    "panorama",
    "embeddings_model",
    "enhance_style",
    "free_u",
    "watermark",
)
ASPECT = "^[1-9][0-9]?:[1-9][0-9]?$"


class ImageRequest(HostedRequest):
    """A field that is absent has the value of the family's workflow file."""

    model_id: Text | None = Field(
        None, description="A checkpoint's file name, with or without its ending, or an alias."
    )
    prompt: Text | None = None
    negative_prompt: Text | None = None
    width: Side | None = None
    height: Side | None = None
    aspect_ratio: str | None = Field(None, pattern=ASPECT, description="16:9 and the like.")
    samples: Samples = 1
    num_inference_steps: Steps | None = Field(
        None, validation_alias=AliasChoices("num_inference_steps", "steps")
    )
    guidance_scale: Guidance | None = None
    seed: Seed | None = Field(None, description="Absent: random; `meta` has it.")
    scheduler: Text | None = Field(None, description="A class of diffusers, or a sampler's name.")
    use_karras_sigmas: Flag = True
    algorithm_type: Text | None = None
    clip_skip: ClipSkip | None = None
    vae: Text | None = None
    lora_model: Items = Field(default=[])
    lora_strength: Numbers = Field(default=[])
    ip_adapter_id: Text | None = None
    ip_adapter_scale: Strength = 0.6
    ip_adapter_image: PictureText | None = None
    upscale: Upscale = Field(1, description="yes is 2; the sides become so many times as long.")
    highres_fix: Flag = False
    self_attention: Flag = False
    safety_checker: Flag = Field(False, description="Accepted; there is none here.")
    enhance_prompt: Flag = Field(False, description="Accepted; prompts stay as they are.")
    multi_lingual: Flag = Field(False, description="Accepted; prompts stay as they are.")
    panorama: Flag = Field(False, description="Accepted; there is none here.")
    embeddings_model: Anything = Field(
        None, description="Accepted; name an embedding in the prompt: `embedding:name`."
    )
    enhance_style: Anything = Field(None, description="Accepted; prompts stay as they are.")
    free_u: Anything = Field(None, description="Accepted; there is none here.")
    watermark: Anything = Field(None, description="Accepted; there is none here.")

    @property
    def ignored(self) -> list[str]:
        """The fields that were asked for and change nothing here."""
        return [name for name in NONE_HERE if _asks(getattr(self, name))]


def _asks(value: object) -> bool:
    """Whether a value of a flag or a name asks for something."""
    return str(value).strip().lower() not in {"", "0", "no", "none", "null", "false", "[]", "{}"}
