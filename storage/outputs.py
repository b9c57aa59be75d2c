"""What jobs leave behind: "outputs/<owner>/<job>/<output|temp>/...", served by signed URLs."""

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import PurePosixPath
from typing import Any, Self
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

import numpy as np
import numpy.typing as npt

from graph.digits import whole_number
from graph.errors import ServiceError
from graph.file_prefix import expand_prefix
from storage.animations import Animation, encode_animation
from storage.disk_quota import Disk, Unlimited
from storage.files import Files, StoredFile, read
from storage.media_types import media_type
from storage.output_names import NameCounter, Names, split_prefix, temporary_mark
from storage.paths import UnsafePathError, owner_prefix, relative_name
from storage.pictures import EXTENSIONS, MIME_TYPES, Encoding, encode_picture
from storage.signing import UrlSigner

WEEK_S = 7 * 24 * 3600.0
KIND = "outputs"  # what the keys of outputs begin with, and the paths of their URLs


@dataclass(eq=False)
class MissingOutputError(ServiceError):
    """An output that never was, or that its retention has swept away."""

    status = 404
    code = "output_not_found"
    template = "There is no output {name!r}; it may have expired."
    name: str


@dataclass(eq=False)
class OutputLinkError(ServiceError):
    """A URL of an output that is not, or no longer, signed."""

    status = 403
    code = "link_expired"
    template = "This link to {name!r} is not valid or has expired; fetch the job for a fresh one."
    name: str


@dataclass(frozen=True)
class OutputKind:
    """What is known of an output before it is written."""

    node_id: str
    type: str  # "image", "video", "audio", "file"
    mime_type: str
    width: int | None
    height: int | None
    temporary: bool


@dataclass(frozen=True)
class StoredOutput(OutputKind):
    """One file that an output node saved. `expires_at` is when retention may take it (ISO, UTC)."""

    filename: str
    subfolder: str
    size: int
    sha256: str
    expires_at: str

    @property
    def location(self) -> str:
        """The path within the job's folder."""
        kind = _folder(temporary=self.temporary)
        return str(PurePosixPath(kind, self.subfolder, self.filename))

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        return cls(**values)


@dataclass(frozen=True)
class JobFolder:
    """Where one job's outputs go and for how long they stay."""

    files: Files
    prefix: str  # of its files' keys
    retention_s: float
    owner: str = ""
    disk: Disk = field(default_factory=Unlimited)


async def all_admitted(_outputs: int) -> None:
    """Nothing stands against it."""


