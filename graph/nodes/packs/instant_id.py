"""ComfyUI_InstantID: models that draw a face which they were shown once.

A face becomes an image prompt for SDXL, and the tokens that a ControlNet reads, which goes by
where the face's points are.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, TypedDict, Unpack

from graph.faces import FaceAnalysis, Faces, wanted_files
from graph.image_prompts import Combining, FacePictures, ImagePrompt, ImageUse
from graph.node import Default, Files, Widget, node
from graph.presets import PresetFiles, Presets
from graph.prompt import Node, Source
from graph.results import Expansion
from graph.stages import Stage
from graph.stages.encode import FacePrompting
from graph.stages.faces import FaceControls, FaceNetworks
from graph.values import Conditioning, ControlNet, Image, Link, Mask, Model, ModelFile

CATEGORY = "InstantID"
SMALLEST_PX = 128  # of the squares in which faces are looked for
FACES, POINTS = "comfyray.LargestFaces", "comfyray.FacePoints"
PATCH, CONTROL = "comfyray.InstantIdPrompt", "comfyray.InstantIdControl"
ANTELOPE = Presets(
    tuple((name, wanted_files("antelopev2")) for name in ("CPU", "CUDA", "ROCM", "CoreML"))
)
Analysis = Annotated[FaceAnalysis, Link("FACEANALYSIS")]
FaceEmbeds = Annotated[ImagePrompt, Link("FACE_EMBEDS")]
When = Annotated[float, Widget(min=0.0, max=1.0, step=0.001)]
Noise = Annotated[float, Widget(min=0.0, max=1.0, step=0.1)]
Strength = Annotated[float, Widget(min=0.0, max=10.0, step=0.01)]
MadeModel = Annotated[Expansion, Link("MODEL")]
MadeConditioning = Annotated[Expansion, Link("CONDITIONING")]
Made = tuple[MadeModel, MadeConditioning, MadeConditioning]
OUTPUTS = ("MODEL", "positive", "negative")


@dataclass(frozen=True)
class InstantId:
    """The file of an InstantID adapter."""

    link: ClassVar = Link("INSTANTID")
    file: ModelFile


@node(
    "InstantIDModelLoader",
    runs_on=Stage.INLINE,
    display_name="Load InstantID Model",
    category=CATEGORY,
)
def load(*, instantid_file: Annotated[ModelFile, Files("instantid")]) -> InstantId:
    """Name an InstantID adapter."""
    return InstantId(instantid_file)


@node(
    "InstantIDFaceAnalysis",
    runs_on=Stage.INLINE,
    display_name="InstantID Face Analysis",
    category=CATEGORY,
)
def load_analysis(*, provider: Annotated[PresetFiles, ANTELOPE]) -> Analysis:
    """Name antelopev2's networks, which find faces and know them. They run on the CPU."""
    return FaceAnalysis.of(provider)


@node(
    "FaceKeypointsPreprocessor",
    runs_on=Stage.IMAGE,
    display_name="Face Keypoints Preprocessor",
    category=CATEGORY,
)
def draw_points(networks: FaceNetworks, *, faceanalysis: Analysis, image: Image) -> Image:
    """Draw the points of faces."""
    return networks.face_keypoints(image, _largest(networks, faceanalysis, image), None)


def _largest(networks: FaceNetworks, analysis: FaceAnalysis, image: Image) -> Faces:
    return networks.faces_of(
        networks.detectors, analysis, image, smallest_px=SMALLEST_PX, largest_first=True
    )


@node(FACES, runs_on=Stage.IMAGE, internal=True)
def largest_faces(networks: FaceNetworks, *, insightface: Analysis, image: Image) -> Faces:
    """The largest face of each picture."""
    return _largest(networks, insightface, image)


@node(POINTS, runs_on=Stage.IMAGE, internal=True)
def points_or_picture(
    networks: FaceNetworks, *, insightface: Analysis, image: Image, image_kps: Image | None = None
) -> Image:
    """The points in `image_kps`, which else shows them itself; or of the first picture."""
    shown = networks.images_from_batch(image, 0, 1) if image_kps is None else image_kps
    return networks.face_keypoints(shown, _largest(networks, insightface, shown), image_kps)


class PatchInputs(TypedDict):
    instantid: InstantId
    faces: Faces
    model: Model
    weight: float
    start_at: When
    end_at: When
    noise: Noise
    combining: Combining
    mask: Mask | None


@node(PATCH, runs_on=Stage.ENCODE, internal=True, costly=True)
async def prompt_of_faces(
    encoders: FacePrompting, **given: Unpack[PatchInputs]
) -> tuple[Model, FaceEmbeds]:
    """A model that goes by faces, and what a ControlNet reads of them."""
    use = ImageUse(
        weight=given["weight"],
        start_percent=given["start_at"],
        end_percent=given["end_at"],
        mask=given.get("mask"),
    )
    faces = FacePictures(faces=given["faces"], combining=given["combining"], noise=given["noise"])
    prompt = await encoders.instant_prompt(given["instantid"].file, faces, use)
    model = given["model"]
    return model.changed("ip_adapter", prompt=prompt) if use.weight else model, prompt


class ControlInputs(TypedDict):
    face_embeds: FaceEmbeds
    control_net: ControlNet
    image_kps: Image
    positive: Conditioning
    negative: Conditioning
    strength: Annotated[Strength, Default(1.0)]
    start_at: Annotated[When, Default(0.0)]
    end_at: Annotated[When, Default(1.0)]
    mask: Mask | None


