"""How files pack matrices into fewer bits than their numbers would take.

ComfyUI's quantised files keep beside a layer's `weight` what its numbers are multiplied by. Which
form that has is said by the layer's own `comfy_quant` (JSON as bytes), by `_quantization_metadata`
in the file's metadata, or, in older files, by the names `scale_weight` and `scaled_fp8` alone.
(ComfyUI comfy/ops.py, `_load_quantized_module`; comfy/utils.py, `convert_old_quants`)
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from graph.model_files.limits import BadHeaderError, HeaderLimits

METADATA = "_quantization_metadata"
SETTINGS = "comfy_quant"
MARKER = "scaled_fp8"
SCALES = ("weight_scale", "scale_weight")
# What a layer keeps beside its weight and bias: no tensors of the network.
BESIDE = frozenset(
    {
        *SCALES,
        SETTINGS,
        MARKER,
        "weight_scale_2",
        "input_scale",
        "scale_input",
        "pre_quant_scale",
        "weight_s_rel",
        "weight_s_channel",
        "weight_codebook",
    }
)
SCALED = "scaled"  # numbers times one scale, or one for each row
TURNED = "turned"  # the same, in groups of columns that were turned by a Hadamard matrix
NVFP4, MXFP8, INT4 = "nvfp4", "mxfp8", "int4"
SETTINGS_BYTES = 4096  # of one layer
GROUP = 256  # columns that are turned together, where settings do not say
MOST_GROUPED = 4096
FLOAT8 = frozenset({"F8_E4M3", "F8_E5M2"})
BYTES = frozenset({"U8", "I8"})
# Rows and columns of scales are brought to multiples of these (cuBLAS's layout of block scales).
SCALE_ROWS, SCALE_COLUMNS = 128, 4


@dataclass(frozen=True)
class Packing:
    """The form of a packed tensor, and what it is made of.

    `parts`: what lies beside it, by its role. `group`: columns that belong together.
    """

    form: str
    stored_bytes: int
    parts: tuple[tuple[str, str], ...] = ()
    group: int = 0


@dataclass(frozen=True)
class Entry:
    """One tensor, whose dtype goes by its name in safetensors files, or in GGUF files.

    The shape of a packed one is that of the numbers it stands for.
    """

    shape: tuple[int, ...]
    dtype: str
    packing: Packing | None = None


def layer_settings(
    metadata: Mapping[str, str], stored: Mapping[str, bytes]
) -> dict[str, dict[str, Any]]:
    """What a file says of its packed layers. `stored`: each layer's own words.

    Raises:
        BadHeaderError: something else than settings is there.
    """
    found: dict[str, dict[str, Any]] = {}
    if METADATA in metadata:
        layers = _parsed(metadata[METADATA], f"its {METADATA}").get("layers")
        if not isinstance(layers, dict):
            problem = f"its {METADATA} has no layers"
            raise BadHeaderError(problem)
        found |= {name: _settings(said, name) for name, said in layers.items()}
    for layer, text in stored.items():
        try:
            said = text.decode()
        except UnicodeDecodeError as error:
            raise _odd(f"{layer}.{SETTINGS}", "is not text") from error
        found[layer] = _parsed(said, f"tensor '{layer}.{SETTINGS}'")
    return found


def unpacked_entries(
    tensors: Mapping[str, Entry], settings: Mapping[str, Mapping[str, Any]], limits: HeaderLimits
) -> dict[str, Entry]:
    """The tensors of the network: packed ones with the shapes they stand for, and no scales.

    Raises:
        BadHeaderError: a scale is missing or has no fitting shape, or a form is not known.
    """
    found = {name: entry for name, entry in tensors.items() if not _is_beside(name, tensors)}
    for layer, said in settings.items():
        weight = f"{layer}.weight"
        if weight not in tensors:
            raise _odd(weight, f"is missing, of which {SETTINGS} tells the form")
        found[weight] = _of_settings(weight, said, tensors)
    for name, layer in _scaled(tensors):
        if layer not in settings:
            weight = f"{layer}.weight"
            found[weight] = _scaled_entry(weight, tensors[weight], name, tensors)
    for name, entry in found.items():
        limits.check_shape(name, entry.shape)
    return found


def _is_beside(name: str, tensors: Mapping[str, Entry]) -> bool:
    layer, _, leaf = name.rpartition(".")
    return leaf in BESIDE and (leaf == MARKER or f"{layer}.weight" in tensors)


def _scaled(tensors: Mapping[str, Entry]) -> Iterator[tuple[str, str]]:
    """The scales that are known by their names alone, and their layers."""
    for name in tensors:
        layer, _, leaf = name.rpartition(".")
        if leaf in SCALES and f"{layer}.weight" in tensors:
            yield name, layer


def _of_settings(weight: str, said: Mapping[str, Any], tensors: Mapping[str, Entry]) -> Entry:
    form = said.get("format")
    make = FORMS.get(form) if isinstance(form, str) else None
    if make is None:
        raise _odd(weight, f"has the unknown format {form!r:.40}")
    if "num_experts" in said:
        raise _odd(weight, "is a bank of experts, which no model here has")
    if len(tensors[weight].shape) != 2:
        raise _odd(weight, f"is {tensors[weight].shape}, and packed layers are matrices")
    return make(weight, said, tensors)


def _float8(weight: str, _said: Mapping[str, Any], tensors: Mapping[str, Entry]) -> Entry:
    entry = _stored_as(weight, tensors, FLOAT8)
    return _scaled_entry(weight, entry, _beside(weight, tensors, "weight_scale"), tensors)


def _int8(weight: str, said: Mapping[str, Any], tensors: Mapping[str, Entry]) -> Entry:
    entry = _stored_as(weight, tensors, frozenset({"I8"}))
    scaled = _scaled_entry(weight, entry, _beside(weight, tensors, "weight_scale"), tensors)
    if not _setting(said, "convrot", default=False):
        return scaled
    group = _group(weight, said, "convrot_groupsize", entry.shape[1])
    assert scaled.packing is not None
    packing = Packing(TURNED, scaled.packing.stored_bytes, scaled.packing.parts, group)
    return Entry(entry.shape, entry.dtype, packing)


def _scaled_entry(weight: str, entry: Entry, scale: str, tensors: Mapping[str, Entry]) -> Entry:
    rows = entry.shape[0] if entry.shape else 1
    if math.prod(tensors[scale].shape) not in (1, rows):
        expected = f"one for {weight!r} or one for each of its {rows} rows"
        raise _odd(scale, f"is {tensors[scale].shape}, not {expected}")
    return _packed(weight, entry.shape, SCALED, {"scale": scale}, tensors)


def _nvfp4(weight: str, _said: Mapping[str, Any], tensors: Mapping[str, Entry]) -> Entry:
    entry = _stored_as(weight, tensors, frozenset({"U8"}))
    parts = {
        "scale": _beside(weight, tensors, "weight_scale"),
        "whole": _beside(weight, tensors, "weight_scale_2"),
    }
    shape = _without_padding(weight, (entry.shape[0], 2 * entry.shape[1]), tensors)
    _check_blocks(parts["scale"], shape, 16, tensors)
    if math.prod(tensors[parts["whole"]].shape) != 1:
        raise _odd(parts["whole"], f"is {tensors[parts['whole']].shape}, not one number")
    return _packed(weight, shape, NVFP4, parts, tensors, group=16)


def _mxfp8(weight: str, _said: Mapping[str, Any], tensors: Mapping[str, Entry]) -> Entry:
    entry = _stored_as(weight, tensors, FLOAT8)
    scale = _beside(weight, tensors, "weight_scale")
    shape = _without_padding(weight, (entry.shape[0], entry.shape[1]), tensors)
    _check_blocks(scale, shape, 32, tensors)
    return _packed(weight, shape, MXFP8, {"scale": scale}, tensors, group=32)


def _int4(weight: str, said: Mapping[str, Any], tensors: Mapping[str, Entry]) -> Entry:
    entry = _stored_as(weight, tensors, BYTES)
    scale = _beside(weight, tensors, "weight_scale")
    shape = (entry.shape[0], 2 * entry.shape[1])
    if math.prod(tensors[scale].shape) != shape[0]:
        raise _odd(scale, f"is {tensors[scale].shape}, not one for each of {shape[0]} rows")
    group = _group(weight, said, "convrot_groupsize", shape[1])
    return _packed(weight, shape, INT4, {"scale": scale}, tensors, group=group)


FORMS = {
    "float8_e4m3fn": _float8,
    "float8_e5m2": _float8,
    "int8_tensorwise": _int8,
    "nvfp4": _nvfp4,
    "mxfp8": _mxfp8,
    "convrot_w4a4": _int4,
}


def _packed(
    weight: str,
    shape: tuple[int, ...],
    form: str,
    parts: Mapping[str, str],
    tensors: Mapping[str, Entry],
    *,
    group: int = 0,
) -> Entry:
    if not shape or 0 in shape:
        raise _odd(weight, f"is {shape}, in which nothing can be packed")
    smoothing = f"{weight.removesuffix('weight')}pre_quant_scale"
    if smoothing in tensors and len(shape) == 2:
        if math.prod(tensors[smoothing].shape) != shape[1]:
            raise _odd(smoothing, f"is {tensors[smoothing].shape}, not one for each column")
        parts = {**parts, "columns": smoothing}
    stored = sum(_bytes(tensors[name]) for name in (weight, *parts.values()))
    return Entry(shape, tensors[weight].dtype, Packing(form, stored, tuple(parts.items()), group))


def _bytes(entry: Entry) -> int:
    return math.prod(entry.shape) * {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}.get(entry.dtype, 1)


def _stored_as(weight: str, tensors: Mapping[str, Entry], dtypes: frozenset[str]) -> Entry:
    entry = tensors[weight]
    if entry.dtype not in dtypes:
        raise _odd(weight, f"is stored as {entry.dtype}, not as {' or '.join(sorted(dtypes))}")
    return entry


def _beside(weight: str, tensors: Mapping[str, Entry], leaf: str) -> str:
    name = weight.removesuffix("weight") + leaf
    if name not in tensors:
        raise _odd(name, f"is missing, without which {weight!r} cannot be read")
    return name


def _check_blocks(
    scale: str, shape: tuple[int, int], block: int, tensors: Mapping[str, Entry]
) -> None:
    """Raises unless there is a scale for each block of a row, in cuBLAS's padded layout."""
    rows, columns = shape
    blocks = columns // block
    expected = (_up(rows, SCALE_ROWS), _up(blocks, SCALE_COLUMNS))
    found = tensors[scale].shape
    if columns % block or not blocks or math.prod(found) != math.prod(expected):
        raise _odd(scale, f"is {found}, not {expected} for a matrix {shape}")


