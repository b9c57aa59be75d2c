"""Small networks in the layouts of insightface's files, and drawn faces that they find.

A face is a red disc: the detector finds a cell that is red enough. What is seen of it and how it is
swapped depends on every pixel.
"""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tests.preprocessors.onnx_files import operator, write_graph

Levels = NDArray[np.uint8]
Weights = NDArray[np.float32]
STRIDES = (8, 16, 32)
# Of a box 4 cells wide and high around a cell's corner, in cells; and of the points in it.
REACH = (1.5, 1.8, 2.5, 2.2)
POINTS = (-0.6, -0.7, 1.4, -0.6, 0.5, 0.4, -0.3, 1.3, 1.2, 1.2)


def seeded(seed: int, *shape: int, spread: float = 1.0) -> NDArray[np.float32]:
    dice = np.random.default_rng(seed)
    return (dice.standard_normal(shape) * spread).astype(np.float32)


def write_detector(path: Path) -> None:
    """SCRFD's nine outputs: scores, boxes and points for strides of 8, 16 and 32 pixels."""
    nodes: list[bytes] = []
    weights: dict[str, NDArray[np.generic]] = {}
    outputs: dict[str, tuple[int | None, ...]] = {}
    for kind, width in (("score", 1), ("box", 4), ("point", 10)):
        for k, stride in enumerate(STRIDES):
            name = f"{kind}_{stride}"
            nodes.append(
                operator("AveragePool", ["input.1"], f"{name}.p", kernel_shape=[stride] * 2,
                         strides=[stride] * 2)
            )  # fmt: skip
            weight, bias = _head(kind, k)
            weights |= {f"{name}.w": weight, f"{name}.b": bias}
            weights[f"{name}.s"] = np.array([-1, width], dtype=np.int64)
            nodes += [
                operator("Conv", [f"{name}.p", f"{name}.w", f"{name}.b"], f"{name}.c"),
                operator("Transpose", [f"{name}.c"], f"{name}.t", perm=[0, 2, 3, 1]),
                operator("Reshape", [f"{name}.t", f"{name}.s"], f"{name}.r"),
                operator("Sigmoid" if kind == "score" else "Identity", [f"{name}.r"], name),
            ]
            outputs[name] = (None, width)
    write_graph(path, nodes, weights, {"input.1": (1, 3, None, None)}, outputs)


