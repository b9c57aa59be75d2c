"""Small ONNX files, written without the onnx package: the few messages of its format they need.

Field numbers are those of onnx.proto3 (ModelProto, GraphProto, NodeProto, TensorProto).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
FLOAT, INT64 = 1, 7


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


def operator(kind: str, inputs: Sequence[str], output: str) -> bytes:
    names = b"".join(block(1, name) for name in inputs)
    return names + block(2, output) + block(3, output) + block(4, kind)


def value_info(name: str, shape: Sequence[int]) -> bytes:
    dims = b"".join(block(1, number(1, side)) for side in shape)
    return block(1, name) + block(2, block(1, number(1, FLOAT) + block(2, dims)))


def write_answers(path: Path, size: tuple[int, int], answers: Mapping[str, Array]) -> None:
    """A network for pictures of `size` (height, width) that gives `answers`, whatever they show.

    Each answer is the bias of a convolution over the picture's mean, reshaped.
    """
    nodes = [block(1, operator("GlobalAveragePool", ["x"], "mean"))]
    weights, outputs = [], []
    for name, answer in answers.items():
        flat = answer.reshape(-1).astype(np.float32)
        kernel = np.zeros((len(flat), 3, 1, 1), dtype=np.float32)
        shape = np.array(answer.shape, dtype=np.int64)
        for part, values in (("w", kernel), ("b", flat), ("shape", shape)):
            weights.append(block(5, tensor(f"{name}.{part}", values)))
        convolution = operator("Conv", ["mean", f"{name}.w", f"{name}.b"], f"{name}.flat")
        reshape = operator("Reshape", [f"{name}.flat", f"{name}.shape"], name)
        nodes += [block(1, convolution), block(1, reshape)]
        outputs.append(block(12, value_info(name, answer.shape)))
    inputs = block(11, value_info("x", (1, 3, *size)))
    graph = b"".join(nodes) + block(2, "answers") + b"".join(weights) + inputs + b"".join(outputs)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(number(1, 8) + block(7, graph) + block(8, number(2, 13)))
