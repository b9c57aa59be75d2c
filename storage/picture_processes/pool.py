"""A pool of limited processes that decode callers' pictures.

Pillow's readers are large, and a small file may take any amount of time and memory. So each task
has a bound of processor time and memory, after which its process is killed and the file refused;
an owner has at most one task of a kind under way, and only so many may wait.
"""

import asyncio
import json
import subprocess
import sys
import threading
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Callable, Hashable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, TypeAlias

from graph.errors import ServiceError
from graph.picture_formats import PICTURE_FORMATS
from graph.values import InputFile
from storage.files import StoredFile
from storage.picture_limits import (
    MaskSizeError,
    NoPictureError,
    PictureLimits,
    PictureQueueError,
    PicturesBusyError,
    PictureTooLargeError,
    TooManyFramesError,
)

ROOT = Path(__file__).resolve().parents[2]
CHILD = [sys.executable, "-m", "storage.picture_processes.child"]
ERRORS = {
    error.__name__: error
    for error in (NoPictureError, PictureTooLargeError, TooManyFramesError, MaskSizeError)
}
KILLED = {"error": "NoPictureError", "facts": {"problem": "it takes too long to read"}}
RETRY_AFTER_S = 2
FACTS_BYTES = 500  # about what an answer of `check` takes
END_S = 2.0  # how long a process may take to end once its stdin has

Kind: TypeAlias = Literal["check", "preview"]


@dataclass(frozen=True)
class Costs:
    """What one task may take."""

    cpu_s: int
    memory_bytes: int


@dataclass(frozen=True)
class PoolLimits:
    """How many processes there are, how many tasks wait for one, and what a task may take.

    `most_s` ends a task on a machine that is too busy to give it its processor time.
    """

    processes: int = 2
    waiting: Mapping[Kind, int] = field(default_factory=lambda: {"check": 1024, "preview": 64})
    waiting_of_owner: Mapping[Kind, int] = field(
        default_factory=lambda: {"check": 1024, "preview": 16}
    )
    check: Costs = Costs(cpu_s=3, memory_bytes=2**30)  # WebP's reader makes room for two frames
    preview: Costs = Costs(cpu_s=30, memory_bytes=1536 * 2**20)
    most_s: float = 120.0
    cache_bytes: int = 32 * 2**20


@dataclass(frozen=True)
class Looked:
    """A picture's type, and its size once it is upright."""

    mime: str
    width: int
    height: int


@dataclass(frozen=True)
class Painting:
    """How a picture is to be shown. One that may `shrink` is no larger than a preview."""

    format: Literal["webp", "jpeg", "png"]
    channel: str
    quality: int
    shrink: bool


