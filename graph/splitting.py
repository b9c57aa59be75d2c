"""Splits a large latent batch into parts that run on several replicas.

A sampler over an empty latent of several pictures becomes one step for every range of rows, and so
does what reads nothing but its result. A step under the node's own id and key joins them, so that
the cache and whatever follows see no difference.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

from graph.content_keys import content_key
from graph.node import Hidden, NodeType
from graph.plan import ExecutionGraph, Step
from graph.prompt import Source
from graph.sampling import WHOLE_BATCH_SAMPLERS, Rows, SamplerChoice
from graph.segments import base_of
from graph.values import Model

# What these apply to a model treats every picture by itself.
SPLITTING_CHANGES = frozenset(
    {"lora", "model_sampling_discrete", "rescale_cfg", "perturbed_attention"}
)


@dataclass(frozen=True)
class Splitting:
    """Which steps of `folded` are taken apart. `ways` says into how many parts, by base model.

    What is known is left whole: its parts would have to be computed.
    """

    folded: ExecutionGraph
    node_types: Mapping[str, NodeType]
    ways: Callable[[str], int]
    is_known: Callable[[str], bool]

    def apply(self) -> ExecutionGraph:
        """The steps with the large ones in parts; `folded` itself where there are none."""
        steps: dict[str, Step] = {}
        split: dict[str, tuple[Rows, ...]] = {}
        for node_id, step in self.folded.steps.items():
            ranges = self._ranges(step, split)
            if len(ranges) > 1:
                split[node_id] = ranges
                parts = [self._part(step, rows, split) for rows in ranges]
                steps |= {part.node_id: part for part in parts}
                outputs = len(self.node_types[step.class_type].outputs)
                steps[node_id] = _joining(step, parts, outputs)
            else:
                steps[node_id] = step
        if not split:
            return self.folded
        stages = {
            name: self.folded.stages.get(name, self.folded.stages[step.reported_id])
            for name, step in steps.items()
        }
        return replace(self.folded, steps=steps, stages=stages)

    def _ranges(self, step: Step, split: Mapping[str, tuple[Rows, ...]]) -> tuple[Rows, ...]:
        """The parts of a step's batch; one or none where it stays whole."""
        node_type = self.node_types[step.class_type]
        link = step.links.get(node_type.splits_batch)
        if link is None or self.is_known(step.key):
            return ()
        if Hidden.ROWS in node_type.hidden.values():
            whole, guiding = self._batch(link), self._guiding(step)
            splits = whole and _splits(step, guiding)
            return rows_of(whole, self.ways(base_of(guiding))) if splits else ()
        return split.get(link.node_id, ()) if len(step.links) == 1 else ()

    def _batch(self, link: Source) -> int:
        """How many pictures an empty latent has; 0 for latents from elsewhere."""
        source = self.folded.steps[link.node_id]
        size = source.constants.get("batch_size", 0)
        return size if isinstance(size, int) and not source.links else 0

    def _guiding(self, step: Step) -> Step:
        """The step that names the model: a guider, or the sampler itself."""
        guider = step.links.get("guider")
        return step if guider is None else self.folded.steps[guider.node_id]

    def _part(self, step: Step, rows: Rows, split: Mapping[str, tuple[Rows, ...]]) -> Step:
        name = self.node_types[step.class_type].splits_batch
        link = step.links[name]
        if link.node_id in split:
            link = replace(link, node_id=part_id(link.node_id, rows))
        return replace(
            step,
            node_id=part_id(step.node_id, rows),
            links={**step.links, name: link},
            key=content_key([step.key, rows]),
            keep=False,
            part_of=step.reported_id,
            part_class=step.reported_class,
            rows=rows,
        )


def split_batches(
    folded: ExecutionGraph,
    node_types: Mapping[str, NodeType],
    ways: Callable[[str], int],
    is_known: Callable[[str], bool],
) -> ExecutionGraph:
    """`folded` with its large batches in as many parts as `ways` says for their base model."""
    if not folded.settled:  # what runs may change while it runs
        return folded
    return Splitting(folded, node_types, ways, is_known).apply()


def rows_of(batch: int, ways: int) -> tuple[Rows, ...]:
    """`batch` rows in at most `ways` ranges, none empty, as even as can be."""
    count = max(1, min(ways, batch))
    bounds = [batch * k // count for k in range(count + 1)]
    return tuple(Rows(start, stop, batch) for start, stop in pairwise(bounds))


def part_id(node_id: str, rows: Rows) -> str:
    return f"{node_id} rows {rows.start}:{rows.stop}"


def _joining(step: Step, parts: list[Step], outputs: int) -> Step:
    """Output by output, the parts in their order."""
    links = {
        f"{slot}.{k}": Source(part.node_id, slot)
        for slot in range(outputs)
        for k, part in enumerate(parts)
    }
    return replace(step, constants={}, links=links, base="", joins=True)


def _splits(step: Step, guiding: Step) -> bool:
    """Whether each picture's way through a sampler is its own, as far as can be told."""
    choice = step.constants.get("sampler")
    sampler = (
        choice.name if isinstance(choice, SamplerChoice) else step.constants.get("sampler_name")
    )
    model = guiding.constants.get("model")
    return (
        isinstance(sampler, str)
        and sampler not in WHOLE_BATCH_SAMPLERS
        and isinstance(model, Model)
        and all(change.kind in SPLITTING_CHANGES for change in model.changes)
    )
