"""Groups steps into segments: connected steps of one deployment and one base model.

A deployment runs one stage, or several: `hosts` names what runs the stages that share one. It has
all base models, so its steps need not be told apart by them.

Every step gets a depth: how many calls lie between it and the start, at least. Whoever reads across
a border is deeper than what it reads, so steps that share stage, base, rows and depth can be one
call without ever closing a circle.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from graph.sampling import Rows
from graph.stages import Stage
from graph.values import Model

if TYPE_CHECKING:
    from graph.plan import Step


IN_ROUTER = frozenset({Stage.INLINE, Stage.OUTPUT})


@dataclass(frozen=True)
class Place:
    """Where a step runs."""

    host: Stage  # the stage, or the name of a deployment that runs several
    base: str  # the diffusion model's file, "" where none is near or all are there
    rows: Rows | None


def base_of(step: "Step") -> str:
    """The file of the diffusion model that a step works with, if it names one or is handed one."""
    for value in step.constants.values():
        model = value if isinstance(value, Model) else getattr(value, "model", None)
        if isinstance(model, Model):
            return model.file.name
    return step.base


@dataclass(frozen=True)
class Group:
    """Steps that share a call, where they run, and the base model of the first that has one."""

    host: Stage
    base: str
    steps: list["Step"]


def grouped(
    steps: Sequence["Step"],
    stages: Mapping[str, Stage],
    hosts: Mapping[Stage, Stage] = MappingProxyType({}),
) -> list[Group]:
    """`steps`, which come after what they read, as groups that do too."""
    readers = _readers(steps)
    host_of = _hosts(steps, stages, hosts, readers)
    bases = _bases(steps, host_of, readers)
    whole = frozenset(hosts.values())
    places = {
        s.node_id: Place(
            host_of[s.node_id], "" if host_of[s.node_id] in whole else bases[s.node_id], s.rows
        )
        for s in steps
    }
    depths = _depths(steps, places, readers)
    groups: dict[str, list[Step]] = {}
    for step, head in zip(steps, _heads(steps, places, depths), strict=True):
        groups.setdefault(head, []).append(step)
    in_order = sorted(groups.values(), key=lambda group: depths[group[0].node_id])
    return [
        Group(
            places[group[0].node_id].host,
            next(filter(None, (bases[step.node_id] for step in group)), ""),
            group,
        )
        for group in in_order
    ]


def _readers(steps: Sequence["Step"]) -> dict[str, list[str]]:
    """Who reads each step, among `steps`."""
    readers: dict[str, list[str]] = {step.node_id: [] for step in steps}
    for step in steps:
        for source in _sources(step, readers):
            readers[source].append(step.node_id)
    return readers


def _sources(step: "Step", among: Mapping[str, object]) -> Iterator[str]:
    return (link.node_id for link in step.links.values() if link.node_id in among)


def _hosts(
    steps: Sequence["Step"],
    stages: Mapping[str, Stage],
    hosts: Mapping[Stage, Stage],
    readers: Mapping[str, Sequence[str]],
) -> dict[str, Stage]:
    """What runs each step. INLINE ones run anywhere: beside what they read, or who reads them."""
    found = {step.node_id: hosts.get(stages[step.node_id], stages[step.node_id]) for step in steps}

    def take_from(node_id: str, neighbours: Iterable[str]) -> None:
        if found[node_id] == Stage.INLINE:
            near = (found[it] for it in neighbours if found[it] not in IN_ROUTER)
            found[node_id] = next(near, Stage.INLINE)

    for step in steps:
        take_from(step.node_id, _sources(step, found))
    for step in reversed(steps):
        take_from(step.node_id, readers[step.node_id])
    return found


def _bases(
    steps: Sequence["Step"], hosts: Mapping[str, Stage], readers: Mapping[str, Sequence[str]]
) -> dict[str, str]:
    """The base of each step; one that names none has that of what it reads, or of its reader."""
    bases = {step.node_id: base_of(step) for step in steps}

    def take_from(node_id: str, neighbours: Iterable[str]) -> None:
        near = (bases[it] for it in neighbours if hosts[it] == hosts[node_id])
        bases[node_id] = bases[node_id] or next(filter(None, near), "")

    for step in steps:
        take_from(step.node_id, _sources(step, bases))
    for step in reversed(steps):
        take_from(step.node_id, readers[step.node_id])
    return bases


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
        if places[own].host == Stage.ENCODE and not step.links:
            near.append(prompts.setdefault((places[own], depths[own]), own))
        for it in near:
            heads[head(it)] = head(own)
    return [head(step.node_id) for step in steps]
