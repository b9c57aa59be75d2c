"""Metrics of the stages' replicas, merged into one page."""

import copy
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from prometheus_client import Metric
from prometheus_client.registry import Collector


@dataclass(frozen=True)
class ReplicaMetrics:
    """The metrics of one stage in one replica."""

    stage: str
    replica: str
    families: tuple[Metric, ...]


class CombinedCollector(Collector):
    """Several collectors and the metrics of stages, as one.

    The time each series was created is left out: it doubles the page, and no dashboard reads it.
    """

    def __init__(self, own: Iterable[Collector], stages: Sequence[ReplicaMetrics]) -> None:
        self._own = tuple(own)
        self._stages = stages

    def collect(self) -> Iterator[Metric]:
        for collector in self._own:
            yield from map(_without_created, collector.collect())
        yield from map(_without_created, merged(self._stages))


def merged(replicas: Sequence[ReplicaMetrics]) -> list[Metric]:
    """One family for each name, its samples labelled with where they come from."""
    families: dict[str, Metric] = {}
    for one in {(one.stage, one.replica): one for one in replicas}.values():
        origin = {"stage": one.stage, "replica": one.replica}
        for family in one.families:
            whole = families.setdefault(family.name, _empty(family))
            whole.samples.extend(
                sample._replace(labels={**sample.labels, **origin}) for sample in family.samples
            )
    return list(families.values())


def _empty(family: Metric) -> Metric:
    whole = copy.copy(family)
    whole.samples = []
    return whole


def _without_created(family: Metric) -> Metric:
    kept = _empty(family)
    kept.samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
    return kept
