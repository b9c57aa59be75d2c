"""Records of uploaded models, and how many an owner may have."""

import secrets
import string
import time
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

import sqlalchemy as sa
from sqlalchemy.engine import Row
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from graph.errors import ServiceError
from storage.database import METADATA, Database
from storage.models.library import MODEL_ID

ALPHABET = string.digits + string.ascii_lowercase
OWNED_MODELS = sa.Table(
    "owned_models",
    METADATA,
    sa.Column("id", sa.String(24), primary_key=True),
    sa.Column("owner", sa.String(64), nullable=False),
    sa.Column("folder", sa.String(40), nullable=False),
    sa.Column("filename", sa.String(255), nullable=False),
    sa.Column("kind", sa.String(40), nullable=False),
    sa.Column("family", sa.String(40), nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("created_s", sa.Float, nullable=False),
    sa.UniqueConstraint("owner", "folder", "sha256"),
)


@dataclass(eq=False)
class MissingOwnedModelError(ServiceError):
    """A model that is not there, or that is another owner's."""

    status = 404
    code = "model_not_found"
    template = "There is no model {model_id!r}."
    model_id: str


@dataclass(eq=False)
class ModelQuotaError(ServiceError):
    """An owner who has as many models, or as much of them, as may be."""

    status = 403
    code = "model_quota"
    template = "You have {having} {unit} of models, and {most} is the most; delete some first."
    having: int
    most: int
    unit: str  # "files" or "bytes"


@dataclass(frozen=True)
class Quota:
    """How many models an owner may have, and how large all together."""

    most_models: int = 100
    most_total_bytes: int = 100 * 2**30


@dataclass(frozen=True)
class OwnedModel:
    """One uploaded file. `kind` and `family` are what its tensors say it is."""

    owner: str
    folder: str
    filename: str  # as it was uploaded, for people
    kind: str
    family: str
    size: int
    sha256: str
    id: str = field(default_factory=lambda: f"mdl_{_letters(20)}")
    created_s: float = field(default_factory=time.time)

    @classmethod
    def from_row(cls, row: Row[Any]) -> Self:
        return cls(**{column.name: getattr(row, column.name) for column in fields(cls)})


class OwnedModels:
    """The table of uploaded models."""

    def __init__(self, database: Database, quota: Quota) -> None:
        self.quota = quota
        self._database = database

    async def add(self, model: OwnedModel) -> OwnedModel:
        """Record a model; returns it itself, or the owner's earlier one of the same content.

        Raises:
            ModelQuotaError: the owner has enough.
        """
        try:
            async with self._database.writing() as connection:
                await self._check(connection, model.owner, model.size)
                await connection.execute(sa.insert(OWNED_MODELS).values(**asdict(model)))
        except IntegrityError:
            earlier = await self.same(model)
            if earlier is None:
                raise
            return earlier
        return model

    async def check(self, owner: str, size: int) -> None:
        """Look whether one more of `size` bytes may be had.

        Raises:
            ModelQuotaError: the owner has enough.
        """
        async with self._database.reading() as connection:
            await self._check(connection, owner, size)

    async def same(self, model: OwnedModel) -> OwnedModel | None:
        """The owner's model of that folder and content."""
        column = OWNED_MODELS.c
        query = sa.select(OWNED_MODELS).where(
            column.owner == model.owner,
            column.folder == model.folder,
            column.sha256 == model.sha256,
        )
        async with self._database.reading() as connection:
            row = (await connection.execute(query)).first()
        return OwnedModel.from_row(row) if row else None

    async def list(self, owner: str) -> tuple[OwnedModel, ...]:
        """The owner's models, the newest first."""
        query = sa.select(OWNED_MODELS).where(OWNED_MODELS.c.owner == owner)
        query = query.order_by(OWNED_MODELS.c.created_s.desc(), OWNED_MODELS.c.id)
        async with self._database.reading() as connection:
            return tuple(map(OwnedModel.from_row, await connection.execute(query)))

    async def get(self, owner: str, model_id: str) -> OwnedModel:
        """One of the owner's models.

        Raises:
            MissingOwnedModelError: there is none of that id, or it is another owner's.
        """
        column = OWNED_MODELS.c
        query = sa.select(OWNED_MODELS).where(column.owner == owner, column.id == model_id)
        row = None
        if MODEL_ID.fullmatch(model_id):
            async with self._database.reading() as connection:
                row = (await connection.execute(query)).first()
        if row is None:
            raise MissingOwnedModelError(model_id[:80])
        return OwnedModel.from_row(row)

    async def remove(self, model: OwnedModel) -> None:
        """Forget a model."""
        async with self._database.writing() as connection:
            await connection.execute(sa.delete(OWNED_MODELS).where(OWNED_MODELS.c.id == model.id))

    async def ids(self) -> frozenset[str]:
        """The ids of all owners' models."""
        async with self._database.reading() as connection:
            rows = await connection.execute(sa.select(OWNED_MODELS.c.id))
            return frozenset(row.id for row in rows)

    async def _check(self, connection: AsyncConnection, owner: str, size: int) -> None:
        total = sa.func.coalesce(sa.func.sum(OWNED_MODELS.c.size), 0)
        query = sa.select(sa.func.count().label("models"), total.label("bytes"))
        row = (await connection.execute(query.where(OWNED_MODELS.c.owner == owner))).one()
        if row.models >= self.quota.most_models:
            raise ModelQuotaError(row.models, self.quota.most_models, "files")
        if row.bytes + size > self.quota.most_total_bytes:
            raise ModelQuotaError(int(row.bytes), self.quota.most_total_bytes, "bytes")


def _letters(count: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(count))
