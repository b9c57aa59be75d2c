"""Changes to how the network runs: which of a model's changes its rows carry, and when."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

from diffusion.batch.patches import SKIP_BLOCKS
from diffusion.batch.prompts import Prompt
from diffusion.batch.rows import Draws, JobImage, RowImage
from diffusion.families.family import Family
from diffusion.guidance.frames import JobFrames
from diffusion.guidance.step_caches import CACHE_CHANGES, EasyCache, start_easycache
from diffusion.schedules.model_sampling import ModelSampling
from graph.values import Change

SKIP_OF_NEGATIVE = "skip_negative_layers"  # a change to how the network is run
# Changes of guidance that need patched rows.
PATCHES: Mapping[str, Change] = MappingProxyType(
    {"self_attention_guidance": Change("record_attention")}
)
NETWORK_CHANGES = CACHE_CHANGES | {SKIP_OF_NEGATIVE}


@dataclass(frozen=True, eq=False)
class RunChanges:
    """One job's changes to how the network is run, in the order in which they were laid."""

    changes: tuple[Change, ...] = ()
    spans: tuple[tuple[float, float], ...] = ()  # of each, from sigma to sigma
    generator: torch.Generator | None = None
    cache: EasyCache | None = None
    images: tuple[JobImage, ...] = ()
    frames: JobFrames | None = None  # where its latents are those of a video
    divisible: bool = True  # whether calls may hold some of its latents without the others
    # What the network keeps of each prompt from step to step, where a change asks for it.
    kept: dict[Prompt, dict[str, Tensor]] | None = None

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

    def kept_of(self, prompt: Prompt) -> dict[str, Tensor] | None:
        """What is kept of a prompt; None where nothing is."""
        return None if self.kept is None else self.kept.setdefault(prompt, {})

    def draws(self) -> Draws | None:
        """What one question's rows draw from."""
        return None if self.generator is None else Draws(self.generator)


def skipping(change: Change) -> Change:
    """The patch of rows that leaves out the blocks of a change."""
    return Change(SKIP_BLOCKS, tuple((kind, change[kind]) for kind in ("double", "single")))


def row_patches(changes: Iterable[Change]) -> tuple[Change, ...]:
    """How every row of a job is run for its changes of guidance."""
    return tuple(PATCHES[change.kind] for change in changes if change.kind in PATCHES)


def start_run_changes(
    changes: Iterable[Change],
    sampling: ModelSampling,
    family: Family,
    draw: Callable[[], torch.Generator],
    images: tuple[JobImage, ...] = (),
) -> RunChanges:
    """Fresh changes for one job over a model of a family, which draws from what `draw` gives."""
    applied = tuple(changes)
    run = (
        *(c for c in applied if c.kind in family.changes | {SKIP_OF_NEGATIVE}),
        *row_patches(applied),
    )
    draws = any(change.kind in family.drawing_changes for change in run)
    keeps = any(change.kind in family.keeping_changes for change in applied)
    joins = any(change.kind in family.joining_changes for change in applied)
    return RunChanges(
        run,
        tuple(_span(change, sampling) for change in run),
        draw() if draws else None,
        start_easycache(applied, sampling),
        images,
        divisible=not (family.sees_batches or joins or keeps),
        kept={} if keeps else None,
    )


def _span(change: Change, sampling: ModelSampling) -> tuple[float, float]:
    options = dict(change.options)
    if "start_percent" not in options:
        return float("inf"), 0.0
    ends = (options["start_percent"], options["end_percent"])
    return sampling.percent_to_sigma(ends[0]), sampling.percent_to_sigma(ends[1])
