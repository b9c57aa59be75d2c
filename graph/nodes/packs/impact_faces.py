"""Impact Pack: FaceDetailer, which finds parts and draws them again, and the pipes that feed it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, TypeAlias, TypedDict, Unpack

from graph.detailing import listed
from graph.node import Choices, Default, Files, Widget, node
from graph.nodes.packs.impact_detailer import (
    Drawing,
    Hooked,
    MadeImage,
    Masking,
    Models,
    More,
    Prompts,
    Refined,
    SegsBatch,
    Share,
    Worded,
    drawing_step,
    models_of,
)
from graph.nodes.packs.impact_detectors import Finders, NegativeHint, SamHint, found_in
from graph.nodes.packs.impact_segs import Dilation
from graph.nodes.packs.impact_values import BasicPipe
from graph.prompt import Node, Source
from graph.results import Expansion
from graph.segs import BboxDetector, Detection, SamHints, SamModel, SegmDetector
from graph.stages import Stage
from graph.stages.parts import Details, Detecting
from graph.values import Image, Link, Mask, ModelFile

SIMPLE, PIPE = "ImpactPack/Simple", "ImpactPack/Pipe"
FIND, MASK_OF = "comfyray.FindParts", "comfyray.MaskOfParts"
MadeMask = Annotated[Expansion, Link("MASK")]
MadePipe = Annotated[Expansion, Link("DETAILER_PIPE")]


@dataclass(frozen=True)
class DetailerPipe:
    """What a pipe carries: descriptions, or the links that lead to them."""

    link: ClassVar = Link("DETAILER_PIPE")
    basic: BasicPipe
    wildcard: Any
    bbox_detector: Any
    segm_detector: Any = None
    sam_model: Any = None
    refiner: BasicPipe | None = None


class Finding(TypedDict):
    bbox_threshold: Annotated[Share, Default(0.5)]
    bbox_dilation: Annotated[Dilation, Default(10)]
    bbox_crop_factor: Annotated[float, Widget(min=1.0, max=10, step=0.1), Default(3.0)]
    sam_detection_hint: SamHint
    sam_dilation: Annotated[Dilation, Default(0)]
    sam_threshold: Annotated[Share, Default(0.93)]
    sam_bbox_expansion: Annotated[int, Widget(min=0, max=1000, step=1), Default(0)]
    sam_mask_hint_threshold: Annotated[Share, Default(0.7)]
    sam_mask_hint_use_negative: NegativeHint
    drop_size: Annotated[int, Widget(min=1, max=16384, step=1), Default(10)]


class Pictured(TypedDict):
    image: Image


class Faces(Pictured, Models, Drawing, Prompts, Masking, Finding, Worded, Hooked, More):
    """The inputs of FaceDetailer."""

    bbox_detector: BboxDetector
    sam_model_opt: SamModel | None
    segm_detector_opt: SegmDetector | None


class FacesPipe(Pictured, Drawing, Masking, Finding, Refined, More):
    """The inputs of FaceDetailerPipe."""

    detailer_pipe: DetailerPipe


FINDING = tuple(Finding.__annotations__)
OUTPUTS_OF_FACES = (
    "image",
    "cropped_refined",
    "cropped_enhanced_alpha",
    "mask",
    "detailer_pipe",
    "cnet_images",
)
MadeFaces: TypeAlias = tuple[MadeImage, MadeImage, MadeImage, MadeMask, MadePipe, MadeImage]


def _faces(given: Mapping[str, Any], pipe: DetailerPipe) -> Any:
    finding = {name: given[name] for name in FINDING}
    finding |= {"image": given["image"], "bbox_detector": pipe.bbox_detector}
    finding |= {"sam_model": pipe.sam_model, "segm_detector": pipe.segm_detector}
    worded_too = {**given, "wildcard": pipe.wildcard}
    nodes = {
        "batch": Node(FIND, finding),
        "drawn": drawing_step(worded_too, pipe.basic, pipe.refiner),
        "mask": Node(MASK_OF, {"batch": Source("batch", 0)}),
    }
    none = listed(nodes, "control pictures", ())
    drawn = [Source("drawn", slot) for slot in (0, 3, 4)]
    return Expansion(nodes, (*drawn, Source("mask", 0), pipe, none))


@node(
    "FaceDetailer",
    runs_on=Stage.INLINE,
    rewrites=True,
    category=SIMPLE,
    outputs=OUTPUTS_OF_FACES,
    list_outputs=(1, 2, 5),
)
def detail_faces(**given: Unpack[Faces]) -> MadeFaces:
    """Find faces, or what a detector is for, draw them again and put them back."""
    pipe = DetailerPipe(
        models_of(given),
        given["wildcard"],
        given["bbox_detector"],
        given.get("segm_detector_opt"),
        given.get("sam_model_opt"),
    )
    return _faces(given, pipe)  # type: ignore[no-any-return]


@node(
    "FaceDetailerPipe",
    runs_on=Stage.INLINE,
    rewrites=True,
    display_name="FaceDetailer (pipe)",
    category=SIMPLE,
    outputs=OUTPUTS_OF_FACES,
    list_outputs=(1, 2, 5),
)
def detail_faces_pipe(**given: Unpack[FacesPipe]) -> MadeFaces:
    """Find faces and draw them again by what a pipe carries."""
    return _faces(given, given["detailer_pipe"])  # type: ignore[no-any-return]


@node(FIND, runs_on=Stage.IMAGE, internal=True)
def find_parts(
    detecting: Detecting,
    *,
    image: Image,
    bbox_detector: BboxDetector,
    sam_model: SamModel | None = None,
    segm_detector: SegmDetector | None = None,
    **given: Unpack[Finding],
) -> SegsBatch:
    """The parts of each picture: boxes, within the shapes that SAM or a detector finds."""
    how = Detection(
        given["bbox_threshold"],
        given["bbox_dilation"],
        given["bbox_crop_factor"],
        given["drop_size"],
    )
    hints = SamHints(
        given["sam_detection_hint"],
        given["sam_dilation"],
        given["sam_threshold"],
        given["sam_bbox_expansion"],
        given["sam_mask_hint_threshold"],
        given["sam_mask_hint_use_negative"],
    )
    finders = Finders(bbox_detector, how, sam_model, hints, segm_detector, how)
    count = detecting.batch_count(image)
    pictures = (detecting.images_from_batch(image, k, 1) for k in range(count))
    return tuple(found_in(detecting, finders, one) for one in pictures)


@node(MASK_OF, runs_on=Stage.IMAGE, internal=True)
def mask_of_parts(details: Details, *, batch: SegsBatch) -> Mask:
    """Where the parts of each picture are."""
    return details.parts_mask(batch)


LORAS = Files("loras", also=("Select the LoRA to add to the text",))
AddedLora = Annotated[ModelFile, LORAS, Default("Select the LoRA to add to the text")]
AddedWildcard = Annotated[str, Choices(("Select the Wildcard to add to the text",))]
ForEditor = TypedDict(
    "ForEditor", {"Select to add LoRA": AddedLora, "Select to add Wildcard": AddedWildcard}
)
PARTS_OF_PIPE = (
    "model",
    "clip",
    "vae",
    "positive",
    "negative",
    "bbox_detector",
    "sam_model_opt",
    "segm_detector_opt",
    "detailer_hook",
)
MadeParts: TypeAlias = tuple[
    Annotated[Expansion, Link("MODEL")],
    Annotated[Expansion, Link("CLIP")],
    Annotated[Expansion, Link("VAE")],
    Annotated[Expansion, Link("CONDITIONING")],
    Annotated[Expansion, Link("CONDITIONING")],
    Annotated[Expansion, Link("BBOX_DETECTOR")],
    Annotated[Expansion, Link("SAM_MODEL")],
    Annotated[Expansion, Link("SEGM_DETECTOR")],
    Annotated[Expansion, Link("DETAILER_HOOK")],
]


class OfDetectors(ForEditor):
    sam_model_opt: SamModel | None
    segm_detector_opt: SegmDetector | None
    detailer_hook: Annotated[Any | None, Link("DETAILER_HOOK")]


class Detector(TypedDict):
    bbox_detector: BboxDetector


class Piped(Models, Prompts, Detector, Worded, OfDetectors):
    """The inputs of ToDetailerPipe."""


class OfBasic(TypedDict):
    basic_pipe: BasicPipe


class PipedBasic(OfBasic, Detector, Worded, OfDetectors):
    """The inputs of BasicPipeToDetailerPipe."""


def _pipe(basic: BasicPipe, given: Mapping[str, Any]) -> Any:
    detectors = given["bbox_detector"], given.get("segm_detector_opt")
    pipe = DetailerPipe(basic, given["wildcard"], *detectors, given.get("sam_model_opt"))
    return Expansion({}, (pipe,))


@node(
    "ToDetailerPipe",
    runs_on=Stage.INLINE,
    rewrites=True,
    category=PIPE,
    outputs=("detailer_pipe",),
)
def to_pipe(**given: Unpack[Piped]) -> MadePipe:
    """Put on one link what a detailer needs."""
    return _pipe(models_of(given), given)  # type: ignore[no-any-return]


@node(
    "BasicPipeToDetailerPipe",
    runs_on=Stage.INLINE,
    rewrites=True,
    display_name="BasicPipe -> DetailerPipe",
    category=PIPE,
    outputs=("detailer_pipe",),
)
def to_pipe_of_basic(**given: Unpack[PipedBasic]) -> MadePipe:
    """Put on one link what a basic pipe carries, and detectors."""
    return _pipe(given["basic_pipe"], given)  # type: ignore[no-any-return]


def _parts(pipe: DetailerPipe) -> tuple[Any, ...]:
    return *pipe.basic.parts, pipe.bbox_detector, pipe.sam_model, pipe.segm_detector, None


@node("FromDetailerPipe", runs_on=Stage.INLINE, rewrites=True, category=PIPE, outputs=PARTS_OF_PIPE)
def from_pipe(*, detailer_pipe: DetailerPipe) -> MadeParts:
    """Take a pipe apart."""
    return Expansion({}, _parts(detailer_pipe))  # type: ignore[return-value]


@node(
    "FromDetailerPipe_v2",
    runs_on=Stage.INLINE,
    rewrites=True,
    display_name="FromDetailerPipe_v2",
    category=PIPE,
    outputs=("detailer_pipe", *PARTS_OF_PIPE),
)
def from_pipe_too(*, detailer_pipe: DetailerPipe) -> tuple[MadePipe, *MadeParts]:
    """Take a pipe apart, and pass it on."""
    return Expansion({}, (detailer_pipe, *_parts(detailer_pipe)))  # type: ignore[return-value]


@node(
    "DetailerPipeToBasicPipe",
    runs_on=Stage.INLINE,
    rewrites=True,
    display_name="DetailerPipe -> BasicPipe",
    category=PIPE,
    outputs=("base_basic_pipe", "refiner_basic_pipe"),
)
def basic_of_pipe(
    *, detailer_pipe: DetailerPipe
) -> tuple[Annotated[Expansion, Link("BASIC_PIPE")], Annotated[Expansion, Link("BASIC_PIPE")]]:
    """Give the basic pipes of a pipe."""
    return Expansion({}, (detailer_pipe.basic, detailer_pipe.refiner))  # type: ignore[return-value]
