"""Step caches: skip a step and reuse the last change while little changes.

What changed is estimated from how far the input moved; once the estimates add up to a threshold
the model is asked again. Each job starts caches of its own. (EasyCache: Zhou et al. 2025;
ComfyUI comfy_extras/nodes_easycache.py)
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from diffusion.batch.prompts import Prompt
from diffusion.batch.rows import Asking, Row
from diffusion.schedules.model_sampling import ModelSampling
from graph.values import Change

EVERY = 8  # of the pixels along a side, the one that is looked at
CACHE_CHANGES = frozenset({"easycache", "lazycache"})


def _looked_at(x: Tensor) -> Tensor:
    return x[..., ::EVERY, ::EVERY]


@dataclass(eq=False)
class Drift:
    """How far the output is estimated to have moved since the model was last asked."""

    threshold: float
    before: Tensor | None = None  # what the model was last asked, as looked at
    output: Tensor | None = None
    size: Tensor | None = None  # the mean magnitude of that output
    rate: Tensor | None = None  # the output's movement by the input's
    total: Tensor | float = 0.0

    def moved(self, x: Tensor) -> Tensor | None:
        """The input's movement; None before the first answer."""
        return None if self.before is None else (_looked_at(x) - self.before).abs().mean()

    def is_small(self, movement: Tensor | None) -> bool:
        """Whether the step can be left out. If not, the count begins anew."""
        if movement is None or self.size is None or self.rate is None:
            return False
        self.total = self.total + self.rate * movement / self.size
        if bool(self.total < self.threshold):
            return True
        self.total = 0.0
        return False

    def answered(self, x: Tensor, output: Tensor, size: Tensor, movement: Tensor | None) -> None:
        """The model was asked `x`; `size` is the mean magnitude of all that it answered with it."""
        if self.output is not None and movement is not None:
            self.rate = (_looked_at(output) - self.output).abs().mean() / movement
        self.before, self.output, self.size = _looked_at(x), _looked_at(output), size


@dataclass(frozen=True)
class Span:
    """The noise levels between which steps may be left out, and until which answers are kept."""

    start: float
    end: float

    @classmethod
    def of(cls, change: Change, sampling: ModelSampling) -> "Span":
        ends = (change["start_percent"], change["end_percent"])
        return cls(*map(sampling.percent_to_sigma, ends))

    def is_past(self, sigma: Tensor) -> bool:
        return not float(sigma) > self.end

    def has_begun(self, sigma: Tensor) -> bool:
        return float(sigma) <= self.start


@dataclass(eq=False)
class EasyCache:
    """What the network itself added to its input, for each prompt of one job.

    One prompt leads: where its output has hardly moved, no prompt is asked. Of one picture, each
    prompt is given the changes of all prompts of its call, as by ComfyUI 0.3.64; of several, where
    that fails, and under an inpainting model, its own.
    """

    span: Span
    drift: Drift
    leader: Prompt | None = None
    added: dict[Prompt, Tensor] = field(default_factory=dict)

    def ask(self, rows: Sequence[Row]) -> Asking[Sequence[Tensor]]:
        """The answers to one question's `rows`, from the model or from the cache."""
        sigma = rows[0].sigma
        if self.span.is_past(sigma):
            return (yield rows)
        rows = [replace(row, outputs=[]) for row in rows]
        movement, lead = None, None
        if self.span.has_begun(sigma):
            self.leader = self.leader or _called_with(rows[0], rows)[-1].prompt
            lead = next((row for row in rows if row.prompt is self.leader), None)
        if lead is not None:
            movement = self.drift.moved(_entering(lead))
            known = all(row.prompt in self.added for row in rows)
            if self.drift.is_small(movement) and known:
                return [self._reused(row, rows) for row in rows]
        answers = yield rows
        for row in rows:
            output = _output(row)
            self.added[row.prompt] = output - _alike(_entering(row), output)
        if lead is not None:
            beside = torch.cat([_output(row) for row in _called_with(lead, rows)])
            self.drift.answered(_entering(lead), _output(lead), beside.abs().mean(), movement)
        return answers

    def _reused(self, row: Row, rows: Sequence[Row]) -> Tensor:
        alone = len(row.x) > 1 or row.prompt.concat is not None
        beside = [row] if alone else _called_with(row, rows)
        output = _alike(_entering(row), self.added[row.prompt])
        for one in reversed(beside):
            output = output + self.added[one.prompt]
        return row.sampling.denoised(row.sigma, output, row.x)


def _entering(row: Row) -> Tensor:
    """What the network sees [B, C, h, w], with the channels that an inpainting model has more."""
    scaled = row.sampling.input_scaling(row.sigma, row.x)
    concat = row.prompt.concat
    if concat is None:
        return scaled
    return torch.cat([scaled, concat.expand(len(scaled), *concat.shape[1:])], dim=1)


def _alike(entering: Tensor, output: Tensor) -> Tensor:
    """As many channels as come out: of more, ComfyUI takes the last."""
    return entering[:, -output.shape[1] :]


def _output(row: Row) -> Tensor:
    assert row.outputs is not None
    return torch.cat(row.outputs)


def _called_with(first: Row, rows: Sequence[Row]) -> list[Row]:
    """The rows that ComfyUI asks in one call with `first`; it begins with the last of them."""
    return [row for row in rows if row.x.shape == first.x.shape]


def start_easycache(changes: Iterable[Change], sampling: ModelSampling) -> EasyCache | None:
    """The cache of one job, where a change asks for it; the last one counts."""
    applied = last_of(changes, "easycache")
    if applied is None:
        return None
    return EasyCache(Span.of(applied, sampling), Drift(applied["reuse_threshold"]))


def last_of(changes: Iterable[Change], kind: str) -> Change | None:
    """The last change of a kind, which counts."""
    return next((c for c in reversed(list(changes)) if c.kind == kind), None)
