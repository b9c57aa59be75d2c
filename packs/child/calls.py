"""The call that code of a pack runs in: whose it is, where its files go, whom it may ask."""

import itertools
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packs.child.values import Values
from packs.wire import Channel, Message


class InterruptProcessingException(Exception):  # noqa: N818 - ComfyUI's name
    """The job that a node runs for was cancelled."""


class ServiceCallError(Exception):
    """What a pack asked of the service could not be done."""


@dataclass(frozen=True)
class Folders:
    """Where a call reads and writes."""

    input: Path
    output: Path
    temp: Path
    user: Path


@dataclass
class Call:
    """One call of a pack's code. `id` is None for what runs when the pack is loaded."""

    service: "Service"
    folders: Folders
    id: int | None = None
    node_id: str = ""
    prompt: Mapping[str, Any] = field(default_factory=dict)
    stopped: threading.Event = field(default_factory=threading.Event)

    def tell(self, kind: str, **facts: Any) -> None:
        """Tell the owner of the job something."""
        if self.id is not None:
            self.service.channel.send({"event": kind, "call": self.id, **facts})

    def check(self) -> None:
        """Raise InterruptProcessingException if the job was cancelled."""
        if self.stopped.is_set():
            raise InterruptProcessingException


@dataclass
class Service:
    """The service as a pack's code may ask it: to run one of its own nodes."""

    channel: Channel
    values: Values
    _numbers: Any = field(default_factory=itertools.count)
    _asked: dict[int, Future[Message]] = field(default_factory=dict)

    def run_node(self, class_type: str, inputs: Mapping[str, Any]) -> tuple[Any, ...]:
        """The outputs of one of the service's nodes, for the call that is running."""
        call = current()
        call.check()
        number, future = next(self._numbers), Future[Message]()
        self._asked[number] = future
        encoder = self.values.encoder()
        given = {name: self.values.encode(encoder, value) for name, value in inputs.items()}
        said = {"ask": number, "call": call.id, "class": class_type, "inputs": given}
        try:
            self.channel.send(said, encoder.buffers)
            answer = future.result()
        finally:
            self._asked.pop(number, None)
        if "error" in answer.said:
            raise ServiceCallError(answer.said["error"])
        return tuple(
            self.values.decode(one, answer.buffers, call.folders.input)
            for one in answer.said["outputs"]
        )

    def answered(self, message: Message) -> None:
        """Hand an answer to who asked."""
        if future := self._asked.get(message.said["answer"]):
            future.set_result(message)


@dataclass
class Process:
    """What is one for the whole process: the pack's modules find it here."""

    call: Call | None = None  # outside of any call
    busy: Call | None = None  # of the node that has the lane: threads of its own belong to it
    start: Mapping[str, Any] = field(default_factory=dict)  # as it was sent


PROCESS = Process()
CURRENT: ContextVar[Call | None] = ContextVar("call", default=None)


def current() -> Call:
    """The call that asks; in a thread that a node started, the call of that node."""
    call = CURRENT.get() or PROCESS.busy or PROCESS.call
    if call is None:
        raise ServiceCallError("no pack is loaded in this process")
    return call
