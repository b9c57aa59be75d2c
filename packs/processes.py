"""The processes of one pack: one for each owner, or one for all where the operator says so."""

import asyncio
import hashlib
import secrets
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from packs.errors import PackRefusedError
from packs.process import PackProcess, Starting
from packs.travel import Traveller

REFUSED_S = 30.0  # how long a pack that did not load is not tried again
MOST_LOCKS = 1000
ALL = "all"  # whose process is everybody's
HOOKS = ""  # no owner's name


@dataclass
class Running:
    """A process with what travels to it."""

    process: PackProcess
    traveller: Traveller
    used: float = field(default_factory=time.monotonic)


@dataclass
class PackProcesses:
    """Starts, finds and ends the processes of a pack. Belongs to one event loop.

    `traveller` makes what values go through, for the name of a process.
    """

    starting: Starting
    traveller: Callable[[str], Traveller]
    shared: bool = False
    most: int = 4
    copy: Callable[[Path], Path] | None = None  # puts the pack there; raises PackRefusedError
    started: int = 0
    crashed: int = 0
    _running: dict[str, Running] = field(default_factory=dict)
    _locks: dict[str, asyncio.Lock] = field(default_factory=dict)
    _refused: tuple[float, PackRefusedError] | None = None

    async def of(self, owner: str, *, least_idle_s: float = 0) -> Running:
        """The process that runs for an owner, started if there is none.

        Another owner's is ended for it where there are too many, if it was idle for so long.

        Raises:
            PackRefusedError: it does not load, or all processes are in use.
        """
        name = ALL if self.shared else owner
        if len(self._locks) > MOST_LOCKS:
            self._locks = {n: lock for n, lock in self._locks.items() if lock.locked()}
        async with self._locks.setdefault(name, asyncio.Lock()):
            running = self._running.get(name)
            if running is None or running.process.ended is not None:
                running = await self._start(name, least_idle_s)
            running.used = time.monotonic()
            return running

    async def hooks(self) -> Running:
        """The process that describes the pack and checks constants: nobody's data is in it."""
        return await self.of(HOOKS)

    async def _start(self, name: str, least_idle_s: float) -> Running:
        if (before := self._running.pop(name, None)) is not None and before.process.ended:
            self.crashed += 1
        if self._refused is not None and time.monotonic() - self._refused[0] < REFUSED_S:
            raise self._refused[1]
        if name != HOOKS:
            self._make_room(least_idle_s)
        scratch = self.starting.scratch / hashlib.sha256(name.encode()).hexdigest()[:16]
        await asyncio.to_thread(_emptied, scratch)
        starting = replace(self.starting, scratch=scratch)
        try:
            if self.copy is not None:
                folder = await asyncio.to_thread(self.copy, scratch)
                starting = replace(starting, folder=folder)
            process = PackProcess(starting)
            await process.start()
        except PackRefusedError as refused:
            self._refused = time.monotonic(), refused
            raise
        self.started += 1
        self._running[name] = Running(process, self.traveller(secrets.token_hex(8)))
        return self._running[name]

    def _make_room(self, least_idle_s: float) -> None:
        """End the owner's process that was not used for longest, if there are as many as may be."""
        owners = {name: one for name, one in self._running.items() if name != HOOKS}
        latest = time.monotonic() - least_idle_s
        idle = [
            name
            for name, one in sorted(owners.items(), key=lambda named: named[1].used)
            if not one.process.busy and one.used <= latest
        ]
        if len(owners) >= self.most:
            if not idle:
                problem = f"{self.most} owners use it now, and no more may at once"
                raise PackRefusedError(self.starting.pack, problem)
            self._running.pop(idle[0]).process.end("made room for another owner's")

    def end(self) -> None:
        """End them all."""
        for running in self._running.values():
            running.process.end("is not needed any more")

    @property
    def alive(self) -> int:
        return sum(one.process.ended is None for one in self._running.values())


def _emptied(scratch: Path) -> None:
    """Nothing of an earlier process is left."""
    if scratch.exists():
        shutil.rmtree(scratch)
    scratch.mkdir(parents=True, mode=0o700)
