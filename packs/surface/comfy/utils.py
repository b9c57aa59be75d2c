"""comfy.utils: progress, scaling, reading and writing safetensors."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from imaging.bislerp import bislerp as _bislerp
from imaging.resize import resize
from packs.child.calls import Call, current
from packs.surface.previews import jpeg_of

PROGRESS_BAR_ENABLED = True
PROGRESS_BAR_HOOK: Any = None
DISABLE_MMAP = False


def set_progress_bar_enabled(enabled: bool) -> None:
    global PROGRESS_BAR_ENABLED  # noqa: PLW0603 - ComfyUI's name, that packs read
    PROGRESS_BAR_ENABLED = enabled


def set_progress_bar_global_hook(function: Any) -> None:
    """Progress goes to the owner of the job alone."""
    del function


class ProgressBar:
    """The progress of a node, told to the owner of its job."""

    def __init__(self, total: float, node_id: str | None = None) -> None:
        del node_id
        self.total = total
        self.current: float = 0
        self.hook: Any = None
        self._call: Call = current()

    def update_absolute(
        self, value: float, total: float | None = None, preview: Any = None
    ) -> None:
        """Say how far it is; `preview` is (format, picture, longest side)."""
        self.total = self.total if total is None else total
        self.current = min(value, self.total)
        self._call.check()
        picture = preview[1] if isinstance(preview, tuple) and len(preview) > 1 else None
        jpeg = jpeg_of(picture, *preview[2:3]) if hasattr(picture, "save") else None
        self._call.tell("progress", value=float(self.current), max=float(self.total), jpeg=jpeg)

    def update(self, value: float) -> None:
        self.update_absolute(self.current + value)


def lanczos(samples: Tensor, width: int, height: int) -> Tensor:
    """Pictures [B, C, H, W] scaled by Pillow, with 8 bits for each channel."""
    return resize(samples, width, height, "lanczos", "disabled")


def bislerp(samples: Tensor, width: int, height: int) -> Tensor:
    return _bislerp(samples, width, height)


def common_upscale(
    samples: Tensor, width: int, height: int, upscale_method: Any, crop: Any
) -> Tensor:
    """Pictures or latents [B, C, ..., H, W] in another size; `center` cuts the sides off first."""
    return resize(samples, width, height, upscale_method, crop)


def load_torch_file(
    ckpt: str, safe_load: bool = True, device: Any = None, return_metadata: bool = False
) -> Any:
    """The tensors of a file; nothing is unpickled but tensors."""
    del safe_load
    where = "cpu" if device is None else str(device)
    metadata: Mapping[str, str] = {}
    if Path(ckpt).suffix.lower() in {".safetensors", ".sft"}:
        from safetensors import safe_open  # noqa: PLC0415

        with safe_open(ckpt, framework="pt", device=where) as file:
            tensors: Any = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
    else:
        tensors = torch.load(ckpt, map_location=where, weights_only=True)
        if isinstance(tensors, dict) and "state_dict" in tensors:
            tensors = tensors["state_dict"]
    return (tensors, metadata) if return_metadata else tensors


def save_torch_file(sd: Mapping[str, Tensor], ckpt: str, metadata: Any = None) -> None:
    from safetensors.torch import save_file  # noqa: PLC0415

    save_file({name: one.contiguous() for name, one in sd.items()}, ckpt, metadata=metadata)


def repeat_to_batch_size(tensor: Tensor, batch_size: int, dim: int = 0) -> Tensor:
    """As many rows as are asked for: the first ones, or all again and again."""
    if tensor.shape[dim] >= batch_size:
        return tensor.narrow(dim, 0, batch_size)
    times = [1] * tensor.ndim
    times[dim] = -(-batch_size // tensor.shape[dim])
    return tensor.repeat(times).narrow(dim, 0, batch_size)


def resize_to_batch_size(tensor: Tensor, batch_size: int) -> Tensor:
    """As many rows as are asked for, evenly chosen."""
    count = tensor.shape[0]
    if count == batch_size:
        return tensor
    if batch_size <= 1:
        return tensor[:batch_size]
    if batch_size < count:
        scale = (count - 1) / (batch_size - 1)
        picked = [min(round(k * scale), count - 1) for k in range(batch_size)]
    else:
        scale = count / batch_size
        picked = [min(int((k + 0.5) * scale), count - 1) for k in range(batch_size)]
    return tensor[picked]


def state_dict_prefix_replace(
    state_dict: dict[str, Any], replace_prefix: Mapping[str, str], filter_keys: bool = False
) -> dict[str, Any]:
    """Names with other beginnings."""
    out: dict[str, Any] = {} if filter_keys else state_dict
    for old, new in replace_prefix.items():
        for name in [name for name in state_dict if name.startswith(old)]:
            out[new + name[len(old) :]] = state_dict.pop(name)
    return out


def calculate_parameters(sd: Mapping[str, Any], prefix: str = "") -> int:
    return sum(one.nelement() for name, one in sd.items() if name.startswith(prefix))


def get_attr(obj: Any, attr: str) -> Any:
    """An attribute of an attribute, by a name with dots."""
    for name in attr.split("."):
        obj = getattr(obj, name)
    return obj


def set_attr(obj: Any, attr: str, value: Any) -> Any:
    *path, last = attr.split(".")
    owner = get_attr(obj, ".".join(path)) if path else obj
    before = getattr(owner, last)
    setattr(owner, last, value)
    return before


def get_tiled_scale_steps(width: int, height: int, tile_x: int, tile_y: int, overlap: int) -> int:
    """How many tiles cover a picture."""
    rows = 1 if height <= tile_y else -(-(height - overlap) // (tile_y - overlap))
    cols = 1 if width <= tile_x else -(-(width - overlap) // (tile_x - overlap))
    return int(rows * cols)