class JobOutputs:
    """What an output node talks to: saves files of one job and keeps the list of them.

    Belongs to one event loop; encoding and writing happen in worker threads. `admit` is asked
    before each file, with how many there will be then, and raises where it may not be; `stored`
    hears of each file once it can be read.
    """

    def __init__(
        self,
        folder: JobFolder,
        encoding: Encoding | None = None,
        stored: Callable[[StoredOutput], None] = lambda _: None,
        admit: Callable[[int], Awaitable[None]] = all_admitted,
        names: Names | None = None,
    ) -> None:
        self._folder = folder
        self._encoding = encoding or Encoding()
        self._stored = stored
        self._admit = admit
        self._begun = 0  # files, of which the last may still be on its way
        self._counter: Names = names or NameCounter()
        self._outputs: list[StoredOutput] = []

    @property
    def saved(self) -> tuple[StoredOutput, ...]:
        """In the order in which they were saved."""
        return tuple(self._outputs)

    @property
    def outputs(self) -> tuple[StoredOutput, ...]:
        """By node id, as saved within a node; previews after all others."""
        return tuple(sorted(self._outputs, key=lambda o: (o.temporary, _natural(o.node_id))))

    async def save_images(
        self,
        images: npt.NDArray[np.float32],
        filename_prefix: str = "ComfyUI",
        *,
        node_id: str,
        temporary: bool = False,
    ) -> tuple[StoredOutput, ...]:
        """Save a batch [B, H, W, C], float32 in 0..1, picture by picture.

        Raises:
            UnsafePathError: the prefix leads out of the output folder.
            DiskQuotaError: the owner's disk quota has no room for it.
        """
        count, height, width, _ = images.shape
        mark = temporary_mark(f"{self._folder.prefix}{node_id}") if temporary else ""
        prefix = filename_prefix + mark
        extension, shape = EXTENSIONS[self._encoding.format], (count, height, width)
        names = await self._names(prefix, extension, shape, temporary=temporary)
        encoding = replace(self._encoding, compress_level=1) if temporary else self._encoding
        kind = OutputKind(node_id, "image", MIME_TYPES[encoding.format], width, height, temporary)

        def encode(image: npt.NDArray[np.float32]) -> bytes:
            return encode_picture(image, encoding)

        return tuple(
            [
                await self._save(kind, name, partial(encode, image))
                for name, image in zip(names, images, strict=True)
            ]
        )

    async def save_animation(
        self,
        images: npt.NDArray[np.float32],
        filename_prefix: str,
        animation: Animation,
        *,
        node_id: str,
    ) -> StoredOutput:
        """Save a batch [B, H, W, C], float32 in 0..1, as one file.

        Raises:
            UnsafePathError, DiskQuotaError: as of `save_images`.
        """
        _, height, width, _ = images.shape
        shape = (1, height, width)
        (name,) = await self._names(filename_prefix, EXTENSIONS[animation.format], shape)
        mime_type = MIME_TYPES[animation.format]
        kind = OutputKind(node_id, "image", mime_type, width, height, temporary=False)
        encode = partial(encode_animation, images, animation, self._encoding.text)
        return await self._save(kind, name, encode)

    async def save_file(
        self, content: bytes, filename_prefix: str, extension: str, *, node_id: str
    ) -> StoredOutput:
        """Save any other file; `extension` is ".mp4", ".latent" ..."""
        (name,) = await self._names(filename_prefix, extension, (1, 0, 0))
        mime_type = media_type(f"x{extension}")
        family = mime_type.partition("/")[0]
        medium = family if family in {"image", "video", "audio"} else "file"
        kind = OutputKind(node_id, medium, mime_type, None, None, temporary=False)
        return await self._save(kind, name, lambda: content)

    async def _names(
        self, prefix: str, extension: str, shape: tuple[int, int, int], *, temporary: bool = False
    ) -> list[str]:
        """Paths under the job's folder for `shape[0]` pictures of height and width `shape[1:]`."""
        count, height, width = shape
        now = datetime.now().astimezone()  # ComfyUI's variables are in local time
        expanded = expand_prefix(prefix, width=width, height=height, now=now)
        subfolder, start = split_prefix(expanded)
        folder, path = _folder(temporary=temporary), str(PurePosixPath(subfolder, start))
        names = await self._counter.take(folder, path, count, extension)
        return [str(PurePosixPath(subfolder, PurePosixPath(name).name)) for name in names]

    async def _save(self, kind: OutputKind, name: str, encode: Callable[[], bytes]) -> StoredOutput:
        self._begun += 1
        try:
            await self._admit(self._begun)
            output = await self._write(kind, name, await asyncio.to_thread(encode))
        except BaseException:
            self._begun -= 1
            raise
        self._outputs.append(output)
        self._stored(output)
        return output

    async def _write(self, kind: OutputKind, name: str, content: bytes) -> StoredOutput:
        """Count a file and store it. Raises DiskQuotaError: there is no room for it."""
        place = self._folder
        await place.disk.take(place.owner, len(content))
        try:
            return await asyncio.to_thread(self._put, kind, name, content)
        except BaseException:
            await asyncio.shield(place.disk.give_back(place.owner, len(content)))
            raise

    def _put(self, kind: OutputKind, name: str, content: bytes) -> StoredOutput:
        folder, _, filename = name.rpartition("/")
        expires = datetime.fromtimestamp(time.time() + self._folder.retention_s, UTC)
        output = StoredOutput(
            **asdict(kind),
            filename=filename,
            subfolder=folder,
            size=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            expires_at=expires.strftime("%Y-%m-%dT%H:%M:%SZ"),
        )
        key = self._folder.prefix + relative_name(output.location)
        self._folder.files.put(key, content)
        return output


