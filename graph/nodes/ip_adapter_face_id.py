"""IP-Adapters for faces that insightface's networks know. The nodes of ComfyUI_IPAdapter_plus.

Faces are found by the image stage, and made into prompts by the encode stage: a node is both.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypedDict, Unpack

from graph.errors import MissingModelFile
from graph.faces import FaceAnalysis, Faces, wanted_files
from graph.image_prompts import Combining, FacePictures, ImageUse, InsightFace, Scaling
from graph.node import Default, Widget, node
from graph.nodes.ip_adapter import LowWeight, WeightType, When
from graph.nodes.ip_adapter_loaders import CLIP_H, adapter
from graph.presets import PresetFiles, Presets, Wanted
from graph.prompt import Node, Source
from graph.results import Expansion
from graph.stages import Stage
from graph.stages.encode import FacePrompting
from graph.stages.faces import FaceNetworks
from graph.values import ClipVision, Image, IpAdapter, Link, Mask, Model

FACES, PROMPT = "comfyray.FacesOf", "comfyray.FacePrompt"
SMALLEST_PX = 256  # of the squares in which faces are looked for
MadeModel = Annotated[Expansion, Link("MODEL")]
MadeImage = Annotated[Expansion, Link("IMAGE")]


def lora(family: str, usual: str, pattern: str) -> Wanted:
    """The LoRA that goes with a FaceID adapter."""
    return Wanted(f"lora {family}", "loras", (rf"{pattern}\.safetensors$",), f"{usual}.safetensors")


BUFFALO = wanted_files("buffalo_l")
FACE_PRESETS = Presets(
    (
        (
            "FACEID",
            (
                CLIP_H,
                adapter("sd15", "ip-adapter-faceid_sd15", "faceid.sd15"),
                adapter("sdxl", "ip-adapter-faceid_sdxl", "faceid.sdxl"),
                lora("sd15", "ip-adapter-faceid_sd15_lora", "faceid.sd15.lora"),
                lora("sdxl", "ip-adapter-faceid_sdxl_lora", "faceid.sdxl.lora"),
                *BUFFALO,
            ),
        ),
        (
            "FACEID PLUS - SD1.5 only",
            (
                CLIP_H,
                adapter("sd15", "ip-adapter-faceid-plus_sd15", "faceid.plus.sd15"),
                lora("sd15", "ip-adapter-faceid-plus_sd15_lora", "faceid.plus.sd15.lora"),
                *BUFFALO,
            ),
        ),
        (
            "FACEID PLUS V2",
            (
                CLIP_H,
                adapter("sd15", "ip-adapter-faceid-plusv2_sd15", "faceid.plusv2.sd15"),
                adapter("sdxl", "ip-adapter-faceid-plusv2_sdxl", "faceid.plusv2.sdxl"),
                lora("sd15", "ip-adapter-faceid-plusv2_sd15_lora", "faceid.plusv2.sd15.lora"),
                lora("sdxl", "ip-adapter-faceid-plusv2_sdxl_lora", "faceid.plusv2.sdxl.lora"),
                *BUFFALO,
            ),
        ),
        (
            "FACEID PORTRAIT (style transfer)",
            (
                CLIP_H,
                adapter(
                    "sd15",
                    "ip-adapter-faceid-portrait-v11_sd15",
                    "portrait.v11.sd15",
                    "portrait.sd15",
                ),
                adapter("sdxl", "ip-adapter-faceid-portrait_sdxl", "portrait.sdxl"),
                *BUFFALO,
            ),
        ),
        (
            "FACEID PORTRAIT UNNORM - SDXL only (strong)",
            (
                CLIP_H,
                adapter("sdxl", "ip-adapter-faceid-portrait_sdxl_unnorm", "portrait.sdxl.unnorm"),
                *BUFFALO,
            ),
        ),
    )
)
ANALYSES = Presets(tuple((pack, wanted_files(pack)) for pack in ("buffalo_l", "antelopev2")))


@node(
    "IPAdapterUnifiedLoaderFaceID",
    runs_on=Stage.ENCODE,
    display_name="IPAdapter Unified Loader FaceID",
    category="ipadapter/faceid",
    outputs=("MODEL", "ipadapter"),
)
async def load_face_id(
    encoders: FacePrompting,
    *,
    model: Model,
    preset: Annotated[PresetFiles, FACE_PRESETS],
    lora_strength: Annotated[float, Widget(min=0, max=1, step=0.01)] = 0.6,
    provider: Literal["CPU", "CUDA", "ROCM", "DirectML", "OpenVINO", "CoreML"],  # noqa: ARG001
    ipadapter: IpAdapter | None = None,  # noqa: ARG001 - a chain's models, found by name
) -> tuple[Model, IpAdapter]:
    """Name a FaceID adapter, its image encoder and its LoRA by what they are for."""
    files = preset.by_use()
    family = await encoders.adapter_family(model)
    of_family = [one for one in FACE_PRESETS.wanted(preset.name) if one.use.endswith(family)]
    for wanted in of_family:
        if wanted.use not in files:
            raise MissingModelFile(wanted.folder, wanted.usual)
    adapters = tuple((use, file) for use, file in preset.files if file.folder == "ipadapter")
    analysis = tuple((use, file) for use, file in preset.files if file.folder == "insightface")
    found = IpAdapter(adapters, ClipVision(files["clip_vision"]), FaceAnalysis(analysis))
    beside = files.get(f"lora {family}")
    if beside is None or lora_strength == 0:
        return model, found
    return model.changed("lora", file=beside, strength=lora_strength), found


@node(
    "IPAdapterInsightFaceLoader",
    runs_on=Stage.INLINE,
    display_name="IPAdapter InsightFace Loader",
    category="ipadapter/loaders",
)
def load_insightface(
    *,
    provider: Literal["CPU", "CUDA", "ROCM"],  # noqa: ARG001 - they run on the CPU
    model_name: Annotated[PresetFiles, ANALYSES],
) -> InsightFace:
    """Name the networks that find faces and know them."""
    return FaceAnalysis.of(model_name)


class FaceInputs(TypedDict):
    model: Model
    ipadapter: IpAdapter
    image: Image
    weight: Annotated[LowWeight, Default(1.0)]
    weight_faceidv2: Annotated[float, Widget(min=-1, max=5.0, step=0.05), Default(1.0)]
    weight_type: WeightType
    combine_embeds: Combining
    start_at: Annotated[When, Default(0.0)]
    end_at: Annotated[When, Default(1.0)]
    embeds_scaling: Scaling
    image_negative: Image | None
    attn_mask: Mask | None
    clip_vision: ClipVision | None
    insightface: InsightFace | None


def _applied(given: Mapping[str, Any], *, per_picture: bool) -> Any:
    looking = {name: given[name] for name in ("image", "ipadapter")}
    prompt = {name: value for name, value in given.items() if name != "insightface"}
    if given.get("insightface") is not None:
        looking["insightface"] = given["insightface"]
    nodes = {
        "faces": Node(FACES, looking),
        "prompt": Node(PROMPT, {**prompt, "faces": Source("faces", 0), "per_picture": per_picture}),
    }
    return Expansion(nodes, (Source("prompt", 0), Source("prompt", 1)))


@node(
    "IPAdapterFaceID",
    runs_on=Stage.INLINE,
    rewrites=True,
    display_name="IPAdapter FaceID",
    category="ipadapter/faceid",
    outputs=("MODEL", "face_image"),
)
def apply_face_id(**given: Unpack[FaceInputs]) -> tuple[MadeModel, MadeImage]:
    """Let a model go by faces."""
    return _applied(given, per_picture=False)  # type: ignore[no-any-return]


@node(
    "IPAAdapterFaceIDBatch",
    runs_on=Stage.INLINE,
    rewrites=True,
    display_name="IPAdapter FaceID Batch",
    category="ipadapter/faceid",
    outputs=("MODEL", "face_image"),
)
def apply_face_id_batch(**given: Unpack[FaceInputs]) -> tuple[MadeModel, MadeImage]:
    """Let every picture of a batch go by a face of its own."""
    return _applied(given, per_picture=True)  # type: ignore[no-any-return]


@node(FACES, runs_on=Stage.IMAGE, internal=True)
def faces_of(
    networks: FaceNetworks,
    *,
    image: Image,
    ipadapter: IpAdapter,
    insightface: InsightFace | None = None,
) -> Faces:
    """The surest face of each picture; nothing without networks that know faces."""
    analysis = insightface or ipadapter.faces
    if analysis is None:
        return Faces(())
    return networks.faces_of(
        networks.detectors, analysis, image, smallest_px=SMALLEST_PX, largest_first=False
    )


class PromptInputs(TypedDict):
    model: Model
    ipadapter: IpAdapter
    image: Image
    faces: Faces | None
    weight: LowWeight
    weight_faceidv2: Annotated[float, Widget(min=-1, max=5.0, step=0.05)]
    weight_type: WeightType
    combine_embeds: Combining
    start_at: When
    end_at: When
    embeds_scaling: Scaling
    per_picture: bool
    image_negative: Image | None
    attn_mask: Mask | None
    clip_vision: ClipVision | None


@node(PROMPT, runs_on=Stage.ENCODE, internal=True, costly=True)
async def prompt_by_faces(
    encoders: FacePrompting, **given: Unpack[PromptInputs]
) -> tuple[Model, Image]:
    """A model that goes by faces, and the pictures of these faces."""
    use = ImageUse(
        weight=given["weight"],
        weight_type=given["weight_type"],
        start_percent=given["start_at"],
        end_percent=given["end_at"],
        scaling=given["embeds_scaling"],
        mask=given.get("attn_mask"),
        per_picture=given["per_picture"],
    )
    faces = FacePictures(
        given["image"],
        given.get("faces"),
        given.get("image_negative"),
        given["combine_embeds"],
        given["weight_faceidv2"],
    )
    model = given["model"]
    prompt, crops = await encoders.face_prompt(
        model, given["ipadapter"], given.get("clip_vision"), faces, use
    )
    return model.changed("ip_adapter", prompt=prompt), crops
