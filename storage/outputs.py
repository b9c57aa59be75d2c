"""What jobs leave behind: "outputs/<owner>/<job>/<output|temp>/...", served by signed URLs."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any, Self
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

import numpy as np
import numpy.typing as npt

from graph.digits import whole_number
from graph.errors import ServiceError
from graph.file_prefix import expand_prefix
from graph.new_files import NewFile
from storage.animations import Animation
from storage.disk_quota import Disk, Unlimited
from storage.encoded_files import animation_file, other_file, picture_files
from storage.files import Files, StoredFile, read
from storage.output_names import NameCounter, Names, split_prefix, temporary_mark
from storage.paths import UnsafePathError, owner_prefix, relative_name
from storage.pictures import Encoding
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
    facts: Mapping[str, Any] = field(default_factory=dict)  # of video and audio: fps, frames ...
    poster: str = ""  # the name of a picture of it, beside it

    @property
    def location(self) -> str:
        """The path within the job's folder."""
        kind = _folder(temporary=self.temporary)
        return str(PurePosixPath(kind, self.subfolder, self.filename))

    @property
    def poster_location(self) -> str:
        """The path of its poster, where it has one."""
        return str(PurePosixPath(self.location).with_name(self.poster))

    def as_json(self) -> dict[str, Any]:
        values = asdict(self)
        unset = {name for name in ("facts", "poster") if not values[name]}
        return {name: value for name, value in values.items() if name not in unset}

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
        self._named: dict[tuple[str, str], list[str]] = {}  # of each node's last batch

    @property
    def saved(self) -> tuple[StoredOutput, ...]:
        """In the order in which they were saved."""
        return tuple(self._outputs)

    @property
    def outputs(self) -> tuple[StoredOutput, ...]:
        """By node id, as saved within a node; previews after all others."""
        return tuple(sorted(self._outputs, key=lambda o: (o.temporary, _natural(o.node_id))))

    @property
    def encoding(self) -> Encoding:
        """How pictures are written, and the documents that go into files."""
        return self._encoding

    async def keep(self, file: NewFile, *, node_id: str) -> StoredOutput:
        """Name and store a file that was made.

        Raises:
            UnsafePathError: its prefix leads out of the output folder.
            DiskQuotaError: the owner's disk quota has no room for it.
        """
        self._begun += 1
        try:
            await self._admit(self._begun)
            name = await self._name(file, node_id)
            output = await self._write(file, name, node_id)
        except BaseException:
            self._begun -= 1
            raise
        self._outputs.append(output)
        self._stored(output)
        return output

    async def save_images(
        self,
        images: npt.NDArray[np.float32],
        filename_prefix: str = "ComfyUI",
        *,
        node_id: str,
        temporary: bool = False,
    ) -> tuple[StoredOutput, ...]:
        """Save a batch [B, H, W, C], float32 in 0..1, picture by picture. Raises as `keep` does."""
        files = picture_files(images, filename_prefix, self._encoding, temporary=temporary)
        return tuple([await self.keep(file, node_id=node_id) async for file in in_thread(files)])

    async def save_animation(
        self,
        images: npt.NDArray[np.float32],
        filename_prefix: str,
        animation: Animation,
        *,
        node_id: str,
    ) -> StoredOutput:
        """Save a batch [B, H, W, C], float32 in 0..1, as one file. Raises as `keep` does."""
        text = self._encoding.text
        file = await asyncio.to_thread(animation_file, images, filename_prefix, animation, text)
        return await self.keep(file, node_id=node_id)

    async def save_file(
        self, content: bytes, filename_prefix: str, extension: str, *, node_id: str
    ) -> StoredOutput:
        """Save any other file; `extension` is ".mp4", ".latent" ..."""
        return await self.keep(other_file(content, filename_prefix, extension), node_id=node_id)

    async def _name(self, file: NewFile, node_id: str) -> str:
        """Its path under the job's folder; the names of a batch are taken with its first file."""
        batch = (node_id, file.prefix)
        if file.batch_num == 0 or batch not in self._named:
            self._named[batch] = await self._names(file, node_id)
        return self._named[batch][file.batch_num % len(self._named[batch])]

    async def _names(self, file: NewFile, node_id: str) -> list[str]:
        mark = temporary_mark(f"{self._folder.prefix}{node_id}") if file.temporary else ""
        now = datetime.now().astimezone()  # ComfyUI's variables are in local time
        size = {"width": file.width or 0, "height": file.height or 0}
        expanded = expand_prefix(file.prefix + mark, now=now, **size)
        subfolder, start = split_prefix(expanded)
        folder, path = _folder(temporary=file.temporary), str(PurePosixPath(subfolder, start))
        names = await self._counter.take(
            folder, path, file.batch_size, file.extension, tail=file.tail
        )
        return [str(PurePosixPath(subfolder, PurePosixPath(name).name)) for name in names]

    async def _write(self, file: NewFile, name: str, node_id: str) -> StoredOutput:
        """Count a file and store it. Raises DiskQuotaError: there is no room for it."""
        place, size = self._folder, len(file.content) + len(file.poster or b"")
        await place.disk.take(place.owner, size)
        try:
            return await asyncio.to_thread(self._put, file, name, node_id)
        except BaseException:
            await asyncio.shield(place.disk.give_back(place.owner, size))
            raise

    def _put(self, file: NewFile, name: str, node_id: str) -> StoredOutput:
        folder, _, filename = name.rpartition("/")
        number = filename.removesuffix(f"{file.tail}{file.extension}")
        expires = datetime.fromtimestamp(time.time() + self._folder.retention_s, UTC)
        output = StoredOutput(
            node_id=node_id,
            type=file.type,
            mime_type=file.mime_type,
            width=file.width,
            height=file.height,
            temporary=file.temporary,
            filename=filename,
            subfolder=folder,
            size=len(file.content),
            sha256=hashlib.sha256(file.content).hexdigest(),
            expires_at=expires.strftime("%Y-%m-%dT%H:%M:%SZ"),
            facts=file.facts,
            poster=f"{number}{file.poster_tail}" if file.poster else "",
        )
        if file.poster:
            self._folder.files.put(self._key(output.poster_location), file.poster)
        self._folder.files.put(self._key(output.location), file.content)
        return output

    def _key(self, location: str) -> str:
        return self._folder.prefix + relative_name(location)


async def in_thread(files: Iterator[NewFile]) -> AsyncIterator[NewFile]:
    """What an iterator that computes gives, each computed in a thread."""
    while (file := await asyncio.to_thread(next, files, None)) is not None:
        yield file


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
        return self.url_at(owner, job_id, output.location, base_url)

    def url_at(self, owner: str, job_id: int, location: str, base_url: str = "") -> str:
        """The same for a path within the job's folder."""
        path = f"{owner}/{job_id}/{location}"
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
