"""The files that one owner's workflow may name: shared models, own models and uploads."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from graph.annotators import Annotator
from graph.embeddings import MOST_NAMED, named_in
from graph.errors import MissingModelFile
from graph.node import Input
from graph.private_embeddings import PrivateEmbeddings
from graph.validation import Library
from graph.values import ModelFile
from storage.media_types import media_type
from storage.models.annotators import AnnotatorFolder
from storage.models.checks import ModelChecks
from storage.models.library import ModelLibrary


@dataclass(frozen=True)
class OwnersFiles(Library):
    """The models folder, and one owner's models and uploads, as lists for combos."""

    folders: ModelLibrary
    owner: str
    names: tuple[str, ...]  # of the uploads
    checks: ModelChecks
    annotators: AnnotatorFolder
    private_embeddings: PrivateEmbeddings
    listed: dict[str, list[str]] = field(default_factory=dict)  # a request sees one state of it
    words: dict[str, ModelFile | None] = field(default_factory=dict)  # looked for already

    def models(self, folder: str) -> list[str]:
        if folder not in self.listed:
            self.listed[folder] = list(self.folders.list_for(self.owner, folder))
        return self.listed[folder]

    def uploads(self, kind: str) -> list[str]:
        if kind == "latent":
            return [name for name in self.names if name.endswith(".latent")]
        kinds = ("audio/", "video/") if kind == "audio" else (f"{kind}/",)  # a video has sound
        return [name for name in self.names if media_type(name).startswith(kinds)]

    def find(self, folder: str, name: str) -> ModelFile:
        return self.folders.find_for(self.owner, folder, name)

    def word(self, name: str) -> ModelFile | None:
        """The owner's own embedding of that name, which goes before a shared one.

        Each is looked for once, and no more of them than a workflow may name.
        """
        if name not in self.words and len(self.words) <= MOST_NAMED:
            self.words[name] = self.private_embeddings.get(name) or super().word(name)
        return self.words.get(name)

    def problem(self, file: ModelFile) -> str | None:
        return self.checks.facts(file).problem

    def annotator(self, annotator: Annotator) -> ModelFile:
        return self.annotators.find(annotator)

    def named(self, declared: Input, value: Any) -> Iterator[ModelFile]:
        """The model files that a constant names, of those that there are."""
        if declared.files and value not in declared.files.also:
            with suppress(MissingModelFile):  # a problem that validation tells
                yield self.find(declared.files.folder, str(value).replace("\\", "/"))
        elif declared.presets and value in declared.presets.names:
            for wanted in declared.presets.wanted(value):
                if (found := wanted.among(self.models(wanted.folder))) is not None:
                    with suppress(MissingModelFile):
                        yield self.find(wanted.folder, found)
        elif declared.widget.dynamicPrompts:
            yield from filter(None, map(self.word, named_in(str(value))))
