"""Names that adapter files may give to a network's weights.

A key of such a file is a stem, which names the weight, and an ending, which names the part. Dots
and underscores are one letter here, so that kohya's `lora_unet_down_blocks_0` and PEFT's
`unet.down_blocks.0` are one name. (ComfyUI comfy/lora.py, `model_lora_keys_unet`)
"""

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple, Protocol

from torch import Tensor

UNET_PREFIXES = (
    "lora_unet_",
    "lycoris_",
    "unet.base_model.model.",
    "base_model.model.unet.",
    "base_model.model.",
    "unet.",
    "model.diffusion_model.",
    "diffusion_model.",
    "",
)
TEXT_STARTS = (
    "lora_te",
    "lora_prior_te",
    "text_encoder",
    "base_model.model.text_model",
    "text_model",
)


class Cut(Protocol):
    """A part of a tensor: some of its rows, perhaps in another order."""

    def of(self, tensor: Tensor) -> Tensor: ...


class Target(NamedTuple):
    """A parameter, and which part of a change to what it belongs to is for it; None is all."""

    name: str
    cut: Cut | None = None


class Names:
    """The weights that a file may change. Equal names read a file equally.

    A family's is a frozen dataclass that inherits from it and says what differs.
    """

    def parameters(self) -> Mapping[str, str]:
        """Stem, flattened -> the parameter's name in the module."""
        raise NotImplementedError

    def stems(self, stem: str) -> Iterable[str]:
        """The flattened names that a stem of a file may stand for."""
        raise NotImplementedError

    def mine(self, key: str) -> bool:
        """Whether a key is meant for this kind of model, be it found or not."""
        return not is_for_text(key)

    def targets(self, name: str) -> list[Target]:
        """The parameters that one of `parameters` stands for: itself, or those it is cut into."""
        return [Target(name)]

    def endings(self, keys: Collection[str]) -> Mapping[str, str]:  # noqa: ARG002
        """Endings of keys, and the part that each names, that only files of this kind have."""
        return {}

    def fills_up(self, key: str) -> bool:  # noqa: ARG002
        """Whether the factor of this key may have more inputs than its weight, unannounced."""
        return False

    def widens(self, parameter: str) -> bool:  # noqa: ARG002
        """Whether a parameter may come to have more inputs."""
        return False


def is_for_text(key: str) -> bool:
    """Whether a key speaks of a text encoder; all others speak of the diffusion model."""
    return key.startswith(TEXT_STARTS)


def flat(name: str) -> str:
    """A name as kohya writes it, and without diffusers' former attention processors."""
    return name.replace(".", "_").replace("_processor_", "_")
