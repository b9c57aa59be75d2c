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


# What a node needs, by its constants; those that are linked are not among them.
Needs: TypeAlias = Callable[[Mapping[str, Any]], Sequence[Annotator]]


def always(*annotators: Annotator) -> Needs:
    """Needs that do not depend on the node's inputs."""
    return lambda _: annotators


def _lllyasviel(name: str, *others: HubFile) -> Annotator:
    return Annotator(HubFile("lllyasviel/Annotators", name), others)


HED = _lllyasviel("ControlNetHED.pth")
PIDINET = _lllyasviel("table5_pidinet.pth")
TEED = Annotator(HubFile("bdsqlsz/qinglong_controlnet-lllite", "Annotators/7_model.pth"))
MTEED = Annotator(HubFile("TheMistoAI/MistoLine", "Anyline/MTEED.pth"))
LINEART = _lllyasviel("sk_model.pth")
LINEART_COARSE = _lllyasviel("sk_model2.pth")
LINEART_ANIME = _lllyasviel("netG.pth")
LINEART_MANGA = _lllyasviel("erika.pth")
MLSD = _lllyasviel("mlsd_large_512_fp32.pth")
