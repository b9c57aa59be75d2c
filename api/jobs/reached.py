"""How far an unsuccessful job came: the node it was at, and those that had finished."""

from typing import Any

from api.jobs.events import JobEvent, NodeCached, NodeFinished, NodeStarted


class Reached:
    """Hears a job's events."""

    def __init__(self) -> None:
        self._running: dict[str, str] = {}  # class by node id
        self._executed: dict[str, None] = {}
        self.cached: list[str] = []  # of nodes whose results were there

    def hear(self, event: JobEvent) -> None:
        if isinstance(event, NodeCached):
            self.cached.append(event.node_id)
        match event:
            case NodeStarted(node_id, class_type):
                self._running[node_id] = class_type
            case NodeFinished(node_id) | NodeCached(node_id):
                self._running.pop(node_id, None)
                self._executed[node_id] = None

    def as_json(self) -> dict[str, Any]:
        """The node that began last and had not ended."""
        node_id, class_type = next(reversed(self._running.items()), ("", ""))
        return {"node_id": node_id, "class_type": class_type, "executed": list(self._executed)}
