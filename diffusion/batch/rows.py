"""The questions a job asks of its model, and the generators that ask them."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

from torch import Tensor

from diffusion.batch.prompts import Prompt
from diffusion.families.sd.image_prompts import RowImage
from diffusion.families.sd.token_changes import Draws
from diffusion.schedules.model_sampling import ModelSampling
from graph.values import Change

Result = TypeVar("Result")


@dataclass(frozen=True, eq=False)
class Row:
    """One prompt's question about all pictures of a job, or about a box in them."""

    x: Tensor  # [B, C, h, w], float32
    sigma: Tensor  # [], float32, on the CPU
    prompt: Prompt
    sampling: ModelSampling
    patches: tuple[Change, ...] = ()  # how the network is run, where it differs from its weights'
    recorded: list[Tensor] = field(default_factory=list)  # what a patch wrote down on the way
    draws: Draws | None = None  # shared by the rows of one question, where patches draw
    images: tuple[RowImage, ...] = ()  # image prompts that it goes by
    outputs: list[Tensor] | None = None  # where wanted, what the network itself said


# A generator that yields rows, receives their denoised predictions (in order, each like its x) and
# returns what it made of them.
Asking: TypeAlias = Generator[Sequence[Row], Sequence[Tensor], Result]
