"""Follows jobs and segments while they run, for metrics and traces."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TypeAlias

from api.jobs.runner import RunningJob
from graph.events import StepEvent
from graph.plan import Segment


@dataclass(frozen=True)
class Follower:
    """Hears what happens in a segment. `trace` goes with it to the stage (see Segment)."""

    hear: Callable[[StepEvent], None]
    trace: str = ""


# Entered for each segment that is called, or run.
SegmentWatch: TypeAlias = Callable[[Segment], AbstractContextManager[Follower]]

# Entered for each job; gives what follows its segments.
JobWatch: TypeAlias = Callable[[RunningJob], AbstractContextManager[tuple[SegmentWatch, ...]]]


def no_watch(_job: RunningJob) -> AbstractContextManager[tuple[SegmentWatch, ...]]:
    """Nobody follows this job."""
    return nullcontext(())


def no_segment_watch(_segment: Segment) -> AbstractContextManager[Follower]:
    """Nobody follows this segment."""
    return nullcontext(Follower(lambda _: None))
