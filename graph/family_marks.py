"""Marks: the tensor names and shapes that identify the files of a model family."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mark:
    """What tells a file: modules that it has, modules that it lacks, and a tensor's size.

    `side`: tensor, axis, size. `of`: whom the file belongs to, where several families share it.
    """

    has: tuple[str, ...]
    lacks: tuple[str, ...] = ()
    side: tuple[str, int, int] | None = None
    of: str = ""


@dataclass(frozen=True)
class LoraMark:
    """What tells a LoRA: a layer that it changes, by a pattern of its name with underscores.

    `width`: channels that the layer reads. `ratio`: channels that it gives, as a multiple of those.
    """

    layer: str
    width: int = 0
    ratio: int = 0


@dataclass(frozen=True)
class Family:
    """Models that share an architecture. `text_width` tells a U-Net: the text that it reads.

    `layers` is how the names begin that LoRAs give to a transformer's layers, as a pattern.
    """

    name: str
    title: str
    networks: tuple[Mark, ...] = ()
    loras: tuple[LoraMark, ...] = ()
    controls: tuple[Mark, ...] = ()
    vaes: tuple[Mark, ...] = ()
    encoders: tuple[Mark, ...] = ()
    text_width: int = 0
    layers: str = ""
    served: bool = False
    text_type: str = ""  # what loaders of text encoders call it
    takes_loras_of: tuple[str, ...] = ()  # families with layers of the same names
    native_px: int = 512  # side of the pictures that it draws best
    ip_adapter: str = "ip-adapter_sd15"  # what the first file of an IP-Adapter for it is called
    ip_adapter_sees: str = "vit-h"  # the image encoder of that, by its public file's name


def has(*modules: str, lacks: tuple[str, ...] = (), of: str = "") -> Mark:
    """A file with these modules, and without those that it `lacks`."""
    return Mark(modules, lacks, of=of)


def sized(tensor: str, axis: int, size: int, *modules: str, of: str = "") -> Mark:
    """A file with a tensor of that size along one axis."""
    return Mark(modules, side=(tensor, axis, size), of=of)
