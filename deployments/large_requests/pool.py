"""Reads large requests in processes of their own; owners take turns."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, cast

from api.heavy_work import HeavyWork
from api.jobs.runner import Prepared
from api.large_requests import Asked, ReadPrompt, ReadRequest, Rendered
from deployments.large_requests.process import LargeProcess
from deployments.large_requests.setup import Call, Costs, Setup, Task
from deployments.large_requests.wire import Unplanned
from deployments.pack_types import Described, PackTypes
from deployments.request_inputs import InputsTooLargeError
from graph.node import NodeType
from graph.values import InputFile
from storage.inputs import Inputs
from storage.models.own_embeddings import OwnEmbeddings


@dataclass(frozen=True)
class ProcessLimits:
    """How many processes there are, and what one request may take.

    `most_s` ends one on a machine that is too busy to give it its processor time, or that waits for
    files from elsewhere. A process that had nothing to do for `idle_s` ends.
    """

    least_bytes: int = 256 * 1024
    processes: int = 1
    costs: Costs = field(default_factory=Costs)
    most_s: float = 120.0
    idle_s: float = 60.0


@dataclass(frozen=True)
class Sources:
    """What of the router's a process may ask for."""

    inputs: Inputs
    embeddings: OwnEmbeddings
    check_url: Callable[[str], Awaitable[object]]
    node_types: Mapping[str, NodeType]
    packs: PackTypes
    most_input_bytes: int

    def described(self) -> dict[str, tuple[Described, float]]:
        """The node types of packs, and how long their hooks may take."""
        hook_s = self.packs.hook_s
        return {name: (known, hook_s[name]) for name, known in self.packs.known.items()}


class LargeProcesses:
    """See api/large_requests.py. Belongs to one event loop; `close` at the end."""

    def __init__(
        self,
        setup: Setup,
        heavy: HeavyWork,
        sources: "Sources",
        limits: ProcessLimits | None = None,
    ) -> None:
        self._setup = setup
        self._heavy = heavy
        self._sources = sources
        self._limits = limits or ProcessLimits()
        self._free = asyncio.Semaphore(self._limits.processes)
        self._threads = ThreadPoolExecutor(self._limits.processes, thread_name_prefix="large")
        self._idle: list[LargeProcess] = []
        self._ending: asyncio.TimerHandle | None = None

    @property
    def least_bytes(self) -> int:
        return self._limits.least_bytes

    async def execute(self, asked: Asked) -> ReadRequest:
        """An execute body."""
        return cast(ReadRequest, await self._done("execute", asked))

    async def prompt(self, asked: Asked) -> ReadPrompt:
        """A body of POST /prompt."""
        return cast(ReadPrompt, await self._done("prompt", asked))

    async def schema(self, asked: Asked) -> Rendered:
        """The answer of /schema."""
        return cast(Rendered, await self._done("schema", asked))

    async def convert(self, asked: Asked) -> Rendered:
        """The answer of /convert."""
        return cast(Rendered, await self._done("convert", asked))

    async def opened(self, asked: Asked) -> tuple[dict[str, Any], Prepared]:
        """A stored request."""
        return cast(tuple[dict[str, Any], Prepared], await self._done("opened", asked))

    def close(self) -> None:
        """End the processes that do nothing."""
        if self._ending:
            self._ending.cancel()
        while self._idle:
            self._idle.pop().end()

    async def _done(self, name: str, asked: Asked) -> Any:
        turn = self._heavy.turn(asked.owner, accepted=name == "opened")
        async with turn, self._free:
            sources, limits = self._sources, self._limits
            task = Task(
                name,
                asked.owner,
                asked.raw,
                asked.how,
                await sources.inputs.list(asked.owner),
                await sources.embeddings.of(asked.owner),
                limits.costs,
            )
            files = HeldFiles(asked.owner, sources)
            loop = asyncio.get_running_loop()
            work = loop.run_in_executor(self._threads, self._exchange, task, files, loop)
            try:
                return await asyncio.shield(work)
            except asyncio.CancelledError:  # its process is taken until it ends, so its place too
                await asyncio.wait([work])
                raise
            finally:
                self._end_later(loop)

    def _exchange(self, task: Task, files: "HeldFiles", loop: asyncio.AbstractEventLoop) -> Any:
        """Have a process do a task. On a thread."""
        process = self._taken()
        packs = process.unknown_packs(self._sources.described())
        try:
            said = process.do(replace(task, packs=packs), files.answer, loop, self._limits.most_s)
        finally:
            if process.alive:
                self._idle.append(process)
            else:
                process.end()
        if task.name != "opened":
            return said
        return Unplanned(said, self._sources.node_types, files.contents.__getitem__).load()

    def _taken(self) -> LargeProcess:
        while self._idle:
            process = self._idle.pop()
            if process.alive:
                return process
            process.end()
        return LargeProcess(self._setup)

    def _end_later(self, loop: asyncio.AbstractEventLoop) -> None:
        """Have processes end that nobody needs for a while."""
        if self._ending:
            self._ending.cancel()
        self._ending = loop.call_later(self._limits.idle_s, self._end_idle)

    def _end_idle(self) -> None:
        while self._idle:
            self._threads.submit(self._idle.pop().end)


class HeldFiles:
    """Answers the questions of one task, and holds the content of the files that it names."""

    def __init__(self, owner: str, sources: Sources) -> None:
        self.contents: list[bytes] = []
        self._owner = owner
        self._sources = sources
        self._left_bytes = sources.most_input_bytes

    async def answer(self, call: Call) -> Any:
        """What the process is told. Raises: what it is told instead."""
        inputs, arguments = self._sources.inputs, call.arguments
        match call.name:
            case "picture":
                return self._held((await inputs.picture(self._owner, *arguments))[0])
            case "read":
                return self._held(await inputs.read(self._owner, *arguments))
            case "hook":
                pack, *asked = arguments
                return await self._sources.packs.packs[pack].hook(*asked)
        return await self._sources.check_url(*arguments)

    def _held(self, file: InputFile) -> tuple[int, str, str]:
        self._left_bytes -= len(file.content)
        if self._left_bytes < 0:
            raise InputsTooLargeError(self._sources.most_input_bytes)
        self.contents.append(file.content)
        return len(self.contents) - 1, file.name, file.sha256