def _without_padding(
    weight: str, padded: tuple[int, int], tensors: Mapping[str, Entry]
) -> tuple[int, int]:
    """Rows are filled up to a multiple; how many there are the bias says."""
    bias = tensors.get(weight.removesuffix("weight") + "bias")
    rows = bias.shape[0] if bias is not None and len(bias.shape) == 1 else padded[0]
    return (rows if 0 <= padded[0] - rows < 32 else padded[0]), padded[1]


def _group(weight: str, said: Mapping[str, Any], name: str, columns: int) -> int:
    """Columns that are turned together: a power of 4, of which a row has a whole number."""
    group = _setting(said, name, default=GROUP)
    power = type(group) is int and 4 <= group <= MOST_GROUPED and group in POWERS
    if not power or columns % group:
        raise _odd(weight, f"has {columns} columns, turned in groups of {group!r:.20}")
    return int(group)


POWERS = frozenset(4**power for power in range(1, 7))


def _setting(said: Mapping[str, Any], name: str, *, default: Any) -> Any:
    inner = said.get("params")
    return said.get(name, inner.get(name, default) if isinstance(inner, dict) else default)


def _up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple


def _parsed(text: str, what: str) -> dict[str, Any]:
    try:
        said = json.loads(text)
    except (ValueError, RecursionError) as error:
        problem = f"{what} is not JSON"
        raise BadHeaderError(problem) from error
    return _settings(said, what)


def _settings(said: Any, what: str) -> dict[str, Any]:
    if not isinstance(said, dict):
        problem = f"{what} is not an object"
        raise BadHeaderError(problem)
    return said


def _odd(name: str, problem: str) -> BadHeaderError:
    return BadHeaderError(f"tensor {name!r} {problem}")
