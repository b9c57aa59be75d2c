"""The process that reads large requests: one after the other, each within limits.

It is given one end of a socket as a file descriptor, and ends with the other end.
"""

import asyncio
import gc
import os
import resource
import socket
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

from api.errors import unexpected
from api.heavy_work import HeavyWork
from api.large_requests import RefusedError
from deployments.large_requests.setup import Call, Done, Reply, Setup, Task, reader_of
from deployments.large_requests.tasks import done
from deployments.large_requests.wire import Channel, HeldContent
from deployments.pack_types import NodeTypes, PackHooks, types_of
from deployments.reader import WorkflowReader
from graph.errors import ServiceError
from graph.hooks import Inputs
from graph.nodes import load_node_types
from graph.values import InputFile, ModelFile
from storage.process_limits import limited, peak_bytes

NICE = 10  # those whose requests are small go first
MOST_KEPT_BYTES = 384 * 2**20  # of memory used at once, after which the process is replaced


class Here(HeavyWork):
    """Nobody else is served here: all work is done at once."""

    async def run(self, owner: str, function: Any, *args: Any, **kwargs: Any) -> Any:
        del owner
        return function(*args, **kwargs)


@dataclass
class Router:
    """The router, asked for what only it has: files, the hooks of packs, names of hosts."""

    channel: Channel
    loop: asyncio.AbstractEventLoop
    _waiting: dict[int, asyncio.Future[Any]] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=count)

    async def ask(self, name: str, *arguments: Any) -> Any:
        """What it says. Raises: what it raised."""
        number = next(self._numbers)
        reply = self._waiting[number] = self.loop.create_future()
        self.channel.send(Call(number, name, arguments))
        return await reply

    def reply(self, said: Reply) -> None:
        """Take an answer; what nobody waits for any more is dropped."""
        waiting = self._waiting.pop(said.number, None)
        if waiting is None or waiting.done():
            return
        if said.error is None:
            waiting.set_result(said.value)
        else:
            waiting.set_exception(said.error)

    async def check_url(self, url: str) -> None:
        await self.ask("check_url", url)


@dataclass(frozen=True)
class HeldInputs:
    """The uploads of an owner, by name; their content stays in the router."""

    router: Router
    names: tuple[str, ...] = ()

    async def list(self, _owner: str) -> tuple[str, ...]:
        return self.names

    async def picture(self, _owner: str, value: str) -> tuple[InputFile, None]:
        return await self._held("picture", value), None

    async def read(self, _owner: str, value: str) -> InputFile:
        return await self._held("read", value)

    async def _held(self, how: str, value: str) -> InputFile:
        number, name, sha256 = await self.router.ask(how, value)
        return InputFile(name, HeldContent.of(number), sha256)


@dataclass(frozen=True)
class Embeddings:
    """An owner's own embeddings."""

    known: Mapping[str, ModelFile]

    async def of(self, _owner: str) -> Mapping[str, ModelFile]:
        return self.known


@dataclass(frozen=True)
class Pack:
    """The hooks of a pack, which the router asks."""

    name: str
    router: Router

    async def hook(self, do: str, class_type: str, inputs: Inputs, types: Mapping[str, str]) -> Any:
        return await self.router.ask("hook", self.name, do, class_type, dict(inputs), dict(types))


class Process:
    """Does tasks as they come."""

    def __init__(self, channel: Channel, setup: Setup) -> None:
        self._channel = channel
        self._setup = setup
        self._router = Router(channel, asyncio.get_running_loop())
        self._types = NodeTypes(load_node_types())
        reader = reader_of(setup, self._types, HeldInputs(self._router))
        self._reader = replace(reader, heavy=Here())
        self._tasks: asyncio.Queue[Task | None] = asyncio.Queue()

    async def work(self) -> None:
        """Until the router is gone, or this process is to be replaced."""
        threading.Thread(target=self._receive, daemon=True).start()
        gc.collect()
        gc.freeze()
        while task := await self._tasks.get():
            said = await self._done(task)
            said = replace(said, last=peak_bytes() > MOST_KEPT_BYTES)
            self._channel.send(said)
            if said.last:
                return

    async def _done(self, task: Task) -> Done:
        for name, (described, hook_s) in (task.packs or {}).items():
            hooks = PackHooks(name, Pack(name, self._router), hook_s)  # type: ignore[arg-type]
            self._types.put(name, types_of(described, hooks))
        with limited(task.costs.memory_bytes, task.costs.cpu_s):
            try:
                value = await done(
                    task, self._of(task), self._router.check_url, self._setup.body_limits
                )
            except (RefusedError, ServiceError, MemoryError) as error:
                return Done(error=error)
            except Exception as error:  # noqa: BLE001 - a fault of ours, told as any other
                return Done(error=unexpected(error))
            return Done(value)

    def _of(self, task: Task) -> WorkflowReader:
        inputs = HeldInputs(self._router, task.uploads)
        return replace(self._reader, inputs=inputs, own_embeddings=Embeddings(task.embeddings))

    def _receive(self) -> None:
        """Hand on what comes; on a thread of its own."""
        loop = self._router.loop
        try:
            while True:
                message = self._channel.receive()
                take = self._router.reply if isinstance(message, Reply) else self._tasks.put_nowait
                loop.call_soon_threadsafe(take, message)
        except EOFError:
            os._exit(0)


async def main(descriptor: int) -> None:
    """Serve the router at the other end of a socket."""
    os.nice(NICE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    channel = Channel(socket.socket(fileno=descriptor))
    await Process(channel, channel.receive()).work()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
