"""Faults at the steps of a job's life: a call that raises, before or after its work, or hangs."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.database import Database

How = Literal["before", "after", "always", "hang"]


MANY = 40


class InjectedError(Exception):
    """What nobody expects."""


@dataclass
class Fault:
    """At most one step fails at a time; `met` counts how often it did."""

    step: str = ""
    how: How = "before"
    met: int = 0
    many: asyncio.Event = field(default_factory=asyncio.Event)  # once it has failed MANY times
    steps: set[str] = field(default_factory=set)  # that were ever reached

    def set(self, step: str, how: How) -> None:
        self.step, self.how, self.met = step, how, 0

    def lift(self) -> None:
        self.step = ""

    def strikes(self, step: str, *whens: How) -> bool:
        self.steps.add(step)
        if self.step != step or self.how not in whens or (self.met and self.how != "always"):
            return False
        self.met += 1
        if self.met >= MANY:
            self.many.set()
        return True

    def of(self, name: str, target: Any) -> Any:
        """`target`, whose calls are steps "name.method"."""
        return cast(Any, _Faulty(name, target, self))


@dataclass
class _Faulty:
    _name: str
    _target: Any
    _fault: Fault

    def __getattr__(self, method: str) -> Any:
        found = getattr(self._target, method)
        if not callable(found):
            return found
        step = f"{self._name}.{method}"
        return (self._slow if inspect.iscoroutinefunction(found) else self._quick)(step, found)

    def _quick(self, step: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            if self._fault.strikes(step, "before", "always"):
                raise InjectedError(step)
            result = function(*args, **options)
            if self._fault.strikes(step, "after"):
                raise InjectedError(step)
            return result

        return call

    def _slow(self, step: str, function: Callable[..., Any]) -> Callable[..., Any]:
        async def call(*args: Any, **options: Any) -> Any:
            if self._fault.strikes(step, "hang"):
                await asyncio.Event().wait()
            if self._fault.strikes(step, "before", "always"):
                raise InjectedError(step)
            result = await function(*args, **options)
            if self._fault.strikes(step, "after"):
                raise InjectedError(step)
            return result

        return call


class FaultyDatabase(Database):
    """Counts transactions that write from `begin`, and fails in the `number`-th of them."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.count = 0
        self.number = 0
        self.how: How = "before"

    def begin(self, number: int, how: How) -> None:
        self.count, self.number, self.how = 0, number, how

    @asynccontextmanager
    async def writing(self, *, quick: bool = False) -> AsyncIterator[AsyncConnection]:
        self.count += 1
        hit = self.count == self.number
        if hit and self.how == "hang":
            await asyncio.Event().wait()
        if hit and self.how == "before":
            raise OperationalError("", {}, InjectedError())
        async with super().writing(quick=quick) as connection:
            yield connection
        if hit and self.how == "after":  # committed, and nobody hears of it
            raise OperationalError("", {}, InjectedError())
