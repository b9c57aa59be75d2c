"""The `ui` results of a job's nodes, merged over all their calls."""

import json
from collections import Counter
from typing import Any, TypeAlias

from api.jobs.events import Displayed, JobEvent, Saved

FILE = "$file"  # stands for the k-th file that the node saved
MOST_CHARS = 2**20  # of one job
Display: TypeAlias = dict[str, list[Any]]


class Displays:
    """Hears a job's events. What goes over a megabyte is left out."""

    def __init__(self) -> None:
        self._files: Counter[str] = Counter()
        self._parts: dict[str, dict[str, Display]] = {}
        self._left = MOST_CHARS

    def hear(self, event: JobEvent) -> None:
        match event:
            case Saved(output):
                self._files[output.node_id] += 1
            case Displayed():
                self._add(event)

    def of(self, node_id: str) -> Display:
        """What a node shows: the lists of its calls, joined."""
        joined: Display = {}
        for part in self._parts.get(node_id, {}).values():
            for name, values in part.items():
                joined.setdefault(name, []).extend(values)
        return joined

    def as_json(self) -> dict[str, Display]:
        """What each node shows."""
        return {node_id: self.of(node_id) for node_id in self._parts}

    def _add(self, event: Displayed) -> None:
        self._left -= len(event.json)
        if self._left < 0:
            return
        first = self._files[event.node_id] - event.files  # its files were saved just before
        part = {name: [_moved(v, first) for v in s] for name, s in json.loads(event.json).items()}
        self._parts.setdefault(event.node_id, {})[event.part] = part


def _moved(value: Any, first: int) -> Any:
    if isinstance(value, dict) and isinstance(value.get(FILE), int):
        return {FILE: first + value[FILE]}
    return value
