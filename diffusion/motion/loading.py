"""Motion modules in memory, in the same budget as a replica's other weights."""

import math
import re
from collections.abc import AsyncIterator, Callable, Hashable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor

from diffusion.families.family import LoadedModel
from diffusion.memory.cache import ModelCache, leased
from diffusion.motion.files import POSITIONS, MotionFile, base_of, own_schedule, read_motion
from diffusion.motion.network import FrameTransformer, Layout, MotionNetwork
from diffusion.networks.filling import copied, fill
from diffusion.weights import Weights
from graph.motion import BETA_SCHEDULE, EVOLVED, Evolved, Motion, MotionLora
from graph.values import Change, Model, ModelFile

OpenWeights: TypeAlias = Callable[[ModelFile], Weights]
Key: TypeAlias = tuple[ModelFile, tuple[MotionLora, ...]]
WIDTH_AT = "motion_modules.0.temporal_transformer.norm.weight"
MODULE = re.compile(r"[a-z_]+(?:\.\d+)?\.motion_modules\.(\d+)\.")
LORA_NAME = re.compile(r"\.processor\.(to_q|to_k|to_v|to_out)_lora\.down\.weight$")


@dataclass(frozen=True, eq=False)
class LoadedMotion:
    """A motion module, ready to run."""

    file: MotionFile
    network: MotionNetwork
    size: int  # bytes

    def by_place(self, model: LoadedModel) -> Mapping[str, FrameTransformer]:
        """The modules by the places of a U-Net's layers. Raises BadModelFile if they do not fit."""
        places = model.family.motion_places(model.shape)
        base = base_of(self.file)
        if places is None:
            problem = f"it moves {base}, and the model is of another family"
            raise self.file.weights.bad(problem=problem)
        found: dict[str, FrameTransformer] = {}
        for modules, theirs in (
            (self.network.down, places.down),
            (self.network.middle, places.middle),
            (self.network.up, places.up),
        ):
            widths = [module.norm.num_channels for module in modules]
            wanted = [width for _, width in theirs]
            if modules and widths != wanted:
                problem = f"it moves {base}, in layers of widths {widths}: the model's are {wanted}"
                raise self.file.weights.bad(problem=problem)
            if modules:
                found |= zip((place for place, _ in theirs), modules, strict=True)
        return found


def load_motion(
    weights: Weights,
    loras: Iterable[tuple[Weights, float]] = (),
    *,
    dtype: torch.dtype,
    device: torch.device,
) -> LoadedMotion:
    """Raises BadModelFile where a tensor is missing or misshapen, or a LoRA is none."""
    file = read_motion(weights)
    with torch.device("meta"):
        network = MotionNetwork(_layout(file))
    wanted = dict(network.named_parameters())
    tensors = {
        name: copied(weights[key], dtype, device)
        for name, key in file.keys.items()
        if name in wanted
    }
    if file.kind == "lcm":
        tables = {name: p.shape for name, p in wanted.items() if name.endswith(POSITIONS)}
        tensors |= {name: sinusoid(*shape[1:]).to(device, dtype) for name, shape in tables.items()}
    for lora, strength in loras:
        _apply(lora, strength, tensors)
    fill(network, weights, tensors)
    size = sum(tensor.nbytes for tensor in tensors.values())
    return LoadedMotion(file, network, size)


def _layout(file: MotionFile) -> Layout:
    def level(block: str) -> tuple[int, int]:
        name = f"{block}.{WIDTH_AT}"
        if name not in file.keys:
            raise file.weights.bad(problem=f"the tensor for {name!r} is missing")
        numbers = {
            own[1] for own in map(MODULE.match, file.keys) if own and own[0].startswith(block)
        }
        return math.prod(file.weights.shape(file.keys[name])), len(numbers)

    levels = range(file.levels)
    return Layout(
        tuple(level(f"down_blocks.{number}") for number in levels),
        tuple(level(f"up_blocks.{number}") for number in levels),
        level("mid_block") if file.has_middle else None,
        file.frames,
        file.attentions,
    )


