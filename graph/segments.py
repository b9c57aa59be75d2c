"""Which steps share a call: connected steps of one stage, one base model and the same rows.

Every step gets a depth: how many calls lie between it and the start, at least. Whoever reads across
a border is deeper than what it reads, so steps that share stage, base, rows and depth can be one
call without ever closing a circle.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from graph.sampling import Rows
from graph.stages import Stage
from graph.values import Model

if TYPE_CHECKING:
    from graph.plan import Step


@dataclass(frozen=True)
class Place:
    """Where a step runs."""

    stage: Stage
    base: str  # the diffusion model's file, "" where none is near
    rows: Rows | None


def base_of(step: "Step") -> str:
    """The file of the diffusion model that a step works with, if it names one or is handed one."""
    for value in step.constants.values():
        model = value if isinstance(value, Model) else getattr(value, "model", None)
        if isinstance(model, Model):
            return model.file.name
    return step.base


def grouped(steps: Sequence["Step"], stages: Mapping[str, Stage]) -> list[tuple[str, list["Step"]]]:
    """`steps`, which come after what they read, as groups that do too, each with its base."""
    readers = _readers(steps)
    places = _places(steps, stages, readers)
    depths = _depths(steps, places, readers)
    groups: dict[str, list[Step]] = {}
    for step, head in zip(steps, _heads(steps, places, depths), strict=True):
        groups.setdefault(head, []).append(step)
    in_order = sorted(groups.values(), key=lambda group: depths[group[0].node_id])
    return [(places[group[0].node_id].base, group) for group in in_order]


def _readers(steps: Sequence["Step"]) -> dict[str, list[str]]:
    """Who reads each step, among `steps`."""
    readers: dict[str, list[str]] = {step.node_id: [] for step in steps}
    for step in steps:
        for source in _sources(step, readers):
            readers[source].append(step.node_id)
    return readers


def _sources(step: "Step", among: Mapping[str, object]) -> Iterator[str]:
    return (link.node_id for link in step.links.values() if link.node_id in among)


def _places(
    steps: Sequence["Step"], stages: Mapping[str, Stage], readers: Mapping[str, Sequence[str]]
) -> dict[str, Place]:
    """Where each step runs: one that names no base, beside what it reads, or beside its reader."""
    bases = {step.node_id: base_of(step) for step in steps}

    def take_from(node_id: str, neighbours: Iterable[str]) -> None:
        near = (bases[it] for it in neighbours if stages[it] == stages[node_id])
        bases[node_id] = bases[node_id] or next(filter(None, near), "")

    for step in steps:
        take_from(step.node_id, _sources(step, bases))
    for step in reversed(steps):
        take_from(step.node_id, readers[step.node_id])
    return {s.node_id: Place(stages[s.node_id], bases[s.node_id], s.rows) for s in steps}


def _depths(
    steps: Sequence["Step"], places: Mapping[str, Place], readers: Mapping[str, Sequence[str]]
) -> dict[str, int]:
    """As early as can be, unless being as late as its reader puts a step into the reader's call."""
    depths: dict[str, int] = {}

    def border(source: str, reader: str) -> int:
        return int(places[source] != places[reader])

    for step in steps:
        above = (depths[it] + border(it, step.node_id) for it in _sources(step, depths))
        depths[step.node_id] = max(above, default=0)
    for step in reversed(steps):
        own = step.node_id
        latest = min((depths[it] - border(own, it) for it in readers[own]), default=depths[own])
        if any(depths[it] == latest and not border(own, it) for it in readers[own]):
            depths[own] = latest
    return depths


def _heads(
    steps: Sequence["Step"], places: Mapping[str, Place], depths: Mapping[str, int]
) -> list[str]:
    """For each step, the one that its group is known by."""
    heads = {step.node_id: step.node_id for step in steps}
    prompts: dict[tuple[Place, int], str] = {}  # the encoder takes those without links as one batch

    def head(node_id: str) -> str:
        while heads[node_id] != node_id:
            heads[node_id] = heads[heads[node_id]]  # halves the way for whoever asks next
            node_id = heads[node_id]
        return node_id

    for step in steps:
        own = step.node_id
        near = [
            it
            for it in _sources(step, heads)
            if places[it] == places[own] and depths[it] == depths[own]
        ]
        if places[own].stage == Stage.ENCODE and not step.links:
            near.append(prompts.setdefault((places[own], depths[own]), own))
        for it in near:
            heads[head(it)] = head(own)
    return [head(step.node_id) for step in steps]
