import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import pytest

from storage.sqlite_connection import SqliteConnection, T


class Counting(SqliteConnection):
    """Counts how often its thread is waited for."""

    waits = 0

    async def _in_thread(self, function: Callable[[], T]) -> T:
        self.waits += 1
        return await super()._in_thread(function)


@pytest.fixture
async def connection(tmp_path: Path) -> AsyncIterator[Counting]:
    connect = partial(
        sqlite3.connect, tmp_path / "x.sqlite", isolation_level=None, check_same_thread=False
    )
    connection = Counting(connect, iter_chunk_size=64)
    async with connection:
        await connection.cursor().execute("CREATE TABLE numbers (n INTEGER)")
        await connection.commit()
        connection.waits = 0
        yield connection


async def _numbers(connection: SqliteConnection) -> list[int]:
    cursor = await connection.cursor().execute("SELECT n FROM numbers ORDER BY n")
    return [n for (n,) in await cursor.fetchall()]


async def test_each_statement_waits_for_the_thread_once(connection: Counting) -> None:
    connection.begin(writes=True, quick=False)
    cursor = connection.cursor()
    await cursor.executemany("INSERT INTO numbers VALUES (?)", [(1,), (2,)])
    assert cursor.rowcount == 2
    assert await _numbers(connection) == [1, 2]
    await connection.commit()
    assert connection.waits == 3
    connection.begin(writes=False, quick=False)
    assert await _numbers(connection) == [1, 2]
    await connection.rollback()
    assert connection.waits == 4
    assert await _numbers(connection) == [1, 2]
    assert not connection.in_transaction


async def test_a_quick_transaction_waits_for_the_thread_to_commit_alone(
    connection: Counting,
) -> None:
    connection.begin(writes=True, quick=True)
    await connection.cursor().executemany("INSERT INTO numbers VALUES (?)", [(1,), (2,)])
    assert await _numbers(connection) == [1, 2]
    assert connection.waits == 0
    await connection.commit()
    assert connection.waits == 1
    connection.begin(writes=False, quick=True)
    assert await _numbers(connection) == [1, 2]
    await connection.rollback()
    assert connection.waits == 1
    assert not connection.in_transaction


async def test_a_quick_writer_waits_in_the_thread_for_a_lock_that_another_has(
    connection: Counting, tmp_path: Path
) -> None:
    other = sqlite3.connect(tmp_path / "x.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    connection.begin(writes=True, quick=True)
    writing = asyncio.ensure_future(connection.cursor().execute("INSERT INTO numbers VALUES (1)"))
    await asyncio.wait([writing], timeout=0.05)
    assert not writing.done()
    other.execute("COMMIT")
    other.close()
    await writing
    await connection.commit()
    assert await _numbers(connection) == [1]


async def test_what_was_not_committed_is_undone(connection: Counting) -> None:
    connection.begin(writes=True, quick=False)
    await connection.cursor().execute("INSERT INTO numbers VALUES (1)")
    await connection.rollback()
    assert await _numbers(connection) == []


async def test_a_transaction_without_statements_takes_no_lock(
    connection: Counting, tmp_path: Path
) -> None:
    connection.begin(writes=True, quick=False)
    with sqlite3.connect(tmp_path / "x.sqlite", timeout=0) as other:
        other.execute("INSERT INTO numbers VALUES (1)")
    other.close()
    await connection.commit()
    assert connection.waits == 0
    assert await _numbers(connection) == [1]


async def test_a_writer_has_its_lock_from_its_first_statement_on(
    connection: Counting, tmp_path: Path
) -> None:
    connection.begin(writes=True, quick=False)
    assert await _numbers(connection) == []
    other = sqlite3.connect(tmp_path / "x.sqlite", timeout=0)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("INSERT INTO numbers VALUES (1)")
    other.close()
    await connection.rollback()


async def test_a_statement_that_fails_says_why(connection: Counting) -> None:
    connection.begin(writes=True, quick=False)
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        await connection.cursor().execute("SELECT * FROM letters")
    await connection.rollback()
    assert not connection.in_transaction
