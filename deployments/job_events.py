"""Translates events of a workflow's nodes to events of its job."""

from collections.abc import Mapping
from typing import Any

from api.jobs import events as job_events
from api.jobs.events import JobEvent, NodeCached, NodeFinished, NodeStarted, Progressed
from graph.events import Displayed, Progress, Said, Sent, Started
from graph.execution import NodeTiming


def job_event(
    event: Started | Progress | Said | Sent | Displayed | NodeTiming, prompt: Mapping[str, Any]
) -> JobEvent:
    """The event of a job whose nodes are those of `prompt`."""
    match event:
        case Progress():
            return Progressed(event.node_id, event.step, event.of, event.preview or None)
        case Said():
            return job_events.Said(event.node_id, event.text)
        case Sent():
            return job_events.Sent(event.node_id, event.type, event.json)
        case Displayed():
            return job_events.Displayed(event.node_id, event.json, event.files, event.part)
    class_type = prompt[event.node_id]["class_type"]
    if isinstance(event, Started):
        return NodeStarted(event.node_id, class_type)
    return (NodeCached if event.cached else NodeFinished)(event.node_id, class_type)
