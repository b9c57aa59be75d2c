"""Impact Pack: detectors, and the SEGS and masks that they find. The Subpack's are among them."""

from dataclasses import dataclass
from typing import Annotated, Literal, TypedDict, Unpack

from graph.node import Default, Files, MayBeAbsent, Widget, node
from graph.nodes.packs.impact_segs import Dilation, DropSize, Factor, labelled
from graph.segs import BboxDetector, Detection, SamHints, SamModel, SegmDetector, Segs
from graph.stages import Stage
from graph.stages.parts import Detecting
from graph.values import Image, Mask, ModelFile

CATEGORY, DETECTOR = "ImpactPack", "ImpactPack/Detector"
Device = Literal["AUTO", "Prefer GPU", "CPU"]
Share = Annotated[float, Widget(min=0.0, max=1.0, step=0.01)]
Expansion = Annotated[int, Widget(min=0, max=1000, step=1)]
SamHint = Literal[
    "center-1",
    "horizontal-2",
    "vertical-2",
    "rect-4",
    "diamond-4",
    "mask-area",
    "mask-points",
    "mask-point-bbox",
    "none",
]
NegativeHint = Literal["False", "Small", "Outter"]
WHOLE = 1e6  # a crop factor with which every region is the whole picture


class Detected(TypedDict):
    image: Image
    threshold: Annotated[Share, Default(0.5)]
    dilation: Annotated[Dilation, Default(10)]
    crop_factor: Annotated[Factor, Default(3.0)]
    drop_size: Annotated[DropSize, Default(10)]
    labels: Annotated[str, Widget(multiline=True), Default("all")]


@node("UltralyticsDetectorProvider", runs_on=Stage.INLINE, category=CATEGORY)
def load_yolo(
    *, model_name: Annotated[ModelFile, Files("ultralytics")]
) -> tuple[BboxDetector, SegmDetector]:
    """Name a YOLO file: of boxes (bbox/), or of shapes (segm/)."""
    shapes = None if model_name.name.startswith("bbox") else model_name
    return BboxDetector(model_name), SegmDetector(shapes)


@node("ONNXDetectorProvider", runs_on=Stage.INLINE, category=CATEGORY)
def load_onnx(*, model_name: Annotated[ModelFile, Files("onnx")]) -> BboxDetector:
    """Name a detector of boxes in an ONNX file."""
    return BboxDetector(model_name)


@node(
    "SAMLoader",
    runs_on=Stage.INLINE,
    display_name="SAMLoader (Impact)",
    category=CATEGORY,
)
def load_sam(
    *,
    model_name: Annotated[ModelFile, Files("sams")],
    device_mode: Device,  # noqa: ARG001 - ours decide
) -> SamModel:
    """Name a SAM file."""
    return SamModel(model_name)


@node(
    "BboxDetectorSEGS", runs_on=Stage.IMAGE, display_name="BBOX Detector (SEGS)", category=DETECTOR
)
def detect_boxes(
    detecting: Detecting, *, bbox_detector: BboxDetector, **given: Unpack[Detected]
) -> Segs:
    """Find boxes in a picture."""
    found = detecting.find_boxes(detecting.detectors, bbox_detector, given["image"], _how(given))
    return _labelled(found, given["labels"])


@node(
    "SegmDetectorSEGS", runs_on=Stage.IMAGE, display_name="SEGM Detector (SEGS)", category=DETECTOR
)
def detect_shapes(
    detecting: Detecting, *, segm_detector: SegmDetector, **given: Unpack[Detected]
) -> Segs:
    """Find shapes in a picture."""
    found = detecting.find_shapes(detecting.detectors, segm_detector, given["image"], _how(given))
    return _labelled(found, given["labels"])


def _how(given: Detected) -> Detection:
    return Detection(
        given["threshold"], given["dilation"], given["crop_factor"], given["drop_size"]
    )


def _labelled(segs: Segs, labels: str) -> Segs:
    return labelled(segs, labels)[0] if labels else segs


@node(
    "BboxDetectorCombined_v2",
    runs_on=Stage.IMAGE,
    display_name="BBOX Detector (combined)",
    category=DETECTOR,
)
def combine_boxes(
    detecting: Detecting,
    *,
    bbox_detector: BboxDetector,
    image: Image,
    threshold: Share = 0.5,
    dilation: Dilation = 4,
) -> Mask:
    """Find boxes in a picture, as one mask."""
    how = Detection(threshold, dilation, WHOLE)
    found = detecting.find_boxes(detecting.detectors, bbox_detector, image, how)
    return detecting.combined_mask(found)


