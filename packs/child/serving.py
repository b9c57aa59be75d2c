"""Answers what the service asks of a pack's process."""

import asyncio
import hashlib
import logging
import os
import shutil
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packs.child.calls import CURRENT, Call, Folders, InterruptProcessingException, Service
from packs.child.describing import Undescribed, describe
from packs.child.loading import LoadedPack
from packs.child.routes import PAGE, ROUTE, Routes
from packs.child.running import Nodes
from packs.child.values import HandleLostError
from packs.encoding import BadValueError, Encoder
from packs.wire import Channel, Message, WireError

LOG = logging.getLogger(__name__)
OPERATIONS = frozenset({"run", "lazy", "validate", "changed"})
HOOKS = frozenset({"validate", "changed"})  # of everybody, in one process: nothing is left of them


@dataclass
class Server:
    """One pack, as the service calls it. Belongs to one event loop; another thread reads."""

    channel: Channel
    service: Service
    pack: LoadedPack
    nodes: Nodes
    scratch: Path
    routes: Routes
    shared: bool = False
    _calls: dict[int, Call] = field(default_factory=dict)
    _tasks: dict[int, asyncio.Task[None]] = field(default_factory=dict)

    async def serve(self) -> None:
        """Answer until the other end is gone."""
        loop, over = asyncio.get_running_loop(), asyncio.Event()
        reader = threading.Thread(target=self._read, args=(loop, over), daemon=True)
        reader.start()
        await over.wait()

    def _read(self, loop: asyncio.AbstractEventLoop, over: asyncio.Event) -> None:
        with suppress(WireError):
            while (message := self.channel.receive()) is not None:
                if "answer" in message.said:
                    self.service.answered(message)
                elif "stop" in message.said:
                    self._stop(message.said["stop"], loop)
                else:
                    loop.call_soon_threadsafe(self._begin, message)
        loop.call_soon_threadsafe(over.set)
        time.sleep(1)
        os._exit(0)  # a node that never ends keeps no process

    def _stop(self, number: int, loop: asyncio.AbstractEventLoop) -> None:
        """A node looks by itself whether it is to stop; what answers a request is cancelled."""
        if call := self._calls.get(number):
            call.stopped.set()
        elif task := self._tasks.get(number):
            loop.call_soon_threadsafe(task.cancel)

    def _begin(self, message: Message) -> None:
        number = message.said["call"]
        task = self._tasks[number] = asyncio.create_task(self._answer(message))
        task.add_done_callback(lambda _: self._tasks.pop(number, None))

    async def _answer(self, message: Message) -> None:
        number = message.said["call"]
        encoder: Encoder | None = None
        try:
            if message.said["do"] == "describe":
                answer = await asyncio.to_thread(self._described)
            elif message.said["do"] in {ROUTE, PAGE}:
                answer, encoder = await self._routed(message)
            else:
                answer, encoder = await self._called(message)
        except (InterruptProcessingException, asyncio.CancelledError):
            answer = {"interrupted": True}
        except HandleLostError:
            answer = {"lost": True}
        except Exception as error:
            LOG.warning("%s failed", message.said.get("class"), exc_info=True)
            answer = {"error": said_of(error), "type": type(error).__name__}
        try:
            self.channel.send({"done": number, **answer}, encoder.buffers if encoder else ())
        except (WireError, TypeError, ValueError) as error:
            self.channel.send({"done": number, "error": said_of(error), "type": "WireError"})

    async def _called(self, message: Message) -> tuple[dict[str, Any], Encoder | None]:
        said = message.said
        if said["do"] not in OPERATIONS or said["class"] not in self.pack.classes:
            raise BadValueError(f"{said['do']!r} of {said['class']!r}")
        call = self._call(said)
        self._calls[said["call"]] = call
        try:
            inputs = {
                name: self.nodes.values.decode(one, message.buffers, call.folders.input)
                for name, one in said["inputs"].items()
            }
            answer = await getattr(self.nodes, said["do"])(call, said, inputs)
            return answer if isinstance(answer, tuple) else (answer, None)
        finally:
            del self._calls[said["call"]]
            shutil.rmtree(self.scratch / "calls" / str(said["call"]), ignore_errors=True)

    async def _routed(self, message: Message) -> tuple[dict[str, Any], Encoder]:
        """What a route of the pack answers, in the context of a call of its own."""
        call = self._call(message.said)
        CURRENT.set(call)
        body = bytes(message.buffers[0]) if message.buffers else b""
        try:
            answer, content = await self.routes.answer(message.said, body)
        finally:
            shutil.rmtree(self.scratch / "calls" / str(message.said["call"]), ignore_errors=True)
        encoder = self.nodes.values.encoder()
        return {**answer, "body": encoder.encode(content)}, encoder

    def _call(self, said: Mapping[str, Any]) -> Call:
        """A call, with folders of its own that go with it."""
        own = self.scratch / "calls" / str(said["call"])
        inputs = own / "input" if said.get("do") in HOOKS else self._inputs(said["owner"])
        folders = Folders(inputs, own / "output", own / "temp", self.scratch / "user")
        for folder in (folders.input, folders.output, folders.temp):
            folder.mkdir(parents=True, exist_ok=True)
        return Call(
            self.service, folders, said["call"], said.get("node", ""), said.get("prompt") or {}
        )

    def _inputs(self, owner: str) -> Path:
        """The folder of an owner's files: names of several owners may be the same."""
        inputs = self.scratch / "input"
        if not self.shared:
            return inputs
        return inputs / hashlib.sha256(owner.encode()).hexdigest()[:16]

    def _described(self) -> dict[str, Any]:
        found, problems = [], {}
        for name, node_class in self.pack.classes.items():
            try:
                found.append(describe(name, node_class, self.pack.titles.get(name, "")))
            except Undescribed as problem:
                problems[name] = str(problem)
        return {
            "nodes": found,
            "undescribed": problems,
            "routes": self.routes.listed(),
            "scripts": self.routes.scripts(),
        }


def said_of(error: BaseException, most: int = 2000) -> str:
    """What an error says, in a line."""
    said = str(error) or "no message"
    return f"{type(error).__name__}: {said}"[:most]
