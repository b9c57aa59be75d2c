"""MODEL, CLIP, VAE and the like: numbers of values that the service has, with what they can do."""

from collections.abc import Mapping
from typing import Any


class NeedsModelObjectsError(Exception):
    """A pack reached for the inside of a model, which is not in its process."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name} needs ComfyUI's model objects. A pack host has models as handles, which "
            "sample, encode and decode, and cannot be patched."
        )


class ServiceValue:
    """A value of the service, which stays there."""

    kind = ""

    def __init__(self, number: int, kind: str, facts: Mapping[str, Any]) -> None:
        self.number = number
        self.kind = kind
        self.facts = facts

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise NeedsModelObjectsError(f"{self.kind}.{name}")

    def __deepcopy__(self, _: Any) -> "ServiceValue":
        return self

    def __repr__(self) -> str:
        return f"<{self.kind} of the service>"


def run(class_type: str, **inputs: Any) -> tuple[Any, ...]:
    """The outputs of a node of the service."""
    from packs.child.calls import current  # noqa: PLC0415 - values are made before calls are

    return current().service.run_node(class_type, inputs)


class Model(ServiceValue):
    """MODEL."""

    def clone(self) -> "Model":
        """Itself: nothing can be applied to it here."""
        return self


class Clip(ServiceValue):
    """CLIP. Tokens are the text, until they are encoded."""

    def clone(self) -> "Clip":
        return self

    def clip_layer(self, layer: int) -> None:
        """Stop at a layer, counted from the end."""
        changed = run("CLIPSetLastLayer", clip=self, stop_at_clip_layer=layer)[0]
        self.number = changed.number

    def tokenize(self, text: str, **_: Any) -> "Tokens":
        return Tokens(text)

    def encode_from_tokens(self, tokens: Any, *, return_pooled: bool = False, **how: Any) -> Any:
        said = self.encode_from_tokens_scheduled(tokens)[0]
        pooled = said[1].get("pooled_output")
        if how.get("return_dict"):
            return {**said[1], "cond": said[0]}
        return (said[0], pooled) if return_pooled else said[0]

    def encode_from_tokens_scheduled(self, tokens: Any, add_dict: Any = None, **_: Any) -> Any:
        if not isinstance(tokens, Tokens):
            raise NeedsModelObjectsError("CLIP tokens")
        found = run("CLIPTextEncode", clip=self, text=tokens.text)[0]
        return [[one[0], {**one[1], **(add_dict or {})}] for one in found]

    def encode(self, text: str) -> Any:
        return self.encode_from_tokens(self.tokenize(text))


class Tokens:
    """A text that was to be cut into tokens: the service does that when it encodes."""

    def __init__(self, text: str) -> None:
        self.text = text


class Vae(ServiceValue):
    """VAE. Pixels are [B, H, W, C], latents are as on links."""

    def decode(self, samples: Any, **_: Any) -> Any:
        return run("VAEDecode", samples={"samples": samples}, vae=self)[0]

    def encode(self, pixels: Any) -> Any:
        return run("VAEEncode", pixels=pixels, vae=self)[0]["samples"]

    def decode_tiled(self, samples: Any, tile_x: int = 64, overlap: int = 16, **_: Any) -> Any:
        size = {"tile_size": tile_x * 8, "overlap": overlap * 8}
        size |= {"temporal_size": 64, "temporal_overlap": 8}
        return run("VAEDecodeTiled", samples={"samples": samples}, vae=self, **size)[0]

    def encode_tiled(self, pixels: Any, tile_x: int = 512, overlap: int = 64, **_: Any) -> Any:
        size = {"tile_size": tile_x, "overlap": overlap}
        size |= {"temporal_size": 64, "temporal_overlap": 8}
        return run("VAEEncodeTiled", pixels=pixels, vae=self, **size)[0]["samples"]

    def spacial_compression_decode(self) -> int:
        return 8

    def spacial_compression_encode(self) -> int:
        return 8


class ClipVision(ServiceValue):
    """CLIP_VISION."""

    def encode_image(self, image: Any, crop: Any = True) -> Any:
        how = "center" if crop else "none"
        return run("CLIPVisionEncode", clip_vision=self, image=image, crop=how)[0]


class ControlNet(ServiceValue):
    """CONTROL_NET, and what it is in a CONDITIONING."""

    def copy(self) -> "ControlNet":
        return self


KINDS: Mapping[str, type[ServiceValue]] = {
    "MODEL": Model,
    "CLIP": Clip,
    "VAE": Vae,
    "CLIP_VISION": ClipVision,
    "CONTROL_NET": ControlNet,
}


def service_value(number: int, kind: str, facts: Mapping[str, Any]) -> ServiceValue:
    """The value of a number, as the class that its kind has."""
    return KINDS.get(kind, ServiceValue)(number, kind, facts)
