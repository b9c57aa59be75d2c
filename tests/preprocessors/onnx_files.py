"""Small ONNX files, written without the onnx package: the few messages of its format they need.

Field numbers are those of onnx.proto3 (ModelProto, GraphProto, NodeProto, TensorProto).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
FLOAT, INT32, INT64 = 1, 6, 7


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def block(field: int, content: bytes | str) -> bytes:
    content = content.encode() if isinstance(content, str) else content
    return varint(field << 3 | 2) + varint(len(content)) + content


def tensor(name: str, values: NDArray[np.generic]) -> bytes:
    kind = INT64 if values.dtype == np.int64 else FLOAT
    dims = b"".join(number(1, side) for side in values.shape)
    return dims + number(2, kind) + block(8, name) + block(9, values.tobytes())


def attribute(name: str, value: int | Sequence[int]) -> bytes:
    one = isinstance(value, int)
    said = number(3, value) if isinstance(value, int) else b"".join(number(8, v) for v in value)
    return block(1, name) + said + number(20, 2 if one else 7)


def operator(
    kind: str, inputs: Sequence[str], output: str, **attributes: int | Sequence[int]
) -> bytes:
    names = b"".join(block(1, name) for name in inputs)
    said = b"".join(block(5, attribute(name, value)) for name, value in attributes.items())
    return names + block(2, output) + block(3, output) + block(4, kind) + said


def value_info(name: str, shape: Sequence[int | None], kind: int = FLOAT) -> bytes:
    """A side that is None may be of any length."""
    sides = (number(1, side) if side is not None else block(2, "any") for side in shape)
    dims = b"".join(block(1, side) for side in sides)
    return block(1, name) + block(2, block(1, number(1, kind) + block(2, dims)))


def write_graph(
    path: Path,
    nodes: Sequence[bytes],
    weights: Mapping[str, NDArray[np.generic]],
    inputs: Mapping[str, Sequence[int | None]],
    outputs: Mapping[str, Sequence[int | None]],
    whole_outputs: Mapping[str, Sequence[int | None]] = MappingProxyType({}),
) -> None:
    """A network of these operators. The weights are written in this order.

    `whole_outputs` are int32, after the others.
    """
    graph = b"".join(block(1, node) for node in nodes) + block(2, "graph")
    graph += b"".join(block(5, tensor(name, values)) for name, values in weights.items())
    graph += b"".join(block(11, value_info(name, shape)) for name, shape in inputs.items())
    graph += b"".join(block(12, value_info(name, shape)) for name, shape in outputs.items())
    graph += b"".join(block(12, value_info(n, s, INT32)) for n, s in whole_outputs.items())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(number(1, 8) + block(7, graph) + block(8, number(2, 13)))


def write_answers(path: Path, size: tuple[int, int], answers: Mapping[str, Array]) -> None:
    """A network for pictures of `size` (height, width) that gives `answers`, whatever they show.

    Each answer is the bias of a convolution over the picture's mean, reshaped.
    """
    nodes = [operator("GlobalAveragePool", ["x"], "mean")]
    weights: dict[str, NDArray[np.generic]] = {}
    for name, answer in answers.items():
        flat = answer.reshape(-1).astype(np.float32)
        weights[f"{name}.w"] = np.zeros((len(flat), 3, 1, 1), dtype=np.float32)
        weights[f"{name}.b"] = flat
        weights[f"{name}.shape"] = np.array(answer.shape, dtype=np.int64)
        nodes.append(operator("Conv", ["mean", f"{name}.w", f"{name}.b"], f"{name}.flat"))
        nodes.append(operator("Reshape", [f"{name}.flat", f"{name}.shape"], name))
    shapes = {name: answer.shape for name, answer in answers.items()}
    write_graph(path, nodes, weights, {"x": (1, 3, *size)}, shapes)
