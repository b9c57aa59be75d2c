"""YOLO files: what their networks find, and that nothing in them is run.

tests/contract/yolo.npz has what Ultralytics 8.4 found in five made-up pictures, with a YOLOv8 of
shapes whose weights are made of their names, as here.
"""

import json
import os
import zlib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from deployments.detectors import LoadedDetectors
from graph.errors import BadModelFile, NotAvailableError
from graph.segs import BboxDetector, Detection, SegmDetector
from graph.values import ModelFile
from preprocessors.detectors import filled
from preprocessors.yolo import Yolo, find
from preprocessors.yolo_parts import find_boxes, find_shapes
from storage.models.annotators import AnnotatorFolder
from tests.preprocessors.onnx_files import operator, write_graph

NAMES = {0: "face", 1: "hand"}
SIZE_PX = 128
SPANS = (
    ("running_var", (0.75, 0.5)),
    ("running_mean", (-0.1, 0.2)),
    ("bn.weight", (0.8, 0.4)),
)
FILE = ModelFile("ultralytics", "segm/tiny.pt")


@cache
def recorded() -> dict[str, Any]:
    with np.load(Path(__file__).parents[1] / "contract" / "yolo.npz") as found:
        return dict(found)


def made(name: str, shape: tuple[int, ...]) -> Tensor:
    """The weights of that name, as lively as trained ones."""
    dice = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    if ".dfl." in name:
        return torch.arange(16.0).reshape(shape)
    if len(shape) > 1:
        last = ".cv3." in name and name.endswith(".2.weight")
        spread = 0.02 if last else 1.6 / float(np.prod(shape[1:])) ** 0.5
        return torch.randn(shape, generator=dice) * spread
    if ".cv3." in name and name.endswith(".2.bias"):
        return torch.zeros(shape)
    low, span = next((found for end, found in SPANS if name.endswith(end)), (-0.2, 0.4))
    return torch.rand(shape, generator=dice) * span + low


@cache
def network() -> Yolo:
    shapes = json.loads(str(recorded()["names"]))
    weights = {
        name: made(name, tuple(shape)).half()
        for name, shape in shapes.items()
        if not name.endswith("num_batches_tracked")
    }
    built = filled(Yolo(weights, NAMES, SIZE_PX), weights)
    assert isinstance(built, Yolo)
    return built


@pytest.mark.parametrize("k", range(5))
def test_the_network_finds_what_the_original_finds(k: int) -> None:
    said = recorded()
    found = find(network(), said[f"pic{k}"], float(said[f"conf{k}"]))
    assert [thing.name for thing in found] == [NAMES[int(c)] for c in said[f"classes{k}"]]
    boxes = np.array([thing.box for thing in found])
    assert np.abs(boxes - said[f"boxes{k}"]).max() < 0.01
    scores = np.array([thing.confidence for thing in found])
    assert np.abs(scores - said[f"scores{k}"]).max() < 1e-4
    width = int(said[f"size{k}"][2])
    masks = np.unpackbits(said[f"masks{k}"], axis=-1, count=width)
    shapes = np.stack([np.asarray(thing.shape) for thing in found])
    assert shapes.shape == masks.shape
    assert (shapes != masks).mean() < 1e-3


class Evil:
    """What would make a folder if a pickle were run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def saved(folder: Path, value: Any) -> LoadedDetectors:
    path = folder / "tiny.pt"
    torch.save(value, path)
    return LoadedDetectors(
        AnnotatorFolder.of(folder),
        device=torch.device("cpu"),
        budget_bytes=2**30,
        models=lambda _: path,
    )


def test_a_pickled_network_is_used_and_nothing_in_it_is_run(tmp_path: Path) -> None:
    shapes = json.loads(str(recorded()["names"]))
    whole = Yolo(network().state_dict(), NAMES, SIZE_PX)
    whole.load_state_dict(network().state_dict())
    whole.args = {"imgsz": SIZE_PX}  # type: ignore[assignment]
    assert len(shapes) > 300
    evil = tmp_path / "evil"
    detectors = saved(tmp_path, {"model": whole.half(), "ema": None, "date": Evil(evil)})
    picture = torch.from_numpy(recorded()["pic0"])[None].float() / 255
    how = Detection(threshold=float(recorded()["conf0"]), dilation=4, drop_size=3)
    segs = find_boxes(detectors, BboxDetector(FILE), picture, how)
    assert segs.size == (48, 80)
    assert {seg.label for seg in segs.items} <= set(NAMES.values())
    seg = segs.items[0]
    assert seg.mask.shape == seg.size[::-1]
    assert seg.image is not None
    assert tuple(seg.image.shape[1:3]) == seg.size[::-1]
    shapes_found = find_shapes(detectors, SegmDetector(FILE), picture, how)
    assert len(shapes_found.items) == len(segs.items)
    assert 0 < float(shapes_found.items[0].mask.mean()) < 1
    assert not evil.exists()


def test_a_file_without_a_network_is_refused(tmp_path: Path) -> None:
    detectors = saved(tmp_path, {"weights": torch.zeros(3)})
    with pytest.raises(BadModelFile, match="holds no network"):
        find_boxes(detectors, BboxDetector(FILE), torch.zeros(1, 8, 8, 3), Detection())
    with pytest.raises(NotAvailableError, match="segm"):
        find_shapes(detectors, SegmDetector(), torch.zeros(1, 8, 8, 3), Detection())


def test_a_detector_in_an_onnx_file_finds_boxes_until_its_last_label(tmp_path: Path) -> None:
    file = ModelFile("onnx", "detector.onnx")
    boxes = np.array([[[4, 6, 30, 40], [2, 2, 9, 9], [1, 1, 60, 60], [0, 0, 9, 9]]], np.float32)
    weights: dict[str, NDArray[np.generic]] = {
        "zero": np.zeros((), np.float32),
        "b": boxes,
        "s": np.array([[0.9, 0.4, 0.8, 0.99]], np.float32),
        "l": np.array([[3, 0, 1, -1]], np.int64),
    }
    nodes = [
        operator("ReduceMean", ["x"], "mean", keepdims=0),
        operator("Mul", ["mean", "zero"], "nothing"),
        operator("Add", ["b", "nothing"], "boxes"),
        operator("Identity", ["s"], "scores"),
        operator("Cast", ["l"], "labels", to=6),
    ]
    path = tmp_path / file.name
    outputs = {"boxes": (1, 4, 4), "scores": (1, 4)}
    write_graph(path, nodes, weights, {"x": (1, None, None, 3)}, outputs, {"labels": (1, 4)})
    loaded = LoadedDetectors(
        AnnotatorFolder.of(tmp_path),
        device=torch.device("cpu"),
        budget_bytes=2**30,
        models=lambda _: path,
    )
    how = Detection(threshold=0.5, crop_factor=1.0)
    segs = find_boxes(loaded, BboxDetector(file), torch.rand(1, 50, 50, 3), how)
    assert [(seg.label, seg.bbox) for seg in segs.items] == [
        ("3", (4, 6, 30, 40)),
        ("1", (1, 1, 50, 50)),
    ]
    assert float(segs.items[0].mask.sum()) == 26 * 34
