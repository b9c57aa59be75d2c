"""The workflows of jobs, with the nodes that a pack's nodes expanded to."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import torch

from packs.surface.dynamic_prompt import DynamicPrompt

MOST_PROMPTS = 50
MOST_BYTES = 2**29  # of tensors that such nodes hold; nobody says here when a job has ended


@dataclass
class Prompts:
    """The workflows of the jobs that ran last, by job. Thread-safe."""

    most_bytes: int = MOST_BYTES
    _kept: OrderedDict[str, DynamicPrompt] = field(default_factory=OrderedDict)
    _nbytes: dict[str, int] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def of(self, job: str, prompt: Mapping[str, Any]) -> DynamicPrompt:
        """The workflow of a job."""
        with self._lock:
            if job not in self._kept:
                self._kept[job] = DynamicPrompt(prompt)
            self._kept.move_to_end(job)
            self._make_room()
            return self._kept[job]

    def expanded(self, job: str, node_id: str, nodes: Mapping[str, Any]) -> None:
        """A node of a job expanded to these."""
        with self._lock:
            if (prompt := self._kept.get(job)) is None:
                return
            for name, node in nodes.items():
                prompt.add_ephemeral_node(name, node, node_id, node_id)
            more = sum(map(_nbytes, nodes.values()))
            self._nbytes[job] = self._nbytes.get(job, 0) + more
            self._make_room()

    def _make_room(self) -> None:
        """Forget the jobs that ran longest ago; the last stays, however large."""
        while len(self._kept) > 1 and (
            len(self._kept) > MOST_PROMPTS or sum(self._nbytes.values()) > self.most_bytes
        ):
            job, _ = self._kept.popitem(last=False)
            self._nbytes.pop(job, None)


def _nbytes(value: Any) -> int:
    """The size of the tensors in a node."""
    if isinstance(value, torch.Tensor):
        return value.nbytes
    if isinstance(value, Mapping):
        return sum(map(_nbytes, value.values()))
    return sum(map(_nbytes, value)) if isinstance(value, list | tuple) else 0