@node(
    "SegmDetectorCombined_v2",
    runs_on=Stage.IMAGE,
    display_name="SEGM Detector (combined)",
    category=DETECTOR,
)
def combine_shapes(
    detecting: Detecting,
    *,
    segm_detector: SegmDetector,
    image: Image,
    threshold: Share = 0.5,
    dilation: Dilation = 0,
) -> Mask:
    """Find shapes in a picture, as one mask."""
    how = Detection(threshold, dilation, WHOLE)
    found = detecting.find_shapes(detecting.detectors, segm_detector, image, how)
    return detecting.combined_mask(found)


@node(
    "SAMDetectorCombined",
    runs_on=Stage.IMAGE,
    display_name="SAMDetector (combined)",
    category=DETECTOR,
)
def combine_sam(
    detecting: Detecting,
    *,
    sam_model: SamModel,
    segs: Segs,
    image: Image,
    detection_hint: SamHint,
    dilation: Dilation = 0,
    threshold: Share = 0.93,
    bbox_expansion: Expansion = 0,
    mask_hint_threshold: Share = 0.7,
    mask_hint_use_negative: NegativeHint,
) -> Mask:
    """Find the shapes of all parts, as one mask."""
    hints = SamHints(
        detection_hint,
        dilation,
        threshold,
        bbox_expansion,
        mask_hint_threshold,
        mask_hint_use_negative,
    )
    return detecting.sam_mask(detecting.detectors, sam_model, segs, image, hints)


@node(
    "SAMDetectorSegmented",
    runs_on=Stage.IMAGE,
    display_name="SAMDetector (segmented)",
    category=DETECTOR,
    outputs=("combined_mask", "batch_masks"),
)
def separate_sam(
    detecting: Detecting,
    *,
    sam_model: SamModel,
    segs: Segs,
    image: Image,
    detection_hint: SamHint,
    dilation: Dilation = 0,
    threshold: Share = 0.93,
    bbox_expansion: Expansion = 0,
    mask_hint_threshold: Share = 0.7,
    mask_hint_use_negative: NegativeHint,
) -> tuple[Mask, Mask]:
    """Find the shapes of all parts, as one mask and one by one."""
    hints = SamHints(
        detection_hint,
        dilation,
        threshold,
        bbox_expansion,
        mask_hint_threshold,
        mask_hint_use_negative,
    )
    return detecting.sam_masks(detecting.detectors, sam_model, segs, image, hints)


@dataclass(frozen=True)
class Finders:
    """Who finds parts, and how: boxes, and their shapes by SAM or else by a detector."""

    boxes: BboxDetector
    of_boxes: Detection
    sam: SamModel | None
    hints: SamHints
    shapes: SegmDetector | None
    of_shapes: Detection


def found_in(detecting: Detecting, finders: Finders, image: Image) -> Segs:
    """The boxes in one picture, within the shapes that are found too."""
    networks = detecting.detectors
    segs = detecting.find_boxes(networks, finders.boxes, image, finders.of_boxes)
    if finders.sam is not None:
        return detecting.within(
            segs, list(detecting.sam_mask(networks, finders.sam, segs, image, finders.hints))
        )
    if finders.shapes is not None:
        shapes = detecting.find_shapes(networks, finders.shapes, image, finders.of_shapes)
        return detecting.within(segs, list(detecting.combined_mask(shapes)))
    return segs


@node(
    "ImpactSimpleDetectorSEGS",
    runs_on=Stage.IMAGE,
    display_name="Simple Detector (SEGS)",
    category=DETECTOR,
)
def detect_simply(
    detecting: Detecting,
    *,
    bbox_detector: BboxDetector,
    image: Image,
    bbox_threshold: Share = 0.5,
    bbox_dilation: Dilation = 0,
    crop_factor: Factor = 3.0,
    drop_size: DropSize = 10,
    sub_threshold: Share = 0.5,
    sub_dilation: Dilation = 0,
    sub_bbox_expansion: Expansion = 0,
    sam_mask_hint_threshold: Share = 0.7,
    post_dilation: Annotated[Dilation, MayBeAbsent()] = 0,
    sam_model_opt: SamModel | None = None,
    segm_detector_opt: SegmDetector | None = None,
) -> Segs:
    """Find boxes, and the shapes within them."""
    how = Detection(bbox_threshold, bbox_dilation, crop_factor, drop_size)
    hints = SamHints(
        "center-1", sub_dilation, sub_threshold, sub_bbox_expansion, sam_mask_hint_threshold
    )
    of_shapes = Detection(sub_threshold, sub_dilation, crop_factor, drop_size)
    finders = Finders(bbox_detector, how, sam_model_opt, hints, segm_detector_opt, of_shapes)
    segs = found_in(detecting, finders, image)
    return detecting.dilate_segs(segs, post_dilation)
