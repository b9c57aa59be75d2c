"""One process for large requests, as the router has it."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from api.large_requests import RefusedError
from deployments.large_requests.setup import Call, Done, Reply, Setup, Task
from deployments.large_requests.wire import Channel
from deployments.pack_types import Described
from graph.errors import ServiceError

ROOT = Path(__file__).resolve().parents[2]
MODULE = "deployments.large_requests.child"
END_S = 2.0  # how long a process may take to end once nobody is at the other end
RETRY_AFTER_S = 2
Answer = Callable[[Call], Awaitable[Any]]


@dataclass(eq=False)
class TooMuchWorkError(ServiceError):
    """A request that takes too long, or too much memory, to be read and planned."""

    status = 413
    code = "too_much_work"
    template = "The request takes too much {what} to read and plan."
    what: str


@dataclass(eq=False)
class ReadingLostError(ServiceError):
    """The process that was reading the request is gone. Nothing was accepted."""

    status = 503
    code = "service_full"
    template = "The request was not read to its end; try again in {retry_after_s} s."
    retry_after_s: int


class LargeProcess:
    """Does one task at a time. `known` are the packs that it was told of, by version."""

    def __init__(self, setup: Setup) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", MODULE, str(theirs.fileno())],
                cwd=ROOT,
                env={"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )
        self._channel = Channel(ours)
        self._channel.send(setup)
        self.known: dict[str, str] = {}
        self.last = False  # it is not to be used again

    @property
    def alive(self) -> bool:
        return not self.last and self._process.poll() is None

    def unknown_packs(
        self, packs: Mapping[str, tuple[Described, float]]
    ) -> Mapping[str, tuple[Described, float]]:
        """Those of the packs that it does not know so; it does from now on."""
        new = {name: one for name, one in packs.items() if self.known.get(name) != one[0].version}
        self.known |= {name: described.version for name, (described, _) in new.items()}
        return new

    def do(self, task: Task, answer: Answer, loop: asyncio.AbstractEventLoop, most_s: float) -> Any:
        """What a task gives. Blocks; `answer` is called on the loop.

        Raises:
            TooMuchWorkError, ReadingLostError, and what the task raises.
        """
        alarm = threading.Timer(most_s, self._process.kill)
        alarm.start()
        try:
            self._channel.send(task)
            while not isinstance(message := self._channel.receive(), Done):
                asyncio.run_coroutine_threadsafe(self._reply(message, answer), loop)
        except (EOFError, OSError) as error:
            raise self._lost(task) from error
        finally:
            alarm.cancel()
        self.last = message.last
        if isinstance(message.error, MemoryError):
            self.last = True
            raise TooMuchWorkError("memory") from message.error
        if isinstance(message.error, RefusedError | ServiceError):
            raise message.error
        return message.value

    def end(self) -> None:
        """End it. Blocks for a moment."""
        self.last = True
        self._channel.close()
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    async def _reply(self, call: Call, answer: Answer) -> None:
        try:
            reply = Reply(call.number, await answer(call))
        except Exception as error:  # noqa: BLE001 - raised again where it was asked
            reply = Reply(call.number, error=error)
        try:
            await asyncio.to_thread(self._channel.send, reply)
        except OSError:  # whoever waits for the process learns that it is gone
            self.last = True

    def _lost(self, task: Task) -> ServiceError:
        self.end()
        if self._process.returncode == -signal.SIGXCPU:
            return TooMuchWorkError(f"time (over {task.costs.cpu_s} s)")
        return ReadingLostError(RETRY_AFTER_S)
