"""Names of files that are one of a kind among an owner's, and which job has the file of a name.

As in ComfyUI (folder_paths.py, get_save_image_path) numbers go on from job to job, whichever router
runs them. A name is written down before its file is, so that it can be read once it is told of.
"""

import hashlib
from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.counters import count
from storage.database import METADATA, Database
from storage.jobs.records import Ledger
from storage.output_names import numbered

OUTPUT_NAMES = sa.Table(
    "output_names",
    METADATA,
    sa.Column("owner", sa.String(64), nullable=False),
    sa.Column("location", sa.String(64), nullable=False),  # its SHA-256
    sa.Column("job_id", sa.BigInteger, nullable=False),
    sa.PrimaryKeyConstraint("owner", "location", name="output_names_key"),
    sa.Index("output_names_by_job", "job_id"),
)


class JobNames:
    """The names of one job's files, numbered on over all that its owner saved so."""

    def __init__(self, database: Database, owner: str, job_id: int) -> None:
        self._database = database
        self._owner = owner
        self._job_id = job_id

    async def take(
        self, folder: str, prefix: str, steps: int, extension: str, tail: str = "_"
    ) -> list[str]:
        """Names of `steps` pictures of one batch under "output" or "temp"."""
        async with self._database.writing(quick=True) as connection:
            counter = _digest(f"{folder}/{prefix}")
            first = await count(connection, self._owner, counter, steps)
            names = numbered(prefix, first, steps, tail + extension)
            locations = [_digest(f"{folder}/{name}") for name in names]
            mine = OUTPUT_NAMES.c.owner == self._owner
            again = mine & OUTPUT_NAMES.c.location.in_(locations)  # counted anew after a long time
            await connection.execute(sa.delete(OUTPUT_NAMES).where(again))
            rows = [
                {"owner": self._owner, "location": location, "job_id": self._job_id}
                for location in locations
            ]
            await connection.execute(sa.insert(OUTPUT_NAMES), rows)
        return names


class OutputNames(Ledger):
    """Which job has the file of a name; goes with the jobs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def job_of(self, owner: str, location: str) -> int | None:
        """The job that "output/x_00001_.png" is of; None of a name that is not written down."""
        mine = OUTPUT_NAMES.c.owner == owner
        this = mine & (OUTPUT_NAMES.c.location == _digest(location))
        async with self._database.reading() as connection:
            found = await connection.execute(sa.select(OUTPUT_NAMES.c.job_id).where(this))
            job_id: int | None = found.scalar_one_or_none()
        return job_id

    async def deleted(self, connection: AsyncConnection, job_ids: Sequence[int]) -> None:
        these = OUTPUT_NAMES.c.job_id.in_(job_ids)
        await connection.execute(sa.delete(OUTPUT_NAMES).where(these))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
