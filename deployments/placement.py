"""Chooses the replica that would finish a job first, by queues and model load times.

A replica that holds the model has to end what it has begun; another one has to load it as well. So
one that holds it is taken until its queue is longer than loading takes elsewhere; a model that is
asked for more gets into more replicas' memory, and one that is not, stays in one.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from operator import itemgetter
from typing import TypeVar

R = TypeVar("R")


@dataclass(frozen=True)
class Standing:
    """What is known of a replica, for one model."""

    ongoing: int  # jobs that it has
    job_s: float  # by how much each of them delays another one, as measured
    load_s: float  # until it has the model in memory; 0 where it has

    @property
    def cost_s(self) -> float:
        """About how long a job would wait for its turn there."""
        return self.ongoing * self.job_s + self.load_s


def ranked(
    replicas: Iterable[R], standing: Callable[[R], Standing], draw: Callable[[], float]
) -> list[R]:
    """Replicas, the one that a job should go to first; `draw` decides between equals."""
    costs = [((standing(replica).cost_s, draw()), replica) for replica in replicas]
    return [replica for _, replica in sorted(costs, key=itemgetter(0))]
