"""Translates a job's events to ComfyUI's WebSocket messages (ComfyUI execution.py, progress.py)."""

import json
import struct
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

from api.comfyui.ui_outputs import ui_output
from api.jobs.displays import Displays
from api.jobs.events import (
    Begun,
    Displayed,
    Ended,
    Happened,
    JobAddress,
    NodeCached,
    NodeFinished,
    NodeStarted,
    Progressed,
    Queued,
    Said,
    Saved,
    Sent,
    Shown,
)
from storage.outputs import StoredOutput

PREVIEW, TEXT, PREVIEW_WITH_METADATA = 1, 3, 4  # ComfyUI protocol.py, BinaryEventTypes
JPEG, PNG = 1, 2


@dataclass(frozen=True)
class Message:
    """One JSON message. `to_all`: for each of the owner's clients, not the prompt's alone."""

    type: str
    data: Mapping[str, Any]
    to_all: bool = False

    def frame(self, *, metadata: bool) -> str:
        del metadata
        return self.text

    @cached_property
    def text(self) -> str:
        return json.dumps({"type": self.type, "data": self.data}, separators=(",", ":"))


@dataclass(frozen=True)
class Preview:
    """A picture so far: with its node for clients that can read that, bare for the others.

    The others get it only where the prompt asked for previews, as a ComfyUI started without options
    makes none: to simple scripts every picture on the socket is a result.
    """

    job: int
    node: Mapping[str, Any]
    jpeg: bytes
    asked: bool = False
    to_all: bool = False

    def frame(self, *, metadata: bool) -> bytes:
        if not metadata:
            return struct.pack(">II", PREVIEW, JPEG) + self.jpeg
        about = json.dumps({**self.node, "image_type": "image/jpeg"}).encode()
        return struct.pack(">II", PREVIEW_WITH_METADATA, len(about)) + about + self.jpeg


@dataclass(frozen=True)
class Binary:
    """Any other binary message."""

    data: bytes
    to_all: bool = False

    def frame(self, *, metadata: bool) -> bytes:
        del metadata
        return self.data


@dataclass(frozen=True)
class CountQueue:
    """Here all of the owner's clients are told how much is queued; `always` or where it changed."""

    always: bool = False


Outgoing: TypeAlias = Message | Preview | Binary
Reaction: TypeAlias = Outgoing | CountQueue


