"""A pack's process, seen from its parent: calls with deadlines, and its end."""

import asyncio
import contextlib
import itertools
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import psutil

from packs.confinement.confine import Confinement
from packs.errors import CallLostError, PackEndedError, PackRefusedError, PackSlowError
from packs.usage import file_bytes, memory_bytes
from packs.wire import Channel, Message, WireError

ROOT = Path(__file__).resolve().parent.parent
OURS = ("packs", "graph", "imaging")
WATCH_S, WATCH_FILES_S = 0.25, 1.0
MOST_UNHEARD = 256  # messages: one that only talks waits
STOP_S = 5.0  # how long a call that was cancelled may go on
Tell: TypeAlias = Callable[[Mapping[str, Any]], None]
Ask: TypeAlias = Callable[[Message], Awaitable[tuple[Mapping[str, Any], Sequence[memoryview]]]]


@dataclass(frozen=True)
class Starting:
    """How a pack's process is started. `start` is what the process itself has to know."""

    pack: str
    folder: Path
    scratch: Path
    start: Mapping[str, Any]
    confinement: Confinement
    python: str = sys.executable
    threads: int = 1
    load_s: float = 120
    message_bytes: int = 2**31
    scratch_bytes: int = 2**33

    def environment(self) -> dict[str, str]:
        """Nothing of ours: no keys, no addresses."""
        own = str(self.scratch)
        return {
            "PATH": "/usr/bin:/bin",
            "HOME": own,
            "TMPDIR": own,
            "XDG_CACHE_HOME": f"{own}/cache",
            "MPLCONFIGDIR": f"{own}/cache",
            "NUMBA_CACHE_DIR": f"{own}/cache/numba",
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONNOUSERSITE": "1",
            "OMP_NUM_THREADS": str(self.threads),
            "HF_HUB_OFFLINE": "1",
            "TRANSFORMERS_OFFLINE": "1",
            "NO_ALBUMENTATIONS_UPDATE": "1",
            "AIOHTTP_NOSENDFILE": "1",  # there is no socket to send it to
        }


@dataclass
class Calling:
    """A call that waits for its end."""

    done: asyncio.Future[Message]
    tell: Tell
    ask: Ask | None
    tasks: set[asyncio.Task[None]] = field(default_factory=set)


