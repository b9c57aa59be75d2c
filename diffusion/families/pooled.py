"""Pooled text conditioning, which many families take beside the tokens."""

from dataclasses import dataclass

from torch import Tensor

from diffusion.batch.frame import Frame
from diffusion.batch.preparation import batched
from graph.errors import ServiceError
from graph.values import Condition


@dataclass(eq=False)
class PooledTextMissingError(ServiceError):
    """A conditioning made for another family of models."""

    status = 422
    code = "pooled_text_missing"
    template = "The {name} conditioning has no pooled text, which this model needs."
    name: str


def pooled_text(condition: Condition, name: str, frame: Frame) -> Tensor:
    """[1, P], or one entry for every picture. Raises PooledTextMissingError."""
    if condition.pooled is None:
        raise PooledTextMissingError(name)
    return batched(condition.pooled, frame)
