"""A connection to SQLite that goes to its thread as seldom as it can.

aiosqlite goes there to make a cursor, to execute, to fetch and to close, and each time two threads
wait for each other; that takes longer than the statement. Here a statement brings all its rows
with it, and the transaction begins with its first statement. The statements of a quick transaction
run at once, without the thread, which only waits for what may take long: the lock that somebody
else has, and the disk.
"""

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, Self, TypeVar, cast

import aiosqlite

T = TypeVar("T")
Run = Callable[[sqlite3.Connection], sqlite3.Cursor]


class SqliteConnection(aiosqlite.Connection):
    """Made as aiosqlite's own connection; SQLAlchemy uses `cursor`, `commit` and `rollback`."""

    _begins = ""  # the statement that begins the transaction, until it was sent
    _writes = False
    _quick = False
    _sent = False  # whether a statement of the transaction was sent
    _away = False  # whether the thread may still be at one

    def begin(self, *, writes: bool, quick: bool) -> None:
        """Begin a transaction with the next statement.

        A writer takes its lock first: to upgrade a reader's may fail at once, without a wait.
        """
        self._begins = "BEGIN IMMEDIATE" if writes else "BEGIN"
        self._writes = writes
        self._quick = quick

    def cursor(self) -> "Statement":  # type: ignore[override]
        return Statement(self)

    async def ran(self, run: Run) -> "Answer":
        """What a statement gave, once it ran."""
        begins, self._begins, self._sent = self._begins, "", True

        def answer() -> Answer:
            if begins and not self._conn.in_transaction:
                self._conn.execute(begins).close()
            cursor = run(self._conn)
            try:
                rows = cursor.fetchall() if cursor.description else []
                return Answer(cursor, rows)
            finally:
                cursor.close()

        if self._quick and not (begins and self._writes and self._is_locked(begins)):
            return answer()
        return await self._in_thread(answer)

    async def commit(self) -> None:
        if self._ends():
            await self._in_thread(self._conn.commit)

    async def rollback(self) -> None:
        """Of who has only read it gives up a lock in memory, and waits for nothing."""
        if not self._ends():
            return
        if self._writes or self._away:
            await self._in_thread(self._conn.rollback)
        else:
            self._conn.rollback()

    def _ends(self) -> bool:
        """Whether there is a transaction to end."""
        sent, self._sent, self._begins = self._sent, False, ""
        return sent

    def _is_locked(self, begins: str) -> bool:
        """Whether somebody else has the lock; else it is ours now."""
        (wait_ms,) = self._conn.execute("PRAGMA busy_timeout").fetchone()
        self._conn.execute("PRAGMA busy_timeout=0")
        try:
            self._conn.execute(begins)
        except sqlite3.OperationalError:  # the thread waits, and tells what it is if not that
            return True
        finally:
            self._conn.execute(f"PRAGMA busy_timeout={wait_ms}")
        return False

    async def _in_thread(self, function: Callable[[], T]) -> T:
        self._away = True  # and so it stays where this is cancelled
        value = cast(T, await self._execute(function))  # type: ignore[no-untyped-call]
        self._away = False
        return value


class Answer:
    """What a statement left."""

    def __init__(self, cursor: sqlite3.Cursor, rows: list[Any]) -> None:
        self.rows = rows
        self.description = cursor.description
        self.rowcount = cursor.rowcount
        self.lastrowid = cursor.lastrowid


class Statement:
    """A cursor, as SQLAlchemy's adapter of aiosqlite uses one."""

    arraysize = 1
    _answer: Answer | None = None

    def __init__(self, connection: SqliteConnection) -> None:
        self._connection = connection

    async def __aenter__(self) -> Self:
        return self

    async def execute(self, sql: str, parameters: Sequence[Any] = ()) -> Self:
        self._answer = await self._connection.ran(lambda it: it.execute(sql, parameters))
        return self

    async def executemany(self, sql: str, rows: Sequence[Sequence[Any]]) -> Self:
        self._answer = await self._connection.ran(lambda it: it.executemany(sql, rows))
        return self

    async def fetchall(self) -> list[Any]:
        return self._answer.rows if self._answer else []

    async def close(self) -> None:
        """There is nothing left to close."""

    @property
    def description(self) -> Any:
        return self._answer.description if self._answer else None

    @property
    def rowcount(self) -> int:
        return self._answer.rowcount if self._answer else -1

    @property
    def lastrowid(self) -> int | None:
        return self._answer.lastrowid if self._answer else None