@dataclass(eq=False)
class PromptMessages:
    """What a client is told of one job, and how far it is for one that comes back."""

    job: JobAddress
    running: list[tuple[str, str]] = field(default_factory=list)  # node ids and their types
    _begun: bool = False
    _previews_asked: bool = False
    _cached: list[str] | None = None  # until they are told
    _types: dict[str, str] = field(default_factory=dict)
    _nodes: dict[str, dict[str, Any]] = field(default_factory=dict)
    _saved: dict[str, list[StoredOutput]] = field(default_factory=dict)
    _finished: list[str] = field(default_factory=list)
    _displays: Displays = field(default_factory=Displays)
    _sent_files: Counter[str] = field(default_factory=Counter)  # files that were told, by node
    _untold: dict[str, None] = field(default_factory=dict)  # nodes with something to tell

    @property
    def prompt_id(self) -> str:
        return self.job.prompt_id or str(self.job.id)

    def reactions(self, happened: Happened) -> Iterator[Reaction]:
        """The messages of an event, in ComfyUI's order."""
        event, ms = happened.event, int(happened.at_s * 1000)
        self._displays.hear(event)
        self._begun = self._begun or not isinstance(event, Queued | Ended)
        if self._cached is not None and not isinstance(event, NodeCached):
            nodes, self._cached = self._cached, None
            yield self._message("execution_cached", nodes=nodes, timestamp=ms)
        match event:
            case Queued():
                yield CountQueue()
            case Begun(previews_asked):
                self._previews_asked = previews_asked
                self._cached = []
                yield CountQueue()
                yield self._message("execution_start", timestamp=ms)
            case NodeCached(node_id, class_type):
                self._types[node_id] = class_type
                if self._cached is not None:
                    self._cached.append(node_id)
            case NodeStarted(node_id, class_type):
                yield from self._started(node_id, class_type)
            case Progressed():
                yield from self._progressed(event)
            case NodeFinished(node_id, class_type):
                yield from self._ended(node_id, class_type)
            case Saved() | Displayed():
                self._keep(event)
            case Shown(_, png) if png:
                yield Binary(struct.pack(">II", PREVIEW, PNG) + png)
            case Said() | Sent():
                yield _passed_on(event)
            case Ended():
                yield from self._over(event, ms)

    def _keep(self, event: Saved | Displayed) -> None:
        """Keep what a node has to show until it has ended."""
        if isinstance(event, Displayed):
            self._untold[event.node_id] = None
            return
        self._untold[event.output.node_id] = None
        self._saved.setdefault(event.output.node_id, []).append(event.output)

    def where(self) -> Sequence[Message]:
        """What a client is told that comes while the job runs."""
        return [self._executing(node_id) for node_id, _ in self.running[-1:]]

    def _started(self, node_id: str, class_type: str) -> Iterator[Reaction]:
        self._types[node_id] = class_type
        self.running.append((node_id, class_type))
        self._nodes[node_id] = self._node(node_id, 0.0, 1.0, "running")
        yield self._progress_state()
        yield self._executing(node_id)

    def _progressed(self, event: Progressed) -> Iterator[Reaction]:
        node_id, step, of = event.node_id, event.step, event.of
        self._nodes[node_id] = self._node(node_id, step, of, "running")
        yield self._progress_state()
        if event.preview is not None:
            whose = self._whose(node_id)
            yield Preview(self.job.id, whose, event.preview, self._previews_asked)
        yield self._message("progress", value=step, max=of, node=node_id)

    def _ended(self, node_id: str, class_type: str) -> Iterator[Reaction]:
        self._types[node_id] = class_type
        self.running = [one for one in self.running if one[0] != node_id]
        self._finished.append(node_id)
        most = self._nodes[node_id]["max"] if node_id in self._nodes else 1.0
        self._nodes[node_id] = self._node(node_id, most, most, "finished")
        if node_id in self._untold:
            yield self._executed(node_id)
        yield self._progress_state()

    def _over(self, event: Ended, ms: int) -> Iterator[Reaction]:
        if self._begun and event.status == "success":
            for node_id in list(self._untold):  # of nodes that were cached
                yield self._executed(node_id)
            yield self._message("execution_success", timestamp=ms)
        elif event.status == "failed":
            yield self._message("execution_error", **self._error(event), timestamp=ms)
        elif self._begun:
            reached = self._reached()
            yield self._message("execution_interrupted", to_all=True, **reached, timestamp=ms)
        yield CountQueue(always=True)
        if self._begun or event.status == "failed":
            yield self._message("executing", node=None)

    def _error(self, event: Ended) -> dict[str, Any]:
        reached = self._reached()
        node_id = event.node_id or reached["node_id"]
        return {
            **reached,
            "node_id": node_id,
            "node_type": self._types.get(node_id, ""),
            "exception_message": event.message,
            "exception_type": event.code,
            "traceback": [],
            "current_inputs": {},
            "current_outputs": list(self._finished),
        }

    def _reached(self) -> dict[str, Any]:
        node_id, class_type = self.running[-1] if self.running else ("", "")
        return {"node_id": node_id, "node_type": class_type, "executed": list(self._finished)}

    def _executed(self, node_id: str) -> Message:
        self._untold.pop(node_id, None)
        saved, display = self._saved.get(node_id, []), self._displays.of(node_id)
        new = saved if display else saved[self._sent_files[node_id] :]
        self._sent_files[node_id] = len(saved)
        output = ui_output(new, self._types.get(node_id, ""), display)
        return self._message("executed", node=node_id, display_node=node_id, output=output)

    def _executing(self, node_id: str) -> Message:
        return self._message("executing", node=node_id, display_node=node_id)

    def _progress_state(self) -> Message:
        return self._message("progress_state", nodes=dict(self._nodes))

    def _node(self, node_id: str, value: float, most: float, state: str) -> dict[str, Any]:
        return {"value": value, "max": most, "state": state, **self._whose(node_id)}

    def _whose(self, node_id: str) -> dict[str, Any]:
        return {
            "node_id": node_id,
            "prompt_id": self.prompt_id,
            "display_node_id": node_id,
            "parent_node_id": None,
            "real_node_id": node_id,
        }

    def _message(self, type_: str, *, to_all: bool = False, **data: Any) -> Message:
        return Message(type_, {**data, "prompt_id": self.prompt_id}, to_all)


def _passed_on(event: Said | Sent) -> Outgoing:
    """What a node tells its page, as it is."""
    match event:
        case Said(node_id, text):
            name = node_id.encode()
            return Binary(struct.pack(">II", TEXT, len(name)) + name + text.encode())
        case Sent(_, type_, text):
            return Message(type_, json.loads(text))
