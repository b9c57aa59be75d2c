"""Poses, against controlnet-aux's own classes and, for DWPose, against its formulas written out."""

import colorsys
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from graph.annotators import (
    DWPOSE_384,
    FOLDER,
    OPENPOSE_BODY,
    OPENPOSE_FACE,
    OPENPOSE_HAND,
    YOLOX,
    Annotator,
)
from graph.errors import BadModelFile
from preprocessors.dwpose import dwpose
from preprocessors.openpose import LEFT_ARM, RIGHT_ARM, face_box, found_poses, hand_box, openpose
from preprocessors.openpose_bodies import found_bodies
from preprocessors.openpose_nets import body_maps, build_body, build_face, build_hand
from preprocessors.pose import LIMBS, Parts, Point, Pose, as_json, draw_poses
from tests.preprocessors.annotator_files import (
    Levels,
    as_image,
    as_levels,
    detectors,
    library,
    lively,
    picture,
    put,
)
from tests.preprocessors.onnx_files import write_answers

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
# x and y of the joints of one person, in cells of the network's maps.
PERSON = [
    (11, 4), (11, 7), (7, 7), (5, 11), (4, 15), (15, 7), (17, 11), (18, 15), (9, 14), (9, 18),
    (9, 21), (13, 14), (13, 18), (13, 21), (9, 2), (13, 2), (6, 3), (16, 3),
]  # fmt: skip
# Where in the affinities the library looks for each of its limbs.
AFFINITIES = (12, 20, 14, 16, 22, 24, 0, 2, 4, 6, 8, 10, 28, 30, 34, 32, 36)


class TwoPeople(nn.Module):
    """What the body network says of a picture that shows two people beside each other."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        height, width = x.shape[-2] // 8, x.shape[-1] // 8
        rng = np.random.default_rng(5)
        heat = rng.normal(0, 0.01, (19, height, width))
        field = rng.normal(0, 0.01, (38, height, width))
        rows, columns = np.mgrid[:height, :width]
        for offset, strength in ((0, 1.0), (23, 0.8)):
            at = [np.array([x0 + offset, y0]) for x0, y0 in PERSON]
            for joint, (x0, y0) in enumerate(at):
                distance = (columns - x0) ** 2 + (rows - y0) ** 2
                heat[joint] += strength * np.exp(-distance / 1.2)
            for (start, end), channel in zip(LIMBS, AFFINITIES, strict=True):
                way = at[end] - at[start]
                for step in np.linspace(0, 1, 40):
                    x0, y0 = np.rint(at[start] + step * way).astype(int)
                    field[channel : channel + 2, y0, x0] = way / np.linalg.norm(way)
        return (
            torch.from_numpy(field)[None].float(),
            torch.from_numpy(heat)[None].float(),
        )


class Blob(nn.Module):
    """A heatmap for each of `points` points, each with two patches; the last has none."""

    def __init__(self, points: int, *, alone: bool) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))
        self.points = points
        self.alone = alone

    def forward(self, x: Tensor) -> Any:
        height, width = x.shape[-2] // 8, x.shape[-1] // 8
        rows, columns = np.mgrid[:height, :width] / np.array([[[height]], [[width]]])
        maps = np.zeros((self.points, height, width), dtype=np.float32)
        for point in range(self.points - 1):
            x0, y0 = 0.1 + 0.8 * point / self.points, 0.5 + 0.3 * np.sin(point)
            for dx, strength in ((0.0, 0.9), (0.4, 0.5)):
                distance = (columns - (x0 + dx) % 1) ** 2 + (rows - y0) ** 2
                maps[point] += strength * np.exp(-distance * 200)
        out = torch.from_numpy(maps)[None]
        return out if self.alone else [out]


@pytest.fixture
def openpose_library() -> Iterator[ModuleType]:
    """controlnet_aux.open_pose, with the one function of matplotlib that it draws hands with."""
    matplotlib = ModuleType("matplotlib")
    colors = ModuleType("matplotlib.colors")
    colors.hsv_to_rgb = lambda hsv: np.array(colorsys.hsv_to_rgb(*hsv))  # type: ignore[attr-defined]
    matplotlib.colors = colors  # type: ignore[attr-defined]
    missing = "matplotlib" not in sys.modules
    if missing:
        sys.modules["matplotlib"] = matplotlib
    yield library("open_pose")
    if missing:
        del sys.modules["matplotlib"]


def without_file(kind: Any, model: nn.Module) -> Any:
    """A part of the library's detector, over a network that we say."""
    part = kind.__new__(kind)
    part.model = model
    return part


def big_picture() -> Levels:
    return picture(256, 512)


def close(a: Any, b: Any) -> bool:
    if a is None or b is None:
        return a is None and b is None
    return bool(abs(a.x - b.x) < 1e-6 and abs(a.y - b.y) < 1e-6)


