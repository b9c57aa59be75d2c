"""A connection to SQLite that goes to its thread once for each statement.

aiosqlite goes there to make a cursor, to execute, to fetch and to close, and each time two threads
wait for each other; that takes longer than the statement. Here a statement brings all its rows
with it, and the transaction begins with its first statement.
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
    _sent = False  # whether a statement of the transaction was sent

    def begin(self, *, writes: bool) -> None:
        """Begin a transaction with the next statement.

        A writer takes its lock first: to upgrade a reader's may fail at once, without a wait.
        """
        self._begins = "BEGIN IMMEDIATE" if writes else "BEGIN"
        self._writes = writes

    def cursor(self) -> "Statement":  # type: ignore[override]
        return Statement(self)

    async def ran(self, run: Run) -> "Answer":
        """What a statement gave, once it ran."""
        begins, self._begins, self._sent = self._begins, "", True

        def in_thread() -> Answer:
            if begins:
                self._conn.execute(begins).close()
            cursor = run(self._conn)
            try:
                rows = cursor.fetchall() if cursor.description else []
                return Answer(cursor, rows)
            finally:
                cursor.close()

        return await self._in_thread(in_thread)

    async def commit(self) -> None:
        if self._ends():
            await self._in_thread(self._conn.commit)

    async def rollback(self) -> None:
        """Who has only read does not wait for it: the thread does one thing after the other."""
        if not self._ends():
            return
        if self._writes:
            await self._in_thread(self._conn.rollback)
        else:
            self._tx.put_nowait((None, self._conn.rollback))

    async def _in_thread(self, function: Callable[[], T]) -> T:
        return cast(T, await self._execute(function))  # type: ignore[no-untyped-call]

    def _ends(self) -> bool:
        """Whether there is a transaction to end."""
        sent, self._sent, self._begins = self._sent, False, ""
        return sent


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
