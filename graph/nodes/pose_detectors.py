"""Hint makers that find people's poses, under the ControlNet-aux pack's names."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from graph.annotators import (
    OPENPOSE_BODY,
    OPENPOSE_FACE,
    OPENPOSE_HAND,
    PEOPLE_FINDERS,
    POINT_FINDERS,
    Annotator,
)
from graph.node import Choices, MayBeAbsent, Widget, node
from graph.stages import Stage
from graph.stages.hints import PoseDetectors
from graph.values import Image, Keypoints

POSES = "ControlNet Preprocessors/Faces and Poses Estimators"


Resolution = Annotated[int, Widget(min=64, max=16384, step=64), MayBeAbsent()]
On = Annotated[str, Choices(("enable", "disable")), MayBeAbsent()]
Off = Annotated[str, Choices(("disable", "enable")), MayBeAbsent()]
PeopleFinder = Literal["None", "yolox_l.torchscript.pt", "yolox_l.onnx"]
PointFinder = Literal[
    "dw-ll_ucoco_384_bs5.torchscript.pt", "dw-ll_ucoco_384.onnx", "dw-ll_ucoco.onnx"
]


def _openpose_weights(constants: Mapping[str, Any]) -> Sequence[Annotator]:
    wanted = {"detect_hand": OPENPOSE_HAND, "detect_face": OPENPOSE_FACE}
    parts = [file for name, file in wanted.items() if constants.get(name) == "enable"]
    return [OPENPOSE_BODY, *parts]


@node(
    "OpenposePreprocessor",
    runs_on=Stage.IMAGE,
    display_name="OpenPose Pose",
    category=POSES,
    weights=_openpose_weights,
)
def openpose(
    hints: PoseDetectors,
    *,
    image: Image,
    detect_hand: On = "enable",
    detect_body: On = "enable",
    detect_face: On = "enable",
    resolution: Resolution = 512,
    scale_stick_for_xinsr_cn: Off = "disable",
) -> tuple[Image, Keypoints]:
    """Draw the poses of people."""
    return hints.openpose(
        hints.detectors,
        image,
        resolution,
        body=detect_body == "enable",
        hand=detect_hand == "enable",
        face=detect_face == "enable",
        wide_sticks=scale_stick_for_xinsr_cn == "enable",
    )


def _dwpose_weights(constants: Mapping[str, Any]) -> Sequence[Annotator]:
    people = PEOPLE_FINDERS.get(constants.get("bbox_detector", "None"))
    points = POINT_FINDERS.get(constants.get("pose_estimator", ""))
    return [file for file in (people, points) if file]


@node(
    "DWPreprocessor",
    runs_on=Stage.IMAGE,
    display_name="DWPose Estimator",
    category=POSES,
    weights=_dwpose_weights,
)
def dwpose(
    hints: PoseDetectors,
    *,
    image: Image,
    detect_hand: On = "enable",
    detect_body: On = "enable",
    detect_face: On = "enable",
    resolution: Resolution = 512,
    bbox_detector: Annotated[PeopleFinder, MayBeAbsent()] = "yolox_l.onnx",
    pose_estimator: Annotated[PointFinder, MayBeAbsent()] = "dw-ll_ucoco_384_bs5.torchscript.pt",
    scale_stick_for_xinsr_cn: Off = "disable",
) -> tuple[Image, Keypoints]:
    """Draw the poses of people."""
    return hints.dwpose(
        hints.detectors,
        image,
        resolution,
        people=PEOPLE_FINDERS[bbox_detector],
        points=POINT_FINDERS[pose_estimator],
        body=detect_body == "enable",
        hand=detect_hand == "enable",
        face=detect_face == "enable",
        wide_sticks=scale_stick_for_xinsr_cn == "enable",
    )
