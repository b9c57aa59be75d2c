"""Weights of preprocessors: the file of a Hugging Face repository that each needs.

The files are those that the ControlNet-aux pack and the controlnet-aux package name, and what
transformers' own checkpoints of the same network are called, so a folder filled for either works.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

from graph.errors import ServiceError
from graph.problems import Problem

FOLDER = "annotators"  # in the models folder


@dataclass(frozen=True)
class HubFile:
    """A file of a Hugging Face repository."""

    repository: str
    name: str

    @property
    def url(self) -> str:
        return f"https://huggingface.co/{self.repository}/resolve/main/{self.name}"


@dataclass(frozen=True)
class Annotator:
    """The weights of one network. Any of `others` does as well as `file`."""

    file: HubFile
    others: tuple[HubFile, ...] = ()

    @property
    def files(self) -> tuple[HubFile, ...]:
        return (self.file, *self.others)


@dataclass(eq=False)
class MissingAnnotatorError(ServiceError):
    """A preprocessor whose weights are not there."""

    status = 422
    code = "missing_model"
    template = (
        "The weights {name} of the repository {repository} are not there. They belong into "
        "models/{folder}, or are fetched where COMFYRAY_HUB=on."
    )
    repository: str
    name: str
    folder: str

    @classmethod
    def of(cls, annotator: Annotator) -> "MissingAnnotatorError":
        file = annotator.file
        return cls(file.repository, file.name, f"{FOLDER}/{file.repository}")

    def problem(self, node_id: str, class_type: str) -> Problem:
        """What a workflow is told whose node needs the weights."""
        return Problem(
            self.code,
            str(self),
            node_id,
            class_type,
            expected=f"models/{self.folder}/{self.name}",
            model=asdict(self) | {"url": HubFile(self.repository, self.name).url},
        )


@dataclass(frozen=True)
class FixedFile:
    """A file of the models folder that a node needs under this very name, which no input says."""

    folder: str
    name: str
    licence: str
    url: str


@dataclass(eq=False)
class MissingFixedFileError(ServiceError):
    """A node whose file is not there."""

    status = 422
    code = "missing_model"
    template = "The file {name} is not there. It belongs into models/{folder}. {licence}"
    folder: str
    name: str
    licence: str
    url: str

    @classmethod
    def of(cls, file: FixedFile) -> "MissingFixedFileError":
        return cls(file.folder, file.name, file.licence, file.url)

    def problem(self, node_id: str, class_type: str) -> Problem:
        """What a workflow is told whose node needs the file."""
        expected = f"models/{self.folder}/{self.name}"
        model = asdict(self)
        return Problem(self.code, str(self), node_id, class_type, expected=expected, model=model)


Needed: TypeAlias = Annotator | FixedFile
# What a node needs, by its constants; those that are linked are not among them.
Needs: TypeAlias = Callable[[Mapping[str, Any]], Sequence[Needed]]


def always(*annotators: Needed) -> Needs:
    """Needs that do not depend on the node's inputs."""
    return lambda _: annotators


def chosen_from(annotators: Mapping[str, Annotator], name: str) -> Needs:
    """The one that the input `name` names."""

    def needs(constants: Mapping[str, Any]) -> Sequence[Annotator]:
        return [annotators[constants[name]]] if constants.get(name) in annotators else ()

    return needs


def _lllyasviel(name: str, *others: HubFile) -> Annotator:
    return Annotator(HubFile("lllyasviel/Annotators", name), others)


def _either(files: tuple[HubFile, ...]) -> Annotator:
    return Annotator(files[0], files[1:])


HED = _lllyasviel("ControlNetHED.pth")
PIDINET = _lllyasviel("table5_pidinet.pth")
TEED = Annotator(HubFile("bdsqlsz/qinglong_controlnet-lllite", "Annotators/7_model.pth"))
MTEED = Annotator(HubFile("TheMistoAI/MistoLine", "Anyline/MTEED.pth"))
LINEART = _lllyasviel("sk_model.pth")
LINEART_COARSE = _lllyasviel("sk_model2.pth")
LINEART_ANIME = _lllyasviel("netG.pth")
LINEART_MANGA = _lllyasviel("erika.pth")
MLSD = _lllyasviel("mlsd_large_512_fp32.pth")


def _transformers(repository: str) -> tuple[HubFile, ...]:
    """A checkpoint of transformers, in either of its formats; its config.json lies beside it."""
    names = ("model.safetensors", "pytorch_model.bin")
    return tuple(HubFile(repository, name) for name in names)


MIDAS = _lllyasviel("dpt_hybrid-midas-501f0c75.pt", *_transformers("Intel/dpt-hybrid-midas"))
ZOE = _either(_transformers("Intel/zoedepth-nyu-kitti"))
LERES = _lllyasviel("res101.pth")
NORMAL_BAE = _lllyasviel("scannet.pt")
DEPTH_ANYTHING: Mapping[str, Annotator] = {
    f"depth_anything_vit{letter}14.pth": Annotator(
        HubFile("LiheYoung/Depth-Anything", f"checkpoints/depth_anything_vit{letter}14.pth"),
        _transformers(f"LiheYoung/depth-anything-{size}-hf"),
    )
    for letter, size in {"l": "large", "b": "base", "s": "small"}.items()
}
DEPTH_ANYTHING_V2: Mapping[str, Annotator] = {
    f"depth_anything_v2_vit{letter}.pth": Annotator(
        HubFile(f"depth-anything/Depth-Anything-V2-{size}", f"depth_anything_v2_vit{letter}.pth"),
        _transformers(f"depth-anything/Depth-Anything-V2-{size}-hf"),
    )
    for letter, size in {"g": "Giant", "l": "Large", "b": "Base", "s": "Small"}.items()
}
OPENPOSE_BODY = _lllyasviel("body_pose_model.pth")
OPENPOSE_HAND = _lllyasviel("hand_pose_model.pth")
OPENPOSE_FACE = _lllyasviel("facenet.pth")
YOLOX = Annotator(HubFile("yzd-v/DWPose", "yolox_l.onnx"))
DWPOSE_384 = Annotator(HubFile("yzd-v/DWPose", "dw-ll_ucoco_384.onnx"))
DWPOSE_256 = Annotator(HubFile("hr16/UnJIT-DWPose", "dw-ll_ucoco.onnx"))
# A TorchScript file is a program. Its place is taken by the same network as ONNX, which is none.
PEOPLE_FINDERS: Mapping[str, Annotator | None] = {
    "None": None,
    "yolox_l.torchscript.pt": YOLOX,
    "yolox_l.onnx": YOLOX,
}
POINT_FINDERS: Mapping[str, Annotator] = {
    "dw-ll_ucoco_384_bs5.torchscript.pt": DWPOSE_384,
    "dw-ll_ucoco_384.onnx": DWPOSE_384,
    "dw-ll_ucoco.onnx": DWPOSE_256,
}
ONEFORMER_ADE20K = _either(_transformers("shi-labs/oneformer_ade20k_swin_large"))
ONEFORMER_COCO = _either(_transformers("shi-labs/oneformer_coco_swin_large"))
UNIFORMER = _lllyasviel("upernet_global_small.pth")
