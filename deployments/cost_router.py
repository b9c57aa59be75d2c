"""Serve's choice of a pooled sampler for a segment, by expected cost (placement.py).

Serve's own routing of multiplexed models sends all requests of a model to the replicas that have
it, however long their queues, as long as they accept more; so one replica works, and others idle.
"""

import random
import time
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from ray.serve._private.request_router.pow_2_router import PowerOfTwoChoicesRequestRouter
from ray.serve.config import RequestRouterConfig
from ray.serve.request_router import PendingRequest, ReplicaID, RunningReplica

from deployments.placement import Standing, ranked

# Before anything was measured: a model of a few GB from a disk, and a picture.
LOAD_S, JOB_S = 5.0, 1.0
TOLD_EVERY_S = 1.0
# Serve hands on what replicas tell of themselves some seconds later.
REMEMBERED_S = 10.0

JOBS, ONGOING, BASES, LOADS = (
    "job_s",
    "ongoing",
    "bases",
    "load_s",
)  # what a replica tells of itself


class CostRouter(PowerOfTwoChoicesRequestRouter):
    """Ranks replicas for the base model that a request names. One of a handle."""

    def initialize_state(self, **kwargs: Any) -> None:
        super().initialize_state(**kwargs)  # type: ignore[no-untyped-call]
        # What was sent where of late, and when: replicas have not told of it yet.
        self._sent: dict[ReplicaID, dict[str, float]] = defaultdict(dict)

    async def choose_replicas(
        self,
        candidate_replicas: list[RunningReplica],
        pending_request: PendingRequest | None = None,
    ) -> list[list[RunningReplica]]:
        """All replicas, one after the other, as each may be full."""
        base = "" if pending_request is None else pending_request.metadata.multiplexed_model_id
        if not base:
            return await super().choose_replicas(candidate_replicas, pending_request)
        all_stats = [replica.routing_stats or {} for replica in candidate_replicas]
        loads = [own[LOADS][base] for own in all_stats if base in own.get(LOADS, {})]
        load_s = max(loads, default=LOAD_S)

        def standing(replica: RunningReplica) -> Standing:
            stats = replica.routing_stats or {}
            known = self.replica_queue_len_cache.get(replica.replica_id)  # None: not of late
            ongoing = stats.get(ONGOING, 0) if known is None else known
            holds = base in stats.get(BASES, ()) or self._was_sent(replica.replica_id, base)
            job_s = stats.get(JOBS) or JOB_S
            return Standing(ongoing, job_s, 0.0 if holds else load_s)

        return [[replica] for replica in ranked(candidate_replicas, standing, random.random)]

    def on_request_routed(
        self, pending_request: PendingRequest, replica_id: ReplicaID, result: Any
    ) -> None:
        super().on_request_routed(pending_request, replica_id, result)
        base = pending_request.metadata.multiplexed_model_id
        if base:
            self._sent[replica_id][base] = time.monotonic()

    def _was_sent(self, replica_id: ReplicaID, base: str) -> bool:
        sent = self._sent.get(replica_id, {}).get(base)
        return sent is not None and time.monotonic() - sent < REMEMBERED_S


ROUTING = RequestRouterConfig.model_validate(
    {
        "request_router_class": f"{__name__}.{CostRouter.__name__}",
        "request_routing_stats_period_s": TOLD_EVERY_S,
    }
)


class JobTimes:
    """By how much a job delays those behind it, on average of late. For one event loop."""

    RECENT = 8  # jobs that the average is over

    def __init__(self) -> None:
        self.job_s = 0.0  # 0: none has ended yet
        self.ongoing = 0
        self._since = 0.0

    def begun(self) -> None:
        if not self.ongoing:
            self._since = time.monotonic()
        self.ongoing += 1

    def ended(self) -> None:
        """One has ended: the time since the one before, or since there was work again, is its."""
        now = time.monotonic()
        took_s, self._since = now - self._since, now
        self.job_s += (took_s - self.job_s) / self.RECENT if self.job_s else took_s
        self.ongoing -= 1


def routing_stats(
    times: JobTimes, resident: tuple[Any, ...], loads: Mapping[Any, float]
) -> dict[str, Any]:
    """What a replica tells of itself: keys of weights are those of SampleStage."""
    return {
        JOBS: times.job_s,
        ONGOING: times.ongoing,
        BASES: sorted({key[1].name for key in resident if key[0] == "model"}),
        LOADS: {key[1].name: took for key, took in loads.items() if key[0] == "model"},
    }
