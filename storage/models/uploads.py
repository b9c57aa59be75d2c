"""Uploads in progress: a row with what is expected, a file with what has arrived.

The file's size is the offset to go on from, so an upload is resumed after any break, at any replica
that shares the folder. Only one request writes at a time: the file is locked meanwhile.
"""

import asyncio
import fcntl
import os
import secrets
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from io import FileIO
from pathlib import Path, PurePosixPath
from typing import Any, Literal, Self

import sqlalchemy as sa
from sqlalchemy.engine import Row

from graph.errors import ServiceError
from storage.database import METADATA, Database
from storage.disk_room import DiskRoom
from storage.models.store import Arrived
from storage.paths import owner_folder

UploadState = Literal["receiving", "fetching", "ready", "failed"]
UNDER_WAY = ("receiving", "fetching")
BUFFER_BYTES = 2**20
MODEL_UPLOADS = sa.Table(
    "model_uploads",
    METADATA,
    sa.Column("id", sa.String(40), primary_key=True),
    sa.Column("owner", sa.String(64), nullable=False),
    sa.Column("filename", sa.String(255), nullable=False),
    sa.Column("folder", sa.String(40)),
    sa.Column("size", sa.BigInteger),
    sa.Column("sha256", sa.String(64)),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("model_id", sa.String(24)),
    sa.Column("error", sa.JSON),
    sa.Column("created_s", sa.Float, nullable=False),
    sa.Index("model_uploads_by_owner", "owner", "state"),
    sa.Index("model_uploads_by_created_s", "created_s"),
)


@dataclass(eq=False)
class MissingUploadError(ServiceError):
    """An upload that is not there, or that is another owner's."""

    status = 404
    code = "upload_not_found"
    template = "There is no upload {upload_id!r}; it may have expired."
    upload_id: str


@dataclass(eq=False)
class UploadOffsetError(ServiceError):
    """Bytes that do not follow on those that are there."""

    status = 409
    code = "upload_offset"
    template = "The upload goes on from byte {expected}, not {received}."
    expected: int
    received: int


@dataclass(eq=False)
class UploadBusyError(ServiceError):
    """An upload that another request is writing to, or that is over."""

    status = 409
    code = "upload_busy"
    template = "The upload is {state}; nothing can be added to it now."
    state: Literal["fetching", "ready", "failed", "locked"]


@dataclass(eq=False)
class UploadIncompleteError(ServiceError):
    """An upload that is to be completed too early."""

    status = 409
    code = "upload_incomplete"
    template = "The upload has {received} of {expected} bytes."
    expected: int
    received: int


@dataclass(eq=False)
class ModelTooLargeError(ServiceError):
    """A model over the size limit, or over the size that was announced."""

    status = 413
    code = "too_large"
    template = "{filename!r} is over the limit of {limit_bytes} bytes."
    filename: str
    limit_bytes: int


@dataclass(eq=False)
class TooManyUploadsError(ServiceError):
    """As many uploads of an owner under way as may be."""

    status = 429
    code = "upload_limit"
    template = "{most} of your uploads are under way, as many as may be; finish or abort one first."
    most: int
    retry_after_s: int


@dataclass(frozen=True)
class ModelUpload:
    """One upload. `size` is None where it is not known before the end."""

    owner: str
    filename: str
    folder: str | None = None
    size: int | None = None
    sha256: str | None = None
    state: UploadState = "receiving"
    model_id: str | None = None
    error: Mapping[str, Any] | None = None
    id: str = field(default_factory=lambda: f"upl_{secrets.token_hex(16)}")
    created_s: float = field(default_factory=time.time)

    @classmethod
    def from_row(cls, row: Row[Any]) -> Self:
        return cls(**{column.name: getattr(row, column.name) for column in fields(cls)})


@dataclass(frozen=True)
class UploadTerms:
    """How large an upload may be, how many an owner may have, and for how long."""

    most_bytes: int = 16 * 2**30
    most_under_way: int = 8
    kept_s: float = 24 * 3600.0