def _controlled(controls: FaceControls, given: ControlInputs) -> tuple[Conditioning, Conditioning]:
    return controls.apply_face_control(
        given["positive"],
        given["negative"],
        given["control_net"],
        given["image_kps"],
        given["face_embeds"],
        strength=given["strength"],
        start_percent=given["start_at"],
        end_percent=given["end_at"],
        mask=given.get("mask"),
    )


@node(
    "ApplyInstantIDControlNet",
    runs_on=Stage.SAMPLE,
    display_name="InstantID Apply ControlNet",
    category=CATEGORY,
    outputs=("positive", "negative"),
)
def control(
    controls: FaceControls, **given: Unpack[ControlInputs]
) -> tuple[Conditioning, Conditioning]:
    """Put prompts under a ControlNet that reads faces."""
    if given["strength"] == 0:
        return given["positive"], given["negative"]
    return _controlled(controls, given)


@node(CONTROL, runs_on=Stage.SAMPLE, internal=True)
def control_always(
    controls: FaceControls, **given: Unpack[ControlInputs]
) -> tuple[Conditioning, Conditioning]:
    """As ApplyInstantIDControlNet, at a strength of 0 too: the mask counts."""
    return _controlled(controls, given)


class Shown(TypedDict):
    instantid: InstantId
    insightface: Analysis


class Seen(TypedDict):
    image: Image
    model: Model


class Controlled(TypedDict):
    control_net: ControlNet


class Prompts(TypedDict):
    positive: Conditioning
    negative: Conditioning


class Times(TypedDict):
    start_at: Annotated[When, Default(0.0)]
    end_at: Annotated[When, Default(1.0)]


class Places(TypedDict):
    image_kps: Image | None
    mask: Mask | None


class Weighed(TypedDict):
    weight: Annotated[float, Widget(min=0.0, max=5.0, step=0.01), Default(0.8)]


class WeighedApart(TypedDict):
    ip_weight: Annotated[float, Widget(min=0.0, max=3.0, step=0.01), Default(0.8)]
    cn_strength: Annotated[Strength, Default(0.8)]


class More(TypedDict):
    noise: Annotated[Noise, Default(0.0)]
    combine_embeds: Annotated[Literal["average", "norm average", "concat"], Default("average")]


class Simple(Shown, Controlled, Seen, Prompts, Weighed, Times, Places):
    """The inputs of ApplyInstantID."""


class Advanced(Shown, Controlled, Seen, Prompts, WeighedApart, Times, More, Places):
    """The inputs of ApplyInstantIDAdvanced."""


def _patched(given: Mapping[str, Any], weight: Any, noise: Any, combining: Any) -> dict[str, Node]:
    prompt = {name: given[name] for name in ("instantid", "model", "start_at", "end_at")}
    prompt |= {"faces": Source("faces", 0), "weight": weight}
    prompt |= {"noise": noise, "combining": combining} | _named(given, "mask")
    looking = {name: given[name] for name in ("insightface", "image")}
    return {"faces": Node(FACES, looking), "prompt": Node(PATCH, prompt)}


def _named(given: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: given[name] for name in names if given.get(name) is not None}


def _applied(given: Mapping[str, Any], weights: tuple[Any, Any], more: tuple[Any, Any]) -> Any:
    nodes = _patched(given, weights[0], *more)
    points = {name: given[name] for name in ("insightface", "image")}
    nodes["points"] = Node(POINTS, points | _named(given, "image_kps"))
    names = ("control_net", "positive", "negative", "start_at", "end_at")
    under = {name: given[name] for name in names} | _named(given, "mask")
    under |= {"face_embeds": Source("prompt", 1), "image_kps": Source("points", 0)}
    nodes["control"] = Node(CONTROL, under | {"strength": weights[1]})
    return Expansion(nodes, (Source("prompt", 0), Source("control", 0), Source("control", 1)))


@node(
    "ApplyInstantID",
    runs_on=Stage.INLINE,
    rewrites=True,
    display_name="Apply InstantID",
    category=CATEGORY,
    outputs=OUTPUTS,
)
def apply(**given: Unpack[Simple]) -> Made:
    """Let a model draw a face."""
    weight = given["weight"]
    return _applied(given, (weight, weight), (0.35, "average"))  # type: ignore[no-any-return]


@node(
    "ApplyInstantIDAdvanced",
    runs_on=Stage.INLINE,
    rewrites=True,
    display_name="Apply InstantID Advanced",
    category=CATEGORY,
    outputs=OUTPUTS,
)
def apply_advanced(**given: Unpack[Advanced]) -> Made:
    """Let a model draw a face, more or less strongly in its two ways."""
    weights = given["ip_weight"], given["cn_strength"]
    return _applied(given, weights, (given["noise"], given["combine_embeds"]))  # type: ignore[no-any-return]


class Masked(TypedDict):
    mask: Mask | None


class PatchWeight(TypedDict):
    weight: Annotated[float, Widget(min=-1.0, max=3.0, step=0.01), Default(1.0)]


class PatchNoise(TypedDict):
    noise: Annotated[Noise, Default(0.0)]


class Patched(Shown, Seen, PatchWeight, Times, PatchNoise, Masked):
    """The inputs of InstantIDAttentionPatch."""


@node(
    "InstantIDAttentionPatch",
    runs_on=Stage.INLINE,
    rewrites=True,
    display_name="InstantID Patch Attention",
    category=CATEGORY,
    outputs=("MODEL", "FACE_EMBEDS"),
)
def patch(
    **given: Unpack[Patched],
) -> tuple[MadeModel, Annotated[Expansion, Link("FACE_EMBEDS")]]:
    """Let a model go by a face, and keep what a ControlNet reads of it."""
    nodes = _patched(given, given["weight"], given["noise"], "average")
    return Expansion(nodes, (Source("prompt", 0), Source("prompt", 1)))  # type: ignore[return-value]
