"""Calls a pack's process for one owner and one job."""

import base64
import json
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from deployments.pack_service import StageService
from graph.cache import ResultLostError
from graph.content_keys import content_key
from graph.events import Displayed, FileMade, Progress, Said, Sent
from graph.node import Hidden, NodeType
from graph.plan import Segment, Step
from graph.segment_run import Report
from packs.encoding import BadValueError
from packs.errors import CallLostError, PackNodeError, PackResultError
from packs.processes import PackProcesses, Running
from packs.results import ResultReader
from packs.shown import display_in, files_in
from packs.wire import Message
from storage.encoded_files import other_file

# Messages of the protocol itself, which a pack may not send (ComfyUI's execution.py, server.py).
RESERVED = frozenset(
    {
        "executed", "executing", "execution_cached", "execution_error", "execution_interrupted",
        "execution_start", "execution_success", "feature_flags", "logs", "progress",
        "progress_state", "status",
    }
)  # fmt: skip
MOST_SENT, MOST_SENT_CHARS, MOST_PREVIEW_BYTES = 200, 64_000, 2**20
PROGRESS_S = 0.02


@dataclass
class NodeMessages:
    """What a pack says while a node runs: bounded, and for the owner of the job alone."""

    node_id: str
    report: Report
    _left: int = MOST_SENT
    _last: float = 0.0
    _reached: tuple[float, float] = (0, 1)

    def __call__(self, said: Mapping[str, Any]) -> None:
        kind = said.get("event")
        if kind == "progress":
            self._progress(said)
            return
        if kind == "preview":
            self.report(Progress(self.node_id, *self._reached, _jpeg(said.get("jpeg"))))
            return
        self._left -= 1
        if self._left < 0:
            return
        if kind == "text":
            self.report(Said(self.node_id, str(said.get("text"))[:2000]))
        elif kind == "sent":
            name, text = str(said.get("type")), json.dumps(said.get("data"))
            if name not in RESERVED and len(name) <= 100 and len(text) <= MOST_SENT_CHARS:
                self.report(Sent(self.node_id, name, text))

    def _progress(self, said: Mapping[str, Any]) -> None:
        value, most = said.get("value"), said.get("max")
        if not isinstance(value, int | float) or not isinstance(most, int | float):
            return
        self._reached = value, most
        now = time.monotonic()
        if now - self._last < PROGRESS_S and value < most:
            return
        self._last = now
        self.report(Progress(self.node_id, value, most, _jpeg(said.get("jpeg"))))


def _jpeg(said: Any) -> bytes | None:
    if not isinstance(said, str) or len(said) > MOST_PREVIEW_BYTES:
        return None
    try:
        content = base64.b64decode(said, validate=True)
    except ValueError:
        return None
    return content if content.startswith(b"\xff\xd8") else None


@dataclass(frozen=True)
class PackCalls:
    """Calls of a pack's code, for one segment."""

    pack: str
    processes: PackProcesses
    service: StageService
    call_s: float
    hook_s: float
    segment: Segment
    counts: Counter[str] = field(default_factory=Counter)  # calls of each step

    async def run(
        self, node_type: NodeType, step: Step, inputs: Mapping[str, Any], report: Report
    ) -> Any:
        """What a node gives."""
        running = await self.processes.of(self.segment.owner)
        index, self.counts[step.node_id] = self.counts[step.node_id], self.counts[step.node_id] + 1
        said = {
            "class": node_type.name, "owner": self.segment.owner, "node": step.node_id,
            "index": index, **self._document(),
        }  # fmt: skip
        tell = NodeMessages(step.reported_id, report)
        message = await self._call(running, "run", said, inputs, (tell, report, step))
        try:
            left = files_in(message)
            for one in left:
                file = other_file(one.content, one.prefix, one.extension)
                report(FileMade(step.reported_id, replace(file, temporary=one.temporary)))
            if shown := display_in(message, left):
                part = f"{step.node_id} {index}"
                text = json.dumps(shown)
                report(Displayed(step.reported_id, text, len(left), part))
        except (BadValueError, KeyError, TypeError, ValueError, IndexError) as error:
            raise PackResultError(self.pack, f"files that are none ({error})") from error
        return ResultReader(self.pack, node_type, running.traveller).read(message)

    async def lazy(self, node_type: NodeType, inputs: Mapping[str, Any]) -> list[str]:
        """The lazy inputs that a node needs."""
        running = await self.processes.of(self.segment.owner)
        said = {"class": node_type.name, "owner": self.segment.owner, **self._document()}
        message = await self._call(running, "lazy", said, inputs, None)
        return [str(one) for one in message.said.get("needs") or ()]

    def _document(self) -> dict[str, Any]:
        """What nodes may ask of their job: its workflow, and what its client sent with it."""
        values = self.segment.hidden_values
        prompt, extra = values.get(Hidden.PROMPT) or {}, values.get(Hidden.EXTRA_PNGINFO) or {}
        return {"prompt": prompt, "extra": extra, "job": content_key(prompt)}

    async def _call(
        self, running: Running, do: str, said: Mapping[str, Any], inputs: Mapping[str, Any],
        of_step: tuple[NodeMessages, Report, Step] | None,
    ) -> Message:  # fmt: skip
        traveller = running.traveller
        encoder = traveller.encoder()

        async def ask(message: Message) -> Any:
            assert of_step
            return await self.service.answer(
                message, traveller, self.segment.owner, of_step[2].reported_id, of_step[1]
            )

        try:
            given = {name: traveller.encode(encoder, value) for name, value in inputs.items()}
            message = await running.process.call(
                do,
                {**said, "inputs": given},
                encoder.buffers,
                deadline_s=self.call_s if of_step else self.hook_s,
                tell=of_step[0] if of_step else lambda _: None,
                ask=ask if of_step else None,
            )
        except CallLostError as error:
            raise ResultLostError(str(error)) from error
        return answered(self.pack, message)


def answered(pack: str, message: Message) -> Message:
    """An answer that is no error. Raises what it says went wrong."""
    said = message.said
    if said.get("lost"):
        raise ResultLostError(pack)
    if said.get("interrupted"):
        raise PackNodeError(pack, "The node stopped its job")
    if "error" in said:
        raise PackNodeError(pack, str(said["error"])[:2000])
    return message
