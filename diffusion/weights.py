"""An opened model file: names, shapes and dtypes at once, tensors only when asked for."""

import json
import math
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from graph.errors import BadModelFile
from graph.values import ModelFile

PICKLED = frozenset({".ckpt", ".pt", ".pth", ".bin"})
# Where training scripts put the weights; of two sets, the averaged one (BasicSR's) is for use.
WRAPPERS = ("state_dict", "params_ema", "params", "string_to_param", "model", "depth_model")
MAX_HEADER_BYTES = 32 * 2**20  # the longest of public models is below 2 MiB
SAFETENSORS_DTYPES: Mapping[str, torch.dtype] = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


@dataclass(frozen=True)
class Entry:
    """What is known of a tensor without reading it. A dtype torch has no name for is None."""

    shape: tuple[int, ...]
    dtype: torch.dtype | None

    @property
    def size(self) -> int:
        """Bytes of the data."""
        return math.prod(self.shape) * (self.dtype.itemsize if self.dtype else 1)


class Weights(Mapping[str, Tensor]):
    """The tensors of one file, or of the part of it whose names share a prefix.

    Indexing reads one tensor from the file to the CPU. It may share the file's memory map, so
    whoever keeps a tensor copies it. Safe to read from several threads.
    """

    def __init__(
        self,
        file: ModelFile,
        entries: Mapping[str, Entry],
        read: Callable[[str], Tensor],
        prefix: str = "",
    ) -> None:
        self.file = file
        self._entries = entries
        self._read = read
        self._prefix = prefix

    def __getitem__(self, key: str) -> Tensor:
        if key not in self._entries:
            raise KeyError(key)
        try:
            return self._read(self._prefix + key)
        except (SafetensorError, RuntimeError, OSError) as error:
            raise self.bad(
                problem=f"tensor {self._prefix + key!r} cannot be read: {error}"
            ) from error

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: object) -> bool:  # Mapping's own would read the tensor
        return key in self._entries

    def shape(self, key: str) -> tuple[int, ...]:
        return self._entries[key].shape

    def dtype(self, key: str) -> torch.dtype | None:
        return self._entries[key].dtype

    def under(self, prefix: str) -> "Weights":
        """The tensors whose names start with `prefix`, named without it."""
        entries = {
            key.removeprefix(prefix): entry
            for key, entry in self._entries.items()
            if key.startswith(prefix)
        }
        return Weights(self.file, entries, self._read, self._prefix + prefix)

    def bad(self, *, problem: str) -> BadModelFile:
        """The error that says what is wrong with this file."""
        return BadModelFile(self.file.folder, self.file.name, problem)


def open_weights(path: Path, file: ModelFile) -> Weights:
    """Open `path`, which messages call `file`. No code in the file is ever run.

    Raises:
        BadModelFile: not a model file, cut short, or holding more than tensors.
    """
    if path.suffix.lower() in PICKLED:
        return _open_pickled(path, file)
    return _open_safetensors(path, file)


def _open_safetensors(path: Path, file: ModelFile) -> Weights:
    try:
        header = _header(path)
        handle = safe_open(path, framework="pt", device="cpu")
    except (OSError, ValueError, TypeError, RecursionError, SafetensorError) as error:
        raise BadModelFile(file.folder, file.name, f"not a safetensors file: {error}") from error
    entries = {
        key: Entry(tuple(entry["shape"]), SAFETENSORS_DTYPES.get(entry["dtype"]))
        for key, entry in header.items()
        if key != "__metadata__"
    }
    return Weights(file, entries, handle.get_tensor)


def _header(path: Path) -> dict[str, Any]:
    """The JSON header: its length as a little-endian uint64, then the text."""
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if not 2 <= length <= MAX_HEADER_BYTES:
            problem = f"a header of {length} bytes is not believable"
            raise ValueError(problem)
        header = json.loads(stream.read(length))
    if not isinstance(header, dict):
        problem = "the header is not an object"
        raise TypeError(problem)
    return header


class Ignored:
    """Stands in for what training tools put beside the weights; keeps and does nothing."""

    def __new__(cls, *_: Any) -> "Ignored":
        return super().__new__(cls)

    def __setstate__(self, state: Any) -> None:
        pass


class StoredParameters(dict[str, Tensor]):
    """Stands in for torch's ParameterDict, in which the first embeddings were stored."""

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.update(state["_parameters"])


# Found in public Stable Diffusion checkpoints beside the state dict.
BESIDE_THE_WEIGHTS = (
    "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint",
    "pytorch_lightning.callbacks.early_stopping.EarlyStopping",
    "lightning.pytorch.callbacks.model_checkpoint.ModelCheckpoint",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "numpy.dtype",
)
PARAMETER_DICT = "torch.nn.modules.container.ParameterDict"


def _open_pickled(path: Path, file: ModelFile) -> Weights:
    try:
        loaded = _unpickle(path)
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        problem = f"not a readable checkpoint: {reason}"
        raise BadModelFile(file.folder, file.name, problem) from error
    tensors = _state_dict(loaded)
    if not tensors:
        raise BadModelFile(file.folder, file.name, "no tensors in it")
    entries = {key: Entry(tuple(t.shape), t.dtype) for key, t in tensors.items()}
    return Weights(file, entries, tensors.__getitem__)


def _unpickle(path: Path) -> Any:
    """`torch.load`, which builds tensors and plain containers and refuses everything else."""
    torch.serialization.add_safe_globals([(Ignored, name) for name in BESIDE_THE_WEIGHTS])
    torch.serialization.add_safe_globals([(StoredParameters, PARAMETER_DICT)])
    in_zip = zipfile.is_zipfile(path)
    if in_zip:
        _refuse_zip_bomb(path)
    return torch.load(path, map_location="cpu", weights_only=True, mmap=in_zip)


def _refuse_zip_bomb(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(entry.file_size for entry in archive.infolist())
    if unpacked > path.stat().st_size:  # torch stores, it never compresses
        problem = f"it would unpack to {unpacked} bytes"
        raise ValueError(problem)


def _state_dict(loaded: Any) -> dict[str, Tensor]:
    """The tensors by name, from under the wrappers that training scripts put around them."""
    if not isinstance(loaded, Mapping):
        return {}
    wrapped = [loaded.get(name) for name in WRAPPERS]
    if len(loaded) == 1:
        wrapped.extend(loaded.values())
    source = next((inner for inner in wrapped if isinstance(inner, Mapping)), loaded)
    parts = {} if source is not loaded else {k: v for k, v in loaded.items() if _is_part(v)}
    inner = {f"{part}.{key}": value for part, own in parts.items() for key, value in own.items()}
    named = {str(key): value for key, value in source.items()} | inner
    return {key: value for key, value in named.items() if isinstance(value, Tensor)}


def _is_part(value: Any) -> bool:
    """Whether this is one of several state dicts in a file, as IP-Adapters' are."""
    return isinstance(value, Mapping) and any(isinstance(own, Tensor) for own in value.values())
