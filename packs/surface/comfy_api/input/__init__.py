"""comfy_api.input: what values are, for annotations."""

from typing import Any

from packs.surface.videos import VideoOfService as VideoInput

ImageInput = MaskInput = LatentInput = Any
AudioInput = dict[str, Any]
__all__ = ["AudioInput", "ImageInput", "LatentInput", "MaskInput", "VideoInput"]
