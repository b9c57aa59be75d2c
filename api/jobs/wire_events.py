"""Events of /api/v7: server-sent events with JSON, previews as data URIs."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from api.jobs.events import (
    Begun,
    Ended,
    Happened,
    NodeCached,
    NodeFinished,
    NodeStarted,
    Progressed,
    Queued,
    Saved,
)

STATES: Mapping[type, str] = {
    NodeStarted: "started",
    NodeCached: "cached",
    NodeFinished: "finished",
}


@dataclass(frozen=True)
class WireEvent:
    """One server-sent event; ids rise."""

    id: int
    type: str
    data: Mapping[str, Any]


def wire_event(happened: Happened) -> WireEvent | None:
    """The event in this face's words; None for one that it does not tell.

    Outputs and ends are told with what the store and the record have of them, by whoever follows.
    """
    type_: str
    data: dict[str, Any]
    match happened.event:
        case Queued(position):
            type_, data = "queued", {"queue_position": position}
        case Begun():
            type_, data = "queued", {"queue_position": 0}
        case (
            NodeStarted(node_id, class_type)
            | NodeCached(node_id, class_type)
            | NodeFinished(node_id, class_type)
        ):
            state = STATES[type(happened.event)]
            type_, data = "node", {"node": node_id, "class_type": class_type, "state": state}
        case Progressed(node_id, step, of, preview):
            seen = {} if preview is None else {"preview": data_uri(preview)}
            type_, data = "progress", {"node": node_id, "step": step, "of": of, **seen}
        case Saved(output):
            type_, data = "output", output.as_json()
        case Ended(status):
            type_, data = status, {}
        case _:
            return None
    return WireEvent(happened.id, type_, data)


def data_uri(jpeg: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()
