"""ComfyUI-ReActor: faces of pictures, swapped for those of others and restored."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, TypedDict, Unpack

from graph.annotators import FixedFile
from graph.faces import LICENCE, Boost, Choosing, Face, Restoring, Swap, fixed_files
from graph.node import Default, Files, Widget, node
from graph.stages import Stage
from graph.stages.faces import FaceNetworks
from graph.values import Image, Link, ModelFile

CATEGORY = "🌌 ReActor"
SWAPPERS = Files("face_swap", lies_in="insightface", note=LICENCE)
NONE = "none"
RESTORERS = Files("facerestore_models", also=(NONE,))
FaceDetection = Literal["retinaface_resnet50", "retinaface_mobile0.25", "YOLOv5l", "YOLOv5n"]
Gender = Literal["no", "female", "male"]
Order = Literal[
    "left-right", "right-left", "top-bottom", "bottom-top", "small-large", "large-small"
]
LogLevel = Annotated[Literal[0, 1, 2], Default(1)]
Restorer = Annotated[ModelFile, RESTORERS]
Share = Annotated[float, Widget(min=0.0, max=1, step=0.05)]
Seen = Annotated[float, Widget(min=0.1, max=1, step=0.05)]
OUTPUTS = ("SWAPPED_IMAGE", "FACE_MODEL", "ORIGINAL_IMAGE")


@dataclass(frozen=True)
class FaceBoost:
    """What is done to a face before it is put back, where it is `enabled`."""

    link: ClassVar = Link("FACE_BOOST")
    enabled: bool
    boost: Boost


@dataclass(frozen=True)
class Options:
    """Which faces are swapped."""

    link: ClassVar = Link("OPTIONS")
    choosing: Choosing


def knows_faces(constants: Mapping[str, Any]) -> tuple[FixedFile, ...]:
    """The networks of buffalo_l, unless the node is switched off."""
    return () if constants.get("enabled") is False else tuple(fixed_files("buffalo_l").values())


class Pictures(TypedDict):
    enabled: Annotated[bool, Default(True)]
    input_image: Image
    swap_model: Annotated[ModelFile, SWAPPERS]
    facedetection: FaceDetection
    face_restore_model: Restorer
    face_restore_visibility: Annotated[Seen, Default(1)]
    codeformer_weight: Annotated[Share, Default(0.5)]


class Faces(TypedDict):
    source_image: Image | None
    face_model: Face | None


class Boosted(TypedDict):
    face_boost: FaceBoost | None


class ChoosingInputs(TypedDict):
    detect_gender_input: Annotated[Gender, Default("no")]
    detect_gender_source: Annotated[Gender, Default("no")]
    input_faces_index: Annotated[str, Default("0")]
    source_faces_index: Annotated[str, Default("0")]
    console_log_level: LogLevel


class Plain(Pictures, ChoosingInputs, Faces, Boosted):
    """The inputs of ReActorFaceSwap."""


class Optioned(TypedDict):
    options: Options | None


class WithOptions(Pictures, Faces, Optioned, Boosted):
    """The inputs of ReActorFaceSwapOpt."""


def restoring(model: Any, visibility: float, codeformer_weight: float) -> Restoring | None:
    """How faces are restored; None where no network is named."""
    return None if model == NONE else Restoring(model, visibility, codeformer_weight)


def _swapped(
    networks: FaceNetworks, given: Mapping[str, Any], choosing: Choosing
) -> tuple[Image, Face | None, Image]:
    image, source, face = given["input_image"], given.get("source_image"), given.get("face_model")
    if not given["enabled"] or (source is None and face is None):
        return image, face, image
    boost = given.get("face_boost")
    how = Swap(
        given["swap_model"],
        choosing,
        restoring(
            given["face_restore_model"],
            given["face_restore_visibility"],
            given["codeformer_weight"],
        ),
        boost.boost if boost is not None and boost.enabled else None,
    )
    done, first = networks.swap_faces(networks.detectors, image, source, face, how)
    return done, first if face is None else face, image


@node(
    "ReActorFaceSwap",
    runs_on=Stage.IMAGE,
    display_name="ReActor 🌌 Fast Face Swap",
    category=CATEGORY,
    outputs=OUTPUTS,
    costly=True,
    weights=knows_faces,
)
def swap(networks: FaceNetworks, **given: Unpack[Plain]) -> tuple[Image, Face, Image]:
    """Put faces of one picture into others."""
    choosing = Choosing(
        input_faces_index=given["input_faces_index"],
        detect_gender_input=given["detect_gender_input"],
        source_faces_index=given["source_faces_index"],
        detect_gender_source=given["detect_gender_source"],
    )
    return _swapped(networks, given, choosing)  # type: ignore[return-value]


@node(
    "ReActorFaceSwapOpt",
    runs_on=Stage.IMAGE,
    display_name="ReActor 🌌 Fast Face Swap [OPTIONS]",
    category=CATEGORY,
    outputs=OUTPUTS,
    costly=True,
    weights=knows_faces,
)
def swap_by_options(
    networks: FaceNetworks, **given: Unpack[WithOptions]
) -> tuple[Image, Face, Image]:
    """Put faces of one picture into others; which, is said by options."""
    options = given.get("options")
    choosing = Choosing() if options is None else options.choosing
    return _swapped(networks, given, choosing)  # type: ignore[return-value]


@node(
    "ReActorOptions",
    runs_on=Stage.INLINE,
    display_name="ReActor 🌌 Options",
    category=CATEGORY,
)
def choose(
    *,
    input_faces_order: Order = "large-small",
    input_faces_index: str = "0",
    detect_gender_input: Gender = "no",
    source_faces_order: Order = "large-small",
    source_faces_index: str = "0",
    detect_gender_source: Gender = "no",
    console_log_level: Literal[0, 1, 2] = 1,  # noqa: ARG001 - nothing is printed
    restore_swapped_only: bool = True,
) -> Options:
    """Say which faces are swapped."""
    return Options(
        Choosing(
            input_faces_order,
            input_faces_index,
            detect_gender_input,
            source_faces_order,
            source_faces_index,
            detect_gender_source,
            restore_swapped_only,
        )
    )


@node(
    "ReActorFaceBoost",
    runs_on=Stage.INLINE,
    display_name="ReActor 🌌 Face Booster",
    category=CATEGORY,
)
def boost(
    *,
    enabled: bool = True,
    boost_model: Restorer,
    interpolation: Literal["Nearest", "Bilinear", "Bicubic", "Lanczos"] = "Bicubic",
    visibility: Seen = 1,
    codeformer_weight: Share = 0.5,
    restore_with_main_after: bool = False,
) -> FaceBoost:
    """Restore faces before they are put back."""
    how = restoring(boost_model, visibility, codeformer_weight)
    return FaceBoost(enabled, Boost(how, interpolation, restore_with_main_after))


@node(
    "ReActorRestoreFace",
    runs_on=Stage.IMAGE,
    display_name="Restore Face 🌌 ReActor",
    category=CATEGORY,
    costly=True,
    weights=knows_faces,
)
def restore(
    networks: FaceNetworks,
    *,
    image: Image,
    facedetection: FaceDetection,  # noqa: ARG001 - buffalo_l's detector finds them
    model: Restorer,
    visibility: Share = 1,
    codeformer_weight: Share = 0.5,
) -> Image:
    """Draw the faces of pictures anew."""
    how = restoring(model, visibility, codeformer_weight)
    return image if how is None else networks.restored_pictures(networks.detectors, image, how)


@node(
    "ReActorFaceSimilarity",
    runs_on=Stage.IMAGE,
    display_name="Face Similarity 🌌 ReActor",
    category=CATEGORY,
    outputs=("similarity_float", "similarity_text"),
    weights=knows_faces,
)
def compare(networks: FaceNetworks, *, image1: Image, image2: Image) -> tuple[float, str]:
    """Say how alike two faces are."""
    alike = networks.face_similarity(networks.detectors, image1, image2)
    if alike is None:
        return 0.0, "Face not found in one or both images"
    return alike, f"{alike * 100:.2f}%"
