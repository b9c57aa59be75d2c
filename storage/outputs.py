"""What jobs leave behind: files under ROOT/<owner>/<job>/<output|temp>/, served by signed URLs."""

import asyncio
import hashlib
import mimetypes
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, Self
from urllib.parse import quote

import numpy as np
import numpy.typing as npt

from graph.errors import ServiceError
from storage.output_names import NameCounter, expand_prefix, split_prefix, temporary_mark
from storage.paths import UnsafePathError, inside, owner_folder, write_atomically
from storage.pictures import EXTENSIONS, MIME_TYPES, Encoding, encode_picture
from storage.signing import UrlSigner

WEEK_S = 7 * 24 * 3600.0


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
        kind = "temp" if self.temporary else "output"
        return str(PurePosixPath(kind, self.subfolder, self.filename))

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        return cls(**values)


@dataclass(frozen=True)
class JobFolder:
    """Where one job's outputs go and for how long they stay."""

    path: Path
    retention_s: float


class JobOutputs:
    """What an output node talks to: saves files of one job and keeps the list of them.

    Belongs to one event loop; encoding and writing happen in worker threads. `stored` hears of
    each file once it can be read.
    """

    def __init__(
        self,
        folder: JobFolder,
        encoding: Encoding | None = None,
        stored: Callable[[StoredOutput], None] = lambda _: None,
    ) -> None:
        self._folder = folder
        self._encoding = encoding or Encoding()
        self._stored = stored
        self._counter = NameCounter()
        self._outputs: list[StoredOutput] = []

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
        """Save a batch [B, H, W, C], float32 in 0..1.

        Raises:
            UnsafePathError: the prefix leads out of the output folder.
        """
        count, height, width, _ = images.shape
        prefix = filename_prefix + (temporary_mark() if temporary else "")
        names = self._names(prefix, EXTENSIONS[self._encoding.format], (count, height, width))
        encoding = replace(self._encoding, compress_level=1) if temporary else self._encoding
        kind = OutputKind(node_id, "image", MIME_TYPES[encoding.format], width, height, temporary)

        def save(name: str, image: npt.NDArray[np.float32]) -> StoredOutput:
            return self._write(kind, name, encode_picture(image, encoding))

        return tuple(
            [
                self._record(await asyncio.to_thread(save, name, image))
                for name, image in zip(names, images, strict=True)
            ]
        )

    async def save_file(
        self, content: bytes, filename_prefix: str, extension: str, *, node_id: str
    ) -> StoredOutput:
        """Save any other file; `extension` is ".mp4", ".latent" ..."""
        (name,) = self._names(filename_prefix, extension, (1, 0, 0))
        mime_type = mimetypes.guess_type(f"x{extension}")[0] or "application/octet-stream"
        family = mime_type.partition("/")[0]
        medium = family if family in {"image", "video", "audio"} else "file"
        kind = OutputKind(node_id, medium, mime_type, None, None, temporary=False)
        return self._record(await asyncio.to_thread(self._write, kind, name, content))

    def _names(self, prefix: str, extension: str, shape: tuple[int, int, int]) -> list[str]:
        """Paths under the job's folder for `shape[0]` pictures of height and width `shape[1:]`."""
        count, height, width = shape
        now = datetime.now().astimezone()  # ComfyUI's variables are in local time
        expanded = expand_prefix(prefix, width=width, height=height, now=now)
        subfolder, _ = split_prefix(expanded)
        names = self._counter.take(str(PurePosixPath(expanded)), count, extension)
        return [str(PurePosixPath(subfolder, PurePosixPath(name).name)) for name in names]

    def _write(self, kind: OutputKind, name: str, content: bytes) -> StoredOutput:
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
        write_atomically(inside(self._folder.path, output.location), content)
        return output

    def _record(self, output: StoredOutput) -> StoredOutput:
        self._outputs.append(output)
        self._stored(output)
        return output


class OutputStore:
    """The folder of all outputs: opens it for a job, signs, reads and sweeps."""

    def __init__(self, root: Path, signer: UrlSigner, *, retention_s: float = WEEK_S) -> None:
        self._root = root
        self._signer = signer
        self._retention_s = retention_s

    def job_folder(self, owner: str, job_id: int) -> JobFolder:
        return JobFolder(owner_folder(self._root, owner) / str(job_id), self._retention_s)

    def path(self, owner: str, job_id: int, location: str) -> Path:
        """Where an output is.

        Raises:
            MissingOutputError: it is not there.
        """
        try:
            path = inside(self.job_folder(owner, job_id).path, location)
        except UnsafePathError as error:
            raise MissingOutputError(location[:200]) from error
        if not path.is_file():
            raise MissingOutputError(location[:200])
        return path

    def newest(self, owner: str, location: str) -> Path:
        """The file of that name in the owner's newest job that has one ("output/x_00001_.png").

        Raises:
            MissingOutputError: no job has it.
        """
        folder = owner_folder(self._root, owner)
        jobs = [path for path in folder.glob("*") if path.name.isdigit()]
        for job in sorted(jobs, key=lambda path: path.stat().st_mtime_ns, reverse=True):
            try:
                return self.path(owner, int(job.name), location)
            except MissingOutputError:
                continue
        raise MissingOutputError(location[:200])

    def url(self, owner: str, job_id: int, output: StoredOutput) -> str:
        """A signed path and query, "/outputs/...": who has it may read the file for a while."""
        path = f"{owner}/{job_id}/{output.location}"
        return f"/outputs/{quote(path)}?{self._signer.query(path, time.time())}"

    def signed_path(self, path: str, expires: int, signature: str) -> Path:
        """The file behind a signed URL; `path` is what follows "/outputs/", unquoted.

        Raises:
            OutputLinkError: the signature is wrong or too old.
            MissingOutputError: the file has expired.
        """
        if not self._signer.holds(path, expires, signature, time.time()):
            raise OutputLinkError(path[:200])
        owner, job_id, location = path.split("/", 2)
        return self.path(owner, int(job_id), location)

    def remove(self, owner: str, job_id: int) -> None:
        """Remove all that a job saved. Blocks: call in a thread."""
        shutil.rmtree(self.job_folder(owner, job_id).path, ignore_errors=True)

    def sweep(self) -> int:
        """Remove the jobs whose retention is over; returns how many. Blocks: call in a thread."""
        oldest = time.time() - self._retention_s
        old = [path for path in self._root.glob("*/*") if path.stat().st_mtime < oldest]
        for path in old:
            shutil.rmtree(path, ignore_errors=True)
        return len(old)


def _natural(node_id: str) -> tuple[tuple[int, str], ...]:
    """Node ids in the order of their numbers: 9 before 10, 4:3 before 4:12; names after numbers."""
    return tuple(
        (int(part), "") if part.isdigit() else (2**63, part) for part in node_id.split(":")
    )
