"""ComfyUI's input folder of each owner, with the behaviour of /upload/image and /view.

Keys are "uploads/<owner>/<input|temp|output>/..."; a value such as "clipspace/x.png [output]" says
which of the three it means (ComfyUI folder_paths.py, annotated_filepath).
"""

import asyncio
import time
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal, get_args

from graph.errors import ServiceError
from storage.disk_quota import Disk, Unlimited
from storage.files import Files, StoredFile, read
from storage.jobs.earlier_outputs import EarlierOutputs
from storage.outputs import WEEK_S, MissingOutputError
from storage.paths import UnsafePathError, owner_prefix, relative_name
from storage.picture_processes.pool import PictureProcesses

UploadType = Literal["input", "temp", "output"]
KIND = "uploads"  # what the keys of uploads begin with


@dataclass(eq=False)
class MissingInputError(ServiceError):
    """An input file that was not uploaded."""

    status = 422
    code = "missing_input"
    template = "There is no input file {name!r}; upload it with POST /upload/image."
    name: str


@dataclass(eq=False)
class UploadTooLargeError(ServiceError):
    """A file over the limit."""

    status = 413
    code = "too_large"
    template = "File {name!r} is over the limit of {limit_bytes} bytes."
    name: str
    limit_bytes: int


@dataclass(frozen=True)
class Place:
    """A file by ComfyUI's three words for where it is."""

    name: str
    subfolder: str = ""
    type: UploadType = "input"

    @property
    def path(self) -> str:
        return str(PurePosixPath(self.subfolder, self.name))


def annotated(value: str, default: UploadType = "input") -> tuple[str, UploadType]:
    """Name and type of "x.png [output]"; without a mark it is of the `default` type."""
    for type_ in get_args(UploadType):
        if value.endswith(f"[{type_}]"):
            return value[: -len(type_) - 2].rstrip(), type_
    return value, default


@dataclass(frozen=True)
class UploadLimits:
    most_bytes: int = 100 * 2**20
    kept_s: float = WEEK_S  # since a file was uploaded, the last time


class Uploads:
    """Saves, lists and finds input files. Reading falls back on what jobs have saved."""

    def __init__(
        self,
        files: Files,
        earlier: EarlierOutputs,
        limits: UploadLimits | None = None,
        pictures: PictureProcesses | None = None,
        disk: Disk | None = None,
    ) -> None:
        self.files = files
        self.pictures = pictures or PictureProcesses()
        self._disk = disk or Unlimited()
        self._earlier = earlier
        self._limits = limits or UploadLimits()

    @property
    def limits(self) -> UploadLimits:
        return self._limits

    async def save(
        self, owner: str, place: Place, content: bytes, *, overwrite: bool = False
    ) -> Place:
        """Save a file; returns where. A name that is taken by other content gets " (1)".

        Raises:
            UnsafePathError: the name leads out of the folder.
            UploadTooLargeError, DiskQuotaError: it is over a limit.
        """
        self._check_size(place.name, content)
        await self._disk.take(owner, len(content))
        replaced = len(content)
        try:
            saved, replaced = await asyncio.to_thread(
                self._save, owner, place, content, overwrite=overwrite
            )
        finally:  # whatever was not stored, or is stored no more
            await asyncio.shield(self._disk.give_back(owner, replaced))
        return saved

    async def save_mask(self, owner: str, place: Place, mask: bytes, original: Place) -> Place:
        """Save `original` with the alpha of the picture `mask` (ComfyUI's /upload/mask).

        Raises:
            MissingInputError: the original is not there.
            ServiceError: the two cannot be joined.
        """
        self._check_size(place.name, mask)
        source = await self.find(owner, original)
        drawn_on = await asyncio.to_thread(read, self.files, source.key)
        content = await self.pictures.masked(owner, original.path, drawn_on, mask)
        return await self.save(owner, place, content)

    def list(self, owner: str) -> tuple[str, ...]:
        """The files at the top of the input folder, sorted. Blocks: call in a thread."""
        prefix = _folder(owner, "input")
        names = (file.key.removeprefix(prefix) for file in self.files.list(prefix))
        return tuple(sorted(name for name in names if "/" not in name))

    def sweep(self) -> int:
        """Remove the files that are over their time; returns how many. Blocks."""
        return self.files.sweep(f"{KIND}/", time.time() - self._limits.kept_s)

    def remove_all(self, owner: str) -> None:
        """Remove all files of an owner. Blocks."""
        self.files.delete([file.key for file in self.files.list(owner_prefix(KIND, owner))])

    async def remove(self, owner: str, place: Place) -> None:
        """Remove a file, where it is there."""
        key = _key(owner, place)
        if found := await asyncio.to_thread(self.files.find, key):
            await asyncio.to_thread(self.files.delete, [key])
            await self._disk.give_back(owner, found.size)

    async def find(self, owner: str, place: Place) -> StoredFile:
        """The file at a place; for outputs also that of the newest job that saved the name.

        Raises:
            MissingInputError: there is none.
        """
        try:
            key = _key(owner, place)
            if found := await asyncio.to_thread(self.files.find, key):
                return found
            if place.type == "input":
                raise MissingInputError(place.path)
            return await self._earlier.find(owner, f"{place.type}/{relative_name(place.path)}")
        except (UnsafePathError, MissingOutputError) as error:
            raise MissingInputError(place.path[:200]) from error

    async def read(self, owner: str, value: str) -> bytes:
        """The content of a LoadImage value, "sub/x.png" or "x.png [output]".

        Raises:
            MissingInputError: there is none.
        """
        name, type_ = annotated(value)
        found = await self.find(owner, Place(name, "", type_))
        return await asyncio.to_thread(read, self.files, found.key)

    def _check_size(self, name: str, content: bytes) -> None:
        if len(content) > self._limits.most_bytes:
            raise UploadTooLargeError(name[:200], self._limits.most_bytes)

    def _save(
        self, owner: str, place: Place, content: bytes, *, overwrite: bool
    ) -> tuple[Place, int]:
        """Where it was saved, and how large the file was that it replaced."""
        stem, suffix = PurePosixPath(place.name).stem, PurePosixPath(place.name).suffix
        candidate, key, k = place, _key(owner, place), 0
        while not overwrite and (taken := self.files.find(key)):
            if taken.size == len(content) and read(self.files, key) == content:
                break  # written once more, so that it is kept from now on
            k += 1
            candidate = Place(f"{stem} ({k}){suffix}", place.subfolder, place.type)
            key = _key(owner, candidate)
        replaced = self.files.find(key)
        self.files.put(key, content)
        return candidate, replaced.size if replaced else 0


def _folder(owner: str, type_: UploadType) -> str:
    return f"{owner_prefix('uploads', owner)}{type_}/"


def _key(owner: str, place: Place) -> str:
    """Raises UnsafePathError: the name leads out of the folder."""
    return _folder(owner, place.type) + relative_name(place.path)