class PackProcess:
    """One process of a pack. Belongs to one event loop.

    When it ends, every call that runs fails with the pack's name; `ended` says why.
    """

    def __init__(self, starting: Starting) -> None:
        self._how = starting
        self._numbers = itertools.count(1)
        self._calls: dict[int, Calling] = {}
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[Mapping[str, Any]] = self._loop.create_future()
        self._unheard = threading.Semaphore(MOST_UNHEARD)
        self._stopping: set[asyncio.Task[None]] = set()
        self.ended: str | None = None
        self.facts: Mapping[str, Any] = {}

    @property
    def busy(self) -> int:
        """Calls that run."""
        return len(self._calls)

    @property
    def pid(self) -> int:
        return self._process.pid

    async def start(self) -> None:
        """Start it and wait until the pack is loaded. Raises PackRefusedError."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        how = self._how
        how.scratch.mkdir(parents=True, exist_ok=True, mode=0o700)
        with theirs, (how.scratch / "log.txt").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: ASYNC220 - it takes a millisecond
                [how.python, "-P", "-m", "packs.child",
                 str(theirs.fileno()), str(how.message_bytes)],
                cwd=how.scratch, env=how.environment(), pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self._channel = Channel(ours, how.message_bytes, writable=False)
        threading.Thread(target=self._read, daemon=True, name=f"pack {how.pack}").start()
        watches = (self._watch(), self._watch_files())
        self._watching = [asyncio.create_task(watch) for watch in watches]
        said = {**how.start, "pack": str(how.folder), "scratch": str(how.scratch)}
        writable = (*how.confinement.writable, str(how.scratch))
        said["confinement"] = {**asdict(how.confinement), "writable": writable}
        await asyncio.to_thread(self._channel.send, said)
        try:
            async with asyncio.timeout(how.load_s):
                self.facts = await asyncio.shield(self._ready)
        except TimeoutError as error:
            self.end(f"took more than {how.load_s:g} s to load")
            raise PackRefusedError(how.pack, self.ended or "") from error
        except asyncio.CancelledError:
            self.end("is not wanted any more")
            raise
        if "refused" in self.facts:
            problem = str(self.facts["refused"])
            self.end(f"is not loaded: {problem}")
            raise PackRefusedError(how.pack, problem)

    async def call(
        self,
        do: str,
        said: Mapping[str, Any],
        buffers: Sequence[memoryview] = (),
        *,
        deadline_s: float,
        stops: bool = False,
        tell: Tell = lambda _: None,
        ask: Ask | None = None,
    ) -> Message:
        """What the process answers. A call that `stops` is only stopped where it takes too long.

        Raises:
            PackEndedError: it ended, or did not answer in time and was ended.
            PackSlowError: it did not answer in time and was stopped.
            CallLostError: it had ended before.
        """
        if self.ended is not None:
            raise CallLostError(self.ended)
        number = next(self._numbers)
        calling = Calling(self._loop.create_future(), tell, ask)
        calling.done.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._calls[number] = calling
        try:
            message = {"do": do, "call": number, **said}
            async with asyncio.timeout(deadline_s):
                await asyncio.to_thread(self._send, message, buffers)
                return await asyncio.shield(calling.done)
        except TimeoutError as error:
            if stops and self.ended is None:
                self._stop(number, calling)
                raise PackSlowError(self._how.pack, deadline_s) from error
            self.end(f"did not answer within {deadline_s:g} s")
            raise PackEndedError(self._how.pack, self.ended or "") from error
        except asyncio.CancelledError:
            self._stop(number, calling)
            raise
        finally:
            self._calls.pop(number, None)
            for task in calling.tasks:
                task.cancel()

    def end(self, why: str) -> None:
        """End the process now, whatever it does."""
        if self.ended is not None:
            return
        self.ended = why
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._channel.close()
        for watching in self._watching:
            watching.cancel()
        for calling in self._calls.values():
            if not calling.done.done():
                calling.done.set_exception(PackEndedError(self._how.pack, why))
        if not self._ready.done():
            self._ready.set_result({"refused": f"it {why}"})
        threading.Thread(target=self._process.wait, daemon=True).start()

    def _stop(self, number: int, calling: Calling) -> None:
        """Tell a call to end by itself; the process is ended if it does not."""
        if self.ended is not None or calling.done.done():
            return

        async def wait() -> None:
            try:
                await asyncio.to_thread(self._send, {"stop": number}, ())
                async with asyncio.timeout(STOP_S):
                    await calling.done
            except TimeoutError:
                self.end("did not stop when it was told to")
            except (PackEndedError, CallLostError):
                pass

        self._calls[-number] = calling  # its answer is still awaited, under another number
        task = asyncio.create_task(wait())
        self._stopping.add(task)
        task.add_done_callback(self._stopping.discard)
        task.add_done_callback(lambda _: self._calls.pop(-number, None))

    def _send(self, said: Mapping[str, Any], buffers: Sequence[memoryview]) -> None:
        try:
            self._channel.send(said, buffers)
        except OSError as error:
            raise CallLostError(str(error)) from error

    def _read(self) -> None:
        why = ""
        try:
            while (message := self._channel.receive()) is not None:
                self._unheard.acquire()
                self._loop.call_soon_threadsafe(self._heard, message)
        except WireError as error:
            why = f"sent what is no message ({error})"
        except RuntimeError:  # the loop is closed: so is everything
            return
        if not why:
            code = self._process.wait()
            why = f"crashed ({_how_it_ended(code)})"
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self.end, why)

    def _heard(self, message: Message) -> None:
        self._unheard.release()
        said = message.said
        if "done" in said:
            calling = self._calling(said["done"])
            if calling and not calling.done.done():
                calling.done.set_result(message)
        elif "event" in said:
            if calling := self._calling(said.get("call")):
                calling.tell(said)
        elif "ask" in said:
            self._asked(message)
        elif not self._ready.done():
            self._ready.set_result(said)

    def _calling(self, number: Any) -> Calling | None:
        if not isinstance(number, int):
            return None
        return self._calls.get(number) or self._calls.get(-number)

    def _asked(self, message: Message) -> None:
        calling = self._calling(message.said.get("call"))
        if calling is None or calling.ask is None:
            said = {"answer": message.said.get("ask"), "error": "nothing can be asked for here"}
            self._loop.run_in_executor(None, self._channel.send, said)
            return
        task = asyncio.create_task(self._answered(message, calling.ask))
        calling.tasks.add(task)
        task.add_done_callback(calling.tasks.discard)

    async def _answered(self, message: Message, ask: Ask) -> None:
        buffers: Sequence[memoryview] = ()
        try:
            said, buffers = await ask(message)
        except Exception as error:  # noqa: BLE001 - told to the pack, whose node may go on
            said = {"error": f"{error}"[:2000]}
        with contextlib.suppress(CallLostError):
            answer = {"answer": message.said["ask"], **said}
            await asyncio.to_thread(self._send, answer, buffers)

    async def _watch(self) -> None:
        """End the process if it has more memory, or more files, than it may."""
        while True:
            await asyncio.sleep(WATCH_S)
            with contextlib.suppress(psutil.Error, OSError):
                if memory_bytes(self.pid) > (most := self._how.confinement.memory_bytes):
                    self.end(f"took more than {most >> 20} MB of memory")

    async def _watch_files(self) -> None:
        """As `_watch`, of what it wrote; while nothing of it runs, nothing is written."""
        most, folder = self._how.scratch_bytes, self._how.scratch
        pause_s = WATCH_FILES_S
        while True:
            await asyncio.sleep(pause_s)
            if not self._calls and self._ready.done():
                continue
            began = time.monotonic()
            with contextlib.suppress(OSError):
                if await asyncio.to_thread(file_bytes, self.pid, folder) > most:
                    self.end(f"wrote more than {most >> 20} MB of files")
            pause_s = max(WATCH_FILES_S, 20 * (time.monotonic() - began))


def _how_it_ended(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"