def test_bodies_are_the_librarys(openpose_library: ModuleType) -> None:
    levels = big_picture()[..., ::-1].copy()
    body = without_file(openpose_library.Body, TwoPeople())
    expected = body.format_body_result(*body(levels))
    found = found_bodies(*body_maps(TwoPeople(), levels))
    assert len(found) == len(expected) == 2
    for mine, theirs in zip(found, expected, strict=True):
        assert sum(joint is not None for joint in mine) == 18
        assert all(close(*pair) for pair in zip(mine, theirs.keypoints, strict=True))


def test_hands_and_faces_are_looked_for_where_the_library_does(
    openpose_library: ModuleType,
) -> None:
    levels = big_picture()[..., ::-1].copy()
    body = without_file(openpose_library.Body, TwoPeople())
    results = body.format_body_result(*body(levels))
    for mine, theirs in zip(found_bodies(*body_maps(TwoPeople(), levels)), results, strict=True):
        left, right = (hand_box(mine, arm, levels) for arm in (LEFT_ARM, RIGHT_ARM))
        boxes = [(*box, is_left) for box, is_left in ((left, True), (right, False)) if box]
        assert boxes == openpose_library.util.handDetect(theirs, levels)
        assert face_box(mine, levels) == openpose_library.util.faceDetect(theirs, levels)


def test_whole_poses_are_the_librarys(openpose_library: ModuleType) -> None:
    hand, face = Blob(22, alone=True), Blob(71, alone=True)
    parts = (
        (openpose_library.Body, TwoPeople()),
        (openpose_library.Hand, hand),
        (openpose_library.Face, Blob(71, alone=False)),
    )
    detector = openpose_library.OpenposeDetector(*(without_file(*part) for part in parts))
    expected = detector.detect_poses(big_picture(), include_hand=True, include_face=True)
    poses = found_poses(big_picture()[..., ::-1].copy(), TwoPeople(), hand, face)
    assert len(poses) == len(expected) == 2
    for mine, theirs in zip(poses, expected, strict=True):
        pairs = (
            (mine.body, theirs.body.keypoints),
            (mine.left_hand, theirs.left_hand),
            (mine.right_hand, theirs.right_hand),
            (mine.face, theirs.face),
        )
        for ours, library_ in pairs:
            assert (ours is None) == (library_ is None)
            assert all(close(*pair) for pair in zip(ours or (), library_ or (), strict=True))
    drawn = draw_poses(poses, 256, 512, Parts())
    reference = openpose_library.draw_poses(expected, 256, 512)
    assert reference.any()
    assert (np.abs(drawn.astype(int) - reference) > 1).mean() < 0.001


def weights(network: nn.Module, *, staged: bool) -> dict[str, Tensor]:
    """A file's content: the body's and the hand's do not name the stage of a layer."""
    state = network.state_dict()
    return {key.partition(".")[2] if staged else key: value for key, value in state.items()}


@pytest.mark.parametrize("name", ["body", "hand", "face"])
def test_networks_are_the_librarys(tmp_path: Path, openpose_library: ModuleType, name: str) -> None:
    module = getattr(openpose_library, name)
    annotator, build, kind, theirs = {
        "body": (OPENPOSE_BODY, build_body, openpose_library.Body, "bodypose_model"),
        "hand": (OPENPOSE_HAND, build_hand, openpose_library.Hand, "handpose_model"),
        "face": (OPENPOSE_FACE, build_face, openpose_library.Face, "FaceNet"),
    }[name]
    network = lively(getattr(module, theirs)(), gain=0.8)
    folder = put(tmp_path, weights(network, staged=name != "face"), annotator)
    reference = kind(folder / annotator.file.name).model
    x = torch.rand(1, 3, 64, 72) - 0.5
    with torch.inference_mode(), detectors(tmp_path).loaded(annotator, build) as loaded:
        mine, expected = loaded(x), reference(x)
    last = expected[-1] if name == "face" else expected
    pairs = zip(mine, last, strict=True) if name == "body" else [(mine, last)]
    for ours, library_ in pairs:
        assert library_.std() > 1e-4
        assert torch.allclose(ours, library_, rtol=1e-4, atol=1e-5)


def test_a_picture_without_people_is_black(tmp_path: Path) -> None:
    model = library("open_pose").body.bodypose_model()
    put(tmp_path, weights(model, staged=True), OPENPOSE_BODY)
    image = as_image(picture(64, 96))
    hint, said = openpose(detectors(tmp_path), image, 64, hand=False, face=False)
    assert hint.shape == (1, 64, 96, 3)
    assert not hint.any()
    assert said == [{"people": [], "canvas_height": 64, "canvas_width": 96}]


