"""Models under different LoRAs that answer their jobs in one call of their base."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from diffusion.batch.calls import Denoiser, Limits
from diffusion.batch.row_layers import NONE, OwnLayers, RowScope, divide, own_layers
from diffusion.batch.rows import Row
from diffusion.families.family import LoadedModel
from diffusion.lora.applying import sharing_copy


class MixedBase:
    """Answers rows of many jobs, each under its own LoRAs. Called on the compute thread only."""

    def __init__(self, made: Callable[[RowScope], Denoiser]) -> None:
        """`made` gives a denoiser whose rows go where the scope says; asked for once."""
        self._made = made
        self._scope = RowScope()
        self._denoiser: Denoiser | None = None

    def answers(self, asked: Sequence[tuple[Sequence[Row], OwnLayers]]) -> list[Tensor]:
        """Predictions of each job's rows, in order."""
        if self._denoiser is None:
            self._denoiser = self._made(self._scope)
        self._scope.own = {id(row): own for question, own in asked for row in question}
        # Side by side where they have the same layers: one call of each does for them.
        places = {id(own): place for place, (_, own) in enumerate(asked)}
        together = sorted(asked, key=lambda pair: places[id(pair[1])])
        rows = [row for question, _ in together for row in question]
        found = dict(zip(map(id, rows), self._denoiser(rows), strict=True))
        return [found[id(row)] for question, _ in asked for row in question]

    def forget(self) -> None:
        """Let go of what was kept for jobs that are over."""
        self._scope.own = {}
        if self._denoiser is not None:
            self._denoiser.forget()


@dataclass(frozen=True, eq=False)
class Mixable:
    """A model as its base, and the layers that it has for itself."""

    base: MixedBase
    own: OwnLayers


@dataclass(frozen=True, eq=False)
class ResidentModel:
    """A diffusion model in memory, with what asks it."""

    model: LoadedModel
    denoiser: Denoiser
    mixable: Mixable | None = None

    @property
    def size(self) -> int:
        return self.model.size


def mixable(resident: ResidentModel, limits: Limits) -> ResidentModel:
    """A base model that may share calls with what is applied to it, where its family can."""
    model = resident.model
    if not model.family.rows_stay_apart:
        return resident

    def made(scope: RowScope) -> Denoiser:
        module = sharing_copy(model.module, {})
        own, scoped = replace(model, module=module), replace(limits, scope=scope)
        denoiser = model.family.denoiser(own, scoped)
        divide(module, scope)  # now: it may have put other layers in their places
        return denoiser

    return replace(resident, mixable=Mixable(MixedBase(made), NONE))


def mixable_with(resident: ResidentModel, base: ResidentModel) -> ResidentModel:
    """A model that was made of `base`, and may share calls with it and others made of it."""
    if base.mixable is None:
        return resident
    own = own_layers(resident.model.module, base.model.module)
    if own is None:
        return resident
    return replace(resident, mixable=Mixable(base.mixable.base, own))