class ModelUploads:
    """The uploads of all owners, in ROOT/<owner>/<id>.<ending>."""

    def __init__(self, root: Path, database: Database, terms: UploadTerms, room: DiskRoom) -> None:
        self.terms = terms
        self._root = root
        self._database = database
        self._room = room

    async def begin(self, upload: ModelUpload) -> ModelUpload:
        """Record an upload.

        Raises:
            ModelTooLargeError, TooManyUploadsError, DiskFullError: 413, 429, 503.
        """
        if (upload.size or 0) > self.terms.most_bytes:
            raise ModelTooLargeError(upload.filename, self.terms.most_bytes)
        await asyncio.to_thread(self._room.check, upload.size or 0)
        row = MODEL_UPLOADS.c
        count = sa.select(sa.func.count()).where(
            row.owner == upload.owner,
            row.state.in_(UNDER_WAY),
            row.created_s > time.time() - self.terms.kept_s,
        )
        async with self._database.writing() as connection:
            if (await connection.execute(count)).scalar_one() >= self.terms.most_under_way:
                raise TooManyUploadsError(self.terms.most_under_way, 60)
            await connection.execute(sa.insert(MODEL_UPLOADS).values(**asdict(upload)))
        await asyncio.to_thread(self._touch, upload)
        return upload

    async def get(self, owner: str, upload_id: str) -> ModelUpload:
        """One of the owner's uploads.

        Raises:
            MissingUploadError: there is none of that id, or it is another owner's.
        """
        row = MODEL_UPLOADS.c
        query = sa.select(MODEL_UPLOADS).where(row.owner == owner, row.id == upload_id)
        found = None
        if upload_id.isascii() and upload_id.isprintable():
            async with self._database.reading() as connection:
                found = (await connection.execute(query)).first()
        if found is None:
            raise MissingUploadError(upload_id[:80])
        return ModelUpload.from_row(found)

    async def of_owner(self, owner: str) -> tuple[ModelUpload, ...]:
        """The owner's uploads."""
        query = sa.select(MODEL_UPLOADS).where(MODEL_UPLOADS.c.owner == owner)
        async with self._database.reading() as connection:
            return tuple(map(ModelUpload.from_row, await connection.execute(query)))

    def offset(self, upload: ModelUpload) -> int:
        """How many bytes have come."""
        try:
            return self._path(upload).stat().st_size
        except OSError:
            return upload.size or 0 if upload.state == "ready" else 0

    async def append(
        self,
        upload: ModelUpload,
        start: int,
        chunks: AsyncIterator[bytes],
        most_bytes: int | None = None,
    ) -> int:
        """Write what comes at `start`, the end of what has come; gives the new offset.

        What came before a break stays.

        Raises:
            UploadBusyError, UploadOffsetError: 409.
            ModelTooLargeError: 413; what is too much was not kept.
        """
        if upload.state in {"ready", "failed"}:
            raise UploadBusyError(upload.state)
        most = min(
            self.terms.most_bytes, self.terms.most_bytes if most_bytes is None else most_bytes
        )
        limit = most if upload.size is None else min(upload.size, most)
        with self.locked(upload) as file:
            offset = file.seek(0, os.SEEK_END)
            if start != offset:
                raise UploadOffsetError(offset, start)
            async for chunk in _buffered(chunks):
                if offset + len(chunk) > limit:
                    raise ModelTooLargeError(upload.filename, limit)
                await asyncio.to_thread(self._write, file, chunk)
                offset += len(chunk)
        return offset

    def arrived(self, upload: ModelUpload) -> Arrived:
        """The file of an upload that is whole.

        Raises:
            UploadIncompleteError: 409.
        """
        offset = self.offset(upload)
        if upload.size is not None and offset != upload.size:
            raise UploadIncompleteError(upload.size, offset)
        return Arrived(self._path(upload), upload.filename, upload.folder, upload.sha256)

    async def save(self, upload: ModelUpload, **values: Any) -> ModelUpload:
        """Write how far an upload is."""
        query = sa.update(MODEL_UPLOADS).where(MODEL_UPLOADS.c.id == upload.id).values(**values)
        async with self._database.writing() as connection:
            await connection.execute(query)
        return replace(upload, **values)

    async def discard(self, upload: ModelUpload) -> None:
        """Remove what has come of an upload; what is known of it stays."""
        await asyncio.to_thread(self._path(upload).unlink, missing_ok=True)

    async def abort(self, upload: ModelUpload) -> None:
        """Forget an upload, and what has come of it."""
        await self._remove([upload])

    async def sweep(self) -> int:
        """Forget what is older than uploads are kept; returns how many."""
        old = MODEL_UPLOADS.c.created_s < time.time() - self.terms.kept_s
        async with self._database.reading() as connection:
            rows = (await connection.execute(sa.select(MODEL_UPLOADS).where(old))).all()
        await self._remove([ModelUpload.from_row(row) for row in rows])
        return len(rows)

    async def _remove(self, uploads: list[ModelUpload]) -> None:
        for upload in uploads:
            await asyncio.to_thread(self._path(upload).unlink, missing_ok=True)
        ids = [upload.id for upload in uploads]
        if ids:
            async with self._database.writing() as connection:
                await connection.execute(
                    sa.delete(MODEL_UPLOADS).where(MODEL_UPLOADS.c.id.in_(ids))
                )

    @contextmanager
    def locked(self, upload: ModelUpload) -> Iterator[FileIO]:
        """The file of an upload, which nobody else writes to meanwhile."""
        try:
            file = FileIO(self._path(upload), "r+")
        except FileNotFoundError as error:
            raise MissingUploadError(upload.id) from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise UploadBusyError("locked") from error
            yield file

    def _write(self, file: FileIO, chunk: bytes) -> None:
        self._room.check(len(chunk))
        left = memoryview(chunk)
        while left:
            left = left[file.write(left) :]

    def _touch(self, upload: ModelUpload) -> None:
        path = self._path(upload)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    def _path(self, upload: ModelUpload) -> Path:
        ending = PurePosixPath(upload.filename).suffix.lower()
        return owner_folder(self._root, upload.owner) / f"{upload.id}{ending}"


async def _buffered(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same bytes in pieces that are worth a thread's while."""
    buffer = bytearray()
    async for chunk in chunks:
        buffer += chunk
        if len(buffer) >= BUFFER_BYTES:
            yield bytes(buffer)
            buffer.clear()
    if buffer:
        yield bytes(buffer)
