"""Assets of Comfy's API v2: uploads by id, and by the BLAKE3 hash of their content.

The bytes lie in the owner's input folder, once for each hash, and nodes read them as any upload.
"""

import asyncio
import time
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import PurePosixPath
from typing import Any, Self

import sqlalchemy as sa
from blake3 import blake3
from sqlalchemy.engine import Row

from graph.errors import ServiceError
from storage.database import METADATA, Database
from storage.files import StoredFile, read
from storage.paths import UnsafePathError, relative_name
from storage.uploads import MissingInputError, Place, Uploads

FOLDER = "assets"  # in the owner's input folder
LONGEST_PATH, LONGEST_TYPE = 300, 200  # characters
LONGEST_NAME = 120
MOST_OF_OWNER = 10_000
SWEPT_AT_ONCE = 500
HASH = "blake3:"

ASSETS = sa.Table(
    "assets",
    METADATA,
    sa.Column("owner", sa.String(64), nullable=False),
    sa.Column("id", sa.String(36), nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
    sa.Column("location", sa.String(300), nullable=False),  # in the input folder
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("file_path", sa.String(LONGEST_PATH), nullable=False),
    sa.Column("content_type", sa.String(LONGEST_TYPE), nullable=False),
    sa.Column("created_s", sa.Float, nullable=False),
    sa.Column("expires_s", sa.Float, nullable=False),
    sa.PrimaryKeyConstraint("owner", "id", name="assets_key"),
    sa.Index("assets_by_hash", "owner", "hash"),
    sa.Index("assets_by_end", "expires_s"),
)


@dataclass(eq=False)
class MissingAssetError(ServiceError):
    """An asset that is not there, or that is another owner's."""

    status = 404
    code = "asset_not_found"
    template = "There is no asset {asset_id!r}; it may have expired."
    asset_id: str


@dataclass(eq=False)
class MissingBlobError(ServiceError):
    """A hash of which the owner has no bytes."""

    status = 404
    code = "blob_not_found"
    template = "You have no asset with the hash {hash!r}; upload it."
    hash: str


@dataclass(eq=False)
class HashMismatchError(ServiceError):
    """Bytes that are not those that the caller meant."""

    status = 409
    code = "hash_mismatch"
    template = "The file's hash is {found}, not {expected}."
    found: str
    expected: str


@dataclass(eq=False)
class TooManyAssetsError(ServiceError):
    """As many assets as one owner may have."""

    status = 413
    code = "too_many_assets"
    template = "You have {limit} assets, as many as may be; delete some."
    limit: int


@dataclass(frozen=True)
class Described:
    """What a caller says of an asset. `kept_s` is at most as long as uploads are kept."""

    file_path: str
    content_type: str
    kept_s: float


@dataclass(frozen=True)
class Asset:
    """One row."""

    owner: str
    id: str
    hash: str
    location: str
    size: int
    file_path: str
    content_type: str
    created_s: float
    expires_s: float

    @classmethod
    def from_row(cls, row: Row[Any]) -> Self:
        return cls(**{column.name: getattr(row, column.name) for column in fields(cls)})

    @property
    def place(self) -> Place:
        path = PurePosixPath(self.location)
        return Place(path.name, str(path.parent))


COLUMNS = tuple(ASSETS.c[column.name] for column in fields(Asset))


class Assets:
    """The table of assets."""

    def __init__(self, database: Database, uploads: Uploads) -> None:
        self._database = database
        self._uploads = uploads

    async def add(
        self, owner: str, content: bytes, described: Described, expected: str | None = None
    ) -> tuple[Asset, bool]:
        """A new asset of these bytes, and whether they were not there yet.

        Raises:
            HashMismatchError: they are not those `expected`.
            UnsafePathError: the file's name is none.
            ServiceError: they are over a limit.
        """
        digest = await asyncio.to_thread(lambda: blake3(content).hexdigest())
        if expected is not None and expected != HASH + digest:
            raise HashMismatchError(HASH + digest, expected[:100])
        earlier = await self.by_hash(owner, digest)
        location = earlier.location if earlier else _location(digest, described.file_path)
        return await self._written(owner, digest, location, content, described), earlier is None

    async def again(self, owner: str, hash_: str, described: Described) -> Asset:
        """A new asset of bytes that are there, which are kept from now on.

        Raises:
            MissingBlobError: they are not.
        """
        digest = hash_.removeprefix(HASH)
        earlier = await self.by_hash(owner, digest)
        if earlier is None:
            raise MissingBlobError(hash_[:100])
        content = await asyncio.to_thread(read, self._uploads.files, (await self.file(earlier)).key)
        return await self._written(owner, digest, earlier.location, content, described)

    async def by_hash(self, owner: str, digest: str) -> Asset | None:
        """An asset of the owner with these bytes, None where there is none."""
        this = sa.and_(ASSETS.c.owner == owner, ASSETS.c.hash == digest)
        for asset in await self._rows(this):
            try:
                await self.file(asset)
            except MissingAssetError:
                continue
            return asset
        return None

    async def find(self, owner: str, asset_id: str) -> Asset:
        """The owner's asset.

        Raises:
            MissingAssetError: there is none of that id, or it has expired.
        """
        found = await self._rows(sa.and_(ASSETS.c.owner == owner, ASSETS.c.id == asset_id))
        if not found:
            raise MissingAssetError(asset_id[:80])
        await self.file(found[0])
        return found[0]

    async def file(self, asset: Asset) -> StoredFile:
        """Its bytes.

        Raises:
            MissingAssetError: they have expired.
        """
        if asset.expires_s < time.time():
            raise MissingAssetError(asset.id)
        try:
            return await self._uploads.find(asset.owner, asset.place)
        except MissingInputError as error:
            raise MissingAssetError(asset.id) from error

    async def delete(self, owner: str, asset_id: str) -> None:
        """Remove an asset, and its bytes where no other has them.

        Raises:
            MissingAssetError: there is none.
        """
        await self._remove([await self.find(owner, asset_id)])

    async def sweep(self) -> None:
        """Remove the assets that have expired."""
        while gone := await self._rows(ASSETS.c.expires_s < time.time(), SWEPT_AT_ONCE):
            await self._remove(gone)

    async def remove_all(self, owner: str) -> None:
        """Forget all assets of an owner, whose files are removed otherwise."""
        async with self._database.writing() as connection:
            await connection.execute(sa.delete(ASSETS).where(ASSETS.c.owner == owner))

    async def _written(
        self, owner: str, digest: str, location: str, content: bytes, described: Described
    ) -> Asset:
        now_s = time.time()
        asset = Asset(
            owner,
            str(uuid.uuid4()),
            digest,
            location,
            len(content),
            described.file_path,
            described.content_type,
            now_s,
            now_s + min(described.kept_s, self._uploads.limits.kept_s),
        )
        mine = sa.select(sa.func.count()).where(ASSETS.c.owner == owner)
        async with self._database.writing() as connection:
            if int((await connection.execute(mine)).scalar_one()) >= MOST_OF_OWNER:
                raise TooManyAssetsError(MOST_OF_OWNER)
            await connection.execute(sa.insert(ASSETS), asdict(asset))
        try:
            await self._uploads.save(owner, asset.place, content, overwrite=True)
        except BaseException:
            await asyncio.shield(self._forget([asset]))
            raise
        return asset

    async def _remove(self, assets: Sequence[Asset]) -> None:
        await self._forget(assets)
        for asset in assets:
            same = sa.and_(ASSETS.c.owner == asset.owner, ASSETS.c.location == asset.location)
            if not await self._rows(same, 1):
                await self._uploads.remove(asset.owner, asset.place)

    async def _forget(self, assets: Sequence[Asset]) -> None:
        async with self._database.writing() as connection:
            for asset in assets:
                this = sa.and_(ASSETS.c.owner == asset.owner, ASSETS.c.id == asset.id)
                await connection.execute(sa.delete(ASSETS).where(this))

    async def _rows(self, which: sa.ColumnElement[bool], limit: int | None = None) -> list[Asset]:
        query = sa.select(*COLUMNS).where(which).order_by(ASSETS.c.created_s.desc()).limit(limit)
        async with self._database.reading() as connection:
            return [Asset.from_row(row) for row in await connection.execute(query)]


def _location(digest: str, file_path: str) -> str:
    """Where bytes are kept. Raises UnsafePathError for a path without a name."""
    name = PurePosixPath(relative_name(file_path)).name
    if len(name) > LONGEST_NAME:
        suffix = PurePosixPath(name).suffix[:20]
        name = name[: LONGEST_NAME - len(suffix)] + suffix
    if not name:
        raise UnsafePathError(file_path[:80], "a name is needed")
    return f"{FOLDER}/{digest[:32]}/{name}"
