"""Where models run and in which precision."""

from dataclasses import dataclass
from typing import Literal

import torch

DeviceChoice = str  # "auto", or a name torch knows: "cpu", "cuda", "cuda:1", "mps"
DtypeChoice = Literal["auto", "float32", "float16", "bfloat16"]
NAMED = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Placement:
    """A device, and the precision of each kind of model on it."""

    device: torch.device
    diffusion: torch.dtype
    vae: torch.dtype
    text: torch.dtype


def choose(device: DeviceChoice = "auto", dtype: DtypeChoice = "auto") -> Placement:
    """The placement that settings ask for; "auto" is the first GPU, else the CPU.

    Left to "auto", a GPU computes diffusion models in float16 and autoencoders, which overflow
    in it, in bfloat16 where the GPU has it; a CPU computes all in float32. Text encoders are in
    float32 everywhere: they are small, and ComfyUI's conditioning is float32.
    """
    chosen = torch.device(_first_device() if device == "auto" else device)
    if dtype != "auto":
        return Placement(chosen, NAMED[dtype], _vae_dtype(chosen, NAMED[dtype]), torch.float32)
    if chosen.type == "cpu":
        return Placement(chosen, torch.float32, torch.float32, torch.float32)
    return Placement(chosen, torch.float16, _vae_dtype(chosen, torch.float16), torch.float32)


def _first_device() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _vae_dtype(device: torch.device, dtype: torch.dtype) -> torch.dtype:
    if dtype != torch.float16:
        return dtype
    bf16 = device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)
    return torch.bfloat16 if bf16 else torch.float32
