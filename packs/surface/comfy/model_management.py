"""comfy.model_management: devices and memory, as a pack's process has them."""

import os
from enum import Enum
from typing import Any

import torch

from packs.child.calls import InterruptProcessingException, current

__all__ = ["InterruptProcessingException"]
OOM_EXCEPTION = torch.cuda.OutOfMemoryError
XFORMERS_IS_AVAILABLE = False
current_loaded_models: list[Any] = []


class VRAMState(Enum):
    """How memory of a device is used."""

    DISABLED = 0
    NO_VRAM = 1
    LOW_VRAM = 2
    NORMAL_VRAM = 3
    HIGH_VRAM = 4
    SHARED = 5


class CPUState(Enum):
    """What computes."""

    GPU = 0
    CPU = 1
    MPS = 2


vram_state = VRAMState.NORMAL_VRAM if torch.cuda.is_available() else VRAMState.DISABLED
cpu_state = CPUState.GPU if torch.cuda.is_available() else CPUState.CPU
lowvram_available = False
total_ram = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**20
total_vram = total_ram


def get_torch_device() -> torch.device:
    return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")


def intermediate_device() -> torch.device:
    return torch.device("cpu")


def _cpu(*_: Any, **__: Any) -> torch.device:
    return torch.device("cpu")


def _device(*_: Any, **__: Any) -> torch.device:
    return get_torch_device()


unet_offload_device = vae_offload_device = text_encoder_offload_device = _cpu
text_encoder_device = vae_device = unet_inital_load_device = _device


def get_torch_device_name(device: Any) -> str:
    return str(device)


def get_total_memory(dev: Any = None, torch_total_too: bool = False) -> Any:
    """Bytes of memory."""
    del dev
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return (total, total) if torch_total_too else total


def get_free_memory(dev: Any = None, torch_free_too: bool = False) -> Any:
    """Bytes of memory that nobody uses."""
    del dev
    free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    return (free, free) if torch_free_too else free


def _nothing(*_: Any, **__: Any) -> None:
    """Models are the service's: there is nothing to load, free or move."""


load_models_gpu = load_model_gpu = free_memory = cleanup_models = unload_all_models = _nothing
cleanup_models_gc = unload_model_clones = _nothing


def soft_empty_cache(force: bool = False) -> None:
    del force
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def loaded_models(only_currently_used: bool = False) -> list[Any]:
    del only_currently_used
    return []


def is_device_cpu(device: Any) -> bool:
    return str(getattr(device, "type", device)) == "cpu"


def is_device_mps(device: Any) -> bool:
    return str(getattr(device, "type", device)) == "mps"


def is_device_cuda(device: Any) -> bool:
    return str(getattr(device, "type", device)) == "cuda"


def is_nvidia() -> bool:
    return torch.cuda.is_available()


def _no(*_: Any, **__: Any) -> bool:
    return False


is_intel_xpu = is_amd = is_directml_enabled = is_ascend_npu = cpu_mode = mps_mode = _no
should_use_bf16 = should_use_fp16 = xformers_enabled = xformers_enabled_vae = _no
pytorch_attention_enabled = sage_attention_enabled = flash_attention_enabled = _no
device_supports_non_blocking = supports_fp8_compute = _no


def unet_dtype(*_: Any, **__: Any) -> torch.dtype:
    return torch.float32


vae_dtype = text_encoder_dtype = intermediate_dtype = _dtype = unet_dtype


def dtype_size(dtype: torch.dtype) -> int:
    return torch.empty(0, dtype=dtype).element_size()


def cast_to(weight: Any, dtype: Any = None, device: Any = None, *_: Any, **__: Any) -> Any:
    return weight.to(device=device, dtype=dtype)


def cast_to_device(tensor: Any, device: Any, dtype: Any, copy: bool = False) -> Any:
    return tensor.to(device=device, dtype=dtype, copy=copy)


def interrupt_current_processing(value: bool = True) -> None:
    """Stop the job that is running, of which this call is."""
    if value:
        current().stopped.set()


def processing_interrupted() -> bool:
    return current().stopped.is_set()


def throw_exception_if_processing_interrupted() -> None:
    current().check()
