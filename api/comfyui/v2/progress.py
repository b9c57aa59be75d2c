"""Progress of a job in API v2's terms."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from api.comfyui.entries import KeptPrompt
from api.jobs.events import (
    Begun,
    Happened,
    NodeCached,
    NodeFinished,
    NodeStarted,
    Progressed,
)
from storage.jobs.records import JobRecord


@dataclass
class Progress:
    """Counts the nodes of a job as its events come; `total` is how many there are to do."""

    total: int = 0
    _done: dict[str, None] = field(default_factory=dict)
    # of each running node: class, step, of
    _running: dict[str, tuple[str, float, float]] = field(default_factory=dict)

    @classmethod
    def of(cls, kept: KeptPrompt, past: Iterable[Happened]) -> "Progress":
        """That of a job, of which so much is known."""
        progress = cls(len(needed(kept.prompt, kept.outputs)))
        for happened in past:
            progress.hear(happened)
        return progress

    def hear(self, happened: Happened) -> None:
        """An event of the job."""
        match happened.event:
            case Begun():  # perhaps anew
                self._done.clear()
                self._running.clear()
            case NodeStarted(node_id, class_type):
                self._running[node_id] = (class_type, 0, 0)
            case Progressed(node_id, step, of):
                class_type, _, _ = self._running.get(node_id, ("", 0, 0))
                self._running[node_id] = (class_type, step, of)
            case NodeFinished(node_id) | NodeCached(node_id):
                self._running.pop(node_id, None)
                self._done[node_id] = None

    def as_json(self) -> dict[str, Any]:
        """One snapshot."""
        total = max(self.total, len(self._done.keys() | self._running.keys()))
        steps = sum(step / of for _, step, of in self._running.values() if of)
        value = (len(self._done) + steps) / total if total else 0.0
        fields: dict[str, Any] = {
            "value": round(min(value, 1.0), 4),
            "nodes_done": len(self._done),
            "nodes_total": total,
        }
        for node_id, (class_type, step, of) in list(self._running.items())[-1:]:
            fields |= {"current_node": node_id, "current_node_class": class_type or None}
            if of:
                done, most = int(step), int(of)  # packs may count in parts
                said = f"{class_type} {done}/{most}".strip()
                fields |= {"step": done, "steps": most, "message": said}
        return fields


def ended_progress(record: JobRecord) -> dict[str, Any]:
    """That of a job that has ended."""
    answer = record.answer or {}
    done = len(answer.get("reached", {}).get("executed", ()))
    total = max(answer.get("node_count", 0), done)
    if record.status == "success":
        return {"value": 1.0, "nodes_done": total, "nodes_total": total}
    value = round(done / total, 4) if total else 0.0
    return {"value": value, "nodes_done": done, "nodes_total": total}


def needed(prompt: Mapping[str, Any], outputs: Iterable[str]) -> frozenset[str]:
    """The nodes that some outputs need."""
    found: set[str] = set()
    waiting = [str(one) for one in outputs]
    while waiting:
        node_id = waiting.pop()
        node = prompt.get(node_id)
        if node_id in found or not isinstance(node, Mapping):
            continue
        found.add(node_id)
        inputs = node.get("inputs")
        for value in inputs.values() if isinstance(inputs, Mapping) else ():
            if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str | int):
                waiting.append(str(value[0]))
    return frozenset(found)
