"""Merges the progress of the parts of a split node into one report."""

from dataclasses import dataclass, field

from graph.events import Progress, Started
from graph.plan import Plan, Segment, Step


@dataclass
class PartReports:
    """The steps under way in one job, by the node that each is or is a part of."""

    _left: dict[str, set[str]] = field(default_factory=dict)
    _started: set[str] = field(default_factory=set)
    _began_s: dict[str, float] = field(default_factory=dict)
    _reached: dict[str, dict[str, float]] = field(default_factory=dict)  # steps done, part by part

    def expect(self, plan: Plan) -> None:
        """All of `plan` will run."""
        self._left, self._started, self._began_s, self._reached = {}, set(), {}, {}
        for step in (step for segment in plan.segments for step in segment.steps):
            self._left.setdefault(step.reported_id, set()).add(step.node_id)
            if step.part_of and step.rows:
                self._reached.setdefault(step.reported_id, {})[step.node_id] = 0

    def runs(self, node_id: str) -> bool:
        """Whether any of a node still has to run."""
        return bool(self._left.get(node_id))

    def merged(self, event: Started | Progress, segment: Segment) -> Started | Progress | None:
        """`event` as the node's own, or None where it says nothing new of the whole node."""
        if isinstance(event, Started):
            new = event.node_id not in self._started
            self._started.add(event.node_id)
            return event if new else None
        reached = self._reached.get(event.node_id)
        if reached is None:
            return event
        before = min(reached.values())
        for step in segment.steps:
            if step.part_of == event.node_id:
                reached[step.node_id] = event.step
        return event if min(reached.values()) > before else None

    def ended(self, step: Step, start_s: float) -> float | None:
        """When the node of `step` began, if this was the last of it; `start_s` is the step's."""
        node_id = step.reported_id
        began = self._began_s[node_id] = min(start_s, self._began_s.get(node_id, start_s))
        self._left[node_id].discard(step.node_id)
        return None if self._left[node_id] else began
