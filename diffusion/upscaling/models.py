"""Loads upscaling models with spandrel, which recognises them by tensor names.

spandrel imports torchvision for two of its forty architectures, LaMa (which is for inpainting) and
RestoreFormer. Where torchvision is not installed these two are left out, and all others work.
"""

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from math import prod
from types import ModuleType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from diffusion.weights import Weights
from graph.plain_reasons import UNFIT_FILE, plain_reason

if TYPE_CHECKING:
    from spandrel import (  # type: ignore[import-untyped]
        ImageModelDescriptor,
        ModelDescriptor,
    )

NEED_TORCHVISION = ("LaMa", "RestoreFormer")
COLORS = 3
SPARE_BYTES = 2**30  # a network may take so much more than four times its file
LONGEST_NAME = 120
MISFITS = (  # as Module.load_state_dict says it
    (r'Missing key\(s\) in state_dict: "([^"]+)"', "tensor {!r} is missing"),
    (r"size mismatch for (\S+):", "tensor {!r} has another shape"),
)
FACTORIES = frozenset({torch.empty, torch.zeros, torch.ones, torch.rand, torch.randn})


@dataclass(frozen=True, eq=False)
class LoadedUpscaler:
    """A network that makes pictures `scale` times larger along each side, ready to run."""

    descriptor: "ImageModelDescriptor[Any]"
    device: torch.device
    scale: int
    size: int  # bytes

    @torch.inference_mode()
    def __call__(self, x: Tensor) -> Tensor:
        """[1, 3, H, W] in 0..1 on any device to [1, 3, H * scale, W * scale] on the CPU."""
        upscaled: Tensor = self.descriptor(x.to(self.device, torch.float32))
        return upscaled.cpu()


def load_upscaler(weights: Weights, *, device: torch.device) -> LoadedUpscaler:
    """The network in a file, in float32 as ComfyUI runs it.

    Raises:
        BadModelFile: it is none, or is damaged, or not one that takes and gives coloured pictures.
    """
    descriptor = _describe(weights)
    if descriptor.input_channels != COLORS or descriptor.output_channels != COLORS:
        channels = f"{descriptor.input_channels} channels to {descriptor.output_channels}"
        raise weights.bad(problem=f"it turns pictures of {channels}, not of 3 to 3")
    model = descriptor.model.float().eval().requires_grad_(requires_grad=False).to(device)
    tensors = [*model.parameters(), *model.buffers()]
    return LoadedUpscaler(
        descriptor=descriptor,
        device=device,
        scale=descriptor.scale,
        size=sum(t.numel() * t.element_size() for t in tensors),
    )


def _describe(weights: Weights) -> "ImageModelDescriptor[Any]":
    spandrel = import_spandrel()
    tensors = {key: weights[key] for key in weights}
    limit = 4 * sum(t.numel() * t.element_size() for t in tensors.values()) + SPARE_BYTES
    try:
        with AllocationLimit(limit):
            descriptor: ModelDescriptor = spandrel.MAIN_REGISTRY.load(tensors)
    except spandrel.UnsupportedModelError as error:
        examples = ", ".join(sorted(weights)[:3])
        raise weights.bad(
            problem=f"no known upscaling model; found {len(weights)} tensors such as {examples}"
        ) from error
    except Exception as error:  # whatever an architecture raises, the file gave the reason
        problem = _misfit(str(error)) or plain_reason(error, UNFIT_FILE)
        raise weights.bad(problem=f"not a whole upscaling model: {problem}") from error
    if not isinstance(descriptor, spandrel.ImageModelDescriptor):
        raise weights.bad(problem=f"{descriptor.architecture.name} does not upscale pictures")
    return descriptor


def _misfit(said: str) -> str:
    """The first tensor that torch misses in a file, or finds in another shape; "" of neither."""
    for pattern, problem in MISFITS:
        if found := re.search(pattern, said):
            return problem.format(found[1][:LONGEST_NAME])
    return ""


class AllocationLimit(TorchFunctionMode):
    """Within it, torch makes no more than `limit_bytes` of new tensors, what is freed included.

    A file of a few bytes can name sizes whose network would take all memory there is.
    """

    def __init__(self, limit_bytes: int) -> None:
        super().__init__()
        self._left = limit_bytes

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        options = kwargs or {}
        if func in FACTORIES:
            given = options.get("size", args[0] if len(args) == 1 else args)
            size = [given] if isinstance(given, int) else list(given)
            dtype = options.get("dtype") or torch.get_default_dtype()
            self._left -= prod(size) * dtype.itemsize
            if self._left < 0:
                problem = f"its sizes, such as {size}, do not belong to a file this small"
                raise ValueError(problem)
        return func(*args, **options)


def import_spandrel() -> Any:
    """The library; importing it takes more than a second."""
    if find_spec("torchvision") is None:
        for name in NEED_TORCHVISION:
            module = ModuleType(f"spandrel.architectures.{name}")
            setattr(module, f"{name}Arch", lambda name=name: LeftOut(name))
            sys.modules.setdefault(module.__name__, module)
    import spandrel  # noqa: PLC0415 - see above

    return spandrel


@dataclass(frozen=True)
class LeftOut:
    """An architecture that cannot be imported here. No file is found to be one."""

    id: str

    @staticmethod
    def detect(_: Mapping[str, object]) -> bool:
        return False
