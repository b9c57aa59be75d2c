"""The arguments of one diffusion transformer call, for every family."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from torch import Tensor
from torch.nn import functional

from diffusion.dit.kept import Kept
from graph.values import Change


@dataclass(frozen=True, eq=False)
class Added:
    """What control networks add behind blocks, one tensor [N, T, D] for each of the first ones."""

    double: tuple[Tensor, ...] = ()
    single: tuple[Tensor, ...] = ()


@dataclass(frozen=True, eq=False)
class DitCall:
    """What N latent pictures are asked with. All tensors are on the network's device."""

    sample: Tensor  # [N, C, h, w], with the channels that ride beside the latent
    times: Tensor  # [N], or one for each frame or token, float32, as the network is told them
    context: Tensor  # [N, T, D]
    pooled: Tensor  # [N, P]; P is 0 where the family reads none
    guidance: Tensor | None = None  # [N]
    references: tuple[Tensor, ...] = ()  # pictures [N, C, h', w'] to go by
    places: str = "offset"  # where references are put beside the picture
    bias: Tensor | None = None  # [T, T + 1], what attention adds for text, and the picture's last
    skipped: Mapping[str, frozenset[int]] = field(default_factory=dict)  # blocks, by kind
    added: Added | None = None
    behind: tuple[Any, ...] = ()  # model patches, see patches.py
    beside: Mapping[str, Tensor] = field(default_factory=dict)  # [N, ...], under the family's names
    changes: tuple[Change, ...] = ()  # to how the network is run
    kept: Kept | None = None  # from step to step, where a change asks for it


Network: TypeAlias = Callable[[DitCall], Tensor]  # gives [N, c, h, w]


def plus(picture: Tensor, added: Sequence[Tensor], index: int) -> Tensor:
    """`picture` with what is added behind a block; references behind it stay as they are."""
    if index >= len(added):
        return picture
    residual = added[index].to(picture.dtype)
    short = picture.shape[1] - residual.shape[1]
    return picture + (functional.pad(residual, (0, 0, 0, short)) if short else residual)
