"""A custom node pack with one node, which gives back the picture that it gets, as a new one."""

from typing import Any


class Hop:
    """Adds nothing to a picture, and copies it."""

    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "hop"
    CATEGORY = "benchmark"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        return {"required": {"image": ("IMAGE",)}}

    def hop(self, image: Any) -> tuple[Any]:
        return (image + 0,)


NODE_CLASS_MAPPINGS = {"Hop": Hop}