def test_a_pose_is_told_in_openposes_json() -> None:
    pose = Pose((Point(0.5, 0.25), *[None] * 17), face=(Point(0.1, 0.2),))
    (person,) = as_json([pose], 64, 96, scale=(96, 64))["people"]
    assert person["pose_keypoints_2d"][:6] == [48.0, 16.0, 1.0, 0.0, 0.0, 0.0]
    assert person["face_keypoints_2d"] == pytest.approx([9.6, 12.8, 1.0])
    assert person["hand_left_keypoints_2d"] is None


def onnx(models_dir: Path, annotator: Annotator) -> Path:
    return models_dir / FOLDER / annotator.file.repository / annotator.file.name


def write_finder(models_dir: Path) -> None:
    """YOLOX that sees two people, one of them twice, a dog, and somebody it is not sure of.

    In the grid of stride 32, after 80 * 80 cells of stride 8 and 40 * 40 of stride 16.
    """
    said = np.zeros((1, 8400, 85), dtype=np.float32)
    for column, row, size, score, kind in (
        (3, 5, 6, 0.9, 0),
        (3, 6, 6, 0.6, 0),
        (14, 5, 4, 0.8, 0),
        (9, 15, 3, 0.9, 16),
        (18, 16, 3, 0.2, 0),
    ):
        at = 80 * 80 + 40 * 40 + row * 20 + column
        said[0, at, :4] = [0.5, 0.5, np.log(size), np.log(size)]
        said[0, at, 4], said[0, at, 5 + kind] = 1.0, score
    write_answers(onnx(models_dir, YOLOX), (640, 640), {"output": said})


def write_pointer(models_dir: Path) -> None:
    """RTMPose that sees point n at bins 2n and 3n, but no face and not the left wrist."""
    across = np.zeros((1, 133, 576), dtype=np.float32)
    down = np.zeros((1, 133, 768), dtype=np.float32)
    for point in range(133):
        across[0, point, 2 * point], down[0, point, 3 * point] = 0.9, 0.8
    across[0, 23:91] = down[0, 23:91] = 0
    down[0, 9, 27] = 0.2
    answers = {"simcc_x": across, "simcc_y": down}
    write_answers(onnx(models_dir, DWPOSE_384), (384, 288), answers)


def box_of(column: int, row: int, size: int, ratio: float) -> np.ndarray[Any, Any]:
    middle = np.array([column + 0.5, row + 0.5]) * 32
    half = np.array([size, size]) * 32 / 2
    return np.concatenate([middle - half, middle + half]) / ratio


def test_dwpose_is_its_formulas(tmp_path: Path) -> None:
    write_finder(tmp_path)
    write_pointer(tmp_path)
    image = as_image(picture(256, 320))
    hint, said = dwpose(detectors(tmp_path), image, 128, people=YOLOX, points=DWPOSE_384)
    assert hint.shape == (1, 128, 160, 3)
    assert hint.any()
    (found,) = said
    assert (found["canvas_height"], found["canvas_width"]) == (256, 320)
    assert len(found["people"]) == 2
    for person, box in zip(
        found["people"], [box_of(3, 5, 6, 2.0), box_of(14, 5, 4, 2.0)], strict=True
    ):
        middle, reach = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) * 1.25
        side = np.array([reach[0], reach[0] / (288 / 384)])
        nose, neck, wrist = (person["pose_keypoints_2d"][3 * n : 3 * n + 3] for n in (0, 1, 7))
        points = {n: np.array([2 * n, 3 * n]) / 2 / [288, 384] * side for n in (0, 5, 6)}
        corner = middle - side / 2
        assert nose == pytest.approx([*(points[0] + corner), 1.0])
        assert neck == pytest.approx([*((points[5] + points[6]) / 2 + corner), 1.0])
        assert wrist == [0.0, 0.0, 0.0]
        assert person["face_keypoints_2d"] is None
        assert len(person["hand_left_keypoints_2d"]) == 21 * 3


def test_parts_that_are_not_wanted_are_neither_drawn_nor_told(tmp_path: Path) -> None:
    write_pointer(tmp_path)
    loaded, image = detectors(tmp_path), as_image(picture(256, 320))
    hint, said = dwpose(
        loaded, image, 128, people=None, points=DWPOSE_384, body=False, hand=False, face=False
    )
    assert not hint.any()
    assert said[0]["people"] == [
        {
            "pose_keypoints_2d": [0.0] * 54,
            "face_keypoints_2d": None,
            "hand_left_keypoints_2d": None,
            "hand_right_keypoints_2d": None,
        }
    ]
    shown, _ = dwpose(loaded, image, 128, people=None, points=DWPOSE_384, body=False, face=False)
    assert as_levels(shown).any()


def test_a_file_that_is_no_onnx_is_refused(tmp_path: Path) -> None:
    path = onnx(tmp_path, DWPOSE_384)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"not a network")
    with pytest.raises(BadModelFile, match="dw-ll_ucoco_384"):
        dwpose(detectors(tmp_path), as_image(picture()), 64, people=None, points=DWPOSE_384)