def _head(kind: str, k: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Two predictions of every cell."""
    if kind == "score":
        red = np.array([[8.0, -5.0, -4.0], [7.5, -6.0, -5.0]], dtype=np.float32)
        return red[:, :, None, None], np.array([-21.0 + 6 * k, -21.5 + 6 * k], dtype=np.float32)
    base = np.array(REACH if kind == "box" else POINTS, dtype=np.float32)
    bias = np.concatenate([base, base * np.float32(1.05)])
    return seeded(10 + k, len(bias), 3, 1, 1, spread=0.05), bias


def genders() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weights by which faces with much green in their middle are female."""
    green = np.zeros((3, 8, 8), dtype=np.float32)
    green[1, 3:5, 3:5] = 0.25
    weight = np.zeros((green.size, 3), dtype=np.float32)
    weight[:, 0] = green.reshape(-1)
    return weight, np.array([-30.0, 0.0, 0.3], dtype=np.float32)


def write_square(path: Path, side: int, pool: int, weight: Weights, bias: Weights) -> None:
    """What makes numbers of a square picture: the embedder, and the gender network."""
    nodes = [
        operator("AveragePool", ["input.1"], "p", kernel_shape=[pool] * 2, strides=[pool] * 2),
        operator("Flatten", ["p"], "f"),
        operator("MatMul", ["f", "w"], "m"),
        operator("Add", ["m", "b"], "683"),
    ]
    inputs, outputs = {"input.1": (None, 3, side, side)}, {"683": (1, len(bias))}
    write_graph(path, nodes, {"w": weight, "b": bias}, inputs, outputs)


def write_embedder(path: Path, seed: int) -> None:
    weight = seeded(seed, 3 * (112 // 16) ** 2, 512, spread=0.3)
    write_square(path, 112, 16, weight, seeded(seed + 1, 512))


def write_swapper(path: Path, *, side: int = 128) -> None:
    """inswapper: a picture and a face in, a picture out; the last weights are its emap."""
    nodes = [
        operator("Conv", ["target", "w", "b"], "c"),
        operator("MatMul", ["source", "who"], "m"),
        operator("Reshape", ["m", "shape"], "r"),
        operator("Add", ["c", "r"], "a"),
        operator("Sigmoid", ["a"], "output"),
    ]
    weights: dict[str, NDArray[np.generic]] = {
        "w": seeded(30, 3, 3, 1, 1),
        "b": seeded(31, 3),
        "who": seeded(32, 512, 3, spread=1.5),
        "shape": np.array([1, 3, 1, 1], dtype=np.int64),
        "buff2fs": seeded(33, 512, 512, spread=0.1),
    }
    inputs = {"target": (1, 3, side, side), "source": (1, 512)}
    write_graph(path, nodes, weights, inputs, {"output": (1, 3, side, side)})


def write_hyperswapper(path: Path) -> None:
    """hyperswap: the face comes first, and the picture is in -1..1."""
    nodes = [
        operator("Conv", ["target", "w", "b"], "c"),
        operator("MatMul", ["source", "who"], "m"),
        operator("Reshape", ["m", "shape"], "r"),
        operator("Add", ["c", "r"], "a"),
        operator("Tanh", ["a"], "output"),
    ]
    weights: dict[str, NDArray[np.generic]] = {
        "w": seeded(40, 3, 3, 1, 1),
        "b": seeded(41, 3),
        "who": seeded(42, 512, 3, spread=1.5),
        "shape": np.array([1, 3, 1, 1], dtype=np.int64),
    }
    inputs = {"source": (1, 512), "target": (1, 3, 256, 256)}
    write_graph(path, nodes, weights, inputs, {"output": (1, 3, 256, 256)})


def write_faces(models_dir: Path) -> None:
    """All files that ReActor, FaceID and InstantID look for."""
    folder = models_dir / "insightface"
    buffalo, antelope = folder / "models" / "buffalo_l", folder / "models" / "antelopev2"
    write_detector(buffalo / "det_10g.onnx")
    write_embedder(buffalo / "w600k_r50.onnx", 20)
    write_square(buffalo / "genderage.onnx", 96, 12, *genders())
    write_detector(antelope / "scrfd_10g_bnkps.onnx")
    write_embedder(antelope / "glintr100.onnx", 24)
    write_swapper(folder / "inswapper_128.onnx")
    write_hyperswapper(models_dir / "hyperswap" / "hyperswap_1a_256.onnx")


def drawn(seed: int, faces: int, height: int = 240, width: int = 320) -> Levels:
    """A picture with so many faces, of different sizes and colors beside their red."""
    dice = np.random.default_rng(seed)
    picture = np.ascontiguousarray(dice.integers(60, 150, (height, width, 3), dtype=np.uint8))
    picture = np.ascontiguousarray(cv2.GaussianBlur(picture, (9, 9), 0))
    picture[..., 0] = picture[..., 0] // 2
    for k in range(faces):
        middle = int(width * (k + 0.6) / (faces + 0.2)), int(height * (0.4 + 0.15 * (k % 2)))
        color = (255, *(int(level) for level in dice.integers(0, 30, 2)))
        cv2.circle(picture, middle, 14 + 5 * k, color, -1)
        cv2.circle(picture, middle, 5 + k, (230, 40 + 20 * k, 70), -1)
    rough = picture - dice.integers(0, 12, picture.shape)
    return rough.clip(0, 255).astype(np.uint8)
