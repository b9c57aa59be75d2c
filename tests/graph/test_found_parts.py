"""How Impact Pack's detectors go together: boxes, within what SAM or else a detector finds."""

from types import SimpleNamespace
from typing import Any

from graph.nodes import load_node_types
from graph.segs import BboxDetector, Detection, SamHints, SamModel, SegmDetector
from graph.values import ModelFile

TYPES = load_node_types()
BOXES = BboxDetector(ModelFile("ultralytics", "bbox/face.pt"))
SHAPES = SegmDetector(ModelFile("ultralytics", "segm/person.pt"))
SAM = SamModel(ModelFile("sams", "sam_vit_b.pth"))
OF_BOXES, OF_SHAPES = Detection(0.5, 3, 2.0, 10), Detection(0.25, 4, 2.0, 10)
HINTS = SamHints("center-1", 4, 0.25, 7, 0.75)
SIMPLE = {
    "bbox_detector": BOXES,
    "image": "picture",
    "bbox_dilation": 3,
    "crop_factor": 2.0,
    "sub_threshold": 0.25,
    "sub_dilation": 4,
    "sub_bbox_expansion": 7,
    "sam_mask_hint_threshold": 0.75,
    "post_dilation": 5,
}
FACES = {
    "bbox_threshold": 0.5,
    "bbox_dilation": 3,
    "bbox_crop_factor": 2.0,
    "drop_size": 10,
    "sam_detection_hint": "center-1",
    "sam_dilation": 4,
    "sam_threshold": 0.25,
    "sam_bbox_expansion": 7,
    "sam_mask_hint_threshold": 0.75,
    "sam_mask_hint_use_negative": "False",
}

# Each answer says what was asked.
DETECTING: Any = SimpleNamespace(
    detectors="networks",
    find_boxes=lambda _, detector, image, how: ("boxes", detector, image, how),
    find_shapes=lambda _, detector, image, how: ("shapes", detector, image, how),
    sam_mask=lambda _, model, segs, image, hints: [("sam", model, segs, image, hints)],
    combined_mask=lambda segs: [("combined", segs)],
    within=lambda segs, masks: ("within", segs, masks),
    dilate_segs=lambda segs, by: ("dilated", segs, by),
    batch_count=len,
    images_from_batch=lambda batch, start, count: batch[start : start + count],
)


def found(class_type: str, **given: Any) -> Any:
    return TYPES[class_type].function(DETECTING, **given)


def test_boxes_alone() -> None:
    boxes = ("boxes", BOXES, "picture", OF_BOXES)
    assert found("ImpactSimpleDetectorSEGS", **SIMPLE) == ("dilated", boxes, 5)


def test_sam_comes_before_a_detector_of_shapes() -> None:
    boxes = ("boxes", BOXES, "picture", OF_BOXES)
    both = SIMPLE | {"sam_model_opt": SAM, "segm_detector_opt": SHAPES}
    _, segs, _ = found("ImpactSimpleDetectorSEGS", **both)
    assert segs == ("within", boxes, [("sam", SAM, boxes, "picture", HINTS)])


def test_shapes_are_found_as_they_are_asked_for() -> None:
    boxes = ("boxes", BOXES, "picture", OF_BOXES)
    shapes = ("shapes", SHAPES, "picture", OF_SHAPES)
    _, segs, _ = found("ImpactSimpleDetectorSEGS", **SIMPLE, segm_detector_opt=SHAPES)
    assert segs == ("within", boxes, [("combined", shapes)])


def test_a_detailer_finds_parts_in_each_picture_by_itself() -> None:
    batch = found("comfyray.FindParts", image="ab", bbox_detector=BOXES, sam_model=SAM, **FACES)
    hints = SamHints("center-1", 4, 0.25, 7, 0.75, "False")
    boxes = [("boxes", BOXES, picture, OF_BOXES) for picture in "ab"]
    sam = [[("sam", SAM, own, picture, hints)] for own, picture in zip(boxes, "ab", strict=True)]
    assert batch == (("within", boxes[0], sam[0]), ("within", boxes[1], sam[1]))


def test_a_detailer_takes_shapes_as_it_takes_boxes() -> None:
    (segs,) = found(
        "comfyray.FindParts", image="a", bbox_detector=BOXES, segm_detector=SHAPES, **FACES
    )
    shapes = ("shapes", SHAPES, "a", OF_BOXES)
    assert segs == ("within", ("boxes", BOXES, "a", OF_BOXES), [("combined", shapes)])
