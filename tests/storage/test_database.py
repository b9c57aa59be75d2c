import asyncio
import importlib
import pkgutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.exc import IntegrityError

import storage
from storage.database import METADATA, Database
from tests.conftest import MIGRATE

ROOT = Path(__file__).resolve().parents[2]
NUMBERS = sa.Table("numbers", sa.MetaData(), sa.Column("n", sa.Integer, primary_key=True))


def _differences(connection: sa.Connection) -> Any:
    return compare_metadata(MigrationContext.configure(connection), METADATA)


async def test_the_migrations_make_the_tables_that_the_stores_declare(
    new_database_url: str,
) -> None:
    for module in pkgutil.walk_packages(storage.__path__, "storage."):
        if not module.name.startswith("storage.migrations."):
            importlib.import_module(module.name)
    database = Database(new_database_url)
    await database.open()
    async with database.reading() as connection:
        assert await connection.run_sync(_differences) == []
    await database.close()


async def test_opening_again_changes_nothing(database_url: str) -> None:
    for _ in range(2):
        database = Database(database_url)
        await database.open()
        await database.close()


def test_several_processes_may_open_a_new_database_at_once(new_database_url: str) -> None:
    command = [sys.executable, "-c", MIGRATE, new_database_url]
    started = [subprocess.Popen(command, cwd=ROOT) for _ in range(3)]
    assert [process.wait() for process in started] == [0, 0, 0]


async def test_a_transaction_that_fails_leaves_nothing(database_url: str) -> None:
    database = Database(database_url)
    async with database.writing() as connection:
        await connection.run_sync(NUMBERS.create)
    with pytest.raises(IntegrityError):
        async with database.writing() as connection:
            await connection.execute(sa.insert(NUMBERS), [{"n": 1}, {"n": 1}])
    async with database.reading() as connection:
        assert (await connection.execute(sa.select(NUMBERS))).all() == []
    await database.close()


async def test_two_pools_over_one_database_count_without_losing_any(database_url: str) -> None:
    databases = [Database(database_url) for _ in range(2)]
    async with databases[0].writing() as connection:
        await connection.run_sync(NUMBERS.create)
        await connection.execute(sa.insert(NUMBERS).values(n=0))

    async def count(database: Database) -> None:
        for _ in range(20):
            async with database.writing() as connection:
                await connection.execute(sa.update(NUMBERS).values(n=NUMBERS.c.n + 1))

    await asyncio.gather(*map(count, databases))
    async with databases[1].reading() as connection:
        assert (await connection.execute(sa.select(NUMBERS.c.n))).scalar() == 40
    for database in databases:
        await database.close()


async def test_writes_that_are_cancelled_hold_up_no_others(tmp_path: Path) -> None:
    """Wherever they are, and although the errors of cancelled tasks are kept."""
    url = f"sqlite+aiosqlite:///{tmp_path}/database.sqlite"
    databases = [Database(url) for _ in range(2)]
    async with databases[1].writing() as connection:
        await connection.run_sync(NUMBERS.create)

    async def write(first: int) -> None:
        rows = [{"n": first + k} for k in range(5)]
        async with databases[0].writing() as connection:
            await connection.execute(sa.insert(NUMBERS), rows)
            changed = sa.update(NUMBERS).where(NUMBERS.c.n >= first).values(n=NUMBERS.c.n + 5)
            await connection.execute(changed.returning(NUMBERS.c.n))

    kept = []
    for k in range(60):
        task = asyncio.create_task(write(10 * k))
        await asyncio.wait([task], timeout=0.0003 * (k % 30))
        task.cancel()
        await asyncio.wait([task])
        kept.append(task)
        async with databases[1].writing() as connection:
            await connection.execute(sa.delete(NUMBERS))
    assert any(task.cancelled() for task in kept)
    for database in databases:
        await database.close()


async def test_whoever_is_cancelled_while_connecting_leaves_no_thread(tmp_path: Path) -> None:
    database = Database(f"sqlite+aiosqlite:///{tmp_path}/database.sqlite")

    async def read() -> None:
        async with database.reading():
            pytest.fail("it was to be cancelled before")

    before = set(threading.enumerate())
    task = asyncio.create_task(read())
    while not set(threading.enumerate()) - before:  # noqa: ASYNC110 - threads tell nobody
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    await database.close()
    left = set(threading.enumerate()) - before
    for thread in left:
        thread.join(10)
    assert not any(thread.is_alive() for thread in left)
