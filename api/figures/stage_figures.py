"""Figures that the stages' replicas keep, put together for one page."""

import copy
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from prometheus_client import Metric
from prometheus_client.registry import Collector


@dataclass(frozen=True)
class StageFigures:
    """What one replica has counted for one of its stages."""

    stage: str
    replica: str
    families: tuple[Metric, ...]


class Together(Collector):
    """Several collectors, and the figures of stages, as one."""

    def __init__(self, own: Iterable[Collector], stages: Sequence[StageFigures]) -> None:
        self._own = tuple(own)
        self._stages = stages

    def collect(self) -> Iterator[Metric]:
        for collector in self._own:
            yield from collector.collect()
        yield from merged(self._stages)


def merged(figures: Sequence[StageFigures]) -> list[Metric]:
    """One family for each name, its samples labelled with where they come from."""
    families: dict[str, Metric] = {}
    for one in {(figure.stage, figure.replica): figure for figure in figures}.values():
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
