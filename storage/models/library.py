"""Finds models: shared ones by name, and private ones of an owner by id.

PRIVATE/<owner>/<folder>/<id>.<ending>, so that a replica finds a private file by its description,
and two owners' descriptions are never equal.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from graph.errors import MissingModelFile
from graph.values import ModelFile
from storage.models.extra_paths import ExtraFolders
from storage.models.files import OTHER_NAMES, ModelFolders
from storage.paths import owner_folder

MODEL_ID = re.compile(r"mdl_[0-9a-z]{20}")
OWNERS_KEPT = 256  # listings of so many owners are remembered


class ModelLibrary(ModelFolders):
    """The shared models folders, and the owners' private ones. Safe to use from several threads."""

    def __init__(self, shared: Path, private: Path, extra: ExtraFolders | None = None) -> None:
        super().__init__(shared, extra=extra)
        self._private = private
        self._of: dict[str, ModelFolders] = {}

    def list_for(self, owner: str, folder: str) -> tuple[str, ...]:
        """The names that an owner may call files of `folder` by: shared ones, then own ids."""
        own = (Path(name).stem for name in self._own(owner).list(folder))
        return (*self.list(folder), *(name for name in own if MODEL_ID.fullmatch(name)))

    def owns(self, owner: str, folder: str) -> bool:
        """Whether an owner has files of its own in `folder`."""
        return bool(self._own(owner).list(folder))

    def find_for(self, owner: str, folder: str, name: str) -> ModelFile:
        """The description of a file that an owner may call.

        Raises:
            MissingModelFile: there is none of that name, or it is another owner's.
        """
        if not MODEL_ID.fullmatch(name):
            return self.find(folder, name)
        folders = self._own(owner)
        listed = next((one for one in folders.list(folder) if Path(one).stem == name), None)
        if listed is None:
            raise MissingModelFile(OTHER_NAMES.get(folder, folder), name)
        return replace(folders.find(folder, listed), owner=owner)

    def parts(self, file: ModelFile) -> Mapping[str, Path]:
        """As of ModelFolders; an owner's file lies in the owner's folder."""
        if file.owner:
            return self._own(file.owner).parts(replace(file, owner=""))
        return super().parts(file)

    def path(self, file: ModelFile) -> Path:
        """As of ModelFolders; an owner's file lies in the owner's folder."""
        if file.owner:
            return self._own(file.owner).path(replace(file, owner=""))
        return super().path(file)

    def _own(self, owner: str) -> ModelFolders:
        folders = self._of.get(owner)
        if folders is None:
            root = owner_folder(self._private, owner)
            folders = ModelFolders(root, follow_links=False)
            while len(self._of) >= OWNERS_KEPT:
                self._of.pop(next(iter(self._of)), None)
            self._of[owner] = folders
        return folders