class OutputStore:
    """All outputs: opens a job's folder, signs, reads and sweeps. Blocks where it is not async."""

    def __init__(
        self,
        files: Files,
        signer: UrlSigner,
        *,
        retention_s: float = WEEK_S,
        disk: Disk | None = None,
    ) -> None:
        self.files = files
        self._disk = disk or Unlimited()
        self._signer = signer
        self._retention_s = retention_s

    def job_folder(self, owner: str, job_id: int) -> JobFolder:
        prefix = f"{owner_prefix(KIND, owner)}{job_id}/"
        return JobFolder(self.files, prefix, self._retention_s, owner, self._disk)

    def find(self, owner: str, job_id: int, location: str) -> StoredFile:
        """An output of a job ("output/x_00001_.png").

        Raises:
            MissingOutputError: it is not there.
        """
        try:
            key = self.job_folder(owner, job_id).prefix + relative_name(location)
        except UnsafePathError as error:
            raise MissingOutputError(location[:200]) from error
        return self._found(key, location)

    def read(self, owner: str, job_id: int, location: str) -> bytes:
        """The content of an output.

        Raises:
            MissingOutputError: it is not there.
        """
        return read(self.files, self.find(owner, job_id, location).key)

    def url(self, owner: str, job_id: int, output: StoredOutput, base_url: str = "") -> str:
        """Who has it may read the file for a while: the store's own URL, or a signed path here."""
        path = f"{owner}/{job_id}/{output.location}"
        if link := self.files.link(f"{KIND}/{path}"):
            return link
        return f"{base_url}/{KIND}/{quote(path)}?{self._signer.query(path, time.time())}"

    def signed(self, path: str, expires: int, signature: str) -> StoredFile:
        """The file behind a signed URL; `path` is what follows "/outputs/", unquoted.

        Raises:
            OutputLinkError: the signature is wrong or too old.
            MissingOutputError: the file has expired.
        """
        if not self._signer.holds(path, expires, signature, time.time()):
            raise OutputLinkError(path[:200])
        return self._found(f"{KIND}/{path}", path)

    def given_out(self, owner: str, url: str) -> StoredFile | None:
        """The file of a URL that this service gave out, whatever host it was reached by.

        A signature says that it may be read; so does, in the store's own URL, the owner's name.
        None: it is a URL of somebody else.

        Raises:
            OutputLinkError: it has expired; told of paths alone, a whole URL may be another site's.
            MissingOutputError: it is ours, and the file has expired.
        """
        key = self.files.key_of(url)
        if key is not None and key.startswith(owner_prefix(KIND, owner)):
            return self._found(key, key)
        parts = _parts(url) if f"/{KIND}/" in url[:300] else None
        if parts is None or not parts.path.startswith(f"/{KIND}/"):
            return None
        query = dict(parse_qsl(parts.query))
        path = unquote(parts.path.removeprefix(f"/{KIND}/"))
        try:
            return self.signed(path, int(query.get("expires", "")), query.get("signature", ""))
        except ValueError:  # no number: another site's URL
            return None
        except OutputLinkError:
            if parts.scheme:
                return None
            raise

    async def remove(self, owner: str, job_id: int) -> None:
        """Remove all that a job saved, and count it no more."""
        prefix = self.job_folder(owner, job_id).prefix
        await self._disk.give_back(owner, await asyncio.to_thread(self._removed, prefix))

    def remove_all(self, owner: str) -> None:
        """Remove all that an owner's jobs saved."""
        self.files.delete([file.key for file in self.files.list(owner_prefix(KIND, owner))])

    def sweep(self) -> int:
        """Remove the files whose retention is over; returns how many."""
        return self.files.sweep(f"{KIND}/", time.time() - self._retention_s)

    def _removed(self, prefix: str) -> int:
        """The bytes that were there."""
        files = list(self.files.list(prefix))
        self.files.delete([file.key for file in files])
        return sum(file.size for file in files)

    def _found(self, key: str, name: str) -> StoredFile:
        if (found := self.files.find(key)) is None:
            raise MissingOutputError(name[:200])
        return found


def _folder(*, temporary: bool) -> str:
    return "temp" if temporary else "output"


def _parts(url: str) -> SplitResult | None:
    try:
        return urlsplit(url)
    except ValueError:  # it is none
        return None


def _natural(node_id: str) -> tuple[tuple[bool, int, str], ...]:
    """Node ids in the order of their numbers: 9 before 10, 4:3 before 4:12; names after numbers."""
    parts = [(part, whole_number(part)) for part in node_id.split(":")]
    return tuple((number is None, number or 0, part) for part, number in parts)