class PictureProcesses:
    """Looks at pictures, repaints and masks them. Belongs to one event loop; `close` at the end.

    Every method may raise PictureQueueError (429) or PicturesBusyError (503).
    """

    def __init__(
        self, limits: PictureLimits | None = None, pool_limits: PoolLimits | None = None
    ) -> None:
        self.limits = limits or PictureLimits()
        self._pool = pool_limits or PoolLimits()
        self._free = asyncio.Semaphore(self._pool.processes)
        self._idle: list[subprocess.Popen[bytes]] = []
        self._waiting: Counter[tuple[str, Kind]] = Counter()
        self._turns: dict[tuple[str, Kind], asyncio.Lock] = {}
        self._kept: OrderedDict[Hashable, Any] = OrderedDict()
        self._kept_bytes = 0

    async def check(self, owner: str, file: InputFile) -> Looked:
        """What a picture is, by its header.

        Raises:
            PictureTooLargeError, TooManyFramesError: it would unfold to more than is taken.
            NoPictureError: it is no picture.
        """
        cache_key = (owner, file.sha256)
        if found := self._kept.get(cache_key):
            return Looked(**found)
        most = {"most_pixels": self.limits.most_pixels, "most_frames": self.limits.most_frames}
        task = _Task("check", "look", most, lambda: [file.content])
        facts, _ = await self._run(owner, task, file.name)
        self._keep(cache_key, facts, FACTS_BYTES)
        return Looked(**facts)

    async def repaint(
        self, owner: str, file: StoredFile, content: Callable[[], bytes], painting: Painting
    ) -> bytes:
        """A picture in another format, or one channel of it; those asked for last are kept.

        Raises:
            PictureTooLargeError, TooManyFramesError, NoPictureError: as of `check`.
        """
        cache_key = (owner, file.key, file.version, painting)
        if found := self._kept.get(cache_key):
            self._kept.move_to_end(cache_key)
            return bytes(found)
        how = {"limits": asdict(self.limits), **asdict(painting)}
        task = _Task("preview", "repaint", how, lambda: [content()])
        _, painted = await self._run(owner, task, file.key)
        self._keep(cache_key, painted, len(painted))
        return painted

    async def masked(self, owner: str, name: str, original: bytes, mask: bytes) -> bytes:
        """The original with the alpha of `mask`, as PNG.

        Raises:
            MaskSizeError: the two are of different sizes.
            PictureTooLargeError, TooManyFramesError, NoPictureError: as of `check`.
        """
        how = {"limits": asdict(self.limits)}
        task = _Task("preview", "masked", how, lambda: [original, mask])
        _, content = await self._run(owner, task, name)
        return content

    def close(self) -> None:
        """End the processes that do nothing."""
        while self._idle:
            _end(self._idle.pop())

    def __del__(self) -> None:
        self.close()

    async def _run(self, owner: str, task: "_Task", name: str) -> tuple[dict[str, Any], bytes]:
        async with self._turn(owner, task.kind):
            work = asyncio.ensure_future(asyncio.to_thread(self._exchange, task))
            try:
                facts, content = await asyncio.shield(work)
            except asyncio.CancelledError:  # its process is taken until it ends, so its place too
                await asyncio.wait([work])
                raise
        if "error" in facts:
            raise _error(facts["error"], facts["facts"], name)
        return facts, content

    @asynccontextmanager
    async def _turn(self, owner: str, kind: Kind) -> AsyncIterator[None]:
        """A process's time; an owner's tasks of a kind come one after the other."""
        place = (owner, kind)
        if self._waiting[place] >= self._pool.waiting_of_owner[kind]:
            raise PictureQueueError(self._waiting[place], RETRY_AFTER_S)
        waiting = sum(count for (_, of), count in self._waiting.items() if of == kind)
        if waiting >= self._pool.waiting[kind]:
            raise PicturesBusyError(waiting, RETRY_AFTER_S)
        self._waiting[place] += 1
        try:
            async with self._turns.setdefault(place, asyncio.Lock()), self._free:
                yield
        finally:
            self._waiting[place] -= 1
            if not self._waiting[place]:
                del self._waiting[place], self._turns[place]

    def _exchange(self, task: "_Task") -> tuple[dict[str, Any], bytes]:
        """Have a process do a task. Blocks; a process that dies of it is not used again."""
        costs = self._pool.check if task.kind == "check" else self._pool.preview
        files = task.contents()
        sizes = [len(content) for content in files]
        request = {"task": task.name, "how": task.how, "sizes": sizes, **asdict(costs)}
        process = self._process()
        assert process.stdin is not None
        assert process.stdout is not None
        alarm = threading.Timer(self._pool.most_s, process.kill)
        alarm.start()
        try:
            with suppress(BrokenPipeError):
                process.stdin.writelines([json.dumps(request).encode(), b"\n", *files])
                process.stdin.flush()
            head = process.stdout.readline()
            facts = json.loads(head) if head else {}
            size = facts.pop("size", 0)
            content = process.stdout.read(size)
            whole = bool(head) and len(content) == size
        finally:
            alarm.cancel()
        if whole and not facts.pop("last"):
            self._idle.append(process)
            return facts, content
        _end(process)
        if not whole and process.returncode >= 0:  # not killed: it is no fault of the file
            raise PicturesBusyError(1, RETRY_AFTER_S)
        return (facts, content) if whole else (KILLED, b"")

    def _process(self) -> subprocess.Popen[bytes]:
        with suppress(IndexError):  # there is none left
            while (process := self._idle.pop()).poll() is not None:
                _end(process)
            return process
        return subprocess.Popen(
            CHILD, cwd=ROOT, env={}, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def _keep(self, cache_key: Hashable, value: Any, size: int) -> None:
        """Keep an answer for those who ask again, and drop the oldest ones."""
        if size > self._pool.cache_bytes // 4 or cache_key in self._kept:
            return
        self._kept[cache_key] = value
        self._kept_bytes += size
        while self._kept_bytes > self._pool.cache_bytes:
            _, old = self._kept.popitem(last=False)
            self._kept_bytes -= len(old) if isinstance(old, bytes) else FACTS_BYTES


@dataclass(frozen=True)
class _Task:
    """One of tasks.py's, how it is to be done, and its files, read when it is their turn."""

    kind: Kind
    name: str
    how: Mapping[str, Any]
    contents: Callable[[], list[bytes]]


def _error(error: str, facts: Mapping[str, Any], name: str) -> ServiceError:
    known = {"name": name[:200], "formats": ", ".join(PICTURE_FORMATS), **facts}
    if error == "MaskSizeError":
        return MaskSizeError(tuple(facts["mask_px"]), tuple(facts["original_px"]))
    kind = ERRORS[error]
    return kind(**{field.name: known[field.name] for field in fields(kind)})


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process that is idle, or that has ended or is about to."""
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()
    try:
        process.wait(END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
