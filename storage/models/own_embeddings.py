"""The embeddings that an owner uploaded, by the names that prompts may use."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from graph.embeddings import FOLDER
from graph.errors import MissingModelFile
from graph.values import ModelFile
from storage.models.library import ModelLibrary
from storage.models.owned import OwnedModels


@dataclass(frozen=True)
class OwnEmbeddings:
    """Looks them up for one owner at a time."""

    library: ModelLibrary
    models: OwnedModels

    async def of(self, owner: str) -> Mapping[str, ModelFile]:
        """By id, file name and file name without its ending; of several of a name the newest."""
        if not self.library.owns(owner, FOLDER):  # the database need not be asked
            return {}
        found: dict[str, ModelFile] = {}
        for model in reversed(await self.models.list(owner)):
            if model.folder != FOLDER:
                continue
            try:
                file = self.library.find_for(owner, FOLDER, model.id)
            except MissingModelFile:  # deleted just now
                continue
            stem = PurePosixPath(model.filename).stem
            found |= dict.fromkeys((model.id, model.filename, stem), file)
        return found
