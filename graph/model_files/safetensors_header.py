"""Reads the header of a safetensors file, as strictly as the safetensors library does.

The format: the header's length as a little-endian uint64, the header as JSON, the tensors' data.
The data must be covered by the tensors without gaps, overlaps or bytes left over
(safetensors/src/tensor.rs, `Metadata::validate`).
"""

import json
import json.decoder
import json.scanner
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from graph.model_files.limits import BadHeaderError, HeaderLimits

METADATA = "__metadata__"
LENGTH_BYTES = 8
NUMBER_DIGITS = 20  # of the largest uint64
LISTS_BESIDE = 100_000  # brackets that texts of the metadata may have
# json's compiled parser lets no other thread run; a long header is parsed by the one in Python.
COMPILED_BYTES = 2**20
BITS: Mapping[str, int] = {
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 64),
    **dict.fromkeys(("F32", "I32", "U32"), 32),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 16),
    **dict.fromkeys(("F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    **dict.fromkeys(("I8", "U8", "BOOL"), 8),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    "F4": 4,
}


def read_safetensors(
    path: Path, limits: HeaderLimits
) -> tuple[dict[str, tuple[tuple[int, ...], str]], dict[str, str], dict[str, tuple[int, int]]]:
    """Shape and dtype of each tensor by name, the metadata, and where each lies in the file.

    Raises:
        BadHeaderError: the file is damaged, or its header is over the limits.
    """
    with path.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(0)
        length = int.from_bytes(stream.read(LENGTH_BYTES), "little")
        if size < LENGTH_BYTES or not 2 <= length <= limits.header_bytes:
            problem = f"a header of {length} bytes; the limit is {limits.header_bytes}"
            raise BadHeaderError(problem if size >= LENGTH_BYTES else "it is cut short")
        if LENGTH_BYTES + length > size:
            problem = "it is cut short: its header is not whole"
            raise BadHeaderError(problem)
        text = stream.read(length)
    document = _Parser(limits).parsed(text)
    metadata = _metadata(document.pop(METADATA, None))
    tensors: dict[str, tuple[tuple[int, ...], str]] = {}
    spans: list[tuple[int, int, str]] = []
    for name, described in document.items():
        limits.check_name(name)
        shape, dtype, start, end = _described(name, described)
        limits.check_shape(name, shape)
        tensors[name] = shape, dtype
        spans.append((start, end, name))
    _check_cover(spans, size - LENGTH_BYTES - length)
    for start, end, name in spans:
        shape, dtype = tensors[name]
        if math.prod(shape) * BITS[dtype] != 8 * (end - start):
            problem = f"tensor {name!r} of {shape} {dtype} has {end - start} bytes"
            raise BadHeaderError(problem)
    data = LENGTH_BYTES + length
    return tensors, metadata, {name: (data + start, data + end) for start, end, name in spans}


class _Parser:
    """Parses one header as JSON, and stops at more objects than its tensors can have."""

    def __init__(self, limits: HeaderLimits) -> None:
        self._limits = limits
        self._objects_left = limits.tensors + 2  # the header itself, and the metadata

    def parsed(self, text: bytes) -> dict[str, Any]:
        described = text.count(b'"data_offsets"')  # a quote in a string is escaped
        self._limits.check_count(described)
        if text.count(b"[") > 2 * described + LISTS_BESIDE:
            problem = "its header has more lists than its tensors need"
            raise BadHeaderError(problem)
        decoder = json.JSONDecoder(
            object_pairs_hook=self._object, parse_int=_whole, parse_constant=_constant
        )
        if len(text) > COMPILED_BYTES:
            decoder.parse_string = json.decoder.py_scanstring  # type: ignore[attr-defined]
            decoder.scan_once = json.scanner.py_make_scanner(decoder)  # type: ignore[attr-defined]
        try:
            document = decoder.decode(text.decode())
        except BadHeaderError:
            raise
        except (ValueError, RecursionError) as error:
            problem = "its header is not JSON"
            raise BadHeaderError(problem) from error
        if not isinstance(document, dict):
            problem = "its header is not an object"
            raise BadHeaderError(problem)
        return document

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        self._objects_left -= 1
        if self._objects_left < 0:
            problem = f"its header describes more than {self._limits.tensors} tensors"
            raise BadHeaderError(problem)
        found = dict(pairs)
        if len(found) < len(pairs):
            problem = "its header has a name twice"
            raise BadHeaderError(problem)
        return found


def _whole(text: str) -> int:
    if len(text) > NUMBER_DIGITS or text == "-0":
        problem = "its header has a number that no file needs"
        raise BadHeaderError(problem)
    return int(text)


def _constant(text: str) -> float:
    problem = f"its header is not JSON: it has {text}"
    raise BadHeaderError(problem)


def _metadata(found: Any) -> dict[str, str]:
    if found is None:
        return {}
    if not isinstance(found, dict) or not all(isinstance(text, str) for text in found.values()):
        problem = f"its {METADATA} is not an object of strings"
        raise BadHeaderError(problem)
    try:
        "".join((*found, *found.values())).encode()
    except UnicodeEncodeError as error:  # half of a surrogate pair
        problem = f"its {METADATA} is not text"
        raise BadHeaderError(problem) from error
    return found


def _described(name: str, described: Any) -> tuple[tuple[int, ...], str, int, int]:
    """Shape, dtype, and from which byte of the data to which."""
    said = described if isinstance(described, dict) else {}
    shape, offsets = _numbers(said.get("shape")), _numbers(said.get("data_offsets"))
    dtype = said.get("dtype")
    if shape is None or not isinstance(dtype, str) or offsets is None or len(offsets) != 2:
        problem = f"tensor {name!r} is not described by a shape, a dtype and two offsets"
        raise BadHeaderError(problem)
    if dtype not in BITS:
        problem = f"tensor {name!r} has the unknown dtype {dtype[:20]!a}"
        raise BadHeaderError(problem)
    start, end = offsets
    if min((start, end - start, *shape), default=0) < 0:
        shown = f"{shape} {dtype} has {end - start} bytes from byte {start}"
        problem = f"tensor {name!r} of {shown}"
        raise BadHeaderError(problem)
    return shape, dtype, start, end


def _numbers(found: Any) -> tuple[int, ...] | None:
    """Whole numbers, if that is what was found; true and false are none."""
    whole = isinstance(found, list) and all(type(number) is int for number in found)
    return tuple(found) if whole else None


def _check_cover(spans: list[tuple[int, int, str]], data_bytes: int) -> None:
    """Every byte of the data belongs to one tensor."""
    last = max(spans, key=lambda span: span[1], default=(0, 0, ""))
    if last[1] > data_bytes:
        problem = f"it is cut short: tensor {last[2]!r} ends at byte {last[1]} of {data_bytes}"
        raise BadHeaderError(problem)
    reached = 0
    for start, end, name in sorted(spans):
        if start != reached:
            what = "overlaps the one before it" if start < reached else "leaves a gap before it"
            problem = f"tensor {name!r} {what}: it starts at byte {start}, not {reached}"
            raise BadHeaderError(problem)
        reached = end
    if reached < data_bytes:
        problem = f"{data_bytes - reached} bytes follow its last tensor, so it is damaged"
        raise BadHeaderError(problem)
