"""The database that every table lives in: SQLite unless a URL says PostgreSQL.

A store declares its tables on METADATA beside its class, and adds one file to
storage/migrations/versions/ that makes them; `Database.open` runs what a database has not seen.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from graph.errors import ServiceError
from storage.sqlite_connection import SqliteConnection

METADATA = sa.MetaData(
    naming_convention={
        "ix": "%(table_name)s_by_%(column_0_N_name)s",
        "uq": "%(table_name)s_unique_%(column_0_N_name)s",
        "pk": "%(table_name)s_key",
        "fk": "%(table_name)s_to_%(referred_table_name)s",
    }
)
MIGRATIONS = Path(__file__).parent / "migrations"
MIGRATION_LOCK = 0x636F6D66  # PostgreSQL's advisory lock of those who migrate
SQLITE_WAITS_S = 30.0  # for the lock that another process or connection has
AGAIN_S = 5  # when to ask again for what a database that is away was needed for
SQLITE_PRAGMAS = ("journal_mode=WAL", "synchronous=NORMAL")


@dataclass(eq=False)
class DatabaseAwayError(ServiceError):
    """A database server that does not answer, or went away in the middle. It may come back."""

    status = 503
    code = "database_unavailable"
    template = "The database does not answer now; try again in {retry_after_s} s."
    retry_after_s: int


class Database:
    """One pool of connections. Belongs to one event loop; `open` before use."""

    def __init__(self, url: str) -> None:
        """`url` is SQLAlchemy's; "postgresql://..." means the driver that is used here."""
        url = url.replace("postgres://", "postgresql://", 1)
        url = url.replace("postgresql://", "postgresql+asyncpg://", 1)
        parts = sa.make_url(url)
        self.is_sqlite = parts.get_backend_name() == "sqlite"
        # SQLite has one writer at a time; those of one process take turns without polling.
        self._turn: asyncio.Lock | nullcontext[None] = nullcontext()
        self._away: tuple[type[Exception], ...] = ()  # what tells that the server is
        if self.is_sqlite:
            self._turn = asyncio.Lock()
            connect = partial(_connect_sqlite, parts.database or "")
            self._engine = create_async_engine(parts, async_creator=connect)
            sa.event.listen(self._engine.sync_engine, "connect", _prepare_sqlite)
            sa.event.listen(self._engine.sync_engine, "begin", _begin_sqlite)
            sa.event.listen(self._engine.sync_engine, "invalidate", _let_go_of_sqlite)
        else:
            self._engine = create_async_engine(parts, pool_pre_ping=True)
            self._away = _postgres_is_away()
        self._engines = {
            (writes, quick): self._engine.execution_options(writes=writes, quick=quick)
            for writes in (False, True)
            for quick in (False, True)
        }

    async def open(self) -> None:
        """Bring the tables up to date; of several that start at once, one does it."""
        async with self.writing() as connection:
            if not self.is_sqlite:
                await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(MIGRATION_LOCK)))
            await connection.run_sync(migrate)

    async def close(self) -> None:
        await self._engine.dispose()

    def now(self) -> sa.ColumnElement[float]:
        """Unix seconds by the clock that all who use this database share."""
        if self.is_sqlite:
            return sa.literal_column("((julianday('now') - 2440587.5) * 86400.0)", sa.Float)
        return sa.cast(sa.extract("epoch", sa.func.clock_timestamp()), sa.Float)

    @asynccontextmanager
    async def reading(self, *, quick: bool = False) -> AsyncIterator[AsyncConnection]:
        """A connection that only reads. `quick`: a few rows, by their keys.

        Raises:
            DatabaseAwayError: the server does not answer.
        """
        with self._errors_translated():
            async with self._engines[False, quick].connect() as connection:
                yield connection

    @asynccontextmanager
    async def writing(self, *, quick: bool = False) -> AsyncIterator[AsyncConnection]:
        """A transaction, committed at the end. Keep it short: SQLite has one writer at a time.

        `quick`: its statements touch a few rows, by their keys. SQLite runs them at once, on the
        event loop; it takes longer to go to a thread.

        Raises:
            DatabaseAwayError: the server does not answer; what was written may be there or not.
        """
        with self._errors_translated():
            async with self._turn, self._engines[True, quick].begin() as connection:
                yield connection

    @contextmanager
    def _errors_translated(self) -> Iterator[None]:
        """A server that is away, as an error of ours."""
        try:
            yield
        except self._away as error:
            raise DatabaseAwayError(AGAIN_S) from error
        except sa.exc.DBAPIError as error:
            cause = None if error.orig is None else error.orig.__cause__
            if self._away and (error.connection_invalidated or isinstance(cause, self._away)):
                raise DatabaseAwayError(AGAIN_S) from error
            raise


def migrate(connection: sa.Connection) -> None:
    """Run the migrations that this database has not seen, in the transaction that is open."""
    from alembic import command  # noqa: PLC0415 - who opens no database does not need it
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "heads")


def _postgres_is_away() -> tuple[type[Exception], ...]:
    import asyncpg  # type: ignore[import-untyped]  # noqa: PLC0415 - who has SQLite does not need it

    starting, ending = asyncpg.CannotConnectNowError, asyncpg.AdminShutdownError
    return ConnectionError, asyncpg.PostgresConnectionError, starting, ending


async def _connect_sqlite(path: str) -> SqliteConnection:
    """A connection whose transactions begin where SQLAlchemy says.

    Whoever is cancelled meanwhile waits for it all the same: its thread would tell an event loop
    that may be closed by then.
    """
    connect = partial(
        sqlite3.connect,
        path,
        timeout=SQLITE_WAITS_S,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
    )
    connection = SqliteConnection(connect, iter_chunk_size=64)
    connection._thread.daemon = True  # as SQLAlchemy has it; aiosqlite has no option
    connected = asyncio.ensure_future(connection)
    try:
        await asyncio.shield(connected)
    except asyncio.CancelledError:
        await connected
        await connection.close()
        raise
    return connection


def _let_go_of_sqlite(connection: Any, _record: Any, _error: Any) -> None:
    """Roll back what was cancelled, before the connection is closed.

    SQLite keeps a closed connection, and its lock, for as long as the rows of a statement may
    still be asked for, and the error of a cancelled task holds on to them.
    """
    with suppress(Exception, asyncio.CancelledError):  # the error that led here is raised anyway
        connection.rollback()


def _prepare_sqlite(connection: Any, _: Any) -> None:
    """Readers do not block the writer."""
    cursor = connection.cursor()
    for pragma in SQLITE_PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    options = connection.get_execution_options()
    driver = cast(SqliteConnection, connection.connection.driver_connection)
    driver.begin(writes=options.get("writes", False), quick=options.get("quick", False))
