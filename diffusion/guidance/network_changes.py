"""Changes to how the network is run: which of a model's changes its rows carry, and when."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch

from diffusion.batch.rows import Draws, JobImage, RowImage
from diffusion.families.family import Family
from diffusion.guidance.changes import row_patches
from diffusion.guidance.skip_layers import SKIP_OF_NEGATIVE, skipping
from diffusion.guidance.step_caches import CACHE_CHANGES, EasyCache, start_easycache
from diffusion.schedules.model_sampling import ModelSampling
from graph.values import Change

NETWORK_CHANGES = CACHE_CHANGES | {SKIP_OF_NEGATIVE}


@dataclass(frozen=True, eq=False)
class RunChanges:
    """One job's changes to how the network is run, in the order in which they were laid."""

    changes: tuple[Change, ...] = ()
    spans: tuple[tuple[float, float], ...] = ()  # of each, from sigma to sigma
    generator: torch.Generator | None = None
    cache: EasyCache | None = None
    images: tuple[JobImage, ...] = ()

    def at(self, sigma: float) -> tuple[Change, ...]:
        """Those that hold at a noise level."""
        return tuple(c for c in self._holding(sigma) if c.kind != SKIP_OF_NEGATIVE)

    def of_negative_at(self, sigma: float) -> tuple[Change, ...]:
        """Those that hold beside them for the negative of plain guidance."""
        return tuple(skipping(c) for c in self._holding(sigma) if c.kind == SKIP_OF_NEGATIVE)

    def _holding(self, sigma: float) -> Iterator[Change]:
        pairs = zip(self.changes, self.spans, strict=True)
        return (change for change, (start, end) in pairs if end <= sigma <= start)

    def images_at(self, sigma: float, *, negative: bool) -> tuple[RowImage, ...]:
        """The image prompts at a noise level, as prompts of one side go by them."""
        return tuple(RowImage(image, negative) for image in self.images if image.applies(sigma))

    def draws(self) -> Draws | None:
        """What one question's rows draw from."""
        return None if self.generator is None else Draws(self.generator)


def start_run_changes(
    changes: Iterable[Change],
    sampling: ModelSampling,
    family: Family,
    draw: Callable[[], torch.Generator],
    images: tuple[JobImage, ...] = (),
) -> RunChanges:
    """Fresh changes for one job over a model of a family, which draws from what `draw` gives."""
    laid = tuple(changes)
    run = (*(c for c in laid if c.kind in family.changes | {SKIP_OF_NEGATIVE}), *row_patches(laid))
    draws = any(change.kind in family.drawing_changes for change in run)
    return RunChanges(
        run,
        tuple(_span(change, sampling) for change in run),
        draw() if draws else None,
        start_easycache(laid, sampling),
        images,
    )


def _span(change: Change, sampling: ModelSampling) -> tuple[float, float]:
    options = dict(change.options)
    if "start_percent" not in options:
        return float("inf"), 0.0
    ends = (options["start_percent"], options["end_percent"])
    return sampling.percent_to_sigma(ends[0]), sampling.percent_to_sigma(ends[1])