def sinusoid(frames: int, width: int) -> Tensor:
    """Positions [1, frames, width], sines and cosines in turn (Vaswani et al. 2017, sec. 3.5)."""
    steps = torch.arange(0, width, 2) * (-math.log(10000.0) / width)
    angles = torch.arange(frames).unsqueeze(1) * steps.exp()
    return torch.stack([angles.sin(), angles.cos()], dim=-1).reshape(1, frames, width)


def _apply(lora: Weights, strength: float, tensors: dict[str, Tensor]) -> None:
    """Add up @ down to the weights that a LoRA is for; the middle's only where there are some."""
    downs = [key for key in lora if LORA_NAME.search(key)]
    if not downs:
        listed = ", ".join(sorted(lora)[:3])
        problem = f"it is no motion LoRA: found {len(lora)} tensors such as {listed}"
        raise lora.bad(problem=problem)
    for key in downs:
        up = key.replace(".down.", ".up.")
        if up not in lora:
            raise lora.bad(problem=f"the tensor {up!r} is missing")
        name = LORA_NAME.sub(r".\1.weight", key.removeprefix("module."))
        name = name.replace(".to_out.weight", ".to_out.0.weight")
        weight = tensors.get(name)
        if weight is None:
            if name.startswith("mid_block."):
                continue
            raise lora.bad(problem=f"the motion module has no {name!r} to change")
        if lora.shape(up)[:1] + lora.shape(key)[1:] != weight.shape:
            shapes = f"{lora.shape(up)} by {lora.shape(key)}"
            problem = f"its change to {name!r} is {shapes}, for a weight of {tuple(weight.shape)}"
            raise lora.bad(problem=problem)
        change = (lora[up].float() @ lora[key].float()).to(weight.device)
        tensors[name] = (weight.float() + strength * change).to(weight.dtype)


def evolved_of(changes: Iterable[Change]) -> Evolved | None:
    """What was applied to a model last."""
    applied = [change["evolved"] for change in changes if change.kind == EVOLVED]
    return applied[-1] if applied else None


@dataclass(frozen=True, eq=False)
class MotionModules:
    """The motion modules of one replica."""

    open_weights: OpenWeights
    resident: ModelCache[Hashable, Any]
    dtype: torch.dtype
    device: torch.device

    @asynccontextmanager
    async def leased(self, model: Model) -> AsyncIterator[Mapping[Key, LoadedMotion]]:
        """Those applied to `model`, in memory until the block ends. Raises BadModelFile."""
        evolved = evolved_of(model.changes)
        async with AsyncExitStack() as stack:
            loaded: dict[Key, LoadedMotion] = {}
            for key in dict.fromkeys(map(key_of, evolved.motions if evolved else ())):
                lease = self.resident.lease(("motion", key), partial(self._load, key))
                loaded[key] = await stack.enter_async_context(leased(lease))
            yield loaded

    def scheduled(self, changes: Iterable[Change]) -> tuple[Change, ...]:
        """`changes`, with the beta schedules named that motion modules choose. Reads headers."""
        return tuple(
            Change(BETA_SCHEDULE, (("name", own_schedule(self._read(change["motion"]))),))
            if change.kind == BETA_SCHEDULE and not change["name"]
            else change
            for change in changes
        )

    def _read(self, file: ModelFile) -> MotionFile:
        return read_motion(self.open_weights(file))

    def _load(self, key: Key) -> LoadedMotion:
        file, loras = key
        applied = [(self.open_weights(lora.file), lora.strength) for lora in loras]
        weights = self.open_weights(file)
        return load_motion(weights, applied, dtype=self.dtype, device=self.device)


def key_of(motion: Motion) -> Key:
    return motion.file, motion.loras
