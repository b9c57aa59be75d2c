"""ComfyUI's input folder, one per owner, with the meaning of its routes /upload/image and /view.

ROOT/<owner>/<input|temp|output>/...; a value such as "clipspace/x.png [output]" says which of the
three it means (ComfyUI folder_paths.py, annotated_filepath).
"""

import asyncio
import io
import mimetypes
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal, get_args

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from graph.errors import ServiceError
from graph.values import InputFile
from storage.outputs import MissingOutputError, OutputStore
from storage.paths import UnsafePathError, inside, owner_folder, write_atomically
from storage.picture_limits import check_pixels

UploadType = Literal["input", "temp", "output"]


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


@dataclass(eq=False)
class MaskSizeError(ServiceError):
    """A mask that does not fit the picture it was drawn on."""

    status = 422
    code = "mask_size"
    template = "The mask is {mask_px} pixels, its original {original_px}."
    mask_px: tuple[int, int]
    original_px: tuple[int, int]


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
    most_pixels: int = 100_000_000  # of pictures that are opened here, for masks


class Uploads:
    """Saves, lists and finds input files. Reading falls back on what jobs have saved."""

    def __init__(
        self, root: Path, outputs: OutputStore, limits: UploadLimits | None = None
    ) -> None:
        self._root = root
        self._outputs = outputs
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
            UploadTooLargeError: it is over the limit.
        """
        self._check_size(place.name, content)
        return await asyncio.to_thread(
            self._save, self._folder(owner, place.type), place, (content, overwrite)
        )

    async def save_mask(self, owner: str, place: Place, mask: bytes, original: Place) -> Place:
        """Save `original` with the alpha of the picture `mask` (ComfyUI's /upload/mask).

        Raises:
            MissingInputError: the original is not there.
            NoPictureError, PictureTooLargeError, MaskSizeError: the two cannot be joined.
        """
        self._check_size(place.name, mask)
        source = await asyncio.to_thread(self.find_place, owner, original)
        content = await asyncio.to_thread(self._with_alpha, source, mask)
        return await self.save(owner, place, content)

    def list(self, owner: str, kind: str = "image") -> list[str]:
        """The files of a kind at the top of the input folder, sorted."""
        folder = self._folder(owner, "input")
        if not folder.is_dir():
            return []
        return sorted(
            path.name
            for path in folder.iterdir()
            if path.is_file() and (mimetypes.guess_type(path.name)[0] or "").startswith(f"{kind}/")
        )

    def find(self, owner: str, value: str) -> Path:
        """The file of a LoadImage value, "sub/x.png" or "x.png [output]".

        Raises:
            MissingInputError: there is none.
        """
        name, type_ = annotated(value)
        return self.find_place(owner, Place(name, "", type_))

    def find_place(self, owner: str, place: Place) -> Path:
        """The file at a place; for outputs also that of the newest job that saved the name.

        Raises:
            MissingInputError: there is none.
        """
        try:
            path = inside(self._folder(owner, place.type), place.path)
            if path.is_file():
                return path
            if place.type == "input":
                raise MissingInputError(place.path)
            return self._of_a_job(owner, place)
        except (UnsafePathError, MissingOutputError) as error:
            raise MissingInputError(place.path[:200]) from error

    async def read(self, owner: str, value: str) -> bytes:
        """The content of a LoadImage value."""
        path = await asyncio.to_thread(self.find, owner, value)
        return await asyncio.to_thread(path.read_bytes)

    def open_picture(self, name: str, content: bytes) -> Image.Image:
        """A picture that is safe to decode.

        Raises:
            NoPictureError, PictureTooLargeError: it is not.
        """
        check_pixels(InputFile(name, content, ""), self._limits.most_pixels)
        return Image.open(io.BytesIO(content))

    def _of_a_job(self, owner: str, place: Place) -> Path:
        """`<job>/x.png` names the job itself; a bare name means the newest that has it."""
        first, _, rest = place.path.partition("/")
        if first.isdecimal() and rest:
            return self._outputs.path(owner, int(first), f"{place.type}/{rest}")
        return self._outputs.newest(owner, f"{place.type}/{place.path}")

    def _folder(self, owner: str, type_: UploadType) -> Path:
        return owner_folder(self._root, owner) / type_

    def _check_size(self, name: str, content: bytes) -> None:
        if len(content) > self._limits.most_bytes:
            raise UploadTooLargeError(name[:200], self._limits.most_bytes)

    def _save(self, folder: Path, place: Place, file: tuple[bytes, bool]) -> Place:
        content, overwrite = file
        stem, suffix = PurePosixPath(place.name).stem, PurePosixPath(place.name).suffix
        candidate, path, k = place, inside(folder, place.path), 0
        while not overwrite and path.exists():
            if path.is_file() and path.read_bytes() == content:
                return candidate
            k += 1
            candidate = Place(f"{stem} ({k}){suffix}", place.subfolder, place.type)
            path = inside(folder, candidate.path)
        write_atomically(path, content)
        return candidate

    def _with_alpha(self, source: Path, mask: bytes) -> bytes:
        with self.open_picture(source.name, source.read_bytes()) as original:
            text = PngInfo()
            for keyword, value in getattr(original, "text", {}).items():
                text.add_text(keyword, value)
            picture = original.convert("RGBA")
        with self.open_picture("mask", mask) as drawn:
            alpha = drawn.convert("RGBA").getchannel("A")
        if alpha.size != picture.size:
            raise MaskSizeError(alpha.size, picture.size)
        picture.putalpha(alpha)
        buffer = io.BytesIO()
        picture.save(buffer, format="PNG", compress_level=4, pnginfo=text)
        return buffer.getvalue()
