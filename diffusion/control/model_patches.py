"""Loads and caches model patches within a sampler's memory budget."""

from collections.abc import AsyncIterator, Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import torch

from diffusion.batch.controls import Encode
from diffusion.dit.patches import JobPatch, LoadedPatch, PatchKind
from diffusion.families.family import LoadedModel
from diffusion.memory.cache import ModelCache, leased
from diffusion.weights import Weights
from graph.values import Change, Model, ModelFile, PatchUse, Vae

OpenWeights: TypeAlias = Callable[[ModelFile], Weights]
MODEL_PATCH = "model_patch"
PATCH_CHANGES = frozenset({MODEL_PATCH})


def patches_on(changes: Iterable[Change]) -> Iterator[PatchUse]:
    """Those that are applied to a model, in order."""
    yield from (change["use"] for change in changes if change.kind == MODEL_PATCH)


def prepare_patches(
    changes: Iterable[Change],
    loaded: Mapping[ModelFile, LoadedPatch],
    encoders: Mapping[Vae, Encode],
    model: LoadedModel,
    device: torch.device,
) -> tuple[JobPatch, ...]:
    """The model patches applied to a model, for one job.

    Raises:
        BadModelFile: one is made for another kind of model.
    """
    return tuple(
        JobPatch(
            loaded[use.patch.file],
            use,
            None if use.vae is None else encoders[use.vae],
            model.latent_format.px,
            device,
        )
        for use in patches_on(changes)
    )


@dataclass(frozen=True, eq=False)
class ModelPatches:
    """The model patches of one replica."""

    open_weights: OpenWeights
    resident: ModelCache[Hashable, Any]
    dtype: torch.dtype
    device: torch.device
    kinds: Sequence[PatchKind]

    @asynccontextmanager
    async def leased(
        self, model: Model, shape: Any
    ) -> AsyncIterator[Mapping[ModelFile, LoadedPatch]]:
        """Those applied to `model`, whose network has this shape, in memory until the block ends.

        Raises:
            BadModelFile: a file is damaged, or made for another kind of model.
        """
        async with AsyncExitStack() as stack:
            loaded: dict[ModelFile, LoadedPatch] = {}
            for file in dict.fromkeys(use.patch.file for use in patches_on(model.changes)):
                lease = self.resident.lease((MODEL_PATCH, file), partial(self._load, file))
                patch = loaded[file] = await stack.enter_async_context(leased(lease))
                if problem := patch.misfit(shape):
                    raise self.open_weights(file).bad(problem=problem)
            yield loaded

    def _load(self, file: ModelFile) -> LoadedPatch:
        weights = self.open_weights(file)
        kind = next((kind for kind in self.kinds if kind.mine(weights)), None)
        if kind is None:
            examples = ", ".join(sorted(weights)[:3])
            raise weights.bad(problem=f"no model patch of a known kind in it, but {examples} ...")
        return kind.load(weights, self.dtype, self.device)
