"""Output files of jobs: "outputs/<owner>/<job>/<output|temp>/...", served by signed URLs."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import PurePosixPath
from typing import Any, Self
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

from graph.errors import ServiceError
from storage.disk_quota import Disk, Unlimited
from storage.files import Files, StoredFile, read
from storage.paths import UnsafePathError, owner_prefix, relative_name
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
    job_id: int | None = None  # of the job that saved it, where another job lists it again

    @property
    def location(self) -> str:
        """The path within the job's folder."""
        kind = folder_of(temporary=self.temporary)
        return str(PurePosixPath(kind, self.subfolder, self.filename))

    @property
    def poster_location(self) -> str:
        """The path of its poster, where it has one."""
        return str(PurePosixPath(self.location).with_name(self.poster))

    def as_json(self) -> dict[str, Any]:
        values = asdict(self)
        unset = {name for name in ("facts", "poster", "job_id") if not values[name]}
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

    def has(self, output: StoredOutput) -> bool:
        """Whether a file is there that this job, or an earlier one of the owner, saved."""
        prefix = self.prefix
        if output.job_id is not None:
            prefix = f"{owner_prefix(KIND, self.owner)}{output.job_id}/"
        return self.files.find(prefix + output.location) is not None


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

    def locations(self, owner: str, job_id: int) -> list[str]:
        """Where all is that a job saved."""
        prefix = self.job_folder(owner, job_id).prefix
        return [file.key.removeprefix(prefix) for file in self.files.list(prefix)]

    def read(self, owner: str, job_id: int, location: str) -> bytes:
        """The content of an output.

        Raises:
            MissingOutputError: it is not there.
        """
        return read(self.files, self.find(owner, job_id, location).key)

    def url(self, owner: str, job_id: int, output: StoredOutput, base_url: str = "") -> str:
        """Who has it may read the file for a while: the store's own URL, or a signed path here."""
        return self.url_at(owner, output.job_id or job_id, output.location, base_url)

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


def folder_of(*, temporary: bool) -> str:
    return "temp" if temporary else "output"


def _parts(url: str) -> SplitResult | None:
    try:
        return urlsplit(url)
    except ValueError:  # it is none
        return None
