"""Faces: the networks that know them, by file, and what those say of a picture's faces.

Packs of insightface's networks lie where ComfyUI's packs look for them:
models/insightface/models/<pack>/.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from graph.annotators import FixedFile
from graph.digits import whole_number
from graph.errors import ServiceError
from graph.presets import PresetFiles, Wanted
from graph.values import Link, ModelFile, Tensor

FOLDER = "insightface"
LICENCE = "insightface's networks are for non-commercial research alone: see its licence."
RELEASES = "https://github.com/deepinsight/insightface/tree/master/model_zoo"
DETECTION, RECOGNITION, ATTRIBUTES = "detection", "recognition", "attributes"
PACKS = {
    "buffalo_l": {
        DETECTION: "det_10g.onnx",
        RECOGNITION: "w600k_r50.onnx",
        ATTRIBUTES: "genderage.onnx",
    },
    "antelopev2": {DETECTION: "scrfd_10g_bnkps.onnx", RECOGNITION: "glintr100.onnx"},
}
MOST_CHOSEN = 100  # faces that one node may name by their places
MOST_SWAPS = 1_000  # of a node: its pictures times the places


def fixed_files(pack: str) -> dict[str, FixedFile]:
    """The files of a pack, by what they do."""
    return {
        use: FixedFile(FOLDER, f"models/{pack}/{name}", LICENCE, RELEASES)
        for use, name in PACKS[pack].items()
    }


def wanted_files(pack: str) -> tuple[Wanted, ...]:
    """The files of a pack that finds and knows faces, as those of a preset."""
    return tuple(
        Wanted(use, FOLDER, (rf"^models/{pack}/{re.escape(name)}$",), f"models/{pack}/{name}",
               needed=True, note=LICENCE)
        for use, name in PACKS[pack].items()
        if use != ATTRIBUTES
    )  # fmt: skip


@dataclass(frozen=True)
class FaceAnalysis:
    """What finds faces and knows them: its files, by what they do."""

    files: tuple[tuple[str, ModelFile | FixedFile], ...]

    @classmethod
    def of(cls, preset: PresetFiles) -> "FaceAnalysis":
        return cls(preset.files)

    def file(self, use: str) -> ModelFile | FixedFile:
        return dict(self.files)[use]


BUFFALO = FaceAnalysis(tuple(fixed_files("buffalo_l").items()))


@dataclass(frozen=True, eq=False)
class Face:
    """A face in a picture, and who it is: `embedding` [512], not normalized.

    `points` [5, 2] are eyes, nose and corners of the mouth, in pixels; `box` is x1, y1, x2, y2.
    """

    link: ClassVar = Link("FACE_MODEL")
    box: tuple[float, float, float, float]
    points: Tensor
    score: float
    embedding: Tensor
    female: bool | None = None


@dataclass(frozen=True, eq=False)
class Faces:
    """The face of each picture of a batch; None of one without a face."""

    link: ClassVar = Link("COMFYRAY_FACES")
    each: tuple[Face | None, ...]


@dataclass(eq=False)
class NoFaceError(ServiceError):
    """A picture without a face, of which one is needed."""

    status = 422
    code = "no_face"
    template = "No face was found in picture {number} of input {name!r}."
    name: str
    number: int


@dataclass(eq=False)
class TooManyFacesError(ServiceError):
    """More faces than a node may name."""

    status = 422
    code = "too_many_parts"
    template = "{received} faces are to be swapped; the limit is {limit}."
    received: int
    limit: int


def chosen_places(text: str) -> tuple[int, ...]:
    """The places that a list such as "0,2" names; the first where it names none.

    Raises:
        TooManyFacesError: it names more than are done.
    """
    found = [whole_number(part) for part in text.strip(",").split(",")]
    places = tuple(place for place in found if place is not None)
    if len(places) > MOST_CHOSEN:
        raise TooManyFacesError(len(places), MOST_CHOSEN)
    return places or (0,)


def check_swaps(count: int) -> None:
    """Raises TooManyFacesError where a node has more faces to swap than it may."""
    if count > MOST_SWAPS:
        raise TooManyFacesError(count, MOST_SWAPS)


@dataclass(frozen=True)
class Choosing:
    """Which faces of pictures are swapped, under the names of ReActor's options."""

    input_faces_order: str = "large-small"
    input_faces_index: str = "0"
    detect_gender_input: str = "no"
    source_faces_order: str = "large-small"
    source_faces_index: str = "0"
    detect_gender_source: str = "no"
    restore_swapped_only: bool = True

    @property
    def of_inputs(self) -> "Chosen":
        places = chosen_places(self.input_faces_index)
        return Chosen(self.input_faces_order, places, self.detect_gender_input)

    @property
    def of_sources(self) -> "Chosen":
        places = chosen_places(self.source_faces_index)
        return Chosen(self.source_faces_order, places, self.detect_gender_source)


@dataclass(frozen=True)
class Chosen:
    """Faces of one picture: their order, the places in it, and a gender or "no"."""

    order: str
    places: Sequence[int]
    gender: str = "no"


@dataclass(frozen=True)
class Restoring:
    """A network that draws faces anew, and how much of what it drew is seen."""

    model: ModelFile
    visibility: float = 1.0
    codeformer_weight: float = 0.5


@dataclass(frozen=True)
class Boost:
    """A face that is restored before it is put back, as ReActor's Face Boost does."""

    restoring: Restoring | None
    interpolation: str = "Bicubic"
    restore_with_main_after: bool = False


@dataclass(frozen=True)
class Swap:
    """What a swap is done with: the network, which faces, and how they are restored."""

    model: ModelFile
    choosing: Choosing
    restoring: Restoring | None = None
    boost: Boost | None = None


def in_order(faces: Sequence[Any], order: str) -> list[Any]:
    """Faces, or what else has a `box`, in one of ReActor's orders."""
    keys = {
        "left-right": lambda face: face.box[0],
        "right-left": lambda face: -face.box[0],
        "top-bottom": lambda face: face.box[1],
        "bottom-top": lambda face: -face.box[1],
        "small-large": lambda face: area(face.box),
    }
    return sorted(faces, key=keys.get(order, lambda face: -area(face.box)))


def area(box: Sequence[float]) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
