"""The annotators folder: weights of preprocessors, filled by hand, by a node pack or from the hub.

A file is looked for where the ControlNet-aux pack puts it (`<owner>/<repository>/<file>`), where
the hub's cache has it (`models--<owner>--<repository>/snapshots/*/<file>`), under its repository's
name alone, and flat. A `.safetensors` of the same name does as well as a `.pth` or `.pt`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from graph.annotators import FOLDER, Annotator, HubFile, MissingAnnotatorError
from graph.errors import MissingModelFile, ServiceError
from graph.values import ModelFile

CONVERTIBLE = frozenset({".pth", ".pt"})
SAID_BY_MANY = frozenset({"model.safetensors", "pytorch_model.bin"})  # never looked for flat
BESIDE = ("config.json", "preprocessor_config.json")  # of a file whose name is said by many


@dataclass(eq=False)
class HubError(ServiceError):
    """Weights that were to be fetched from the hub, which did not give them."""

    status = 502
    code = "hub_failed"
    template = "{name} of {repository} could not be fetched from the hub: {problem}."
    repository: str
    name: str
    problem: str


@dataclass(frozen=True)
class AnnotatorFolder:
    """Finds the weights of preprocessors. `hub`: what is not there may be fetched.

    `endpoint` is another hub than Hugging Face's.
    """

    root: Path
    hub: bool = False
    endpoint: str | None = None

    @classmethod
    def of(cls, models_dir: Path, *, hub: bool = False) -> "AnnotatorFolder":
        return cls(models_dir / FOLDER, hub)

    def find(self, annotator: Annotator) -> ModelFile:
        """The description of the weights; of what is still to be fetched, without a stamp.

        Raises:
            MissingAnnotatorError: they are not there, and the hub is off.
        """
        for path in self._places(annotator):
            if path.is_file():
                stat = path.stat()
                name = path.relative_to(self.root).as_posix()
                return ModelFile(FOLDER, name, f"{stat.st_size}-{stat.st_mtime_ns}")
        if self.hub:
            return ModelFile(FOLDER, f"{annotator.file.repository}/{annotator.file.name}")
        raise MissingAnnotatorError.of(annotator)

    def have(self, annotator: Annotator) -> ModelFile:
        """As `find`, fetched if need be. This blocks.

        Raises:
            MissingAnnotatorError: the weights are not there, and the hub is off.
            HubError: the hub does not give them.
        """
        found = self.find(annotator)
        if not found.stamp:
            self._fetch(annotator.file)
            found = self.find(annotator)
        return found

    def path(self, file: ModelFile) -> Path:
        """Where the file is.

        Raises:
            MissingModelFile: it is gone.
        """
        path = self.root / file.name
        if not path.is_file():
            raise MissingModelFile(file.folder, file.name)
        return path

    def _places(self, annotator: Annotator) -> Iterator[Path]:
        for file in annotator.files:
            for name in _spellings(file.name):
                yield from self._places_of(file.repository, name)

    def _places_of(self, repository: str, name: str) -> Iterator[Path]:
        yield self.root / repository / name
        yield self.root / repository.rpartition("/")[2] / name
        cached = self.root / f"models--{repository.replace('/', '--')}" / "snapshots"
        yield from sorted(cached.glob(f"*/{name}"))
        flat = PurePosixPath(name).name
        if flat not in SAID_BY_MANY:
            yield self.root / flat

    def _fetch(self, file: HubFile) -> None:
        from huggingface_hub import hf_hub_download  # noqa: PLC0415 - slow, and seldom needed
        from huggingface_hub.errors import (  # noqa: PLC0415
            EntryNotFoundError,
            HfHubHTTPError,
            LocalEntryNotFoundError,
        )

        folder = self.root / file.repository
        try:
            names = BESIDE if file.name in SAID_BY_MANY else ()
            for name in (*names, file.name):
                hf_hub_download(file.repository, name, local_dir=folder, endpoint=self.endpoint)
        except LocalEntryNotFoundError as error:  # its way to say that nobody answered
            raise HubError(file.repository, file.name, "it cannot be reached") from error
        except EntryNotFoundError as error:
            raise HubError(file.repository, file.name, "there is no such file") from error
        except (HfHubHTTPError, OSError, ValueError) as error:
            problem = type(error).__name__
            raise HubError(file.repository, file.name, problem) from error


def _spellings(name: str) -> tuple[str, ...]:
    path = PurePosixPath(name)
    if path.suffix in CONVERTIBLE:
        return name, path.with_suffix(".safetensors").as_posix()
    return (name,)
