"""Stores uploaded model files after checking their headers."""

import asyncio
import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from graph.errors import BadModelFile, ServiceError
from graph.families import FAMILIES
from graph.family_marks import Family
from graph.model_files.header import Header
from graph.values import ModelFile
from storage.models.checks import Facts, facts_of
from storage.models.files import OTHER_NAMES
from storage.models.header_reader import HeaderReader
from storage.models.kinds import PLACES, UNKNOWN
from storage.models.owned import OwnedModel, OwnedModels
from storage.paths import owner_folder

ENDINGS = frozenset({".safetensors", ".sft", ".ckpt", ".pt", ".pth", ".bin", ".gguf"})
FOLDER_OF: Mapping[str, str] = MappingProxyType(
    {
        "checkpoint": "checkpoints",
        "diffusion_model": "diffusion_models",
        "lora": "loras",
        "controlnet": "controlnet",
        "control_lora": "controlnet",
        "t2i_adapter": "controlnet",
        "ip_adapter": "ipadapter",
        "motion_module": "animatediff_models",
        "motion_lora": "animatediff_motion_lora",
        "style_model": "style_models",
        "gligen": "gligen",
        "photomaker": "photomaker",
        "vae": "vae",
        "clip_vision": "clip_vision",
        "text_encoder": "text_encoders",
        "embedding": "embeddings",
        "upscaler": "upscale_models",
        "frame_interpolator": "frame_interpolation",
    }
)
ORPHAN_S = 3600.0  # a file that is older and recorded nowhere was left by a process that died


@dataclass(eq=False)
class ModelNameError(ServiceError):
    """A file name that no model file has."""

    status = 422
    code = "model_name"
    template = "{filename!r} is no name of a model file; it must end in one of {endings}."
    filename: str
    endings: str


@dataclass(eq=False)
class ModelFolderError(ServiceError):
    """A folder that is none, or that has to be named."""

    status = 422
    code = "model_folder"
    template = "What {filename!r} is cannot be told by its tensors; name its folder, of {folders}."
    filename: str
    folders: str


@dataclass(eq=False)
class ModelContentError(ServiceError):
    """A file that did not arrive as it was announced."""

    status = 422
    code = "model_content"
    template = "The {what} of {filename!r} is {received}, not {expected}."
    filename: str
    what: str
    received: str
    expected: str


@dataclass(frozen=True)
class Arrived:
    """A file that arrived whole, and what its sender said of it."""

    path: Path
    filename: str
    folder: str | None = None
    sha256: str | None = None


def checked_name(filename: str) -> str:
    """The file's own name, without folders.

    Raises:
        ModelNameError: it is none of a model file.
    """
    name = PurePosixPath(filename.replace("\\", "/")).name
    odd = not name.isprintable() or len(name.encode(errors="replace")) > 200
    if odd or PurePosixPath(name).suffix.lower() not in ENDINGS:
        raise ModelNameError(name[:200], ", ".join(sorted(ENDINGS)))
    return name


def checked_folder(folder: str | None, filename: str) -> str | None:
    """The folder under its present name; None where it was left open.

    Raises:
        ModelFolderError: it is none that models are uploaded to.
    """
    if not folder:
        return None
    known = OTHER_NAMES.get(folder, folder)
    if known not in PLACES:
        raise ModelFolderError(filename, ", ".join(sorted(PLACES)))
    return known


class ModelStore:
    """ROOT/<owner>/<folder>/<id>.<ending>, and the table of what is there."""

    def __init__(
        self,
        root: Path,
        models: OwnedModels,
        reader: HeaderReader | None = None,
        families: Sequence[Family] = FAMILIES,
    ) -> None:
        self.models = models
        self._root = root
        self._reader = reader or HeaderReader()
        self._families = families

    async def keep(self, owner: str, arrived: Arrived) -> OwnedModel:
        """Check a file and make it one of the owner's models; it is moved, not copied.

        Raises:
            BadModelFile, ModelFolderError, ModelContentError: 422, and the file stays where it is.
            ModelQuotaError: 403.
        """
        shown = ModelFile(arrived.folder or "upload", arrived.filename)
        folder, facts = await self._reader.beside(
            lambda: _recognised(arrived, self._reader.read(arrived.path, shown), self._families)
        )
        model = await asyncio.to_thread(_described, owner, arrived, folder, facts)
        path = self._path(model)
        if (earlier := await self.models.same(model)) is not None:
            await asyncio.to_thread(arrived.path.unlink)
            return earlier
        await asyncio.to_thread(_move, arrived.path, path)
        try:
            kept = await self.models.add(model)
        except BaseException:
            await asyncio.to_thread(_move, path, arrived.path)
            raise
        if kept is not model:
            await asyncio.to_thread(path.unlink)
        return kept

    async def remove(self, owner: str, model_id: str) -> OwnedModel:
        """Delete a model: no workflow can name it any more.

        Raises:
            MissingOwnedModelError: the owner has none of that id.
        """
        model = await self.models.get(owner, model_id)
        await asyncio.to_thread(self._path(model).unlink, missing_ok=True)
        await self.models.remove(model)
        return model

    async def sweep(self) -> int:
        """Remove files that no record names; returns how many."""
        known = await self.models.ids()
        return await asyncio.to_thread(self._sweep, known)

    def _sweep(self, known: frozenset[str]) -> int:
        old = time.time() - ORPHAN_S
        left = [
            path
            for path in self._root.glob("[!.]*/*/mdl_*")
            if path.stem not in known and path.stat().st_mtime < old
        ]
        for path in left:
            path.unlink(missing_ok=True)
        return len(left)

    def _path(self, model: OwnedModel) -> Path:
        ending = PurePosixPath(model.filename).suffix.lower()
        return owner_folder(self._root, model.owner) / model.folder / f"{model.id}{ending}"


def _recognised(arrived: Arrived, header: Header, families: Sequence[Family]) -> tuple[str, Facts]:
    """The folder of a file, and what it is, by its header."""
    kind = facts_of(header, "", families).kind
    folder = arrived.folder or FOLDER_OF.get(kind)
    if folder is None or (kind == UNKNOWN and not arrived.folder):
        raise ModelFolderError(arrived.filename, ", ".join(sorted(PLACES)))
    facts = facts_of(header, folder, families)
    if facts.problem:
        raise BadModelFile(folder, arrived.filename, facts.problem)
    return folder, facts


def _described(owner: str, arrived: Arrived, folder: str, facts: Facts) -> OwnedModel:
    """The record of a file, whose content is as its sender said."""
    with arrived.path.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    if arrived.sha256 and arrived.sha256.lower() != sha256:
        raise ModelContentError(arrived.filename, "SHA-256", sha256, arrived.sha256[:64])
    size = arrived.path.stat().st_size
    return OwnedModel(owner, folder, arrived.filename, facts.kind, facts.family, size, sha256)


def _move(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    source.replace(target)
