"""Receives models: in pieces, whole, or from a URL; keeps them once they are checked."""

import asyncio
import contextvars
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from urllib.parse import unquote

from api.errors import known, message_body
from api.models.multipart_file import MultipartFile
from graph.errors import ServiceError
from storage.fetch import Fetcher, checked_url
from storage.models.checks import ModelChecks
from storage.models.library import ModelLibrary
from storage.models.owned import OwnedModel
from storage.models.store import ModelStore, checked_folder, checked_name
from storage.models.uploads import ModelUpload, ModelUploads, UploadBusyError, UploadState
from storage.owner_disk import OwnerDisk

LOG = logging.getLogger(__name__)


@dataclass(eq=False)
class ModelHostError(ServiceError):
    """A URL of a host that models are not fetched from."""

    status = 422
    code = "model_host"
    template = "Models are not fetched from {host!r}, only over https from: {allowed}."
    host: str
    allowed: str


@dataclass(frozen=True)
class Announced:
    """What a sender says of a file to come."""

    filename: str
    folder: str | None = None
    size: int | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class Source:
    """Where models are fetched from."""

    fetcher: Fetcher
    allowed_hosts: Sequence[str]  # and their sub-domains


class ModelIntake:
    """Takes models in for their owners. Belongs to one event loop."""

    def __init__(
        self,
        library: ModelLibrary,
        checks: ModelChecks,
        store: ModelStore,
        uploads: ModelUploads,
        source: Source,
        *,
        disk: OwnerDisk,
    ) -> None:
        self.library = library
        self.checks = checks
        self.store = store
        self.uploads = uploads
        self._source = source
        self._disk = disk
        self._fetches: dict[str, asyncio.Task[None]] = {}

    async def begin(
        self, owner: str, announced: Announced, state: UploadState = "receiving"
    ) -> ModelUpload:
        """An upload to append to.

        Raises:
            ServiceError: there may be none of that name, folder or size.
        """
        filename = checked_name(announced.filename)
        folder = checked_folder(announced.folder, filename)
        await self._check_room(owner, announced.size or 0)
        upload = ModelUpload(owner, filename, folder, announced.size, announced.sha256, state=state)
        return await self.uploads.begin(upload)

    async def complete(self, upload: ModelUpload) -> OwnedModel:
        """The model that an upload has become; completing it again gives the same.

        Raises:
            ServiceError: it is not whole; or it is no model, and what came of it was removed.
        """
        if upload.state == "ready" and upload.model_id is not None:
            return await self.store.models.get(upload.owner, upload.model_id)
        if upload.state != "receiving":
            raise UploadBusyError(upload.state)
        return await self._finish(upload)

    async def receive(self, owner: str, file: MultipartFile) -> OwnedModel:
        """A model that comes in one go; of one that breaks off nothing stays.

        Raises:
            ServiceError: it is none.
        """
        await file.start()
        upload = await self.begin(owner, Announced(file.filename, file.fields.get("folder")))
        try:
            await self._append(upload, file.chunks())
            folder = checked_folder(file.fields.get("folder"), upload.filename)
            sha256 = file.fields.get("sha256")
            return await self._finish(replace(upload, folder=folder, sha256=sha256))
        except BaseException:
            await asyncio.shield(self.uploads.abort(upload))
            raise

    async def fetch(self, owner: str, url: str, announced: Announced) -> ModelUpload:
        """Start to fetch a model; the upload shows how far it is.

        Raises:
            ServiceError: it may not be fetched.
        """
        self._check_host(url)
        upload = await self.begin(owner, announced, "fetching")
        work = self._fetch(upload, url)
        task = asyncio.get_running_loop().create_task(work, context=contextvars.Context())
        self._fetches[upload.id] = task
        task.add_done_callback(lambda _: self._fetches.pop(upload.id, None))
        return upload

    async def fetched(self, upload: ModelUpload, within_s: float) -> ModelUpload:
        """The upload when its fetch has ended, or after so many seconds."""
        if task := self._fetches.get(upload.id):
            await asyncio.wait([task], timeout=within_s)
        return await self.uploads.get(upload.owner, upload.id)

    async def abort(self, upload: ModelUpload) -> None:
        """Stop an upload, and forget what has come of it."""
        if task := self._fetches.get(upload.id):
            task.cancel()
            await asyncio.wait([task])
        await self.uploads.abort(upload)

    async def sweep(self) -> None:
        """Forget uploads that nobody completed, and files that a process left when it died."""
        await self.uploads.sweep()
        await self.store.sweep()

    async def close(self) -> None:
        """Stop fetching."""
        tasks = list(self._fetches.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._source.fetcher.close()

    async def _finish(self, upload: ModelUpload) -> OwnedModel:
        with self.uploads.locked(upload):
            arrived = self.uploads.arrived(upload)
            try:
                model = await self.store.keep(upload.owner, arrived)
            except ServiceError as error:
                if error.status == 422:  # it will not become one
                    await self._fail(upload, error)
                raise
        await self.uploads.save(upload, state="ready", model_id=model.id, size=model.size)
        return model

    async def _fetch(self, upload: ModelUpload, url: str) -> None:
        try:
            async with self._source.fetcher.opened(url) as (size, chunks):
                if size is not None:
                    await self._check_room(upload.owner, size)
                    upload = await self.uploads.save(upload, size=size)
                await self._append(upload, chunks)
            await self._finish(upload)
        except Exception as error:  # noqa: BLE001 - a task's end: whoever asks for the upload is told
            await self._fail(upload, known(error))

    async def _fail(self, upload: ModelUpload, error: ServiceError) -> None:
        await self.uploads.save(upload, state="failed", error=message_body(error))
        await self.uploads.discard(upload)

    async def _append(self, upload: ModelUpload, chunks: AsyncIterator[bytes]) -> None:
        """A whole file. Of one whose size is not known before, no more than its owner may keep."""
        left = None if upload.size is not None else await self._disk.left(upload.owner)
        await self.uploads.append(upload, 0, chunks, most_bytes=left)

    async def _check_room(self, owner: str, size: int) -> None:
        """Raises ModelQuotaError or DiskQuotaError where a model of `size` may not be had."""
        await self.store.models.check(owner, size)
        await self._disk.check(owner, size)

    def _check_host(self, url: str) -> None:
        """Only the first host: where it redirects to is its own business, within the guard's."""
        parsed = checked_url(url)
        hosts = self._source.allowed_hosts
        named = any(parsed.host == host or parsed.host.endswith(f".{host}") for host in hosts)
        if parsed.scheme != "https" or not named:
            raise ModelHostError(parsed.host[:200], ", ".join(hosts) or "none")


def name_in(url: str) -> str:
    """The file name that a URL ends in.

    Raises:
        FetchError: it is no URL that is fetched.
    """
    return PurePosixPath(unquote(checked_url(url).path)).name
